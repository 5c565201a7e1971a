"""The code path of a plan, gone once without sending anything.

LiteLLM imports a good part of itself with the first request that it translates. Done here, in the thread
that builds the engine, no event loop pays for it. There is no lease, no attempt and no socket, so nothing
can be left behind in breakers, statistics, health or log.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from llm_unified.engine.translate import Plan

__all__ = ["warm_up"]

_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "warm_up",
        "description": "",
        "parameters": {"type": "object", "properties": {"x": {"type": "string"}}},
    },
}
_OPENAI: Final = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "x",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
_ANTHROPIC: Final = {
    "id": "x",
    "type": "message",
    "role": "assistant",
    "model": "x",
    "content": [{"type": "text", "text": "x"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
_ANTHROPIC_EVENTS: Final = (
    {"type": "message_start", "message": {**_ANTHROPIC, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
)


async def warm_up(plan: Plan) -> None:
    """Translate a request with and without a tool, whole and as a stream, and read an answer."""
    plain: dict[str, Any] = {"temperature": 0.5, "max_tokens": 16}
    for params in (plain, {**plain, "tools": [_TOOL]}):
        for stream in (False, True):
            with contextlib.suppress(Exception):  # a model without tools: nothing to prepare there
                messages = [{"role": "user", "content": "x"}]
                prepared = await plan.prepare(messages, dict(params), stream=stream)
                if plan.vendor.protocol != "anthropic":
                    prepared.whole(_OPENAI)
                    continue
                prepared.whole(_ANTHROPIC)
                read = prepared.reader()
                for event in _ANTHROPIC_EVENTS:
                    read(event)
