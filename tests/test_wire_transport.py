"""One deployment's connections: which one carries a request, and what the wire notes of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import select
import socket
import ssl
from typing import Any

import pytest
import trustme
import yarl

from llm_unified.response import FailureKind as K
from llm_unified.wire.exchange import Exchange, HttpRequest, SecretHeaders, WireError
from llm_unified.wire.transport import ConnectionPool
from tests.hang import HANG_SECONDS
from tests.wire_upstream import (
    KEY,
    PROMPT,
    Peer,
    Upstream,
    chunk,
    raw,
    stream_head,
    streamed,
    until,
)

EVENT = b'data: {"a": 1}\n\n'
DONE = b"data: [DONE]\n\n"


@contextlib.asynccontextmanager
async def pool_of(**options: Any) -> Any:
    pool = ConnectionPool(True, 5.0, **options)
    try:
        yield pool
    finally:
        await pool.aclose()


async def ask(pool: ConnectionPool, request: HttpRequest, **options: Any) -> tuple[Any, Exchange]:
    """One whole answer; ``None`` where the exchange failed."""
    exchange = Exchange()
    try:
        reply = await pool.send(request, exchange, **options)
        return await reply.json(), exchange
    except WireError:
        return None, exchange


async def read_stream(reply: Any, end: str | None = "[DONE]") -> list[Any]:
    return [event async for batch in reply.batches(end) for event in batch]


async def hold(peer: Peer) -> None:
    await peer.gone()


# -- kept and burst ---------------------------------------------------------------------------------


async def test_one_connection_carries_one_request_after_the_other() -> None:
    """The kept one, for whole answers, streams and refusals alike."""
    whole, stream, refusal = raw(), streamed(EVENT, DONE), raw(b"{}", "500 X")
    async with Upstream(whole, stream, refusal, whole) as upstream, pool_of() as pool:
        assert (await ask(pool, upstream.request()))[0] == {"ok": 1}
        exchange = Exchange()
        reply = await pool.send(upstream.request(), exchange, stream=True)
        assert pool.in_flight == 1
        assert await read_stream(reply) == [{"a": 1}]
        assert exchange.ended and exchange.reused
        assert (await ask(pool, upstream.request()))[1].status == 500
        answer, exchange = await ask(pool, upstream.request())
        assert answer == {"ok": 1} and exchange.reused
        assert len(upstream.peers) == 1
        assert pool.in_flight == 0


async def test_never_more_sockets_than_requests_in_flight() -> None:
    """A burst opens what it needs, and a quiet pool is back to one."""
    gate = asyncio.Event()

    async def wait(peer: Peer) -> None:
        await gate.wait()
        await peer.send(raw())

    async with Upstream(wait) as upstream, pool_of(burst_idle=0.05) as pool:
        tasks = [asyncio.create_task(ask(pool, upstream.request())) for _ in range(8)]
        await until(lambda: len(upstream.requests) >= 8)
        assert pool.in_flight == len(upstream.peers) == 8
        gate.set()
        assert [answer for answer, _ in await asyncio.gather(*tasks)] == [{"ok": 1}] * 8
        await pool.idle()
        await upstream.closed(left=1)
        assert (await ask(pool, upstream.request()))[1].reused
        assert len(upstream.peers) == 8


async def test_fresh_is_a_connection_that_was_not_open_before() -> None:
    """And it is the kept one from then on."""
    async with Upstream(raw()) as upstream, pool_of() as pool:
        await ask(pool, upstream.request())
        _, exchange = await ask(pool, upstream.request(), fresh=True)
        assert not exchange.reused
        _, exchange = await ask(pool, upstream.request())
        assert exchange.reused
        assert len(upstream.peers) == 2
        await upstream.closed(left=1)


async def test_a_connection_that_was_idle_for_long_is_not_trusted() -> None:
    """What lies between may have forgotten it without a word."""
    async with Upstream(raw()) as upstream, pool_of(kept_idle=0.0) as pool:
        for _ in range(2):
            answer, exchange = await ask(pool, upstream.request())
            assert answer == {"ok": 1} and not exchange.reused


async def test_idle_waits_for_what_is_in_flight() -> None:
    """A pool that retires is closed after its last answer."""
    async with Upstream(streamed(EVENT, DONE)) as upstream, pool_of() as pool:
        await pool.idle()
        reply = await pool.send(upstream.request(), Exchange())
        waiting = asyncio.create_task(pool.idle())
        await asyncio.sleep(0)
        assert not waiting.done()
        await reply.aclose()
        await reply.aclose()
        await waiting
        assert pool.in_flight == 0


async def test_a_closed_pool_sends_nothing() -> None:
    """It says so, and opens no socket that nobody would close."""
    async with Upstream(raw()) as upstream:
        async with pool_of() as pool:
            pass
        _, exchange = await ask(pool, upstream.request())
        assert (exchange.fault, exchange.reason) == (K.CONNECTION, "the service was closed")
        assert exchange.requests == 0
        assert not upstream.peers


async def test_sockets_are_kept_alive_and_do_not_wait() -> None:
    """TCP keep-alive on, Nagle's algorithm off."""
    async with Upstream(streamed(EVENT, DONE)) as upstream, pool_of() as pool:
        reply = await pool.send(upstream.request(), Exchange())
        connector = pool._kept.connector
        assert connector is not None
        (watch,) = connector._watches  # type: ignore[attr-defined]
        sock = watch.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 240
        await reply.aclose()


