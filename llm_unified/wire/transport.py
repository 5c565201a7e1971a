"""One deployment's connections in one event loop, and how a request gets an answer over them.

*Kept* is exactly one connection, which stays open between requests; *burst* are those for requests that find
it busy, closed after `BURST_IDLE_SECONDS` of quiet. So there are never more sockets than requests in flight
plus the idle ones, and a quiet deployment is back to one. They are never shared with another deployment.

A refusal is digested here: its body is read for at most `ERROR_BODY_SECONDS`, reduced to facts, and dropped.
Redirects are followed within one origin only, for they carry the credential and the prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import ssl as tls
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

import aiohttp
import yarl

from llm_unified.failures.envelope import read_error
from llm_unified.response import FailureKind
from llm_unified.wire.body import MAX_ERROR_BYTES, BodyReader
from llm_unified.wire.connector import CHECKOUT, Connector, attend
from llm_unified.wire.exchange import Exchange, HttpRequest, WireError
from llm_unified.wire.faults import SentOnceError, note_fault
from llm_unified.wire.reply import Reply

__all__ = ["BURST_IDLE_SECONDS", "ERROR_BODY_SECONDS", "TRUSTED_IDLE_SECONDS", "ConnectionPool"]

BURST_IDLE_SECONDS: Final = 2.0
"""A connection opened for a burst stays open so long when idle."""
TRUSTED_IDLE_SECONDS: Final = 230.0
"""A kept connection idle for longer is not used: Azure's load balancer forgets it after 240 s, AWS's NLB and
NAT gateway after 350 s, often without a word (each documents it as its default idle timeout)."""
ERROR_BODY_SECONDS: Final = 1.0
"""A status is a verdict; its body may take so long after the headers."""
_MAX_REDIRECTS: Final = 3
_LARGE_BODY_BYTES: Final = 1024 * 1024
"""From here on aiohttp wants a file, which it sends in pieces."""
_STREAM_BUFFER_BYTES: Final = 64 * 1024
"""Twice as much may wait for a slow reader."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)
_VALUE: Final = re.compile(r"[\x20-\x7e]{1,8192}\Z", re.ASCII)
_OWN_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        raise SentOnceError from error


@dataclass(frozen=True, slots=True, repr=False)
class _Sending:
    """What `ConnectionPool.send` was asked for."""

    session: aiohttp.ClientSession
    request: HttpRequest
    exchange: Exchange
    _: KW_ONLY
    fresh: bool
    stream: bool


