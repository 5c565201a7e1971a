"""The way through `completion()`, until nothing takes it: an httpx transport that keeps its own sockets and remembers what happened.

Each copy owns two sub-pools, never shared with another copy: *kept*, exactly one connection that stays open
between requests, and *burst*, for requests that find the first one busy; burst connections are closed
after `BURST_IDLE` seconds of quiet. So there are never more sockets than requests in flight plus the idle
ones of the pool, and a quiet copy is back to one.

While it forwards bytes the transport writes down the facts of the attempt (`Wire`): whether anything was
sent, the status, the headers, the body of an error, the last bytes of a stream, the fault of the socket.
They are what `policy.classify` judges by, the same for every provider. It also

* never follows a redirect to another origin (LiteLLM's own clients do, with the key and the prompt);
* refuses bodies over `MAX_BODY` bytes;
* applies the connect timeout, which LiteLLM would flatten into the read timeout.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

__all__ = [
    "BURST_IDLE",
    "MAX_BODY",
    "WIRE",
    "PoolTransport",
    "PooledClient",
    "Wire",
    "socket_fault",
]

BURST_IDLE: Final = 2.0
"""Seconds that a connection opened for a burst stays open when idle."""
MAX_BODY: Final = 32 * 1024 * 1024
"""Bytes; a longer answer is no answer."""
_MAX_ERROR_BODY: Final = 64 * 1024
_TAIL: Final = 4096


@dataclass(slots=True)
class Wire:
    """What the wire saw of one attempt."""

    end_marker: bytes | None = None
    """Streams: the value of the protocol's last event, e.g. ``b"[DONE]"``."""
    prefix: bytes = b""
    """Members put in front of a whole answer's own (`ProviderRow.missing`)."""
    ours: bool = True
    """Whether this transport carries the attempt; LiteLLM uses clients of its own for some providers."""
    requests: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    tail: bytes = b""
    marked: bool = False
    """The end marker went by."""
    fault: FailureKind | None = None
    reason: str = ""
    response: httpx.Response | None = None
    on_request: Callable[[], None] | None = None

    @property
    def is_stream(self) -> bool:
        """LiteLLM makes a stream of a whole answer for Groq with ``response_format``."""
        return not self.headers.get("content-type", "").startswith("application/json")

    @property
    def request_id(self) -> str | None:
        for name in ("x-request-id", "request-id", "apim-request-id", "x-groq-id"):
            if value := self.headers.get(name):
                return value if len(value) <= 128 and value.isprintable() else None  # noqa: PLR2004
        return None

    async def aclose(self) -> None:
        """Give the socket back, or close it if the body was not read to its end."""
        if self.response is not None and not self.response.is_closed:
            await self.response.aclose()


WIRE: ContextVar[Wire | None] = ContextVar("llm_unified_wire", default=None)
"""The wire of the attempt that this task is making."""


def socket_fault(error: BaseException) -> tuple[FailureKind, str] | None:  # noqa: PLR0911 - a table
    """``(kind, words)`` of a transport exception, or ``None`` for one that is not."""
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return FailureKind.TIMEOUT, "connect timeout"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return FailureKind.TIMEOUT, "read timeout"
    if isinstance(error, httpx.DecodingError | zlib.error):
        return FailureKind.INVALID_RESPONSE, "body could not be decoded"
    if isinstance(error, httpx.ConnectError):
        return FailureKind.CONNECTION, "could not connect"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ProtocolError):
        return FailureKind.CONNECTION, "no HTTP or TLS spoken"
    if isinstance(error, httpx.TransportError | httpx.StreamError | OSError):
        return FailureKind.CONNECTION, "connection lost"
    return None


