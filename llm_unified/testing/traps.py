"""Addresses behind which nobody can answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

from llm_unified.testing.server import HOST, Listener, reserve_port

if TYPE_CHECKING:
    from llm_unified.testing.background import BackgroundLoop

__all__ = ["Traps"]


class _Peer(asyncio.Protocol):
    """Says its one line, if it has one, to whatever it hears."""

    def __init__(self, open_peers: set[_Peer], line: bytes) -> None:
        self._open = open_peers
        self._line = line

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.Transport = transport
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        if self._line:
            self.transport.write(self._line)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)


class Traps:
    """Dead ends, each made when first asked for and kept until ``close()``."""

    def __init__(self, background: BackgroundLoop) -> None:
        self._background = background
        self._origins: dict[str, str] = {}
        self._listeners: list[Listener] = []
        self._sockets: list[socket.socket] = []
        self._peers: set[_Peer] = set()

    def origin(self, kind: str) -> str:
        """Scheme, host and port of a dead end."""
        if kind not in self._origins:
            self._origins[kind] = self._make(kind)
        return self._origins[kind]

    def _make(self, kind: str) -> str:
        if kind == "dns":  # RFC 6761: this top-level domain never resolves
            return "http://provider.invalid"
        if kind in ("tls", "blackhole"):
            line = b"This is not TLS.\r\n" if kind == "tls" else b""
            listener = Listener(self._background, lambda: _Peer(self._peers, line))
            listener.listen()
            self._listeners.append(listener)
            return f"{'https' if kind == 'tls' else 'http'}://{HOST}:{listener.port}"
        if kind == "refused":
            self._sockets.append(reserve_port())
            return f"http://{HOST}:{self._sockets[-1].getsockname()[1]}"
        if kind == "connect_timeout":
            return f"http://{HOST}:{self._full_queue()}"
        raise ValueError(f"No such dead end: {kind!r}")

    def _full_queue(self) -> int:
        """A port whose queue is full: the kernel drops every further SYN."""
        server = reserve_port()
        server.listen(0)
        self._sockets.append(server)
        for _ in range(4):
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(server.getsockname())
            self._sockets.append(client)
        return int(server.getsockname()[1])

    def close(self) -> None:
        """Give all ports back."""
        for listener in self._listeners:
            listener.close()
        for sock in self._sockets:
            sock.close()
        self._background.call(self._drop)

    def _drop(self) -> None:
        for peer in tuple(self._peers):
            peer.transport.abort()
