"""An answer with a good status: read whole, or event by event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from llm_unified.wire.body import (
    MAX_ANSWER_BYTES,
    MAX_STREAM_BYTES,
    BodyReader,
    parse_json,
)
from llm_unified.wire.exchange import Exchange, WireError
from llm_unified.wire.faults import note_fault
from llm_unified.wire.sse import BrokenEventError, EventParser

__all__ = ["Reply"]

_REMAINDER_SECONDS: Final = 0.1
"""So long the end of the body may come after the end marker of the stream."""


class Reply:
    """One answer on its connection, until `aclose`, or until it was read to its end."""

    __slots__ = ("_exchange", "_free", "_response")

    def __init__(
        self, response: aiohttp.ClientResponse, exchange: Exchange, free: Callable[[], None]
    ) -> None:
        """``free`` is called once, when the connection is given back or closed."""
        self._response, self._exchange, self._free = response, exchange, free

    @property
    def is_event_stream(self) -> bool:
        """Whether it comes in pieces; an upstream may answer a request for a stream with a whole answer."""
        kind = self._exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        return not (kind == "application/json" or kind.endswith("+json"))

    def _reader(self, limit: int) -> BodyReader:
        encoding = self._exchange.headers.get("content-encoding", "")
        if encoding:  # nobody asked for a compressed stream, and it may be a bomb of comments
            limit = MAX_ANSWER_BYTES
        return BodyReader(self._response.content, encoding, limit)

    async def json(self) -> Any:
        """The whole body, parsed; the connection is free afterwards.

        Raises:
            WireError: cut, too long, or no JSON.
        """
        try:
            body = await self._reader(MAX_ANSWER_BYTES).read_all()
            self._exchange.ended = True
            value = parse_json(body)
        except Exception as error:  # noqa: BLE001 - facts are noted, foreign text and frames go no further
            note_fault(self._exchange, error)
        else:
            return value
        finally:
            body = b""
            await self.aclose()
        raise WireError(self._exchange.reason)

    def batches(self, end: str | None) -> _Batches:
        """The events of the stream, those that arrived together in one list.

        An empty list is a sign of life: a comment or an empty line. `Exchange.ended` says at the end whether
        the end marker (see `EventParser`) was seen.

        Raises:
            WireError: a fault of the wire or a broken event, after all events before it.
        """
        return _Batches(self, self._exchange, end)

    async def aclose(self) -> None:
        """Give the connection back if its answer is over, else close it. May be called again."""
        response = self._response
        try:
            if not response.closed and self._exchange.ended:
                await self._read_remainder(response.content)
        finally:
            if not response.closed:
                response.close()
            self._free()

    async def _read_remainder(self, content: aiohttp.StreamReader) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_REMAINDER_SECONDS):
                while await content.readany():
                    pass


class _Batches:
    """The iterator of `Reply.batches`; no generator, so nothing is left to be finalised if it is dropped."""

    __slots__ = ("_exchange", "_needs_end", "_over", "_parser", "_reader", "_reply")

    def __init__(self, reply: Reply, exchange: Exchange, end: str | None) -> None:
        self._reply, self._exchange = reply, exchange
        self._parser, self._needs_end = EventParser(end), end is not None
        self._reader: BodyReader | None = None
        self._over = False

    def __aiter__(self) -> _Batches:
        return self

    async def __anext__(self) -> list[dict[str, Any]]:
        parser = self._parser
        if not (self._over or parser.ended):
            try:
                if (events := await self._read(parser)) is not None:
                    return events
            except Exception as error:  # noqa: BLE001 - facts are noted, foreign text goes no further
                note_fault(self._exchange, error)
        self._over = True
        await self._reply.aclose()
        if self._exchange.fault is not None:
            raise WireError(self._exchange.reason)
        raise StopAsyncIteration

    async def _read(self, parser: EventParser) -> list[dict[str, Any]] | None:
        """What comes next; ``None`` at the end."""
        if parser.broken:
            raise BrokenEventError(parser.broken)
        if self._reader is None:
            self._reader = self._reply._reader(MAX_STREAM_BYTES)  # noqa: SLF001 - one mechanism
        while True:
            lines = parser.lines
            if piece := await self._reader.read():
                events = parser.feed(piece)
            else:
                self._over = True
                try:
                    events = parser.finish()
                except BrokenEventError:
                    if self._needs_end:  # cut, and so not ended; the caller sees that
                        return None
                    raise
            if parser.ended:
                self._exchange.ended = True
            if events or parser.lines != lines or self._over or parser.ended:
                return events
