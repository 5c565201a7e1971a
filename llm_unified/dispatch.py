"""One call along its chain: who is asked in which order, for how long, and what each outcome means.

LiteLLM's Router walks the chain (`Engine.walk`); each of its attempts comes back here (`Dispatcher.attempt`)
for the turn, the time limit and the verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from llm_unified.answer import Assembly, NoAnswerError, embedding_of, from_completion
from llm_unified.call import NextError, PendingAttempt, StopError
from llm_unified.consequences import Consequences
from llm_unified.errors import (
    AllProvidersFailedError,
    BadRequestError,
    DeadlineExceededError,
    LLMError,
    ServiceClosedError,
)
from llm_unified.judge import judge
from llm_unified.live import LiveStream
from llm_unified.policy import TRANSIENT, Verdict, attempt_budget
from llm_unified.redaction import defuse
from llm_unified.response import FailureKind as K
from llm_unified.rotation import Rotation
from llm_unified.wire.tidy import Bounded, quietly
from llm_unified.wire.transport import WIRE, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from llm_unified.call import Call
    from llm_unified.engine import Engine
    from llm_unified.pool.deployments import Deployment
    from llm_unified.response import Attempt, Embedding, LLMResponse, Usage
    from llm_unified.settings import Settings
    from llm_unified.wire.connections import Connections
    from llm_unified.wire.transport import PoolTransport

__all__ = ["Dispatcher"]

_CALLERS_FAULT = frozenset({K.BAD_REQUEST, K.CONTEXT_LENGTH, K.CONTENT_POLICY})


class Dispatcher:
    """Carries out the calls of one service. Safe from any event loop of any thread."""

    def __init__(
        self,
        engine: Engine,
        connections: Connections,
        *,
        on_attempt: Callable[[Attempt, bool], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``on_attempt`` is called inline with each attempt and whether it was a user's."""
        self.engine = engine
        self.connections = connections
        self.rotation = Rotation(
            engine.deployments.values(),
            threshold=engine.settings.failure_threshold,
            cooldown=engine.settings.cooldown,
            clock=clock,
        )
        self.after = Consequences(engine, self.rotation, on_attempt)
        self._sleep = sleep
        self._bounded = Bounded()
        self._lock = threading.Lock()
        self._closed = False
        self._busy: Counter[Engine] = Counter()
        self.enough_tokens: dict[str, int] = {}
        """Endpoints that refused a ping for one token, and what they get instead (`probe`)."""

    @property
    def settings(self) -> Settings:
        return self.engine.settings

    def replace(self, engine: Engine) -> None:
        """Calls from now on go to ``engine``; those under way end where they are."""
        for deployment in engine.changed(self.engine):
            self.rotation.forget(deployment)
        self.rotation.replace(
            engine.deployments.values(),
            threshold=engine.settings.failure_threshold,
            cooldown=engine.settings.cooldown,
        )
        self.after.reloaded(engine)
        with self._lock:
            self.engine = engine
        self._retire()

    @contextlib.contextmanager
    def _at_work(self, call: Call) -> Iterator[Engine]:
        """The call keeps its configuration, and that its connections, until it is over."""
        with self._lock:
            engine = call.engine = self.engine
            self._busy[engine] += 1
        try:
            yield engine
        finally:
            with self._lock:
                self._busy[engine] -= 1
                over = not self._busy[engine] and engine is not self.engine
                if over:
                    del self._busy[engine]
            if over:
                self._retire()

    def _retire(self) -> None:
        with self._lock:
            needed = {self.engine, *(engine for engine, calls in self._busy.items() if calls)}
        self.connections.retire(frozenset().union(*(engine.connection_keys for engine in needed)))

    # -- one call --------------------------------------------------------------------------------

    async def complete(self, call: Call) -> LLMResponse:
        """Ask the chain.

        Raises:
            LLMError: see the failure table.
        """
        await self._run(call)
        assert call.answer is not None  # noqa: S101 - the Router returned, so an attempt was accepted
        return call.answer

    async def stream(self, call: Call) -> LiveStream:
        """The same, up to the first content; from there on it is the stream's own business."""
        call.stream = True
        await self._run(call)
        assert call.opened is not None  # noqa: S101 - as above
        return call.opened

    async def embed(self, call: Call) -> Embedding:
        """The same for embeddings, all of one model."""
        await self._run(call)
        assert call.embedding is not None  # noqa: S101 - as above
        return call.embedding

    async def _run(self, call: Call) -> None:
        call.attempt = self._attempts(call)
        if call.clients is None:
            call.clients = await self.connections.here()
        with self._at_work(call) as engine:
            await self._ask(call, engine)

    async def _ask(self, call: Call, engine: Engine) -> None:
        try:
            call.order = await self._order(call)
            for round_ in range(self.settings.retries + 1):
                if round_:
                    again = self._worth_again(call)
                    pause = random.uniform(0.0, min(2.0, 0.1 * 2.0**round_))  # noqa: S311 - full jitter
                    if not again or pause >= call.remaining:
                        break
                    await self._sleep(pause)
                    call.order = again
                if await engine.walk(call):
                    return
            raise self._nobody(call)
        except StopError as stop:
            raise stop.error from defuse(stop.cause)

    async def _order(self, call: Call) -> tuple[str, ...]:
        """Those of the chain that are not resting; if all are, the one that reopens soonest."""
        if call.pinned is not None:
            return (call.pinned.provider,)
        await self.after.hear()
        awake = tuple(name for name in call.chain if self.rotation.available(name))
        if awake:
            return awake
        soonest = self.rotation.soonest(call.chain)
        if soonest is None:  # pragma: no cover - settings always give every provider a deployment
            raise StopError(LLMError("no deployment is configured"))
        name, wait, asked_for = soonest
        if asked_for and wait > 0:
            if wait >= call.remaining:
                raise StopError(
                    AllProvidersFailedError(
                        f"every provider asked to be left alone; the first is back in {wait:.1f} s, "
                        f"after this call's deadline of {call.deadline:g} s",
                        retry_after=wait,
                    )
                )
            await self._sleep(wait)
        call.forced = name
        others = (other for other in call.chain if other != name)
        return (name, *filter(self.rotation.available, others))

    def _worth_again(self, call: Call) -> tuple[str, ...]:
        last = {a.provider: a.kind for a in call.attempts}
        return tuple(name for name in call.chain if last.get(name) in TRANSIENT)

    def _nobody(self, call: Call) -> StopError:
        trail = "; ".join(str(a) for a in call.attempts) or "nobody could be asked"
        soonest = self.rotation.soonest(call.chain)
        wait = soonest[1] if soonest is not None and soonest[1] > 0 else None
        if wait is None:
            wishes = (a.retry_after for a in call.attempts if a.retry_after is not None)
            wait = min(wishes, default=None)
        if call.remaining <= 0.0:
            error: LLMError = DeadlineExceededError(
                f"no answer within the deadline of {call.deadline:g} s; the time went to: {trail}",
                attempts=call.attempts,
                retry_after=wait,
            )
        else:
            spent = time.monotonic() - call.started
            error = AllProvidersFailedError(
                f"no provider answered (after {spent:.2f} s): {trail}",
                attempts=call.attempts,
                retry_after=wait,
            )
        return StopError(error, call.cause)

    # -- one attempt -----------------------------------------------------------------------------

    def _attempts(
        self, call: Call
    ) -> Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]:
        async def attempt(provider: str, send: Callable[[], Awaitable[Any]]) -> Any:
            return await self._attempt(self._begin(call, provider), send)

        return attempt

    def _begin(self, call: Call, provider: str) -> PendingAttempt:
        """Take the turn and set the limit.

        Raises:
            NextError: the provider began to rest after the order was made.
            StopError: no time is left, or the service was closed.
        """
        if self._closed:
            raise StopError(ServiceClosedError("the service was closed during this call"))
        forced = provider == call.forced
        deployment = call.pinned or self.rotation.pick(provider, even_resting=forced)
        engine = call.engine or self.engine
        if engine is not self.engine:  # reloaded meanwhile: this call knows the old copies only
            deployment = engine.same_or_first(provider, deployment)
        if deployment is None:
            raise NextError("resting")
        later = len(call.order) - 1 - call.order.index(provider)
        timeout = call.timeout or self.timeout_of(provider)
        budget = attempt_budget(timeout=timeout, remaining=call.remaining, later=later)
        if call.stream:
            budget = min(budget, self.settings.first_token_timeout)
        if budget <= 0.0:
            self.rotation.released(deployment)
            raise self._nobody(call)
        call.current = deployment
        row = deployment.row
        wire = Wire(
            end_marker=row.end_marker if call.stream else None,
            prefix=b"" if call.stream else row.missing,
            ours=row.protocol != "other",
        )
        return PendingAttempt(call, deployment, wire, budget)

    async def _attempt(self, attempt: PendingAttempt, send: Callable[[], Awaitable[Any]]) -> Any:
        """Ask one copy and judge what comes.

        Raises:
            NextError: it failed, and the Router is to go on.
            StopError: it failed, and nobody else is to be asked.
        """
        call, wire, budget = attempt.call, attempt.wire, attempt.budget
        token = WIRE.set(wire)
        usage: Usage | None = None
        cause: BaseException | None = None
        try:
            result = await self._bounded.run(send(), budget, wire)
            await self._take(attempt, result)
        except asyncio.CancelledError:
            await quietly(wire.aclose())
            self.rotation.released(attempt.deployment)
            self.after.recorded(attempt, Verdict(K.CANCELLED, "caller went away"))
            raise
        except NoAnswerError as error:
            verdict, usage = Verdict(error.kind, error.reason, wire.status), error.usage
        except TimeoutError:
            missing = "first token" if call.stream else "whole answer" if wire.status else "answer"
            verdict = Verdict(K.TIMEOUT, f"no {missing} within {budget:.2f} s", wire.status)
        except Exception as error:  # noqa: BLE001 - LiteLLM raises anything; the wire knows better
            verdict, cause = judge(error, wire), error
        else:
            return result
        finally:
            WIRE.reset(token)
        await quietly(wire.aclose())
        call.cause = cause
        if call.rehearsal:
            raise NextError
        self.after.failed(attempt, verdict, usage)
        if verdict.kind in self.settings.fallback_on:
            raise NextError(str(call.attempts[-1]))
        raise self._refused(call, verdict)

    def _refused(self, call: Call, verdict: Verdict) -> StopError:
        if verdict.kind not in _CALLERS_FAULT:
            return self._nobody(call)
        last = call.attempts[-1]
        error = BadRequestError(
            f"{last.provider} refused the request: {last}",
            attempts=call.attempts,
            kind=verdict.kind,
            status=verdict.status,
        )
        return StopError(error, call.cause)

    async def _take(self, attempt: PendingAttempt, result: Any) -> None:
        """Turn LiteLLM's result into ours, or raise `NoAnswerError`."""
        call, provider, model = attempt.call, attempt.deployment.provider, attempt.model
        if call.stream:
            call.opened = LiveStream(self, attempt, result, Assembly(provider, model))
            await call.opened.prime()
            return
        engine = call.engine or self.engine
        cost = engine.cost(attempt.deployment, result)
        if call.embeds:
            call.embedding = embedding_of(result, provider=provider, model=model, cost_usd=cost)
            usage = call.embedding.usage
        else:
            response = from_completion(
                result,
                provider=provider,
                model=model,
                cost_usd=cost,
                parser=call.parser,
                empty_is_fine=call.empty_is_fine,
            )
            await self.accept(call, response)
            call.answer, usage = response, response.usage
        self.after.answered(attempt, usage, cost)

    async def accept(self, call: Call, response: LLMResponse) -> None:
        """Ask the caller's ``accept``.

        Raises:
            NoAnswerError: it said no.
            StopError: it raised; its exception goes to the caller as it is.
        """
        if call.accept is None:
            return
        try:
            verdict = call.accept(response)
            if asyncio.iscoroutine(verdict):
                verdict = await verdict
        except Exception as error:  # noqa: BLE001 - it is passed on as it is
            raise StopError(error, error.__cause__) from None
        if not verdict:
            raise NoAnswerError("accept() said no", usage=response.usage)

    def price(self, attempt: PendingAttempt, usage: Usage | None) -> float | None:
        """US dollars of a stream's tokens, ``None`` when nobody knows."""
        engine = attempt.call.engine or self.engine
        return engine.price(attempt.deployment, usage, attempt.model)

    def timeout_of(self, provider: str) -> float:
        """Seconds for one attempt."""
        return self.settings.provider(provider).timeout or self.settings.timeout

    async def transport_of(self, deployment: Deployment) -> PoolTransport | None:
        """This copy's sockets in this loop; ``None`` where LiteLLM uses its own."""
        pooled = self.engine.pooled(deployment, await self.connections.here())
        return None if pooled is None else pooled.transport

    async def aclose(self) -> None:
        """Close all sockets, in whatever loops they are; calls under way end."""
        self._closed = True
        await self.after.aclose()
        await self.connections.aclose()
        await self.engine.aclose()
        await self._bounded.aclose()
