"""One attempt's stream: primed before it is shown, watched to its end, closed at once.

LiteLLM reports a stream that was cut as finished (``finish_reason="stop"``). Here it is finished only when
a finish reason came *and* the protocol's end marker went over the wire.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_unified.answer import NoAnswerError
from llm_unified.call import StopError
from llm_unified.errors import StreamInterruptedError
from llm_unified.judge import inside, judge
from llm_unified.policy import Verdict
from llm_unified.redaction import defuse
from llm_unified.response import FailureKind as K
from llm_unified.response import StreamChunk
from llm_unified.wire.tidy import quietly

if TYPE_CHECKING:
    from llm_unified.answer import Assembly
    from llm_unified.call import PendingAttempt
    from llm_unified.dispatch import Dispatcher
    from llm_unified.response import LLMResponse

__all__ = ["LiveStream"]


class LiveStream:
    """A stream after its first content: watched, bounded, closed."""

    def __init__(
        self, dispatcher: Dispatcher, attempt: PendingAttempt, inner: Any, assembly: Assembly
    ) -> None:
        self._dispatcher, self._attempt, self._inner = dispatcher, attempt, inner
        self.assembly = assembly
        self._ready: deque[StreamChunk] = deque()
        self._over = False
        self.response: LLMResponse | None = None

    async def prime(self) -> None:
        """Read until the first content or tool delta.

        Raises:
            NoAnswerError: the stream ended without any.
        """
        attempt, loop = self._attempt, asyncio.get_running_loop()
        idle = self._dispatcher.settings.stream_idle_timeout
        left = attempt.began + attempt.budget - time.monotonic()
        ends = loop.time() + max(0.0, left)
        async with asyncio.timeout_at(ends) as timer:
            while not self._ready and (chunk := await self._first()) is not None:
                shown = self.assembly.add(chunk)
                if shown is not None:
                    self._ready.append(shown)
                elif _thinking(chunk):  # it lives: from here the idle limit counts
                    timer.reschedule(loop.time() + min(idle, attempt.call.remaining))
        if not self._ready:
            raise self._emptiness()
        attempt.first_token = time.monotonic() - attempt.began

    async def _first(self) -> Any:
        """The next chunk before the first content, or ``None`` at the end of the stream."""
        try:
            return await self._inner.__anext__()
        except StopAsyncIteration:
            return None
        except Exception as error:  # noqa: BLE001 - passed on
            raise _unwrapped(error) from None

    def _emptiness(self) -> NoAnswerError:
        assembly = self.assembly
        if assembly.refusal or assembly.finish_reason == "content_filter":
            return NoAnswerError("refused by the content filter", K.CONTENT_POLICY, assembly.usage)
        verdict = inside(self._attempt.wire, "stream ended without content")
        return NoAnswerError(verdict.reason, verdict.kind, assembly.usage)

    def __aiter__(self) -> LiveStream:
        return self

    async def __anext__(self) -> StreamChunk:
        if self._ready:
            return self._ready.popleft()
        if self._over:
            raise StopAsyncIteration
        idle = self._dispatcher.settings.stream_idle_timeout
        limit = min(idle, self._attempt.call.remaining)
        cause: BaseException | None = None
        add = self.assembly.add
        try:
            async with asyncio.timeout(max(0.0, limit)):
                async for chunk in self._inner:
                    shown = add(chunk)
                    if shown is not None:
                        return shown
            return await self._finish()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        except StopError as stop:  # the caller's `accept` raised
            await self.aclose()
            raise stop.error from stop.cause
        except NoAnswerError as error:
            verdict = Verdict(error.kind, error.reason, self._attempt.wire.status)
        except TimeoutError:
            words = f"nothing came for {idle:g} s" if limit == idle else "the deadline passed"
            verdict = Verdict(K.TIMEOUT, words, self._attempt.wire.status)
        except Exception as error:  # noqa: BLE001 - as in `Dispatcher.attempt`
            cause = _unwrapped(error)
            verdict = judge(cause, self._attempt.wire)
        raise await self._interrupted(verdict) from defuse(cause)

    async def _finish(self) -> StreamChunk:
        """The stream ended. Whole? Then the answer is complete.

        Raises:
            NoAnswerError: it was cut, which LiteLLM reports as ``finish_reason="stop"``.
        """
        call, wire, assembly = self._attempt.call, self._attempt.wire, self.assembly
        finished = any(
            getattr(self._inner, name, None) is not None
            for name in ("received_finish_reason", "intermittent_finish_reason")
        )
        if not finished or (wire.is_stream and wire.end_marker is not None and not wire.marked):
            if wire.fault is not None:
                raise NoAnswerError(wire.reason, wire.fault)
            verdict = inside(wire, "stream ended without its end marker")
            raise NoAnswerError(verdict.reason, verdict.kind)
        cost = self._dispatcher.price(self._attempt, assembly.usage)
        response = assembly.finish(cost_usd=cost, parser=call.parser)
        await self._dispatcher.accept(call, response)
        self._over = True
        await self._close()
        self._dispatcher.after.answered(self._attempt, response.usage, cost)
        self.response = replace(response, attempts=tuple(call.attempts))
        return StreamChunk("", assembly.provider, assembly.model, (), assembly.finish_reason)

    async def _interrupted(self, verdict: Verdict) -> StreamInterruptedError:
        self._over = True
        await self._close()
        attempts, assembly = self._attempt.call.attempts, self.assembly
        self._dispatcher.after.failed(self._attempt, verdict, assembly.usage)
        return StreamInterruptedError(
            f"the stream broke after its first content: {attempts[-1]}",
            kind=verdict.kind,
            partial_text=assembly.content,
            tool_calls=assembly.deltas(),
            usage=assembly.usage,
            attempts=attempts,
        )

    async def aclose(self) -> None:
        """Stop reading; the socket is free when this returns. An unfinished stream counts as cancelled."""
        if not self._over:
            self._over = True
            self._ready.clear()
            self._dispatcher.after.abandoned(self._attempt, self.assembly.usage)
        await self._close()

    async def _close(self) -> None:
        await quietly(self._inner.aclose())
        await quietly(self._attempt.wire.aclose())  # Anthropic's iterator leaves the socket open


def _unwrapped(error: Exception) -> Exception:
    """LiteLLM wraps a failure after the start, for a fallback that would splice two models."""
    return getattr(error, "original_exception", None) or error


def _thinking(chunk: Any) -> bool:
    return bool(chunk.choices and getattr(chunk.choices[0].delta, "reasoning_content", None))