# -- a connection that must not be used again ---------------------------------------------------------

SECOND = raw(b'{"whose": "somebody else"}')


@pytest.mark.parametrize("first", [raw(), streamed(EVENT, DONE), raw(b"{}", "429 X")])
@pytest.mark.parametrize("late", [SECOND, SECOND[:20], b"\r\n", b"x", SECOND * 3])
@pytest.mark.parametrize("how", ["with the answer", "later", "unread"])
async def test_nobody_gets_what_he_did_not_ask_for(first: bytes, late: bytes, how: str) -> None:
    """A late second answer, or the beginning of one: the connection is not used again."""
    sent = asyncio.Event()

    async def both(peer: Peer) -> None:
        if how == "with the answer":
            await peer.send(first + late)
        else:
            await peer.send(first)
            await sent.wait()
            await peer.send(late)

    async with Upstream(both, raw()) as upstream, pool_of() as pool:
        exchange = Exchange()
        with contextlib.suppress(WireError):
            reply = await pool.send(upstream.request(), exchange)
            await (read_stream(reply) if reply.is_event_stream else reply.json())
        assert exchange.ended
        if how != "with the answer":
            sent.set()
            connector = pool._kept.connector
            assert connector is not None
            (watch,) = connector._watches  # type: ignore[attr-defined]
            sock = watch.transport.get_extra_info("socket")
            if how == "unread":  # it lies in the kernel, and the loop has not looked yet
                watch.transport.pause_reading()
                await until(lambda: select.select([sock.fileno()], [], [], 0)[0])
            else:
                await until(watch.transport.is_closing)
        answer, exchange = await ask(pool, upstream.request())
        if (how == "with the answer" and late == SECOND[:20]) or late == b"\r\n":
            # Half of a head at the very end cannot be told from nothing; it does not become an answer.
            assert answer in ({"ok": 1}, None)
        else:
            assert (answer, exchange.reused) == ({"ok": 1}, False)


