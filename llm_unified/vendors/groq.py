"""Groq.

Source: Groq API reference, "Create chat completion". It has no embeddings.
"""

from __future__ import annotations

import re
from typing import Final

from llm_unified.vendors.base import Vendor, bearer
from llm_unified.vendors.takes import names, row

__all__ = ["GROQ"]

_SDK: Final = "Groq SDK: CompletionCreateParams"
_REASONING: Final = "Groq SDK: CompletionCreateParams.reasoning_effort; Groq: Reasoning"
_MODELS: Final = "Groq: Supported models"
_TEXT: Final = frozenset({"text"})
_MESSAGE: Final = frozenset({"role", "content"})

GROQ = Vendor(
    protocol="groq",
    litellm_name="groq",
    chat_url=lambda access, _: f"{access.base}/chat/completions",
    models_url=lambda access: f"{access.base}/models",
    headers=bearer,
    rows=(
        row(
            f"{_SDK}; Groq: OpenAI Compatibility; Images and Vision; Structured Outputs",
            params="temperature top_p max_tokens max_completion_tokens stop seed user service_tier "
            "parallel_tool_calls reasoning_effort reasoning_format include_reasoning documents "
            "citation_options search_settings compound_custom disable_tool_validation "
            "exclude_domains include_domains functions function_call web_search_options",
            ranges={"temperature": (0.0, 2.0), "top_p": (0.0, 1.0)},
            choices={"service_tier": names("auto on_demand flex performance")},
            most_stops=4,
            most_tools=128,
            names=re.compile(r"[a-zA-Z0-9_-]{1,64}"),
            ids=re.compile(r".{1,40}", re.DOTALL),  # not documented: OpenAI's
            json_word=True,
            json_with_tools=False,
            members={
                "system": _MESSAGE,
                "developer": _MESSAGE,
                "user": _MESSAGE,
                "assistant": _MESSAGE | {"tool_calls", "function_call", "reasoning"},
                "tool": _MESSAGE | {"tool_call_id"},
            },
            reasoning_member=None,
            parts=frozenset({"text", "image_url"}),
            result_parts=_TEXT,
            efforts_beside=True,
            most_images=5,
            caching=False,
        ),
        row(
            "Groq's 400 'reasoning is not supported with this model' (reported: vercel/ai#8057)",
            r"openai/gpt-oss",
            efforts=("low", "medium", "high"),
            reasons=True,
            reasoning_member="reasoning",
            prefill=False,
            most_tokens=65_536,
            parts=_TEXT,
        ),
        row(
            _REASONING,
            r"qwen3",
            efforts=("none", "default"),
            reasons=True,
            reasoning_member="reasoning",
            prefill=False,
        ),
        row(_REASONING, r"qwen3\.8", efforts=("none", "low", "medium", "default", "high")),
        row(
            _MODELS,
            r"llama|meta-llama|moonshotai|kimi|gemma|mixtral|mistral|groq/compound|compound|deepseek|allam",
            efforts=(),
            without="reasoning_format include_reasoning",
        ),
        row(
            f"{_MODELS}; Images and Vision",
            r"llama-?3(?!\S*vision)|qwen3-32b|moonshotai|kimi|gemma|mixtral|mistral|compound|deepseek|allam",
            parts=_TEXT,
        ),
        row(_MODELS, r"llama-3\.3-70b", most_tokens=32_768),
        row(_MODELS, r"qwen3-32b", most_tokens=40_960),
        row(_MODELS, r"llama-4", most_tokens=8192),
        row(
            "Groq: Compound; Content Moderation",
            r"compound|groq/compound|llama-guard|llama-prompt-guard|openai/gpt-oss-safeguard",
            tools=False,
        ),
    ),
)
