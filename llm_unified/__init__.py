"""Answers from some LLM provider, now, every time.

Importing this package loads neither LiteLLM nor pydantic: the names below are looked up when they are used
(PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_unified.version import __version__ as __version__  # mypy: an export

if TYPE_CHECKING:
    from llm_unified.asgi import lifespan
    from llm_unified.client import UnifiedLLMClient
    from llm_unified.errors import (
        AllProvidersFailedError,
        BadRequestError,
        ConfigurationError,
        DeadlineExceededError,
        LLMError,
        ServiceClosedError,
        StreamInterruptedError,
    )
    from llm_unified.reload import reload_on_sighup, watch_config
    from llm_unified.response import (
        Attempt,
        Embedding,
        FailureKind,
        LLMResponse,
        StreamChunk,
        ToolCall,
        ToolCallDelta,
        Usage,
    )
    from llm_unified.service import UnifiedLLMService, get_llm_service
    from llm_unified.settings import Settings, load_settings
    from llm_unified.warmer import ConnectionWarmer, get_llm_warmer

_HOME = {
    "UnifiedLLMClient": "client",
    "AllProvidersFailedError": "errors",
    "BadRequestError": "errors",
    "ConfigurationError": "errors",
    "DeadlineExceededError": "errors",
    "LLMError": "errors",
    "ServiceClosedError": "errors",
    "StreamInterruptedError": "errors",
    "lifespan": "asgi",
    "Attempt": "response",
    "Embedding": "response",
    "FailureKind": "response",
    "LLMResponse": "response",
    "StreamChunk": "response",
    "ToolCall": "response",
    "ToolCallDelta": "response",
    "Usage": "response",
    "UnifiedLLMService": "service",
    "get_llm_service": "service",
    "Settings": "settings",
    "load_settings": "settings",
    "ConnectionWarmer": "warmer",
    "get_llm_warmer": "warmer",
    "reload_on_sighup": "reload",
    "watch_config": "reload",
}

__all__ = [
    "AllProvidersFailedError",
    "Attempt",
    "BadRequestError",
    "ConfigurationError",
    "ConnectionWarmer",
    "DeadlineExceededError",
    "Embedding",
    "FailureKind",
    "LLMError",
    "LLMResponse",
    "ServiceClosedError",
    "Settings",
    "StreamChunk",
    "StreamInterruptedError",
    "ToolCall",
    "ToolCallDelta",
    "UnifiedLLMClient",
    "UnifiedLLMService",
    "Usage",
    "get_llm_service",
    "get_llm_warmer",
    "lifespan",
    "load_settings",
    "reload_on_sighup",
    "watch_config",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