class ConnectionPool:
    """Made inside the event loop that uses it."""

    def __init__(
        self,
        ssl: tls.SSLContext | bool,
        connect_timeout: float,
        *,
        kept_idle: float = TRUSTED_IDLE_SECONDS,
        burst_idle: float = BURST_IDLE_SECONDS,
        error_body_seconds: float = ERROR_BODY_SECONDS,
    ) -> None:
        """``connect_timeout``: seconds for name, TCP and TLS together."""
        self._kept = _session(ssl, connect_timeout, limit=1, idle_seconds=kept_idle)
        self._burst = _session(ssl, connect_timeout, limit=0, idle_seconds=burst_idle)
        self._error_body_seconds = error_body_seconds
        self._kept_busy = False
        self._idle: asyncio.Event | None = None
        self._closed = False
        self.in_flight = 0
        """Requests whose connection is not free yet."""

    async def send(
        self, request: HttpRequest, exchange: Exchange, *, fresh: bool = False, stream: bool = False
    ) -> Reply:
        """Send it, and give the answer once its headers came with a 2xx status.

        ``fresh`` asks for a connection that was not open before, ``stream`` for little buffering, so that a
        slow reader slows its upstream down. The caller limits the time.

        Raises:
            WireError: anything else; the facts are in ``exchange``.
        """
        kept = not self._kept_busy
        free = self._occupy(kept=kept)
        session = self._kept if kept else self._burst
        sending = _Sending(session, request, exchange, fresh=fresh, stream=stream)
        try:
            response = await self._follow(sending)
        except BaseException:
            free()
            raise
        if response is None:
            free()
            raise WireError(exchange.reason)
        return Reply(response, exchange, free)

    async def _follow(self, sending: _Sending) -> aiohttp.ClientResponse | None:
        """A 2xx answer, or ``None`` with what happened in the exchange."""
        url, exchange = sending.request.url, sending.exchange
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._ask(sending, url)
            if response is None:
                return None
            if 200 <= response.status < 300:  # noqa: PLR2004
                return response
            if response.status >= 400:  # noqa: PLR2004
                await self._digest(response, exchange)
                return None
            target = _target(url, response)
            response.close()
            if target is None:
                exchange.fail(FailureKind.INVALID_RESPONSE, "redirected elsewhere")
                return None
            url = target
        exchange.fail(FailureKind.INVALID_RESPONSE, "redirected too often")
        return None

    async def _ask(self, sending: _Sending, url: yarl.URL) -> aiohttp.ClientResponse | None:
        request, exchange = sending.request, sending.exchange
        if self._closed:  # nothing is sent, and no provider is to blame
            exchange.fail(FailureKind.CONNECTION, "the service was closed")
            return None
        exchange.begin()
        body: Any = request.body
        if body is not None and len(body) > _LARGE_BODY_BYTES:
            body = io.BytesIO(body)
        token = CHECKOUT.set((exchange, sending.fresh))
        try:
            response = await sending.session.request(
                request.method,
                url,
                data=body,
                headers=_with_carried(request, exchange)
                if exchange.carried
                else request.headers.reveal(),
                allow_redirects=False,
                middlewares=None if request.method == "POST" else (_send_once,),
                read_bufsize=_STREAM_BUFFER_BYTES if sending.stream else None,
            )
        except Exception as error:  # noqa: BLE001 - facts are noted, foreign text and frames go no further
            if isinstance(error, ValueError | TypeError) and not isinstance(error, OSError):
                exchange.requests -= 1  # a line break in a header, …: nothing was sent
                exchange.fail(FailureKind.BAD_REQUEST, "no HTTP request can be made of it")
            else:
                note_fault(exchange, error)
        else:
            attend(response)
            exchange.receive(response.status, response.headers.items(), request)
            return response
        finally:
            CHECKOUT.reset(token)
        return None

    async def _digest(self, response: aiohttp.ClientResponse, exchange: Exchange) -> None:
        """Reduce a refusal's body to facts."""
        parts: list[bytes] = []
        try:
            with contextlib.suppress(Exception):  # the status says enough
                async with asyncio.timeout(self._error_body_seconds):
                    encoding = exchange.headers.get("content-encoding", "")
                    reader = BodyReader(response.content, encoding, 4 * MAX_ERROR_BYTES)
                    size = 0
                    while size < MAX_ERROR_BYTES and (piece := await reader.read()):
                        parts.append(piece)
                        size += len(piece)
                    exchange.ended = size < MAX_ERROR_BYTES
        finally:
            if not response.closed:
                response.close()
        exchange.error = read_error(b"".join(parts)[:MAX_ERROR_BYTES])

    def _occupy(self, *, kept: bool) -> Callable[[], None]:
        """Count a request in; what is returned counts it out, once."""
        self.in_flight += 1
        self._kept_busy |= kept
        over = False

        def free() -> None:
            nonlocal over
            if over:
                return
            over = True
            self.in_flight -= 1
            if kept:
                self._kept_busy = False
            if not self.in_flight and self._idle is not None:
                self._idle.set()

        return free

    @property
    def sockets(self) -> tuple[int, int]:
        """Connections ``(busy, idle)``; from any thread."""
        connectors = (self._kept.connector, self._burst.connector)
        open_ = sum(each.open for each in connectors if isinstance(each, Connector))
        busy = min(self.in_flight, open_)
        return busy, open_ - busy

    async def idle(self) -> None:
        """Wait until no request is in flight."""
        while self.in_flight:
            self._idle = self._idle or asyncio.Event()
            self._idle.clear()
            await self._idle.wait()

    async def aclose(self) -> None:
        """Close all connections, those of requests in flight included."""
        self._closed = True
        await self._kept.close()
        await self._burst.close()

    def abandon(self) -> None:
        """Drop all connections without the event loop, which is gone or the parent process's."""
        self._closed = True
        for session in (self._kept, self._burst):
            if isinstance(session.connector, Connector):
                session.connector.abandon()


def _with_carried(request: HttpRequest, exchange: Exchange) -> Mapping[str, str]:
    """The request's headers, and behind them those of the caller's trace that can be sent as they are."""
    own = request.headers.reveal()
    taken = {name.lower() for name in own}
    return {
        **own,
        **{
            name: value
            for name, value in exchange.carried.items()
            if name.lower() not in taken and _NAME.match(name) and _VALUE.match(value)
        },
    }


def _session(
    ssl: tls.SSLContext | bool, connect_timeout: float, *, limit: int, idle_seconds: float
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=Connector(ssl=ssl, limit=limit, idle_seconds=idle_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=_OWN_HEADERS,
        # The ceiling would round limits above it up to the next full second.
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout, ceil_threshold=1e9),
    )


def _target(url: yarl.URL, response: aiohttp.ClientResponse) -> yarl.URL | None:
    """Where a 307 or 308 within the same origin leads; ``None`` for any other redirect."""
    if response.status not in (307, 308):
        return None
    try:
        target = url.join(yarl.URL(response.headers["location"]))
        if target.raw_user is not None or target.raw_password is not None:
            return None
        same = target.origin() == url.origin()
    except (KeyError, ValueError, TypeError):
        return None
    return target if same else None
