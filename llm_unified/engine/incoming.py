"""What comes back for one attempt: a whole answer as one piece, or a stream in batches of pieces.

Two ways lead here and are the same for whoever reads: a `Plan`'s translation over our wire, and the way
through `completion()` (`classic`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from llm_unified.engine.pieces import AnswerError, Piece
from llm_unified.engine.prepared import Prepared
from llm_unified.wire.exchange import Exchange
from llm_unified.wire.reply import Reply

__all__ = ["Incoming", "PlannedAnswer", "RenamedAnswer"]


class Incoming(Protocol):
    """One answer on its way in."""

    @property
    def complete(self) -> bool:
        """Whether the protocol's own end was seen; a stream that only stopped is not."""

    async def whole(self) -> Piece:
        """The whole answer."""

    def batches(self) -> AsyncIterator[list[Piece]]:
        """A stream's pieces, those that arrived together in one list; a list may be empty (a ping)."""

    async def aclose(self) -> None:
        """Give the connection back, or close it; safe to call twice."""


class PlannedAnswer:
    """An answer over our wire, read by a plan's translation."""

    def __init__(
        self, prepared: Prepared, reply: Reply, exchange: Exchange, *, sends_end: bool
    ) -> None:
        """``sends_end``: the server is known to send the end marker; else a finish reason will do."""
        self._prepared, self._reply, self._exchange = prepared, reply, exchange
        self._sends_end = sends_end
        self._finished = False

    @property
    def complete(self) -> bool:
        return self._finished and (self._exchange.ended or not self._sends_end)

    async def whole(self) -> Piece:
        return self._read_whole(await self._reply.json())

    def _read_whole(self, data: object) -> Piece:
        try:
            return self._prepared.whole(data)
        except AnswerError as error:
            self._exchange.error = error.error
            raise

    async def batches(self) -> AsyncIterator[list[Piece]]:
        if not (self._prepared.stream and self._reply.is_event_stream):
            piece = await self.whole()
            piece.finish_reason = piece.finish_reason or "stop"
            self._finished = self._exchange.ended = True
            yield [piece]
            return
        read = self._prepared.reader()
        async for events in self._reply.batches(self._prepared.end_marker):
            pieces: list[Piece] = []
            try:
                for event in events:
                    piece_or_none = read(event)
                    if piece_or_none is not None:
                        pieces.append(piece_or_none)
                        if piece_or_none.finish_reason is not None:
                            self._finished = True
            except AnswerError as error:
                self._exchange.error = error.error
                if pieces:  # what came before it is shown
                    yield pieces
                raise
            yield pieces

    async def aclose(self) -> None:
        await self._reply.aclose()


class RenamedAnswer:
    """An answer whose tools have other names on the wire than the caller gave them."""

    def __init__(self, incoming: Incoming, names: Mapping[str, str]) -> None:
        """``names``: on the wire → the caller's."""
        self._incoming, self._names = incoming, names

    @property
    def complete(self) -> bool:
        return self._incoming.complete

    async def whole(self) -> Piece:
        return self._renamed(await self._incoming.whole())

    async def batches(self) -> AsyncIterator[list[Piece]]:
        async for pieces in self._incoming.batches():
            yield [self._renamed(piece) for piece in pieces]

    async def aclose(self) -> None:
        await self._incoming.aclose()

    def _renamed(self, piece: Piece) -> Piece:
        if piece.tool_calls:
            piece.tool_calls = [
                (index, id_, self._names.get(name or "", name), arguments)
                for index, id_, name, arguments in piece.tool_calls
            ]
        return piece
