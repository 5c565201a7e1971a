"""What is played in answer to a request, and the stage it is played on."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from email.utils import formatdate
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from llm_unified.testing.strict import check_strictly
from llm_unified.testing.wire import (
    Answer,
    Chat,
    Endpoint,
    Problem,
    RefusedError,
    Stream,
    Wire,
    dump,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from llm_unified.testing.journal import Request, State
    from llm_unified.testing.server import Connection
    from llm_unified.testing.simulator import SimulatedProvider

__all__ = ["Exchange", "Outcome", "chunk", "chunks"]


JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"


class Outcome(ABC):
    """What happens to one request. ``outcome * 3`` is a script of three."""

    name: str

    @abstractmethod
    def play(self, x: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer ``x``: at once, or by a coroutine, which is cancelled when the client leaves."""

    def resolve(self, request: Request) -> Outcome:
        """The outcome to play; one that decides anew each time returns its choice."""
        return self

    def __mul__(self, times: int) -> tuple[Outcome, ...]:
        return (self,) * times

    __rmul__ = __mul__


class Exchange:
    """One request and the means to answer it, well or badly."""

    endpoint: Endpoint
    """Set once ``refusal`` was found to be ``None``."""

    def __init__(
        self, connection: Connection, provider: SimulatedProvider, request: Request, serial: int
    ) -> None:
        self.connection = connection
        self.provider = provider
        self.request = request
        self.wire: Wire = provider.wire
        self.request_id = f"{serial:024x}"

    # -- what was asked -------------------------------------------------------------------------

    @cached_property
    def refusal(self) -> Problem | None:
        """Why the vendor would refuse the request, or ``None``."""
        try:
            self.endpoint = self.wire.check(
                self.request, self.provider.api_keys, self.provider.models
            )
            if self.provider.simulator.strict and self.endpoint == "chat":
                check_strictly(self.wire.provider, self.chat.model, self.request.body)
        except RefusedError as error:
            return error.problem
        return None

    @cached_property
    def chat(self) -> Chat:
        """The request in no vendor's words."""
        return self.wire.read(self.request, self.request_id)

    def good_body(self, answer: Answer) -> bytes:
        """The JSON of a correct answer, whatever the endpoint; chat where the request is wrong."""
        value: dict[str, Any]
        endpoint = "chat" if self.refusal else self.endpoint
        if endpoint == "models":
            value = self.wire.models(self.provider.models or (self.provider.model,))
        elif endpoint == "embeddings":
            value = self.wire.embeddings(self.request)
        else:
            value = self.wire.completion(answer, self.chat)
        return dump(value).encode("utf-8", "replace")

    def good_stream(self, answer: Answer) -> Stream:
        """The events of a correct answer."""
        return self.wire.stream(answer, self.chat)

    # -- well ------------------------------------------------------------------------------------

    def respond(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        content_type: str = JSON,
    ) -> None:
        """A whole response in one write: two would wait for a delayed acknowledgement."""
        self.write(self.head(status, headers, content_type=content_type, length=len(body)) + body)
        self.finish()

    def fail(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        """An error in the vendor's envelope."""
        body = dump(self.wire.error(problem, self.chat)).encode("utf-8", "replace")
        self.respond(self.wire.status_of(problem), body, headers)

    def answer(self, answer: Answer) -> Coroutine[Any, Any, None] | None:
        """A correct answer, streamed if the request wants that."""
        if not (self.request.stream and self.endpoint == "chat"):
            self.respond(200, self.good_body(answer))
            return None
        return self.play_stream(self.good_stream(answer))

    def play_stream(self, stream: Stream) -> Coroutine[Any, Any, None] | None:
        """A whole stream: in one write where nothing delays it and it is short."""
        delay = self.provider.token_delay
        if delay or len(stream.content) > 1000:  # noqa: PLR2004 (enough to need flow control)
            return self._paced(stream, delay)
        frames = b"".join(map(chunk, stream.events()))
        self.write(self.stream_head() + frames + b"0\r\n\r\n")
        self.finish()
        return None

    async def _paced(self, stream: Stream, delay: float) -> None:
        self.write(self.stream_head() + b"".join(map(chunk, stream.head)))
        for event in stream.content:
            if delay:
                await asyncio.sleep(delay)
            await self.send(chunk(event))
        self.write(b"".join(map(chunk, (*stream.tail, stream.end))) + b"0\r\n\r\n")
        self.finish()

    # -- piece by piece --------------------------------------------------------------------------

    def head(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        *,
        content_type: str = JSON,
        length: int | None = None,
    ) -> bytes:
        """Status line and headers; ``length=None`` announces chunks."""
        found = {"date": _now(), "content-type": content_type, **self.wire.headers(self.request_id)}
        if headers:
            found.update(headers)
        if length is None:
            found["transfer-encoding"] = "chunked"
        else:
            found["content-length"] = str(length)
        if not self.connection.keep_alive:
            found["connection"] = "close"
        lines = "".join([f"{name}: {value}\r\n" for name, value in found.items()])
        return f"HTTP/1.1 {status} {_phrase(status)}\r\n{lines}\r\n".encode("utf-8", "replace")

    def stream_head(self) -> bytes:
        """The head of a stream."""
        return self.head(200, {"cache-control": "no-cache"}, content_type=EVENTS)

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket."""
        self.connection.write(data)

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client does not read."""
        self.connection.write(data)
        await self.connection.drain()

    def finish(self) -> None:
        """The response is whole: the connection takes the next request, or closes."""
        gone = self.connection.transport.is_closing()
        self._end("client_gone" if gone else "answered")
        self.connection.next_request()

    async def forever(self) -> None:
        """Stay silent until the client leaves or the simulator closes."""
        await asyncio.get_running_loop().create_future()

    def reset(self) -> None:
        """End the connection with a real RST."""
        self._end("broken")
        self.connection.reset()

    def close(self) -> None:
        """End the connection with a FIN, once all that was written is sent."""
        self._end("broken")
        self.connection.close()

    def _end(self, state: State) -> None:
        self.provider.finish(self.request, state)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunks(events: Iterable[bytes]) -> bytes:
    """Events as chunks, each its own."""
    return b"".join(map(chunk, events))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"  # noqa: PLR2004


_date = (0, "")


def _now() -> str:
    global _date  # noqa: PLW0603 (formatting a date costs more than the rest of a head)
    second = int(time.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]