class PoolTransport(httpx.AsyncBaseTransport):
    """The transport of one copy; ``kept`` holds one connection, ``burst`` as many as needed."""

    def __init__(
        self,
        kept: httpx.AsyncBaseTransport,
        burst: httpx.AsyncBaseTransport,
        *,
        connect_timeout: float,
    ) -> None:
        self._kept = kept
        self._burst = burst
        self._kept_busy = False
        self._timeout = {
            "connect": connect_timeout,
            "pool": connect_timeout,  # LiteLLM's aiohttp transport: DNS + connect + TLS together
            "read": None,  # answers are bounded by the attempt's own limit, in total and not per read
            "write": None,
        }
        self.in_flight = 0
        self._idle: asyncio.Event | None = None
        self._closed = False

    @property
    def inner(self) -> tuple[httpx.AsyncBaseTransport, httpx.AsyncBaseTransport]:
        return self._kept, self._burst

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        wire = WIRE.get() or Wire()
        if self._closed:  # LiteLLM's transport would open a new pool that nobody closes
            wire.requests += 1
            wire.fault, wire.reason = FailureKind.CONNECTION, "the service was closed"
            raise httpx.ReadError(wire.reason)
        request.extensions = {**request.extensions, "timeout": self._timeout}
        inner = self._burst if self._kept_busy else self._kept
        lease = _Lease(self, kept=inner is self._kept)
        wire.requests += 1
        wire.status, wire.headers = None, {}
        if wire.on_request is not None:
            wire.on_request()
        try:
            response = await inner.handle_async_request(request)
        except Exception as error:
            lease.end()
            _note_fault(wire, error)
            if isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError):
                # LiteLLM's handler for Groq and Anthropic would ask once more, from a client of its own
                raise httpx.ReadError(wire.reason) from error
            raise
        except BaseException:
            lease.end()
            raise
        wire.status, wire.headers = response.status_code, response.headers
        response.stream = _Watched(response.stream, wire, lease)  # type: ignore[arg-type]
        wire.response = response
        if response.is_redirect and not _same_origin(request, response):
            del response.headers["location"]
        if response.status_code >= 400:  # noqa: PLR2004
            await _keep_error_body(response, wire)
        return response

    async def idle(self) -> None:
        """Wait until no request is in flight."""
        while self.in_flight:
            self._idle = self._idle or asyncio.Event()
            self._idle.clear()
            await self._idle.wait()

    def returned(self, *, kept: bool) -> None:
        """A request is over."""
        self.in_flight -= 1
        if kept:
            self._kept_busy = False
        if not self.in_flight and self._idle is not None:
            self._idle.set()

    async def aclose(self) -> None:
        self._closed = True
        await self._kept.aclose()
        await self._burst.aclose()

    def abandon(self) -> None:
        for inner in (self._kept, self._burst):
            session = getattr(inner, "client", None)
            if (connector := getattr(session, "connector", None)) is not None:
                connector._closed = True  # noqa: SLF001 - no public name


@dataclass(frozen=True, slots=True)
class PooledClient:
    """What LiteLLM is given for one copy, and the sockets behind it."""

    client: Any
    transport: PoolTransport

    async def idle(self) -> None:
        await self.transport.idle()

    async def aclose(self) -> None:
        await self.transport.aclose()

    def abandon(self) -> None:
        self.transport.abandon()


class _Lease:
    """Marks the kept connection as busy until the response is over; ends once."""

    __slots__ = ("_kept", "_open", "_pool")

    def __init__(self, pool: PoolTransport, *, kept: bool) -> None:
        self._pool, self._kept, self._open = pool, kept, True
        pool.in_flight += 1
        if kept:
            pool._kept_busy = True  # noqa: SLF001 - the two are one mechanism

    def end(self) -> None:
        if self._open:
            self._open = False
            self._pool.returned(kept=self._kept)