async def test_an_end_that_nobody_has_read_is_seen() -> None:
    """The upstream closed the kept connection a moment ago: the next request takes a new one."""

    async def bye(peer: Peer) -> None:
        await peer.send(raw())
        peer.close()

    async with Upstream(bye, raw()) as upstream, pool_of() as pool:
        for _ in range(2):
            answer, exchange = await ask(pool, upstream.request())
            assert answer == {"ok": 1}
            await upstream.closed(left=1)
        assert not exchange.reused


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_kept_connection_that_breaks_is_stale(how: str) -> None:
    """Only if it was reused and no byte came: a fresh one may do."""

    async def end(peer: Peer) -> None:
        getattr(peer, how)()

    async def begin(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nserver: x")
        getattr(peer, how)()

    async with Upstream(raw(), end, end, raw(), begin) as upstream, pool_of() as pool:
        request = upstream.request()
        assert (await ask(pool, request))[0] == {"ok": 1}
        seen = [(await ask(pool, request))[1] for _ in range(2)]
        await ask(pool, request)
        seen.append((await ask(pool, request))[1])
        assert [(x.fault, x.reused, x.answered, x.stale) for x in seen] == [
            (K.CONNECTION, True, False, True),
            (K.CONNECTION, False, False, False),
            (K.CONNECTION, True, True, False),
        ]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_is_sent_once(method: str) -> None:
    """aiohttp would repeat an idempotent one by itself, uncounted."""

    async def end(peer: Peer) -> None:
        peer.close()

    async with Upstream(raw(), end) as upstream, pool_of() as pool:
        request = upstream.request(method)
        await ask(pool, request)
        _, exchange = await ask(pool, request)
        assert exchange.stale and exchange.requests == 1
        assert len(upstream.requests) == 2


# -- redirects ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["307 X", "308 X"])
@pytest.mark.parametrize(
    "target", ["/other?a=b%20c", "../v1/other", "http://127.0.0.1:{port}/other"]
)
async def test_a_redirect_within_the_origin_keeps_method_and_body(status: str, target: str) -> None:
    """And it goes over the same connection."""
    async with Upstream(raw()) as upstream, pool_of() as pool:
        location = b"location: " + target.format(port=upstream.port).encode()
        upstream.script = [raw(b"", status, location), raw()]
        request = upstream.request()
        answer, exchange = await ask(pool, request)
        assert (answer, exchange.requests, exchange.status) == ({"ok": 1}, 2, 200)
        (_, first), (head, second) = upstream.requests
        assert first == second == request.body
        assert head.startswith(b"POST /") and b"other" in head.split(b"\r\n")[0]
        assert KEY.encode() in head
        assert len(upstream.peers) == 1


@pytest.mark.parametrize(
    ("status", "target"),
    [
        ("308 X", "http://user:word@127.0.0.1:{port}/"),
        ("308 X", "http://user@127.0.0.1:{port}/"),
        ("307 X", "http://localhost:{port}/"),
        ("307 X", "https://127.0.0.1:{port}/"),
        ("307 X", "http://127.0.0.1:1/"),
        ("307 X", "ftp://127.0.0.1:{port}/"),
        ("307 X", "http://[/"),
        ("307 X", "javascript:alert(1)"),
        ("307 X", "http://127.0.0.1:99999/"),
        ("301 X", "/v1/other"),
        ("302 X", "/v1/other"),
        ("303 X", "/v1/other"),
        ("300 X", "/v1/other"),
    ],
)
async def test_every_other_redirect_is_no_answer(status: str, target: str) -> None:
    """The credential and the prompt go nowhere else."""
    async with Upstream(raw()) as upstream, pool_of() as pool:
        location = b"location: " + target.format(port=upstream.port).encode()
        upstream.script = [raw(b"", status, location), raw()]
        answer, exchange = await ask(pool, upstream.request())
        assert (answer, exchange.fault) == (None, K.INVALID_RESPONSE)
        assert exchange.reason == "redirected elsewhere"
        assert len(upstream.requests) == 1


async def test_a_redirect_without_a_target_or_without_end() -> None:
    """Three are followed, not more."""
    async with Upstream(raw(b"", "307 X")) as upstream, pool_of() as pool:
        assert (await ask(pool, upstream.request()))[1].reason == "redirected elsewhere"
    async with Upstream(raw(b"", "307 X", b"location: /a")) as upstream, pool_of() as pool:
        _, exchange = await ask(pool, upstream.request())
        assert (exchange.reason, exchange.requests) == ("redirected too often", 4)
        assert len(upstream.requests) == 4


# -- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["stalls", "lies", "endless", "garbled", "resets"])
async def test_a_status_is_a_verdict_whatever_its_body_does(tail: str) -> None:
    """Headers are kept, the connection is not, and nothing is waited for longer than allowed."""

    async def refuse(peer: Peer) -> None:
        head = b"HTTP/1.1 429 X\r\nRetry-After: 30\r\ncontent-type: application/json\r\n"
        if tail in ("stalls", "lies", "resets"):
            await peer.send(head + b'content-length: 500\r\n\r\n{"error": ')
            if tail == "lies":
                peer.close()
            elif tail == "resets":
                peer.reset()
            else:
                await peer.gone()
            return
        await peer.send(head + b"transfer-encoding: chunked\r\n\r\n")
        if tail == "garbled":
            await peer.send(chunk(b'{"error": ') + b"ZZZ\r\n")
        while tail == "endless":
            await peer.send(chunk(b" " * 10_000))

    async with Upstream(refuse, raw()) as upstream, pool_of(error_body_seconds=0.05) as pool:
        async with asyncio.timeout(HANG_SECONDS):
            _, exchange = await ask(pool, upstream.request())
        assert (exchange.status, exchange.headers["retry-after"]) == (429, "30")
        assert (exchange.fault, exchange.ended) == (None, False)
        await upstream.closed()
        assert not (await ask(pool, upstream.request()))[1].reused


async def test_a_refusal_that_came_whole_gives_its_connection_back() -> None:
    """Compressed or not, in pieces or not."""
    async with Upstream(raw(b'{"error": {"code": "x"}}', "400 X")) as upstream, pool_of() as pool:
        for reused in (False, True):
            _, exchange = await ask(pool, upstream.request())
            assert (exchange.status, exchange.ended, exchange.reused) == (400, True, reused)


async def test_a_cancelled_request_leaves_nothing() -> None:
    """Before the headers, in a refusal's body, in an answer's."""

    async def part(peer: Peer) -> None:
        await peer.send(raw(b'{"a":', length=100))
        await peer.gone()

    async def refuse(peer: Peer) -> None:
        await peer.send(raw(b'{"a":', "500 X", length=100))
        await peer.gone()

    async with Upstream(hold, part, refuse, raw()) as upstream, pool_of() as pool:
        for sent in range(1, 4):
            task = asyncio.create_task(ask(pool, upstream.request()))
            await until(lambda sent=sent: len(upstream.requests) >= sent)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pool.in_flight == 0
            await upstream.closed()
        assert (await ask(pool, upstream.request()))[0] == {"ok": 1}


# -- what is noted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x-request-id", "Request-Id", "apim-request-id", "x-groq-id"])
async def test_the_upstreams_request_id(name: str) -> None:
    """For its support desk."""
    script = raw(b"{}", "200 OK", f"{name}: req_01:A.b-c".encode())
    async with Upstream(script) as upstream, pool_of() as pool:
        assert (await ask(pool, upstream.request()))[1].request_id == "req_01:A.b-c"


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        f"Bearer {KEY}",
        f"x{KEY}x",
        KEY[3:19],
        PROMPT,
        PROMPT[4:10],
        "a b",
        "",
        "ü",
        "x" * 129,
        "a\x7fb",
        "<b>",
    ],
)
async def test_an_echo_is_no_request_id(value: str) -> None:
    """Nothing that was sent comes back into a log by that way."""
    script = raw(b"{}", "200 OK", f"x-request-id: {value}".encode())
    async with Upstream(script) as upstream, pool_of() as pool:
        assert (await ask(pool, upstream.request()))[1].request_id is None


