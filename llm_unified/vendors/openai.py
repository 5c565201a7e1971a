"""OpenAI, and servers that speak its protocol (the embedded model among them).

Source: OpenAI API reference, "Chat completions", "Embeddings", "Models".

A model whose name is not OpenAI's is some other server's: it is asked as the caller says. The rows of the
families hold for Azure OpenAI, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from llm_unified.vendors.base import Vendor, bearer
from llm_unified.vendors.takes import Row, names, row

__all__ = ["BLIND", "FAMILIES", "OPENAI", "PROTOCOL"]

_OPENAI: Final = r"gpt-(?!oss)|o\d|chatgpt|chat-latest|ft:"
_REFERENCE: Final = "OpenAI SDK: CompletionCreateParams"
_REASONING: Final = "OpenAI: Reasoning models; LiteLLM: OpenAIGPT5Config, OpenAIOSeriesConfig"
_MODELS: Final = "OpenAI: Models"
_SAMPLING: Final = "temperature top_p presence_penalty frequency_penalty logprobs top_logprobs"
_STEADY: Final = names(f"{_SAMPLING} logit_bias")
TEXT: Final = frozenset({"text"})


def _reasoning(models: str, efforts: str, *, reasons: bool = True) -> Row:
    return row(
        f"{_REASONING}; price list",
        models,
        efforts=tuple(efforts.split()),
        reasons=reasons,
        regains="reasoning_effort verbosity",
    )


def _limit(models: str, tokens: int) -> Row:
    return row(_MODELS, models, most_tokens=tokens)


PROTOCOL: Final[Mapping[str, Any]] = {
    "params": f"{_SAMPLING} max_tokens max_completion_tokens stop seed n logit_bias user metadata "
    "service_tier store prediction modalities audio safety_identifier prompt_cache_key "
    "prompt_cache_retention verbosity reasoning_effort functions function_call parallel_tool_calls "
    "web_search_options",
    "ranges": {
        "temperature": (0.0, 2.0),
        "top_p": (0.0, 1.0),
        "presence_penalty": (-2.0, 2.0),
        "frequency_penalty": (-2.0, 2.0),
        "top_logprobs": (0, 20),
    },
    "choices": {"service_tier": names("auto default flex scale priority")},
    "most_stops": 4,
    "longest_user": 64,
    "most_tools": 128,
    "names": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "ids": re.compile(r".{1,40}", re.DOTALL),
    "json_word": True,
    "members": {
        "system": names("role content name"),
        "developer": names("role content name"),
        "user": names("role content name"),
        "assistant": names("role content name tool_calls function_call refusal audio"),
        "tool": names("role content tool_call_id"),
    },
    "reasoning_member": None,
    "result_parts": TEXT,
    "image_types": names("image/png image/jpeg image/webp image/gif"),
    "caching": False,
    "prefill": False,
}
"""Limits of stop sequences, tools, names, roles: the SDK. Of ``user`` and ids: the API's 400s "string too
long … maximum length 64 / 40" (reported: camel-ai/camel#2215, vercel/ai#5171). Images: "Images and vision".
"""

FAMILIES: Final = (
    row(
        "OpenAI's 400 'Unrecognized request argument supplied: reasoning_effort'"
        " (reported: umputun/tg-spam#304)",
        r"(?:ft:)?(?:gpt-3|gpt-4|chatgpt-4)",
        efforts=(),
        without="verbosity web_search_options",
    ),
    _limit("gpt-3|gpt-4-(?:turbo|1106|0125)|gpt-4o-2024-05-13", 4096),
    _limit("gpt-4o(?!-2024-05-13)|chatgpt-4o", 16_384),
    _limit(r"gpt-4\.1", 32_768),
    _limit(r"o[134]", 100_000),
    _limit(r"gpt-[56]", 128_000),
    row(
        _REASONING,
        r"o\d|gpt-[56](?!-chat)|chat-latest",
        steady=_STEADY,
        reasons=True,
        token_limit="max_completion_tokens",  # noqa: S106 - a parameter's name
        without="web_search_options",
    ),
    _reasoning(r"o\d", "low medium high"),
    row(_REASONING, r"o\d", without="verbosity parallel_tool_calls"),
    row(
        "OpenAI SDK: stop, 'not supported with latest reasoning models'",
        r"o3(?!-mini)|o4",
        without="stop",
    ),
    row(
        "OpenAI: o1-mini, o1-preview",
        "o1-(?:mini|preview)",
        efforts=(),
        without="reasoning_effort",
        tools=False,
        parts=TEXT,
        json="words",
    ),
    row(
        _REASONING,
        r"gpt-[56](?!-chat)",
        without="stop presence_penalty frequency_penalty logit_bias prediction modalities audio",
    ),
    _reasoning(r"gpt-5(?![.]|-chat)", "minimal low medium high"),
    _reasoning(r"gpt-5-pro", "high"),
    _reasoning(r"gpt-5\.1", "none low medium high", reasons=False),
    _reasoning(r"gpt-5\.[234]", "none low medium high xhigh", reasons=False),
    _reasoning(r"gpt-5\.[56]|gpt-6", "none low medium high xhigh"),
    _reasoning(r"gpt-6\.1", "low medium high xhigh"),
    _reasoning(r"gpt-5\.\d-chat|chat-latest|gpt-chat-latest", "medium"),
    row("OpenAI: GPT-5 chat", "gpt-5-chat", efforts=(), reasons=False),
    row(
        "OpenAI: Web search; LiteLLM: OpenAIGPT5Config",
        r"gpt-\S*-search",
        without=f"{_SAMPLING} stop seed n logit_bias parallel_tool_calls reasoning_effort",
        regains="web_search_options",
        efforts=(),
        tools=False,
    ),
)
BLIND: Final = row(
    "OpenAI: Models; price list",
    r"gpt-3|gpt-4-(?:0314|0613|32k|1106|0125)|o3-mini|o1-mini|o1-preview",
    parts=TEXT,
)

OPENAI = Vendor(
    protocol="openai",
    litellm_name="openai",
    chat_url=lambda access, _: f"{access.base}/chat/completions",
    models_url=lambda access: f"{access.base}/models",
    headers=bearer,
    rows=(
        row(_REFERENCE, _OPENAI, **PROTOCOL),
        *FAMILIES,
        BLIND,
        row("OpenAI: Models", r"gpt-4\Z", parts=TEXT),
        row(
            "OpenAI: Structured outputs, 'JSON mode'",
            r"gpt-3\.5|gpt-4-(?:turbo|1106|0125)|gpt-4o-2024-05-13",
            json="object",
        ),
        row(
            "OpenAI: Structured outputs, 'JSON mode'",
            r"gpt-4(?:-0314|-0613|-32k\S*)?\Z|gpt-3\.5-turbo-(?:0301|0613|16k)",
            json="words",
        ),
    ),
    embeddings_url=lambda access, _: f"{access.base}/embeddings",
)
