"""A fast upstream for measuring clients: OpenAI's, Azure's, Groq's and Anthropic's answers, written beforehand.

    python benchmarks/upstream.py      # prints its port and serves until its standard input ends

A path with ``/down/`` in it is refused with status 500, one with ``/flaky/`` while the switch says so. A request
for a stream gets `CHUNKS` text events, in one write or ``pace`` seconds apart. ``GET /-/state?down=1&pace=0.001``
sets the switches that it names and tells what was served, and with how much CPU.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final, cast
from urllib.parse import parse_qsl

CHUNKS: Final = 200
WORDS: Final = [f"word{i} " for i in range(CHUNKS)]
"""All different: LiteLLM takes a hundred equal chunks for a model gone mad."""


def _openai(**choice: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": 10 + CHUNKS}
    frame = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "m", "service_tier": "default"}
    kind = "chat.completion.chunk" if "delta" in choice else "chat.completion"
    whole = {**frame, "object": kind, "choices": [{"index": 0, **choice}]}
    return whole if "delta" in choice else {**whole, "usage": usage}


def _event(data: dict[str, Any], *, named: bool) -> str:
    name = f"event: {data['type']}\n" if named else ""
    return f"{name}data: {json.dumps(data)}\n\n"


def _openai_stream() -> str:
    text = "".join(
        _event(_openai(delta={"content": word}, finish_reason=None), named=False) for word in WORDS
    )
    end = _event(_openai(delta={}, finish_reason="stop"), named=False)
    usage = {"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": 10 + CHUNKS}
    last = {**_openai(delta={}), "choices": [], "usage": usage}
    return text + end + _event(last, named=False) + "data: [DONE]\n\n"


def _anthropic(content: list[dict[str, Any]], end: str | None) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 1 if end is None else CHUNKS}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": end,
        "stop_sequence": None,
        "usage": usage,
    }


def _anthropic_stream() -> str:
    deltas = ({"type": "text_delta", "text": word} for word in WORDS)
    text = (
        _event({"type": "content_block_delta", "index": 0, "delta": delta}, named=True)
        for delta in deltas
    )
    empty = {"type": "text", "text": ""}
    before = (
        {"type": "message_start", "message": _anthropic([], None)},
        {"type": "content_block_start", "index": 0, "content_block": empty},
    )
    after = (
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": CHUNKS},
        },
        {"type": "message_stop"},
    )
    return (
        "".join(_event(e, named=True) for e in before)
        + "".join(text)
        + "".join(_event(e, named=True) for e in after)
    )


def _response(body: str, kind: str = "application/json", status: str = "200 OK") -> bytes:
    data = body.encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


_MESSAGE: Final = {"role": "assistant", "content": "Hello there."}
OPENAI: Final = _response(json.dumps(_openai(message=_MESSAGE, finish_reason="stop")))
OPENAI_STREAM: Final = _response(_openai_stream(), "text/event-stream")
ANTHROPIC: Final = _response(
    json.dumps(_anthropic([{"type": "text", "text": "Hello there."}], "end_turn"))
)
ANTHROPIC_STREAM: Final = _response(_anthropic_stream(), "text/event-stream")
DOWN: Final = _response('{"error": {"message": "down"}}', status="500 Internal Server Error")


PACED: Final = {
    whole: [event + b"\n\n" for event in whole.removesuffix(b"\n\n").split(b"\n\n")]
    for whole in (OPENAI_STREAM, ANTHROPIC_STREAM)
}
"""Head and first event in one piece, then one event each, as a vendor sends them."""


class State:
    """What the measuring processes may switch and ask."""

    down = False
    pace = 0.0
    served = 0
    refused = 0

    def answer(self, query: str) -> bytes:
        for name, value in parse_qsl(query):
            setattr(self, name, type(getattr(self, name))(float(value)))
        seen = {"cpu": time.process_time(), "served": self.served, "refused": self.refused}
        return _response(json.dumps(seen))


class _Connection(asyncio.Protocol):
    """One connection: whole requests in, a ready answer out."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            _, found, rest = head.partition(b"\r\ncontent-length:")
            size = int(rest.partition(b"\r\n")[0]) if found else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            answer = _answer(self._state, head.partition(b"\r\n")[0], body)
            if self._state.pace and answer in PACED:
                self._paced(PACED[answer])
            else:
                self._transport.write(answer)

    def _paced(self, pieces: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        for number, piece in enumerate(pieces):
            loop.call_at(loop.time() + number * self._state.pace, self._transport.write, piece)


def _answer(state: State, line: bytes, body: bytes) -> bytes:
    if b"/-/state" in line:
        return state.answer(line.split()[1].decode().partition("?")[2])
    state.served += 1
    if b"/down/" in line or (state.down and b"/flaky/" in line):
        state.refused += 1
        return DOWN
    stream = b'"stream":true' in body or b'"stream": true' in body
    if b"/messages" in line:
        return ANTHROPIC_STREAM if stream else ANTHROPIC
    return OPENAI_STREAM if stream else OPENAI


async def main() -> None:
    loop = asyncio.get_running_loop()
    state = State()
    server = await loop.create_server(lambda: _Connection(state), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