async def test_only_headers_that_are_read_are_kept() -> None:
    """By name; lower case; several of one name joined."""
    headers = (
        b"Retry-After: 1",
        b"retry-after: 2",
        b"X-RateLimit-Reset-Requests: 3s",
        b"anthropic-ratelimit-tokens-reset: x",
        b"set-cookie: a=b",
        b"x-echo: " + KEY.encode(),
    )
    async with Upstream(raw(b"{}", "200 OK", *headers)) as upstream, pool_of() as pool:
        _, exchange = await ask(pool, upstream.request())
        await ask(pool, upstream.request())
        assert exchange.headers == {
            "retry-after": "1, 2",
            "x-ratelimit-reset-requests": "3s",
            "anthropic-ratelimit-tokens-reset": "x",
            "content-type": "application/json",
        }
        assert b"cookie" not in upstream.requests[1][0].lower()


async def test_what_is_sent_is_what_was_asked_for() -> None:
    """The path as it stands, our headers, and nothing that aiohttp would add of its own."""
    async with Upstream(raw()) as upstream, pool_of() as pool:
        url = yarl.URL(f"http://127.0.0.1:{upstream.port}/a%2Fb%20c?v=1%2B1", encoded=True)
        body = b"x" * 3_000_000
        await ask(pool, HttpRequest("POST", url, SecretHeaders({"api-key": KEY}), body))
        head, sent = upstream.requests[0]
        assert sent == body
        assert sorted(head.split(b"\r\n")) == sorted(
            [
                b"POST /a%2Fb%20c?v=1%2B1 HTTP/1.1",
                b"Host: 127.0.0.1:%d" % upstream.port,
                b"api-key: " + KEY.encode(),
                b"Content-Length: 3000000",
                *([b"Content-Type: application/octet-stream"] if b"octet-stream" in head else []),
                b"",
                b"",
            ]
        )


