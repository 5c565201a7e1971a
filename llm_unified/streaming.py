"""Streams as the caller sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from llm_unified.call import Call
    from llm_unified.dispatch import Dispatcher
    from llm_unified.live import LiveStream
    from llm_unified.response import LLMResponse, StreamChunk
    from llm_unified.wire.background import BackgroundLoop

__all__ = ["LLMStream", "SyncStream"]


class LLMStream:
    """An answer as it arrives: ``async for chunk in stream``; afterwards ``stream.response`` is the whole.

    Leaving the loop early (``break``, an exception, cancellation) closes the connection at once; so does
    leaving ``async with``, or `aclose`.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[tuple[Dispatcher, Call]]],
        ended: Callable[[Call, BaseException | None], None],
    ) -> None:
        self._start, self._ended = start, ended
        self._call: Call | None = None
        self._source: LiveStream | None = None
        self._over = False
        self.response: LLMResponse | None = None
        """The whole answer, once the stream has ended by itself."""

    async def _next(self) -> StreamChunk:
        if self._over:
            raise StopAsyncIteration
        try:
            if self._source is None:
                dispatcher, self._call = await self._start()
                self._source = await dispatcher.stream(self._call)
            chunk = await anext(self._source)
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise
        if self._source.response is not None:
            self.response = self._source.response
        return chunk

    def _end(self, error: BaseException | None) -> None:
        if not self._over:
            self._over = True
            if self._call is not None:
                self._ended(self._call, error)

    def __aiter__(self) -> _Cursor:
        return _Cursor(self)

    async def __anext__(self) -> StreamChunk:
        return await self._next()

    async def aclose(self) -> None:
        """Stop; the connection is given back or closed when this returns. Safe to call twice."""
        if self._source is not None:
            await self._source.aclose()
            self._end(None if self.response is not None else GeneratorExit())
        self._over = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


class _Cursor:
    """What ``async for`` holds. When the loop is left early Python drops it, and the stream is closed."""

    def __init__(self, stream: LLMStream) -> None:
        self._stream = stream
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamChunk:
        self._loop = self._loop or asyncio.get_running_loop()
        return await self._stream._next()  # noqa: SLF001 - same module

    def __del__(self) -> None:
        stream, loop = self._stream, self._loop
        if loop is not None and not stream._over and not loop.is_closed():  # noqa: SLF001
            loop.call_soon_threadsafe(_close_soon, loop, stream)


_closing: set[asyncio.Task[None]] = set()  # asyncio holds tasks weakly


def _close_soon(loop: asyncio.AbstractEventLoop, stream: LLMStream) -> None:
    task = loop.create_task(stream.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


class SyncStream:
    """The same for code without an event loop: ``for chunk in stream``."""

    def __init__(self, stream: LLMStream, background: BackgroundLoop) -> None:
        self._stream, self._background = stream, background

    @property
    def response(self) -> LLMResponse | None:
        """The whole answer, once the stream has ended by itself."""
        return self._stream.response

    def __iter__(self) -> Any:
        try:
            while True:
                try:
                    chunk = self._background.run(self._stream._next())  # noqa: SLF001 - same module
                except StopAsyncIteration:
                    return
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        """Stop; the connection is given back or closed when this returns. Safe to call twice."""
        if not self._stream._over:  # noqa: SLF001 - same module
            self._background.run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
