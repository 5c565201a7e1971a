"""Text never vanishes: what a caller is shown is a prefix of what was sent, and *whole* only if it is all of it.

All four vendors, text and tool arguments, events broken, cut, repeated and exchanged at random, split anywhere,
read fast and slowly.
"""

from __future__ import annotations

import itertools
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_unified import LLMError, StreamInterruptedError, UnifiedLLMService, load_settings

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
PROVIDERS = ("openai", "azure_openai", "groq", "anthropic")
Event = tuple[bytes, str]
"""Its bytes, and the text (or the tool's arguments) in it."""


class Upstream(socketserver.ThreadingTCPServer):
    """Answers each request with the pieces that are set, then closes."""

    daemon_threads = True
    allow_reuse_address = True
    pieces: tuple[bytes, ...] = ()

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.rfile.read(length)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        self.wfile.write(head)
        assert isinstance(self.server, Upstream)
        for piece in self.server.pieces:
            self.wfile.write(piece)
            self.wfile.flush()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def service(upstream: Upstream) -> Iterator[UnifiedLLMService]:
    environ = {
        "LLM_PRIMARY_PROVIDER": "openai",
        "LLM_FALLBACK_PROVIDERS": "azure_openai,groq,anthropic",
        "LLM_FAILURE_THRESHOLD": "1000",
        "AZURE_OPENAI_ENDPOINT": upstream.url,
        "AZURE_OPENAI_DEPLOYMENT": "gpt-4o",
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
        "GROQ_BASE_URL": upstream.url,
        "ANTHROPIC_BASE_URL": upstream.url,
        **{f"{name.upper()}_API_KEY": "key" for name in PROVIDERS},
    }
    with UnifiedLLMService(load_settings(environ)) as made:
        yield made


def sse(data: Any, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def openai_events(words: list[str], *, tool: bool) -> list[Event]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return sse({"id": "c", "created": 1, "model": "m", "choices": [choice]})

    found: list[Event] = [(chunk({"role": "assistant", "content": ""}), "")]
    if tool:
        call = {"index": 0, "id": "t", "type": "function", "function": {"name": "f"}}
        found.append((chunk({"tool_calls": [call]}), ""))
    for word in words:
        piece = {"tool_calls": [{"index": 0, "function": {"arguments": word}}]}
        found.append((chunk(piece if tool else {"content": word}), word))
    found.append((chunk({}, "tool_calls" if tool else "stop"), ""))
    return [*found, (sse("[DONE]"), "")]


def anthropic_events(words: list[str], *, tool: bool) -> list[Event]:
    def event(kind: str, **more: Any) -> bytes:
        return sse({"type": kind, **more}, kind)

    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    block = {"type": "text", "text": ""}
    if tool:
        block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}  # type: ignore[dict-item]
    found = [
        (event("message_start", message={**message, "stop_reason": None, "usage": usage}), ""),
        (event("content_block_start", index=0, content_block=block), ""),
    ]
    for word in words:
        delta = {"type": "text_delta", "text": word}
        if tool:
            delta = {"type": "input_json_delta", "partial_json": word}
        found.append((event("content_block_delta", index=0, delta=delta), word))
    stop = {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None}
    found += [
        (event("content_block_stop", index=0), ""),
        (event("message_delta", delta=stop, usage={"output_tokens": 2}), ""),
        (event("message_stop"), ""),
    ]
    return found


def broken(event: bytes, how: str) -> bytes:
    body = event.rstrip(b"\n")
    match how:
        case "cut":
            return body[:-3] + b"\n\n"
        case "garbage":
            return body.replace(b"data: ", b"dat\xe1 ", 1) + b"\n\n"
        case "bytes":
            return body[:-1] + b"\xff\xfe\n\n"
        case _:
            return body.replace(b"{", b"[", 1) + b"\n\n"


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, bool, list[tuple[bytes, str, bool]], list[int]]:
    """``(provider, tool, events as sent (bytes, text, broken), where to split)``."""
    provider = draw(st.sampled_from(PROVIDERS))
    tool = draw(st.booleans())
    words = draw(st.lists(st.text("abc é\u2028中", min_size=1, max_size=4), min_size=2, max_size=8))
    if tool:
        text = json.dumps({"x": "".join(words)})
        words = [text[i : i + 3] for i in range(0, len(text), 3)]
    make = anthropic_events if provider == "anthropic" else openai_events
    events = [(data, text, False) for data, text in make(words, tool=tool)]
    last = len(events) - 1
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, last))
        match draw(st.sampled_from(("break", "repeat", "exchange", "end"))):
            case "break":
                how = draw(st.sampled_from(("cut", "garbage", "bytes", "bracket")))
                data, text, _ = events[place]
                events[place] = (broken(data, how), text, True)
            case "repeat":
                events.insert(place, events[place])
            case "exchange":
                other = draw(st.integers(0, last))
                events[place], events[other] = events[other], events[place]
            case _:
                del events[place + 1 :]
                last = place
    total = sum(len(data) for data, _, _ in events)
    splits = draw(st.lists(st.integers(0, total), max_size=6).map(sorted))
    return provider, tool, events, splits


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sent=streams(), slow=st.booleans())
def test_what_is_shown_is_a_prefix_of_what_was_sent(
    upstream: Upstream, service: UnifiedLLMService, sent: Any, slow: bool
) -> None:
    """Never a gap; whole only without a broken event before the end."""
    provider, tool, events, splits = sent
    whole = b"".join(data for data, _, _ in events)
    edges = [0, *splits, len(whole)]
    upstream.pieces = tuple(whole[a:b] for a, b in itertools.pairwise(edges))
    text = "".join(text for _, text, _ in events)
    first_broken = next((i for i, event in enumerate(events) if event[2]), len(events))
    readable = "".join(text for _, text, _ in events[:first_broken])
    shown: list[str] = []
    options: dict[str, Any] = {"tools": [TOOL]} if tool else {}
    stream = service.stream_response(HELLO, provider=provider, fallback=False, **options)
    try:
        for chunk in stream:
            shown.append("".join(d.arguments for d in chunk.tool_calls) if tool else chunk.content)
            if slow:  # lets what comes arrive meanwhile
                time.sleep(0)
    except StreamInterruptedError as error:
        partial = "".join(d.arguments for d in error.tool_calls) if tool else error.partial_text
        assert readable.startswith(partial)
    except LLMError:
        assert "".join(shown) == ""
    else:
        end = next(
            i
            for i, event in enumerate(events)
            if b"[DONE]" in event[0] or b"message_stop" in event[0]
        )
        assert not any(is_broken for _, _, is_broken in events[:end])
        assert "".join(shown) == "".join(text for _, text, _ in events[:end])
    assert readable.startswith("".join(shown))
    assert text.startswith(readable)
