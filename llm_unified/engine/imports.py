"""LiteLLM, imported once, with its documented switches set. Nothing else in this package imports it.

What this does to the process: `litellm` is imported (three to five seconds of CPU, so do it in a thread),
the variables below are set while that happens and removed afterwards, and three documented module-wide
switches of LiteLLM are set. Nothing is patched.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from llm_unified.engine.quiet import quiet


@contextlib.contextmanager
def _switches() -> Iterator[None]:
    """No network, no ``.env``, no logging to stderr while LiteLLM is imported."""
    wanted = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "CRITICAL",
        "REPEATED_STREAMING_CHUNK_LIMIT": str(10**9),  # else a long table's ruler breaks its stream
    }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


with _switches(), quiet():
    import litellm
    from litellm.anthropic_beta_headers_manager import (
        reload_beta_headers_config,
        update_request_with_filtered_beta,
    )
    from litellm.llms.anthropic.chat.handler import ModelResponseIterator as AnthropicEvents
    from litellm.llms.anthropic.chat.transformation import (
        ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY as ANTHROPIC_TOOL_NAMES,
    )
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_ssl_configuration
    from litellm.main import responses_api_bridge_check
    from litellm.router import Router
    from litellm.types.utils import LlmProviders, ModelResponse
    from litellm.types.utils import Usage as LiteLLMUsage
    from litellm.utils import (
        ProviderConfigManager,
        get_optional_params,
        validate_and_fix_openai_messages,
        validate_and_fix_openai_tools,
        validate_and_fix_thinking_param,
        validate_chat_completion_tool_choice,
        validate_openai_optional_params,
    )

    reload_beta_headers_config()  # read now, from the package, or the first schema asks the network

# Else a llama stream on the way through `completion()` blocks the loop for 23 s when offline.
litellm.disable_hf_tokenizer_download = True
litellm.expose_router_debug_in_errors = False
litellm.suppress_debug_info = True  # no "Give Feedback / Get Help" on stderr

__all__ = [
    "ANTHROPIC_TOOL_NAMES",
    "AnthropicEvents",
    "AsyncHTTPHandler",
    "LiteLLMUsage",
    "LlmProviders",
    "ModelResponse",
    "ProviderConfigManager",
    "Router",
    "get_optional_params",
    "get_ssl_configuration",
    "litellm",
    "responses_api_bridge_check",
    "update_request_with_filtered_beta",
    "validate_and_fix_openai_messages",
    "validate_and_fix_openai_tools",
    "validate_and_fix_thinking_param",
    "validate_chat_completion_tool_choice",
    "validate_openai_optional_params",
]
