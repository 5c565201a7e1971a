"""aiohttp's connector, particular about which connection carries a second request.

HTTP/1.1 has no way to tell whose answer some bytes are: a connection on which anything arrives between two
requests (a late second answer, a farewell, an end) would hand it to the next caller. So each connection's
bytes pass a `_Watch`, which drops the connection when nobody asked for them.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from contextvars import ContextVar
from typing import Any, Final

import aiohttp

from llm_unified.wire.abandon import forget
from llm_unified.wire.background import close_all
from llm_unified.wire.exchange import Exchange
from llm_unified.wire.sockets import Resolver, is_readable, open_socket

__all__ = ["CHECKOUT", "Connector", "attend"]

CHECKOUT: Final[ContextVar[tuple[Exchange, bool]]] = ContextVar("llm_unified_checkout")
"""Whom the next connection of this task is for, and whether it must be a new one."""

_DNS_CACHE_SECONDS: Final = 60


class _Watch(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol: notes that an answer came, refuses what nobody asked for."""

    __slots__ = ("connection", "content", "exchange", "handler", "transport", "watches")

    def __init__(self, transport: asyncio.Transport, handler: Any, watches: set[_Watch]) -> None:
        self.transport, self.handler, self.watches = transport, handler, watches
        self.exchange: Exchange | None = None
        self.connection: aiohttp.connector.Connection | None = None
        self.content: aiohttp.StreamReader | None = None
        watches.add(self)
        transport.set_protocol(self)

    def begin(self, connection: aiohttp.connector.Connection, exchange: Exchange) -> None:
        self.connection, self.exchange = connection, exchange
        connection.add_callback(self.end)

    def end(self) -> None:
        self.connection = self.exchange = self.content = None

    def data_received(self, data: bytes) -> None:
        if self.exchange is not None and not self.exchange.answered:
            self.exchange.answered = True
            # aiohttp forgets the headers if what comes with them is garbled; the status is a verdict all the same.
            head, blank, data = data.partition(b"\r\n\r\n")
            self.handler.data_received(head + blank)
            if not data:
                return
        if self.exchange is None:
            self.transport.abort()
        else:
            self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        result: bool | None = self.handler.eof_received()
        return result

    def connection_lost(self, exc: Exception | None) -> None:
        self.watches.discard(self)
        self.handler.connection_lost(exc)
        if self.content is not None:
            _break(self.content)

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()


def _break(content: aiohttp.StreamReader) -> None:
    """Whoever waits for more of this body waits in vain; aiohttp says so for a cut one, not for a garbled one."""
    if not content.is_eof() and content.exception() is None:
        content.set_exception(aiohttp.ClientPayloadError())


def attend(response: aiohttp.ClientResponse) -> None:
    """See to it that the end of the connection is an end of the body."""
    connection = response.connection
    if connection is None:  # the body came with the headers
        return
    watch = connection.transport.get_protocol() if connection.transport is not None else None
    if isinstance(watch, _Watch):
        watch.content = response.content
    else:
        _break(response.content)


_OPEN: Final[weakref.WeakSet[Connector]] = weakref.WeakSet()


@atexit.register
def _end_with_the_process() -> None:
    """The kernel closes what is open; aiohttp's finalisers need not complain of that, nor reach into a frozen loop."""
    close_all()  # our own loops end properly, as long as this is possible
    for connector in list(_OPEN):
        if connector._loop.is_closed():  # noqa: SLF001 - it was only closed, not shut down
            connector.abandon()
        connector._closed = True  # noqa: SLF001 - what its own `close` sets first


class Connector(aiohttp.TCPConnector):
    """Connections of one deployment; at most ``limit`` of them (0: as many as needed)."""

    def __init__(self, *, ssl: Any, limit: int, idle_seconds: float) -> None:
        """A connection that was idle for longer than ``idle_seconds`` is not used again."""
        super().__init__(
            ssl=ssl,
            limit=limit,
            keepalive_timeout=idle_seconds,
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            resolver=Resolver(),
            socket_factory=open_socket,
        )
        self._watches: set[_Watch] = set()
        _OPEN.add(self)
        self._pid = os.getpid()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> aiohttp.connector.Connection:  # noqa: ASYNC109 - aiohttp's own
        """A new connection, or one that is as good as new."""
        exchange, fresh = CHECKOUT.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            transport, protocol = connection.transport, connection.protocol
            if transport is None or protocol is None:  # gone while it was handed over
                return connection
            watch = transport.get_protocol()
            reused = isinstance(watch, _Watch)
            if not isinstance(watch, _Watch):
                watch = _Watch(transport, protocol, self._watches)
            elif fresh or is_readable(transport):
                connection.close()
                continue
            watch.begin(connection, exchange)
            exchange.reused = reused
            if reused:
                exchange.kept += 1
            else:
                exchange.opened += 1
            return connection

    @property
    def open(self) -> int:
        """Sockets that are connected."""
        return len(self._watches)

    def abandon(self) -> None:
        """Drop everything without the loop, which stands still, is gone, or is another process's."""
        self._closed = True
        dead = self._loop.is_closed() or self._pid != os.getpid()
        for watch in list(self._watches):
            if watch.connection is not None:
                watch.connection.close()  # of a closed connector: it only forgets its protocol
            if dead:
                forget(watch.transport)
            else:
                watch.transport.abort()
        self._watches.clear()