async def test_a_header_that_is_none_is_sent_to_nobody() -> None:
    """A line break would begin a header of somebody else's choice."""
    async with Upstream(raw()) as upstream, pool_of() as pool:
        request = HttpRequest("POST", upstream.url(), SecretHeaders({"api-key": "a\r\nx: y"}), b"")
        _, exchange = await ask(pool, request)
        assert (exchange.fault, exchange.requests) == (K.BAD_REQUEST, 0)
        assert not upstream.requests


async def test_nobody_listens() -> None:
    """Refused, or no such name."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with pool_of() as pool:
            url = yarl.URL(f"http://127.0.0.1:{port}/")
            _, exchange = await ask(pool, HttpRequest("POST", url, SecretHeaders({}), b"{}"))
    assert (exchange.fault, exchange.reason, exchange.stale) == (
        K.CONNECTION,
        "could not connect",
        False,
    )


async def test_names_are_resolved_though_the_executor_is_full() -> None:
    """An application may have filled the loop's default executor."""
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    jobs = [asyncio.create_task(asyncio.to_thread(block)) for _ in range(64)]
    try:
        async with Upstream(raw()) as upstream, pool_of() as pool:
            url = upstream.url().with_host("localhost")
            request = HttpRequest("POST", url, SecretHeaders({}), b"{}")
            async with asyncio.timeout(HANG_SECONDS):
                assert (await ask(pool, request))[0] == {"ok": 1}
    finally:
        release.set()
        await asyncio.gather(*jobs)


