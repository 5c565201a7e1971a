"""A hostile wire, whole answers and streams: a good answer is not lost, a broken one is found when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_unified.response import FailureKind as K
from llm_unified.wire.exchange import Exchange, WireError
from llm_unified.wire.transport import ConnectionPool
from tests.hang import HANG_SECONDS
from tests.wire_upstream import Peer, Upstream, chunk, raw, stream_head, streamed

BODY = b'{"text": "\xe2\x82\xac"}'
TEXT = {"text": "€"}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
DONE = b"data: [DONE]\n\n"


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"text": text}).encode() + b"\n\n"


async def whole(*script: Any) -> tuple[Any, Exchange]:
    """One whole answer, or ``None``; the pool is sound afterwards."""
    async with Upstream(*script) as upstream:
        pool = ConnectionPool(True, 5.0)
        exchange, answer = Exchange(), None
        try:
            async with asyncio.timeout(HANG_SECONDS):
                with contextlib.suppress(WireError):
                    answer = await (await pool.send(upstream.request(), exchange)).json()
            assert pool.in_flight == 0
            upstream.script = [raw()]
            assert await (await pool.send(upstream.request(), Exchange())).json() == {"ok": 1}
        finally:
            await pool.aclose()
        await upstream.closed()
    return answer, exchange


async def stream(
    *script: Any, end: str | None = "[DONE]", slow: bool = False
) -> tuple[list[str], Exchange]:
    """The texts of one stream; the pool is sound afterwards."""
    async with Upstream(*script) as upstream:
        pool = ConnectionPool(True, 5.0)
        exchange, texts = Exchange(), []
        try:
            async with asyncio.timeout(HANG_SECONDS):
                with contextlib.suppress(WireError):
                    reply = await pool.send(upstream.request(), exchange, stream=True)
                    async for batch in reply.batches(end):
                        texts += [found.get("text") for found in batch]
                        for _ in range(5 * slow):
                            await asyncio.sleep(0)
            assert pool.in_flight == 0
            upstream.script = [raw()]
            assert await (await pool.send(upstream.request(), Exchange())).json() == {"ok": 1}
        finally:
            await pool.aclose()
        await upstream.closed()
    return texts, exchange


def closing(data: bytes, *, reset: bool = False, later: bytes = b"") -> Any:
    async def step(peer: Peer) -> None:
        await peer.send(data)
        if later:
            await asyncio.sleep(0)
            await peer.send(later)
        if reset:
            peer.reset()
        else:
            peer.close()

    return step


GOOD = {
    "plain": raw(BODY),
    "utf-8 header": raw(BODY, "200 OK", "x-note: é".encode()),
    "latin-1 header": raw(BODY, "200 OK", b"x-note: \xe9"),
    "no reason": raw(BODY, "200 "),
    "201": raw(BODY, "201 Created"),
    "BOM": raw(b"\xef\xbb\xbf" + BODY),
    "white space": raw(b"\n \t" + BODY + b"\r\n"),
    "no type": raw(BODY, kind=None),
    "html type": raw(BODY, kind=b"text/html"),
    "1xx before": b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Go\r\n\r\n" + raw(BODY),
    "chunk extensions": HEAD
    + b"transfer-encoding: chunked\r\n\r\n"
    + b'%x;a=b;c="d"\r\n%s\r\n0;e\r\nx-trailer: y\r\n\r\n' % (len(BODY), BODY),
    "single bytes": HEAD
    + b"transfer-encoding: chunked\r\n\r\n"
    + b"".join(chunk(BODY[i : i + 1]) for i in range(len(BODY)))
    + b"0\r\n\r\n",
    "gzip": raw(gzip.compress(BODY), "200 OK", b"content-encoding: gzip"),
    "deflate": raw(zlib.compress(BODY), "200 OK", b"Content-Encoding: Deflate"),
    "twice": raw(gzip.compress(zlib.compress(BODY)), "200 OK", b"content-encoding: deflate, gzip"),
    "HTTP/1.0": closing(b"HTTP/1.0 200 OK\r\n\r\n" + BODY),
    "until the end": closing(HEAD + b"\r\n" + BODY),
    "connection: close": closing(raw(BODY, "200 OK", b"connection: close")),
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_good_answer_is_not_lost(name: str) -> None:
    """For what does not matter."""
    answer, exchange = await whole(GOOD[name])
    assert (answer, exchange.fault, exchange.ended) == (TEXT, None, True)


CUT = raw(BODY, length=len(BODY) + 1)
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk(BODY)
BAD: dict[str, tuple[Any, K]] = {
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", K.CONNECTION),
    "nothing": (closing(b""), K.CONNECTION),
    "reset": (closing(b"", reset=True), K.CONNECTION),
    "cut head": (closing(HEAD), K.CONNECTION),
    "cut body": (closing(CUT), K.CONNECTION),
    "reset body": (closing(CUT, reset=True), K.CONNECTION),
    "cut chunks": (closing(CHUNKED), K.CONNECTION),
    "cut chunk": (closing(CHUNKED[:-4]), K.CONNECTION),
    "garbled chunk": (CHUNKED + b"ZZ\r\n", K.CONNECTION),
    "chunk longer than said": (CHUNKED.replace(b"\r\n{", b"x\r\n{") + b"0\r\n\r\n", K.CONNECTION),
    "two lengths": (
        HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n" + BODY,
        K.CONNECTION,
    ),
    "NUL in a header": (raw(BODY, "200 OK", b"x: a\x00b"), K.CONNECTION),
    "a long header": (raw(BODY, "200 OK", b"x: " + b"y" * 100_000), K.CONNECTION),
    "many headers": (raw(BODY, "200 OK", *(b"x%d: y" % i for i in range(5000))), K.CONNECTION),
    "a long status": (raw(BODY, "200 " + "x" * 100_000), K.CONNECTION),
    "empty": (raw(b""), K.INVALID_RESPONSE),
    "no content": (b"HTTP/1.1 204 No\r\n\r\n", K.INVALID_RESPONSE),
    "HTML": (raw(b"<html>", kind=b"text/html"), K.INVALID_RESPONSE),
    "half": (raw(b'{"text": '), K.INVALID_RESPONSE),
    "deep": (raw(b"[" * 1_000_000), K.INVALID_RESPONSE),
    "no gzip": (raw(BODY, "200 OK", b"content-encoding: gzip"), K.INVALID_RESPONSE),
    "cut gzip": (
        raw(gzip.compress(BODY)[:-4], "200 OK", b"content-encoding: gzip"),
        K.INVALID_RESPONSE,
    ),
    "unknown encoding": (raw(BODY, "200 OK", b"content-encoding: rot13"), K.INVALID_RESPONSE),
    "switch": (b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", K.INVALID_RESPONSE),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_broken_answer_is_found_when_it_breaks(name: str) -> None:
    """Not a time limit later, and with the right kind."""
    script, kind = BAD[name]
    answer, exchange = await whole(script)
    assert (answer, exchange.fault) == (None, kind)
    assert exchange.reason


async def forever(peer: Peer, head: bytes, piece: bytes) -> None:
    await peer.send(head)
    while True:
        await peer.send(piece)


ENDLESS = {
    "header line": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 10_000),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000),
    "status line": (b"HTTP/1.1 200 ", b"y" * 10_000),
    "body": (HEAD + b"\r\n", b" " * 500_000),
    "chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", chunk(b" " * 500_000)),
    "nothing in gzip": (
        HEAD + b"content-encoding: gzip\r\n\r\n",
        gzip.compress(b"") * 20_000,
    ),
    "line": (stream_head(), chunk(b"data: " + b"x" * 50_000)),
    "comment": (stream_head() + chunk(b": "), chunk(b"x" * 50_000)),
    "event": (stream_head(), chunk(b"data: x\n" * 5000)),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_nothing_endless_costs_more_than_its_limit(name: str) -> None:
    """Time is not what stops it, and memory stays bounded."""
    head, piece = ENDLESS[name]
    tracemalloc.start()
    try:
        if b"event-stream" in head:
            _, exchange = await stream(lambda peer: forever(peer, head, piece))
        else:
            _, exchange = await whole(lambda peer: forever(peer, head, piece))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert exchange.fault in (K.CONNECTION, K.INVALID_RESPONSE)
    assert peak < 80 * 2**20


async def test_a_bomb_costs_its_limit() -> None:
    """300 MB in 300 KB, as an answer, as a refusal, as a stream."""
    bomb = gzip.compress(b" " * (300 << 20), 9)
    packed = b"content-encoding: gzip"
    tracemalloc.start()
    try:
        _, exchange = await whole(raw(bomb, "200 OK", packed))
        assert (exchange.fault, exchange.reason) == (
            K.INVALID_RESPONSE,
            f"body over {32 << 20} bytes",
        )
        tracemalloc.reset_peak()
        _, exchange = await whole(raw(bomb, "503 X", packed))
        assert (exchange.fault, exchange.status) == (None, 503)
        _, exchange = await stream(streamed(bomb, headers=(packed,)))
        assert exchange.fault is K.INVALID_RESPONSE
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


# -- streams ------------------------------------------------------------------------------------------


async def test_a_compressed_stream_is_a_stream() -> None:
    """Each event as soon as it was flushed, though nobody asked for gzip."""
    packer = zlib.compressobj(wbits=31)
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(stream_head(b"content-encoding: gzip"))
        first = packer.compress(event("one")) + packer.flush(zlib.Z_SYNC_FLUSH)
        await peer.send(chunk(first))
        await read.wait()
        await peer.send(chunk(packer.compress(event("two") + DONE) + packer.flush()))
        await peer.send(b"0\r\n\r\n")

    async with Upstream(script) as upstream:
        pool, exchange, texts = ConnectionPool(True, 5.0), Exchange(), []
        reply = await pool.send(upstream.request(), exchange, stream=True)
        async for batch in reply.batches("[DONE]"):
            texts += [found["text"] for found in batch]
            read.set()
        assert (texts, exchange.ended) == (["one", "two"], True)
        await pool.aclose()


@pytest.mark.parametrize("last", [b"0\r\n\r\n", b"", b"ZZ\r\n", chunk(event("more")) * 3])
@pytest.mark.parametrize("done", [DONE, b"data: [DONE]", b"data:[DONE]\r\n"])
async def test_after_the_end_marker_nothing_matters(last: bytes, done: bytes) -> None:
    """A socket left open, garbage, more events: the stream is whole."""
    if last.startswith(b"18") and not done.endswith(b"\n"):
        last = chunk(b"\n") + last
    texts, exchange = await stream(streamed(event("a"), event("b"), done, last=last))
    assert (texts, exchange.fault, exchange.ended) == (["a", "b"], None, True)


CUTS: dict[str, tuple[Any, K | None]] = {
    "end of the body": (streamed(event("a"), event("b")), None),
    "middle of an event": (streamed(event("a"), event("b") + b'data: {"te'), None),
    "close": (closing(stream_head() + chunk(event("a")) + chunk(event("b"))), K.CONNECTION),
    "close in a chunk": (
        closing(stream_head() + chunk(event("a") + event("b") + b"data")[:-5]),
        K.CONNECTION,
    ),
    "reset": (
        closing(stream_head() + chunk(event("a")), later=chunk(event("b")) + b"ZZ\r\n"),
        K.CONNECTION,
    ),
    "garbled": (stream_head() + chunk(event("a") + event("b")) + b"ZZ\r\n", K.CONNECTION),
    "broken event": (streamed(event("a") + event("b") + b"data: {\n\n" + DONE), K.INVALID_RESPONSE),
    "broken event, then silence": (
        streamed(event("a") + event("b") + b"data: {\n\n", last=b""),
        K.INVALID_RESPONSE,
    ),
    "no gzip any more": (
        streamed(
            gzip.compress(event("a") + event("b")), b"x", headers=(b"content-encoding: gzip",)
        ),
        K.INVALID_RESPONSE,
    ),
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("slow", [False, True])
async def test_what_came_before_the_break_is_handed_on(name: str, slow: bool) -> None:
    """Every event before it, none behind it, and never as a whole stream."""
    script, kind = CUTS[name]
    texts, exchange = await stream(script, slow=slow)
    assert (texts, exchange.fault, exchange.ended) == (["a", "b"], kind, False)


async def test_a_comment_is_a_sign_of_life() -> None:
    """An empty batch, so that a limit of silence starts again."""
    async with Upstream(streamed(b": ping\n\n", event("a"), DONE)) as upstream:
        pool = ConnectionPool(True, 5.0)
        reply = await pool.send(upstream.request(), Exchange(), stream=True)
        batches = [batch async for batch in reply.batches("[DONE]")]
        assert [found for batch in batches for found in batch] == [{"text": "a"}]
        await pool.aclose()
    read = asyncio.Event()

    async def ping(peer: Peer) -> None:
        await peer.send(stream_head() + chunk(b": ping\n"))
        await read.wait()
        await peer.send(chunk(DONE))

    async with Upstream(ping) as upstream:
        pool = ConnectionPool(True, 5.0)
        reply = await pool.send(upstream.request(), Exchange(), stream=True)
        batches_of = reply.batches("[DONE]")
        assert await anext(batches_of) == []
        read.set()
        assert [batch async for batch in batches_of] == [[]]
        await pool.aclose()


@pytest.mark.parametrize(
    ("kind", "is_stream"),
    [
        (b"text/event-stream; charset=utf-8", True),
        (b"text/plain", True),
        (b"application/json", False),
        (b"Application/JSON; charset=utf-8", False),
        (b"application/problem+json", False),
    ],
)
async def test_a_whole_answer_to_a_request_for_a_stream(kind: bytes, is_stream: bool) -> None:
    """Told by its content type."""
    async with Upstream(raw(BODY, kind=kind)) as upstream:
        pool = ConnectionPool(True, 5.0)
        reply = await pool.send(upstream.request(), Exchange(), stream=True)
        assert reply.is_event_stream is is_stream
        assert await reply.json() == TEXT
        await pool.aclose()


async def test_a_stream_that_is_dropped_frees_its_socket() -> None:
    """`aclose` in the middle of it, or after its last event and before its end."""

    async def endless(peer: Peer) -> None:
        await forever(peer, stream_head(), chunk(event("a")))

    async with Upstream(endless) as upstream:
        pool = ConnectionPool(True, 5.0)
        for _ in range(2):
            reply = await pool.send(upstream.request(), Exchange(), stream=True)
            await anext(reply.batches("[DONE]"))
            await reply.aclose()
            assert pool.in_flight == 0
            await upstream.closed()
        upstream.script = [streamed(event("a") + DONE), raw()]
        reply = await pool.send(upstream.request(), Exchange(), stream=True)
        await anext(reply.batches("[DONE]"))
        await reply.aclose()
        exchange = Exchange()
        await (await pool.send(upstream.request(), exchange)).json()
        assert exchange.reused
        await pool.aclose()


# -- a property over real sockets ---------------------------------------------------------------------

BROKEN = (b"data: {oops\n\n", b"<html>\n\n", b"data: 7\n\n", b"data: \xff\n\n", b"dta: {}\n\n")


@st.composite
def scripts(draw: st.DrawFn) -> tuple[list[bytes], list[str], bool]:
    """Pieces to send, the texts that must arrive, and whether that is all."""
    texts = draw(st.lists(st.text(max_size=12), max_size=8))
    frames = [event(text) for text in texts]
    repeated = draw(st.integers(0, max(0, len(frames) - 1)))
    if frames and draw(st.booleans()):  # a repeated event is an event
        frames.insert(repeated, frames[repeated])
        texts.insert(repeated, texts[repeated])
    fault = draw(st.sampled_from(["none", "broken", "cut", "unmarked", "garbled"]))
    where = draw(st.integers(0, len(frames)))
    if fault == "broken":
        frames.insert(where, draw(st.sampled_from(BROKEN)))
    data = b"".join(frames) + DONE
    if fault == "none":
        expected = texts
    elif fault == "broken":
        expected = texts[:where]
    else:
        data, expected = b"".join(frames[:where]), texts[:where]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
    sent = [chunk(piece) for piece in pieces]
    if fault == "garbled":
        sent.append(b"ZZZ\r\n")
    elif fault != "cut":
        sent.append(b"0\r\n\r\n")
    return sent, expected, fault == "none"


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(scripts(), st.booleans(), st.booleans())
def test_text_never_vanishes(script: Any, slow_sender: bool, slow_reader: bool) -> None:
    """What is delivered is what was sent before the first broken thing; *whole* only if it is all of it."""
    sent, expected, is_whole = script

    async def send(peer: Peer) -> None:
        await peer.send(stream_head())
        for piece in sent if slow_sender else [b"".join(sent)]:
            await peer.send(piece)
            await asyncio.sleep(0)
        if not sent or not sent[-1].endswith(b"0\r\n\r\n"):
            peer.close()

    texts, exchange = asyncio.run(stream(send, slow=slow_reader))
    assert texts == expected
    assert exchange.ended is is_whole
