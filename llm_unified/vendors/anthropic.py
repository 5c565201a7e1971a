"""Anthropic.

Source: Anthropic API reference, "Messages", "Streaming messages", "Models". It has no embeddings.
"""

from __future__ import annotations

import re
from typing import Final

from llm_unified.vendors.base import Vendor
from llm_unified.vendors.takes import Row, row

__all__ = ["ANTHROPIC"]

_REFERENCE: Final = "Anthropic SDK: MessageCreateParams"
_MODELS: Final = "Anthropic: Models overview"
_THINKING: Final = "Anthropic: Adaptive thinking; Extended thinking"
_MIGRATION: Final = "Anthropic: Migration guide"
_SAMPLING: Final = "temperature top_p top_k"
_MESSAGE: Final = frozenset({"role", "content", "name", "cache_control"})
_OLDER: Final = r"claude-(?:opus|sonnet|haiku)-4(?![-.][6-9])|claude-3-7"
"""Families that think with a budget, up to 4.5."""
_OLDEST: Final = r"claude-3-(?!7)|claude-2|claude-instant"


def _limit(models: str, tokens: int) -> Row:
    return row(_MODELS, models, most_tokens=tokens)


ANTHROPIC = Vendor(
    protocol="anthropic",
    litellm_name="anthropic",
    chat_url=lambda access, _: f"{access.base}/v1/messages",
    models_url=lambda access: f"{access.base}/v1/models",
    headers=lambda access: {"x-api-key": access.key, "anthropic-version": "2023-06-01"},
    end_marker="message_stop",
    rows=(
        row(
            f"{_REFERENCE}; Vision; Tool use; Errors",
            params=f"{_SAMPLING} max_tokens max_completion_tokens stop user metadata thinking "
            "reasoning_effort output_config parallel_tool_calls web_search_options container "
            "mcp_servers context_management inference_geo speed cache_control",
            ranges={"temperature": (0.0, 1.0), "top_p": (0.0, 1.0)},
            blank_stops=False,
            longest_user=256,
            names=re.compile(r"[a-zA-Z0-9_-]{1,128}"),
            longest_name=128,
            ids=re.compile(r"[a-zA-Z0-9_-]+"),
            json="schema",
            thinking="budget",
            steady=frozenset({"temperature", "top_p", "top_k"}),
            members={
                "system": _MESSAGE,
                "developer": _MESSAGE,
                "user": _MESSAGE,
                "assistant": _MESSAGE
                | {"tool_calls", "function_call", "thinking_blocks", "provider_specific_fields"},
                "tool": _MESSAGE | {"tool_call_id"},
            },
            reasoning_member=None,
            parts=frozenset({"text", "image_url", "document", "file"}),
            image_types=frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"}),
            plain_http=False,
            empty_text=False,
            user_first=True,
        ),
        # The newest first: a name that is not known yet is taken for one of them.
        row(
            f"{_MIGRATION}; 'Sampling parameters', 'Prefill not supported'",
            "claude",
            without=_SAMPLING,
            prefill=False,
            thinking="adaptive",
            reasons=True,
            efforts=("low", "medium", "high", "xhigh", "max"),
            most_tokens=128_000,
        ),
        row(
            "Anthropic: What's new in Claude Opus 5.5, Sonnet 5.5: 'Forced tool use is not supported'",
            r"claude-(?:opus|sonnet)-5[-.]5|claude-(?:fable|mythos)-5[-.][1-9]",
            forced_tools=False,
        ),
        row(
            f"{_THINKING}; What's new in Claude Opus 5.5: 'Thinking can't be disabled'",
            r"claude-(?:opus|sonnet)-5(?![-.]5)|claude-haiku-5",
            thinks_off="disabled",
        ),
        row(
            "Anthropic: What's new in Claude Sonnet 5.5",
            r"claude-sonnet-5[-.]5",
            thinks_off="between_tools",
        ),
        row(_THINKING, r"claude-\w+-4[-.][6-8]|claude-mythos-preview", reasons=False),
        row(
            f"{_THINKING}; Effort",
            r"claude-\w+-4[-.]6",
            regains=_SAMPLING,
            only_one=("temperature", "top_p"),
            efforts=("low", "medium", "high", "max"),
            budgets=True,
        ),
        row(
            _THINKING,
            f"{_OLDER}|{_OLDEST}",
            regains=_SAMPLING,
            prefill=True,
            thinking="budget",
            reasons=False,
        ),
        row(_THINKING, _OLDEST, thinking="no"),
        row(
            "Anthropic's 400 'temperature and top_p cannot both be specified'"
            " (reported: SalesforceAIResearch/MCP-Universe#49)",
            r"claude-(?:opus|sonnet|haiku)-4[-.][15](?!\d)",
            only_one=("temperature", "top_p"),
        ),
        _limit(r"claude-(?:opus|sonnet|haiku)-4|claude-3-7", 64_000),
        _limit(r"claude-\w+-4[-.][6-8]", 128_000),
        _limit(r"claude-opus-4(?:[-.][01](?!\d)|-2|\Z)", 32_000),
        _limit("claude-3-5", 8192),
        _limit(r"claude-3-(?:haiku|opus|sonnet)|claude-2|claude-instant", 4096),
        row(_MODELS, "claude-2|claude-instant", parts=frozenset({"text"}), tools=False),
    ),
)