async def test_nothing_of_ours_shows_a_secret() -> None:
    """Neither a ``repr`` nor the frames of the traceback, nor a chained error."""

    async def refuse(peer: Peer) -> None:
        echo = f"{KEY} {PROMPT}".encode()
        await peer.send(raw(echo, "401 " + KEY, b"x-echo: " + echo))

    async def garbage(peer: Peer) -> None:
        await peer.send(f"{KEY} {PROMPT}\r\n\r\n".encode())

    async def text(peer: Peer) -> None:
        await peer.send(raw(f"{KEY} {PROMPT}".encode()))

    async def events(peer: Peer) -> None:
        await peer.send(streamed(f"{KEY} {PROMPT}\n\n".encode()))

    async with Upstream(refuse, garbage, text, events) as upstream, pool_of() as pool:
        request = upstream.request()
        for _ in range(4):
            exchange = Exchange()
            with pytest.raises(WireError) as caught:
                reply = await pool.send(request, exchange)
                await (read_stream(reply) if reply.is_event_stream else reply.json())
            error: Any = caught.value
            assert error.__cause__ is None and error.__context__ is None
            shown = [repr(exchange), repr(error), repr(request)]
            frame = error.__traceback__
            while frame := frame.tb_next:
                if "/llm_unified/" in frame.tb_frame.f_code.co_filename:
                    shown += [repr(x) for x in frame.tb_frame.f_locals.values()]
            assert len(shown) >= 5
            for secret in (KEY, PROMPT):
                assert secret not in "\n".join(shown)
            del frame


async def test_abandoned_in_a_dead_loop() -> None:
    """Sockets of a loop that was closed under us are dropped without a word and without a warning."""

    def use(port: int) -> ConnectionPool:
        loop = asyncio.new_event_loop()
        request = HttpRequest("POST", yarl.URL(f"http://127.0.0.1:{port}/"), SecretHeaders({}), b"")

        async def talk() -> ConnectionPool:
            pool = ConnectionPool(True, 5.0)
            reply = await pool.send(request, Exchange())
            await pool.send(request, Exchange())
            await anext(reply.batches("[DONE]"))
            return pool

        pool = loop.run_until_complete(talk())
        loop.close()
        pool.abandon()
        return pool

    async def start(peer: Peer) -> None:
        await peer.send(stream_head() + chunk(EVENT))
        await peer.gone()

    async with Upstream(start) as upstream:
        pool = await asyncio.to_thread(use, upstream.port)
        await upstream.closed()
        del pool
        gc.collect()


@pytest.mark.parametrize("status", ["413 X", "200 OK"])
async def test_an_answer_that_does_not_wait_for_the_request(status: str) -> None:
    """It counts, and the connection with the rest of the request on it is not used again."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(raw(b'{"ok": 1}', status if b"30000000" in head else "200 OK"))

    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = yarl.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    async with pool_of() as pool:
        _, exchange = await ask(
            pool, HttpRequest("POST", url, SecretHeaders({}), bytes(30_000_000))
        )
        assert (exchange.status, exchange.ended, exchange.fault) == (int(status[:3]), True, None)
        answer, exchange = await ask(pool, HttpRequest("POST", url, SecretHeaders({}), b"{}"))
        assert (answer, exchange.reused, len(connections)) == ({"ok": 1}, False, 2)
    server.close()
    for writer in connections:
        writer.close()


@pytest.mark.parametrize("trusted", [True, False])
async def test_over_tls(trusted: bool) -> None:
    """The same over TLS: reused, dropped after an unasked answer, refused without trust, forgotten in silence."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client = ssl.create_default_context()
    if trusted:
        authority.configure_trust(client)
    peers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                writer.write(raw())

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = yarl.URL(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    request = HttpRequest("POST", url, SecretHeaders({}), b"{}")
    pool = ConnectionPool(client, 5.0)
    answer, exchange = await ask(pool, request)
    if trusted:
        assert answer == {"ok": 1}
        assert (await ask(pool, request))[1].reused
        peers[0].write(SECOND)
        connector = pool._kept.connector
        (watch,) = connector._watches  # type: ignore[union-attr]
        await until(watch.transport.is_closing)
        answer, exchange = await ask(pool, request)
        assert (answer, exchange.reused) == ({"ok": 1}, False)
    else:
        assert exchange.fault is K.CONNECTION
        assert exchange.reason == "could not connect: certificate not trusted"
    await pool.aclose()
    server.close()
    for peer in peers:
        peer.close()
