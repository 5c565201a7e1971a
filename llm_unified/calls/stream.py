"""One attempt that answers in pieces: primed before it is shown, watched to its end, closed at once.

It is finished only when a finish reason came *and* the protocol's end marker went over the wire. Any event
is a sign of life: pings and empty pieces reset the idle limit, before and after the first content. What the
model thinks aloud is content in this sense: it is shown, and from then on nobody else is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from llm_unified.calls.answer import Assembly
from llm_unified.calls.attempt import PendingAttempt
from llm_unified.calls.chain import Chain
from llm_unified.calls.chat import accepted, finished, opened
from llm_unified.engine.pieces import AnswerError, Piece
from llm_unified.errors import StreamInterruptedError
from llm_unified.redaction import redacted_cause
from llm_unified.response import FailureKind as K
from llm_unified.response import LLMResponse, StreamChunk

__all__ = ["LiveStream"]


class LiveStream:
    """A stream after its first content."""

    def __init__(self, chain: Chain, attempt: PendingAttempt) -> None:
        self._chain, self._attempt = chain, attempt
        attempt.heard = self._assembly = Assembly(attempt.deployment.provider, attempt.model)
        self._idle = chain.limits.idle(attempt.deployment.provider)
        self._batches: AsyncIterator[list[Piece]] | None = None
        self._ready: list[StreamChunk] = []
        self._gaps: list[float] | None = None
        self._latest = 0.0
        self._broken: AnswerError | None = None
        self._response: LLMResponse | None = None

    @classmethod
    async def open(cls, chain: Chain) -> LiveStream:
        """Ask the chain until somebody's first content, tool or reasoning delta came.

        Raises:
            LLMError: see the failure table.
        """

        async def work(attempt: PendingAttempt, fresh: bool) -> LiveStream:
            live = cls(chain, attempt)
            await live._prime(fresh=fresh)
            attempt.keep()
            return live

        live: LiveStream = await chain.run(work)
        return live

    async def _prime(self, *, fresh: bool) -> None:
        """Read until there is something to show.

        Raises:
            AnswerError: the stream ended without any.
        """
        attempt, chain, loop = self._attempt, self._chain, asyncio.get_running_loop()
        latest = loop.time() + chain.most_seconds(attempt)
        async with attempt.limit() as timer:
            incoming = await opened(chain, attempt, fresh=fresh)
            self._batches = incoming.batches()
            async for pieces in self._batches:
                self._show(pieces)
                attempt.usage = self._assembly.usage  # a vendor may count as it goes
                if self._ready:
                    break
                timer.reschedule(min(loop.time() + self._idle, latest))
        if not self._ready:
            raise self._emptiness()
        attempt.answering()
        self._gaps, self._latest = attempt.sending.gaps, time.monotonic()

    def _show(self, pieces: list[Piece]) -> None:
        add, ready = self._assembly.add, self._ready
        for piece in pieces:
            if (chunk := add(piece)) is not None:
                ready.append(chunk)

    def _emptiness(self) -> AnswerError:
        assembly, exchange = self._assembly, self._attempt.exchange
        try:  # refused, or the caller's number of tokens was too small
            finished(self._chain, self._attempt, assembly)
        except AnswerError as error:
            if error.kind in (K.CONTENT_POLICY, K.REJECTED):
                return error
        return AnswerError("stream ended without content", error=exchange.error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Settle the attempt. What broke it is not raised on: see `result`."""
        self._attempt.usage = self._assembly.usage  # however it ends, this much was paid for
        return await self._attempt.__aexit__(kind, error, traceback)

    async def read(self) -> list[StreamChunk]:
        """What there is to show next; empty at the end.

        No generator: an event loop that ends closes all generators at once, the inner ones under the feet of
        the outer.

        Raises:
            AnswerError: it broke.
        """
        while not self._ready:
            if self._broken is not None:
                raise self._broken
            pieces = await self._next()
            if pieces is None:
                await self._finish()
                return []
            try:
                self._show(pieces)
                if self._gaps is not None and self._ready:
                    now = time.monotonic()
                    self._gaps.append(now - self._latest)
                    self._latest = now
            except AnswerError as error:  # what came before it is shown
                self._broken = error
        shown, self._ready = self._ready, []
        return shown

    async def _next(self) -> list[Piece] | None:
        """The next batch, within the idle limit and the deadline."""
        assert self._batches is not None  # noqa: S101 - it was primed
        limit = min(self._idle, self._chain.trail.remaining)
        try:
            async with asyncio.timeout(max(0.0, limit)):
                return await anext(self._batches, None)
        except TimeoutError:
            silent = limit == self._idle
            words = f"nothing came for {limit:g} s" if silent else "the deadline passed"
            raise AnswerError(words, K.TIMEOUT) from None

    async def _finish(self) -> None:
        """The stream ended. Whole? Then the answer is complete.

        Raises:
            AnswerError: it was cut, or is no answer.
        """
        attempt, assembly = self._attempt, self._assembly
        assert attempt.incoming is not None  # noqa: S101 - it was opened
        if not attempt.incoming.complete:
            raise AnswerError("stream ended without its end marker")
        response = finished(self._chain, attempt, assembly)
        await attempt.close()  # the connection is free while the caller looks at the answer
        async with asyncio.timeout(max(0.0, self._chain.trail.remaining)):
            await accepted(attempt, response)
        attempt.answered()
        trail = self._chain.trail
        self._response = replace(response, attempts=tuple(trail.attempts), call_id=trail.call_id)

    def result(self) -> LLMResponse:
        """How it ended, to be asked behind the block: an error raised in it would drag its frames along.

        Raises:
            StreamInterruptedError: it broke.
        """
        if self._attempt.failure is not None:
            raise self._interrupted()
        assert self._response is not None  # noqa: S101 - it finished
        return self._response

    @property
    def last(self) -> StreamChunk:
        """The chunk with the finish reason."""
        assembly = self._assembly
        return StreamChunk("", assembly.provider, assembly.model, (), self.result().finish_reason)

    def _interrupted(self) -> StreamInterruptedError:
        attempts, failure = self._chain.trail.attempts, self._attempt.failure
        assert failure is not None  # noqa: S101 - it broke
        error = StreamInterruptedError(
            f"the stream broke after its first content: {attempts[-1]}",
            kind=failure.kind,
            partial_text=self._assembly.content,
            tool_calls=self._assembly.calls.deltas(),
            usage=self._assembly.usage,
            attempts=attempts,
        )
        error.__cause__ = redacted_cause(self._chain.trail.cause)
        return error
