"""A scripted upstream over raw sockets: it sends exactly the bytes that a test wrote, right or wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import yarl

from llm_unified.wire.exchange import HttpRequest, SecretHeaders
from tests.hang import HANG_SECONDS

KEY = "sk-0123456789abcdefghij"
PROMPT = "the-prompt-nobody-may-see"

Step = bytes | Callable[["Peer"], Awaitable[Any]]


def raw(
    body: bytes = b'{"ok": 1}',
    status: str = "200 OK",
    *headers: bytes,
    kind: bytes | None = b"application/json",
    length: int | None = None,
) -> bytes:
    """One whole answer with a length."""
    lines = [b"HTTP/1.1 " + status.encode(), *headers]
    if kind is not None:
        lines.append(b"content-type: " + kind)
    lines.append(b"content-length: %d" % (len(body) if length is None else length))
    return b"\r\n".join((*lines, b"", body))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream_head(*headers: bytes, kind: bytes = b"text/event-stream") -> bytes:
    lines = (b"HTTP/1.1 200 OK", b"content-type: " + kind, b"transfer-encoding: chunked", *headers)
    return b"\r\n".join((*lines, b"", b""))


def streamed(*pieces: bytes, headers: tuple[bytes, ...] = (), last: bytes = b"0\r\n\r\n") -> bytes:
    """An event stream in one go, one chunk for each piece."""
    return stream_head(*headers) + b"".join(map(chunk, pieces)) + last


@dataclass
class Peer:
    """The upstream's end of one connection."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def send(self, data: bytes) -> None:
        """Raises ``ConnectionError`` when the client is gone; `Upstream` swallows it."""
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed its end; what it still sends is dropped."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until it is so."""
    async with asyncio.timeout(HANG_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is nothing that could be waited for
            await asyncio.sleep(0)


class Upstream:
    """Answers with one step of ``script`` for each request, the last one again and again."""

    def __init__(self, *script: Step) -> None:
        self.script = list(script)
        self.peers: list[Peer] = []
        self.open = 0
        self.requests: list[tuple[bytes, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self.peers:
            peer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str = "/v1/chat/completions") -> yarl.URL:
        return yarl.URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)

    def request(self, method: str = "POST", body: bytes | None = None) -> HttpRequest:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        default = b'{"messages": "%s"}' % PROMPT.encode() if method == "POST" else None
        return HttpRequest(method, self.url(), SecretHeaders(headers), body or default)

    async def closed(self, left: int = 0) -> None:
        """Wait until so many connections are left."""
        async with asyncio.timeout(HANG_SECONDS), self.changed:
            await self.changed.wait_for(lambda: self.open <= left)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(len(self.peers), reader, writer)
        self.peers.append(peer)
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = [x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")]
                body = await reader.readexactly(int(size[0].split(b":")[1])) if size else b""
                self.requests.append((head, body))
                step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if isinstance(step, bytes):
                    await peer.send(step)
                else:
                    await step(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            async with self.changed:
                self.open -= 1
                self.changed.notify_all()
