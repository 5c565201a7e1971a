"""Sockets of ours: kept alive, found dead, and names resolved without the application's executor."""

from __future__ import annotations

import select
import socket
from asyncio import BaseTransport
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from llm_unified.wire.threads import in_thread

__all__ = ["Resolver", "is_readable", "open_socket"]

_OPTIONS: Final = (
    # A probe each 45 s keeps the connection in the tables of the NATs and load balancers between, which
    # forget it after 240 to 350 idle seconds; three probes without an answer end it.
    ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", 45),
    ("IPPROTO_TCP", "TCP_KEEPALIVE", 45),  # macOS's name of it
    ("IPPROTO_TCP", "TCP_KEEPINTVL", 15),
    ("IPPROTO_TCP", "TCP_KEEPCNT", 3),
    ("IPPROTO_TCP", "TCP_NODELAY", 1),
)
"""Seconds, counts, switches; those that the platform has are set."""


def open_socket(address: tuple[Any, ...]) -> socket.socket:
    """A TCP socket for one result of ``getaddrinfo`` (aiohttp's ``socket_factory``)."""
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    for level, option, value in _OPTIONS:
        if hasattr(socket, option):
            sock.setsockopt(getattr(socket, level), getattr(socket, option), value)
    return sock


def is_readable(transport: BaseTransport) -> bool:
    """Whether an idle connection has bytes or an end to read: nobody asked, so nobody may read them.

    As urllib3's ``is_connection_dropped`` looks at it, but over ``poll``: ``select`` ends at 1,024 files.
    """
    sock = transport.get_extra_info("socket")
    number = -1 if sock is None else sock.fileno()
    if number < 0:
        return True
    if not hasattr(select, "poll"):  # Windows, where `select` has no such limit
        return bool(select.select([number], [], [], 0)[0])
    poller = select.poll()
    poller.register(number, select.POLLIN)
    return bool(poller.poll(0))


class Resolver(AbstractResolver):
    """``getaddrinfo`` in a thread of its own; aiohttp's would wait for the loop's default executor."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return await in_thread(_resolve, host, port, family)

    async def close(self) -> None:
        """Nothing to close."""


def _resolve(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            host=socket.getnameinfo(address, numeric)[0],  # with the scope of a link-local one
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in found
    ]
