"""HTTP/1.1 on raw sockets: h11 reads, we write, so that every byte and every RST is ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from llm_unified.testing.exchange import Exchange
from llm_unified.testing.journal import Request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from llm_unified.testing.background import BackgroundLoop
    from llm_unified.testing.simulator import SimulatedProvider

__all__ = ["Connection", "Listener", "arm_reset", "reserve_port"]

HOST = "127.0.0.1"
HTTP_ONE_ZERO = b"1.0"
logger = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """One TCP connection of a client, and the request that it is answering, if any."""

    transport: asyncio.Transport

    def __init__(self, provider: SimulatedProvider) -> None:
        self.provider = provider
        self.keep_alive = True
        self.exchange: Exchange | None = None
        self.task: asyncio.Task[None] | None = None
        self._parser = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body: list[bytes] = []
        self._writable: asyncio.Future[None] | None = None
        self._reading = False

    # -- asyncio tells ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.client_port: int = transport.get_extra_info("peername")[1]
        self.serial = self.provider.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.exchange is not None:
            self.provider.finish(self.exchange.request, "client_gone")
            self.exchange = None
        self.resume_writing()
        # asyncio closes the socket when this method has returned; who waits for it must see that done.
        asyncio.get_running_loop().call_soon(self.provider.lost, self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.receive_data(data)
        except h11.RemoteProtocolError as error:
            self._garbage(error)
        else:
            if self.exchange is None:
                self._read()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # -- reading ---------------------------------------------------------------------------------

    def _read(self) -> None:
        # Answers that are written at once come back here through next_request(): the flag makes a
        # loop of what would be a recursion.
        if self._reading:
            return
        self._reading = True
        try:
            while self.exchange is None and not self.transport.is_closing():
                event = self._parser.next_event()
                if type(event) is h11.Data:
                    self._body.append(bytes(event.data))
                elif type(event) is h11.Request:
                    self._head, self._body = event, []
                    if self._parser.they_are_waiting_for_100_continue:
                        self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                        self._parser.send(h11.InformationalResponse(status_code=100, headers=[]))
                elif type(event) is h11.EndOfMessage:
                    self._dispatch()
                else:  # more data is needed, or the client closed
                    return
        except h11.RemoteProtocolError as error:
            self._garbage(error)
        finally:
            self._reading = False

    def _garbage(self, error: h11.RemoteProtocolError) -> None:
        body = b"Bad Request"
        head = f"HTTP/1.1 {error.error_status_hint} Bad Request\r\nconnection: close\r\n"
        self.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()

    def _dispatch(self) -> None:
        head = cast("h11.Request", self._head)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        url = urlsplit(head.target.decode("latin-1"))
        raw = b"".join(self._body)
        self._body = []
        body: Any = raw
        if raw:
            with contextlib.suppress(ValueError):
                body = json.loads(raw)
        self.keep_alive = (
            "close" not in headers.get("connection", "").lower()
            and head.http_version != HTTP_ONE_ZERO
        )
        request = Request(
            provider=self.provider.name,
            method=head.method.decode("latin-1"),
            path=unquote(url.path),
            query=dict(parse_qsl(url.query)),
            headers=headers,
            body=body,
            client_port=self.client_port,
            connection=self.serial,
            received_at=time.monotonic(),
            stream=isinstance(body, dict) and bool(body.get("stream")),
        )
        self.exchange = self.provider.exchange(self, request)
        work = self.provider.answer(self.exchange)
        if work is not None:
            self.task = asyncio.get_running_loop().create_task(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            logger.exception("An outcome of the simulator failed")
            self.transport.abort()
        finally:
            self.task = None

    # -- writing ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait while the client does not read; once it is gone, until the task is cancelled."""
        if self._writable is not None:
            await self._writable
        if self.transport.is_closing():
            await asyncio.get_running_loop().create_future()

    def next_request(self) -> None:
        """The response is whole: take the next request, or close if that was agreed."""
        self.exchange = None
        if not self.keep_alive:
            self.transport.close()
            return
        trailing, _ = self._parser.trailing_data
        # A fresh parser per request: h11 need not know what we write, faults break its rules anyway.
        self._parser = h11.Connection(h11.SERVER)
        if trailing:
            self._parser.receive_data(trailing)
            self._read()

    def reset(self) -> None:
        """RST."""
        self.exchange = None
        arm_reset(self.transport)
        self.transport.abort()

    def close(self) -> None:
        """FIN after what was written."""
        self.exchange = None
        self.transport.close()


def arm_reset(transport: asyncio.BaseTransport) -> None:
    """Make the socket's close send RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reserve_port(port: int = 0) -> socket.socket:
    """A bound socket that does not listen: connecting to its port is refused, and nobody else gets it."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    sock.setblocking(False)
    return sock


class Listener:
    """A port of our own that listens or refuses, whatever its open connections do."""

    def __init__(
        self,
        background: BackgroundLoop,
        factory: Callable[[], asyncio.BaseProtocol],
        *,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self._background = background
        self._factory = factory
        self._tls = tls
        self._idle: socket.socket | None = reserve_port(port)
        self._server: asyncio.Server | None = None
        self.port: int = self._idle.getsockname()[1]

    def listen(self) -> None:
        """Accept connections. Safe to call twice and from any thread."""
        if self._background.inside:
            task = self._background.loop.create_task(self._listen())
            task.add_done_callback(lambda t: t.exception())
        else:
            self._background.run(self._listen())

    async def _listen(self) -> None:
        sock, self._idle = self._idle, None
        if sock is not None:
            self._server = await asyncio.get_running_loop().create_server(
                self._factory, sock=sock, ssl=self._tls, backlog=1024
            )

    def refuse(self) -> None:
        """Refuse new connections from now on; the port stays ours. Safe from any thread."""
        self._background.call(self._refuse)

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._idle = reserve_port(self.port)

    def close(self) -> None:
        """Give the port back."""
        self._background.call(self._close)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._idle is not None:
            self._idle.close()
            self._idle = None
