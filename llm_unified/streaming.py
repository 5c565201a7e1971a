"""Streams as the caller sees them."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from llm_unified.errors import ServiceClosedError
from llm_unified.response import LLMResponse, StreamChunk
from llm_unified.wire.background import BackgroundLoop

if TYPE_CHECKING:  # loaded with the first call
    from llm_unified.calls.chain import Chain

__all__ = ["LLMStream", "SyncStream"]

Start = Callable[[], Awaitable["contextlib.AbstractAsyncContextManager[Chain]"]]


@dataclass(slots=True)
class _Outcome:
    """What a stream leaves behind."""

    response: LLMResponse | None = None
    over: bool = False
    explained: bool = False
    """The reader knows why: it ended by itself, raised, or was closed by the reader."""


async def _chunks(start: Start, outcome: _Outcome) -> AsyncGenerator[StreamChunk]:
    """One call, from its first request to its last chunk.

    A generator, and one that does not know its `LLMStream`: whoever drops the stream, anywhere, has it
    closed by its event loop (``asyncio`` finalises generators), and the attempt settled with it.
    """
    try:
        async with await start() as chain:
            from llm_unified.calls.stream import LiveStream
            from llm_unified.calls.telling import call_ended, call_started

            call_started(chain)
            try:
                live = await LiveStream.open(chain)
                async with live:
                    while chunks := await live.read():
                        for chunk in chunks:
                            yield chunk
                outcome.response = live.result()
                yield live.last
            except BaseException as error:
                call_ended(chain, error)
                raise
            call_ended(chain, None, outcome.response)
        outcome.explained = True
    except GeneratorExit:
        raise
    except BaseException:
        outcome.explained = True
        raise
    finally:
        outcome.over = True


class LLMStream:
    """An answer as it arrives: ``async for chunk in stream``; afterwards ``stream.response`` is the whole.

    Leaving the loop early (``break``, an exception, cancellation) closes the connection at once; so does
    leaving ``async with``, or `aclose`.
    """

    def __init__(self, start: Start) -> None:
        """``start``: begins the call."""
        self._outcome = _Outcome()
        self._generator = _chunks(start, self._outcome)
        self._pid = os.getpid()
        _ALL.add(self)

    @property
    def response(self) -> LLMResponse | None:
        """The whole answer, once the stream has ended by itself."""
        return self._outcome.response

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._outcome.over

    def __aiter__(self) -> _Cursor:
        return _Cursor(self)

    async def __anext__(self) -> StreamChunk:
        try:
            return await anext(self._generator)
        except StopAsyncIteration:
            self.check_end()
            raise

    def check_end(self) -> None:
        """A stream that somebody else ended must not look like one that is whole.

        Raises:
            ServiceClosedError: the service was closed, or the event loop ended, before the stream did.
        """
        if not self._outcome.explained:
            self._outcome.explained = True
            raise ServiceClosedError(
                "the stream was ended before its end: its service was closed, or its event loop ended"
            )

    async def aclose(self) -> None:
        """Stop; the connection is given back or closed when this returns. Safe to call twice."""
        self._outcome.over = self._outcome.explained = True
        await self._generator.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def abandon(self) -> None:
        """In a forked child that ends: close what the parent began, without the parent's event loop."""
        if self._pid != os.getpid() and not self.over:
            with contextlib.suppress(BaseException):  # its cleanup would wait for that loop
                self._generator.aclose().send(None)


_ALL: weakref.WeakSet[LLMStream] = weakref.WeakSet()


@atexit.register
def _abandon_all() -> None:
    for stream in list(_ALL):
        stream.abandon()


class _Cursor:
    """What ``async for`` holds. When the loop is left early Python drops it, and the stream is closed."""

    def __init__(self, stream: LLMStream) -> None:
        self._stream = stream
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()  # a forked child must not touch the parent's loop

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamChunk:
        self._loop = self._loop or asyncio.get_running_loop()
        return await anext(self._stream)

    def __del__(self) -> None:
        if self._loop is None or self._stream.over or self._pid != os.getpid():
            return
        with contextlib.suppress(RuntimeError):  # closed
            self._loop.call_soon_threadsafe(_close_soon, self._loop, self._stream)


_closing: set[asyncio.Task[None]] = set()  # asyncio holds tasks weakly


def _close_soon(loop: asyncio.AbstractEventLoop, stream: LLMStream) -> None:
    task = loop.create_task(_close(stream))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


def _close_soon_here(stream: LLMStream) -> None:
    _close_soon(asyncio.get_running_loop(), stream)


async def _close(stream: LLMStream) -> None:
    with contextlib.suppress(RuntimeError):  # somebody else is reading it
        await stream.aclose()


class SyncStream:
    """The same for code without an event loop: ``for chunk in stream``."""

    def __init__(self, stream: LLMStream, background: BackgroundLoop) -> None:
        self._stream, self._background = stream, background

    @property
    def response(self) -> LLMResponse | None:
        """The whole answer, once the stream has ended by itself."""
        return self._stream.response

    def __iter__(self) -> Iterator[StreamChunk]:
        return _SyncCursor(self._stream, self._background)

    def close(self) -> None:
        """Stop; the connection is given back or closed when this returns. Safe to call twice."""
        if not self._stream.over:
            self._background.run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _SyncCursor:
    """What ``for`` holds. Dropped early it asks for the stream's end and never waits for it: the cyclic
    collector may run in the very thread that would have to carry it out.
    """

    def __init__(self, stream: LLMStream, background: BackgroundLoop) -> None:
        self._stream, self._background = stream, background

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamChunk:
        if not self._stream.over:
            chunk = self._background.run(_next(self._stream))
            if chunk is not None:
                return chunk
        self._stream.check_end()
        raise StopIteration

    def __del__(self) -> None:
        stream, background = self._stream, self._background
        if not stream.over:
            background.post(_close_soon_here, stream)


async def _next(stream: LLMStream) -> StreamChunk | None:
    return await anext(stream._generator, None)  # noqa: SLF001 - same module
