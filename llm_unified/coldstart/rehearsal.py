"""Answers from nowhere, so that the code path can be walked before anybody waits for it.

LiteLLM imports some 490 modules during a process's first call, and does other first-use work, all of it on
the event loop: 400 ms of CPU during which a web server stands still. A few calls are made over
this transport, in a thread, when it is built; then the first real call is like the thousandth.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, cast

import httpx

from llm_unified.call import Call
from llm_unified.wire.httpx_transport import PooledClient

if TYPE_CHECKING:
    from llm_unified.dispatch import Dispatcher
    from llm_unified.providers import Protocol
    from llm_unified.wire.httpx_transport import PoolTransport

__all__ = ["rehearse"]


def _events(*events: dict[str, Any] | str, named: bool = False) -> bytes:
    lines = []
    for event in events:
        if named and isinstance(event, dict):
            lines.append(f"event: {event['type']}\n")
        lines.append(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n")
    return "".join(lines).encode()


def _openai_chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "rehearsal",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "rehearsal",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


_USAGE: Final = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
_CALL: Final = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_OPENAI_WHOLE: Final = json.dumps(
    {
        "id": "rehearsal",
        "object": "chat.completion",
        "created": 0,
        "model": "rehearsal",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ok", "tool_calls": [_CALL]},
                "finish_reason": "stop",
            }
        ],
        "usage": _USAGE,
        "service_tier": "on_demand",  # LiteLLM's Groq needs it
    }
).encode()
_OPENAI_STREAM: Final = _events(
    _openai_chunk({"role": "assistant", "content": "ok"}),
    _openai_chunk({"tool_calls": [{"index": 0, **_CALL}]}),
    _openai_chunk({}, "stop"),
    {**_openai_chunk({}), "choices": [], "usage": _USAGE},
    "[DONE]",
)
_MESSAGE: Final = {
    "id": "rehearsal",
    "type": "message",
    "role": "assistant",
    "model": "rehearsal",
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
_ANTHROPIC_WHOLE: Final = json.dumps(
    {
        **_MESSAGE,
        "content": [
            {"type": "text", "text": "ok"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        ],
        "stop_reason": "end_turn",
    }
).encode()
_ANTHROPIC_STREAM: Final = _events(
    {"type": "message_start", "message": {**_MESSAGE, "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 1},
    },
    {"type": "message_stop"},
    named=True,
)
_ERROR: Final = b'{"type":"error","error":{"type":"server_error","message":"rehearsal"}}'


class RehearsalTransport(httpx.AsyncBaseTransport):
    """Answers every request of one protocol at once, without a socket."""

    def __init__(self, protocol: Protocol, *, stream: bool, fail: bool) -> None:
        anthropic = protocol == "anthropic"
        if fail:
            self._status, self._body = 500, _ERROR
        elif stream:
            self._status, self._body = 200, _ANTHROPIC_STREAM if anthropic else _OPENAI_STREAM
        else:
            self._status, self._body = 200, _ANTHROPIC_WHOLE if anthropic else _OPENAI_WHOLE
        self._type = "text/event-stream" if stream and not fail else "application/json"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            self._status, headers={"content-type": self._type}, content=self._body, request=request
        )


_TOOL: Final = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}
_rehearsed: set[str] = set()  # protocols whose code this process has walked through


async def rehearse(dispatcher: Dispatcher) -> None:
    """Walk the code path of each protocol once per process: an answer, a stream, a failure."""
    protocols = {d.row.protocol: d for d in dispatcher.engine.deployments.values()}
    for protocol, deployment in protocols.items():
        if protocol == "other" or protocol in _rehearsed:
            continue
        for stream, fail in ((False, False), (True, False), (False, True)):
            transport = RehearsalTransport(protocol, stream=stream, fail=fail)
            client = dispatcher.engine.client_over(transport, deployment)
            pooled = PooledClient(client, cast("PoolTransport", transport))
            call = Call(
                chain=(deployment.provider,),
                messages=[{"role": "user", "content": "rehearsal"}],
                params={"max_tokens": 1, "tools": [_TOOL]},
                deadline=60.0,
                pinned=deployment,
                clients={dispatcher.engine.key_of(deployment): pooled},
                rehearsal=True,
            )
            with contextlib.suppress(Exception):
                if stream:
                    async for _ in await dispatcher.stream(call):
                        pass
                else:
                    await dispatcher.complete(call)
        _rehearsed.add(protocol)
