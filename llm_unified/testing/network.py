"""A TCP proxy with distance and moods: what a network does to connections, also to pooled ones.

::

    with Simulator() as sim, NetworkProxy(sim.openai.port, latency=0.015) as proxy:
        url = proxy.rewrite(sim.openai.base_url)   # 30 ms away
        ...
        proxy.half_open()                          # the pooled connections are dead, and nobody says so
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from llm_unified.testing.background import BackgroundLoop
from llm_unified.testing.server import HOST, Listener, arm_reset

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NetworkProxy"]


class _Side(asyncio.Protocol):
    """One of the two sockets of a link."""

    transport: asyncio.Transport | None = None

    def __init__(self, link: _Link, *, client: bool) -> None:
        self._link = link
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (for the type checker)
        self.transport = transport
        if self._client:
            self._link.accepted()

    def data_received(self, data: bytes) -> None:
        self._link.carry(data, from_client=self._client)

    def eof_received(self) -> bool:
        self._link.carry(b"", from_client=self._client)
        return True  # half closed: what flows the other way still arrives

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.lost(self, broken=exc is not None)


class _Link:
    """One client's connection, and the one to the target that belongs to it."""

    def __init__(self, proxy: NetworkProxy) -> None:
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self.client = _Side(self, client=True)
        self.server = _Side(self, client=False)
        self.dead = False
        """Half open: whatever comes is swallowed."""
        self._waiting: list[tuple[bytes, bool]] = []
        self._free_at = {True: 0.0, False: 0.0}  # per direction: when the last piece is through
        self._closing = False

    def accepted(self) -> None:
        self._proxy.links.add(self)
        self._proxy.connections += 1
        # Loopback hides the round trip of the handshake: the first bytes make up for it.
        self._free_at[True] = self._loop.time() + 3 * self._proxy.latency
        self._task = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self.server, HOST, self._proxy.target_port)
        except OSError:
            self.break_off()
            return
        if self._closing:
            self.break_off()
        self.flush()

    def carry(self, data: bytes, *, from_client: bool) -> None:
        """Deliver later: ``latency`` from now, and never before what came earlier."""
        proxy = self._proxy
        if proxy.latency or proxy.drip_interval:
            at = max(self._loop.time() + proxy.latency, self._free_at[from_client])
            pieces = [data]
            if proxy.drip_interval and not from_client:
                pieces = [
                    data[i : i + proxy.drip_size] for i in range(0, len(data), proxy.drip_size)
                ]
            for piece in pieces or [data]:
                self._loop.call_at(at, self._arrive, piece, from_client)
                at += 0.0 if from_client else proxy.drip_interval
            self._free_at[from_client] = at
        else:
            self._arrive(data, from_client)

    def _arrive(self, data: bytes, from_client: bool) -> None:
        if self.dead or self._proxy.silent:
            return
        self._waiting.append((data, from_client))
        self.flush()

    def flush(self) -> None:
        """Hand over what has arrived, unless the proxy holds it back."""
        if self._proxy.stalled or self.server.transport is None:
            return
        waiting, self._waiting = self._waiting, []
        for data, from_client in waiting:
            target = (self.server if from_client else self.client).transport
            if target is None or target.is_closing():
                continue
            if not from_client:
                data = self._ration(data)  # noqa: PLW2901
            if data:
                target.write(data)
            elif target.can_write_eof() and not self._closing:
                target.write_eof()
            if self._closing:
                return

    def _ration(self, data: bytes) -> bytes:
        left = self._proxy.reset_bytes
        if left is None:
            return data
        if len(data) >= left:
            data = data[:left]
            if data and self.client.transport is not None:
                self.client.transport.write(data)
            self.break_off()
            return b""
        self._proxy.reset_bytes = left - len(data)
        return data

    def lost(self, side: _Side, *, broken: bool) -> None:
        other = self.server if side is self.client else self.client
        side.transport = None
        if self.dead and side is self.server:
            return  # the client must not notice
        if other.transport is None:
            self._proxy.links.discard(self)
            self._closing = True
        elif broken:
            self.break_off()
        else:
            other.transport.close()

    def break_off(self) -> None:
        """RST to both."""
        self._closing = True
        for side in (self.client, self.server):
            if side.transport is not None:
                arm_reset(side.transport)
                side.transport.abort()
        self._proxy.links.discard(self)

    def kill_quietly(self) -> None:
        """The target's side goes, the client's stays open and silent."""
        self.dead = True
        if self.server.transport is not None:
            arm_reset(self.server.transport)
            self.server.transport.abort()


class NetworkProxy:
    """Forwards 127.0.0.1:``port`` to ``target_port``, ``latency`` seconds away in each direction.

    TCP connect, TLS and request cost the round trips that they cost on a real network. The modes
    below apply at once, to open connections as to new ones, until :meth:`heal`.
    """

    def __init__(self, target_port: int, *, latency: float = 0.0) -> None:
        self.target_port = target_port
        self.latency = latency
        """Seconds in each direction: a round trip takes twice as long. May be changed any time."""
        self.connections = 0
        """Connections accepted so far."""
        self.links: set[_Link] = set()
        self.silent = False
        self.stalled = False
        self.drip_interval = 0.0
        self.drip_size = 1
        self.reset_bytes: int | None = None
        self._background = BackgroundLoop("llm-network-proxy")
        self._listener = Listener(self._background, lambda: _Link(self).client)
        self._listener.listen()

    @property
    def port(self) -> int:
        """Where to connect."""
        return self._listener.port

    @property
    def open_connections(self) -> int:
        """Client connections that are open now, dead ones included."""
        return len(self.links)

    def rewrite(self, url: str) -> str:
        """The same URL through this proxy."""
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.hostname}:{self.port}").geturl()

    def blackhole(self) -> None:
        """Accept and swallow everything in both directions."""
        self._set(silent=True)

    def stall(self) -> None:
        """Hold everything back; :meth:`heal` delivers it."""
        self._set(stalled=True)

    def slow_drip(self, interval: float, size: int = 1) -> None:
        """Let ``size`` bytes of the answers through every ``interval`` seconds."""
        self._set(drip_interval=interval, drip_size=size)

    def reset_after(self, size: int) -> None:
        """RST after so many more bytes of answers, counted over all connections, then heal."""
        self._set(reset_bytes=size)

    def half_open(self) -> None:
        """The connections that are open now die without a word; new ones work."""
        self._each(_Link.kill_quietly)

    def reset_all(self) -> None:
        """RST to all connections that are open now; new ones work."""
        self._each(_Link.break_off)

    def refuse(self) -> None:
        """Refuse new connections until :meth:`heal`; the open ones stay."""
        self._listener.refuse()

    def heal(self) -> None:
        """Back to plain forwarding. Connections that died stay dead."""
        self._set(silent=False, stalled=False, drip_interval=0.0, drip_size=1, reset_bytes=None)
        self._listener.listen()
        self._each(_Link.flush)

    def _set(self, **modes: object) -> None:
        self._background.call(lambda: self.__dict__.update(modes))

    def _each(self, action: Callable[[_Link], None]) -> None:
        def step() -> None:
            for link in tuple(self.links):
                action(link)

        self._background.call(step)

    def close(self) -> None:
        """Drop all connections and end the thread. Safe to call twice."""
        if not self._background.loop.is_closed():
            self._listener.close()
            self._each(_Link.break_off)
            self._background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