class _Watched(httpx.AsyncByteStream):
    """A response body on its way through: counted, its tail remembered, its faults noted."""

    def __init__(self, inner: httpx.AsyncByteStream, wire: Wire, lease: _Lease) -> None:
        self._inner, self._wire, self._lease = inner, wire, lease
        self._events = _Events(wire) if wire.end_marker is not None else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        wire, size = self._wire, 0
        try:
            async for part in self._inner:
                if not size and wire.prefix:
                    part = _prefixed(part, wire.prefix)  # noqa: PLW2901 - it replaces it
                size += len(part)
                if size > MAX_BODY:
                    raise _invalid(wire, f"body over {MAX_BODY} bytes")
                whole = self._look(part)
                if whole:
                    yield part[:whole]
                if whole < len(part):
                    raise _invalid(wire, "broken event in the stream")
        except httpx.HTTPError as error:
            _note_fault(wire, error)
            if left := _undelivered(self._inner):
                yield left[: self._look(left)]
            raise
        finally:
            self._lease.end()

    def _look(self, part: bytes) -> int:
        """Remember the tail; how many of these bytes are in order."""
        wire = self._wire
        wire.tail = (wire.tail + part if len(part) < _TAIL else part)[-_TAIL:]
        return len(part) if self._events is None else self._events.feed(part)

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._lease.end()


class _Events:
    """Looks at a stream of server-sent events on its way through: is each one whole, which was the last?

    LiteLLM skips a broken event of Groq's and takes one of Anthropic's for the end of the stream; both
    would lose text in silence. Source: WHATWG HTML, "Server-sent events".
    """

    __slots__ = ("_end", "_line", "_wire")

    def __init__(self, wire: Wire) -> None:
        self._wire, self._line = wire, b""
        self._end = (wire.end_marker or b"").decode()

    def feed(self, part: bytes) -> int:
        """Take some bytes; how many of them come before the first broken event."""
        lines = (self._line + part).split(b"\n")
        good = -len(self._line)
        self._line = lines.pop()
        for line in lines:
            name, _, value = line.partition(b":")
            value = value.strip()
            if value == self._wire.end_marker:
                self._wire.marked = True
            elif name == b"data" and value:
                try:
                    event = json.loads(value)
                except ValueError:
                    return max(0, good)
                if isinstance(event, dict) and event.get("type") == self._end:
                    self._wire.marked = (
                        True  # Anthropic's, from a server that does not name its events
                    )
            good += len(line) + 1
        return len(part)


def _undelivered(stream: object) -> bytes:
    """What aiohttp had received when the connection broke: it raises the fault first, and drops the rest."""
    reader = getattr(getattr(stream, "_aiohttp_response", None), "content", None)
    parts: list[bytes] = list(getattr(reader, "_buffer", ()))
    return b"".join(parts)[getattr(reader, "_buffer_offset", 0) :]


def _prefixed(part: bytes, members: bytes) -> bytes:
    """JSON members in front of an object's own, which win if they are of the same name."""
    body = part.lstrip()
    if not body.startswith(b"{") or body[1:].lstrip().startswith(b"}"):
        return part
    return b"{" + members + b"," + body[1:]


def _invalid(wire: Wire, reason: str) -> httpx.ReadError:
    wire.fault, wire.reason = FailureKind.INVALID_RESPONSE, reason
    return httpx.ReadError(reason)


def _note_fault(wire: Wire, error: BaseException) -> None:
    if wire.fault is None and (fault := socket_fault(error)) is not None:
        wire.fault, wire.reason = fault


def _same_origin(request: httpx.Request, response: httpx.Response) -> bool:
    try:
        target = request.url.join(response.headers.get("location", ""))
    except httpx.InvalidURL:
        return False
    here = request.url
    return (target.scheme, target.host, target.port) == (here.scheme, here.host, here.port)


async def _keep_error_body(response: httpx.Response, wire: Wire) -> None:
    """Read an error's body (at most 64 KiB of it) so that it can be judged, then hand it on."""
    raw = b""
    stream = response.stream
    try:
        async for part in stream:  # type: ignore[union-attr]
            raw += part
            if len(raw) >= _MAX_ERROR_BODY:
                break
    except httpx.HTTPError:
        wire.fault, wire.reason = None, ""  # the status says enough
    finally:
        await stream.aclose()  # type: ignore[union-attr]
    response.stream = httpx.ByteStream(raw[:_MAX_ERROR_BODY])
    try:
        decoded = httpx.Response(200, headers=response.headers, content=raw)
        wire.body = decoded.content
    except httpx.DecodingError:
        del response.headers["content-encoding"]
