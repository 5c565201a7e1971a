"""One call along its chain: order, rounds and deadline. LiteLLM's Router walks; each step comes back here."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from llm_unified.calls.attempt import PendingAttempt
from llm_unified.calls.budget import attempt_budget
from llm_unified.calls.ledger import Ledger
from llm_unified.calls.limits import Limits
from llm_unified.calls.outcome import nobody_answered, refused
from llm_unified.calls.request import Request, Trail
from llm_unified.engine.engine import Engine
from llm_unified.errors import AllProvidersFailedError, ServiceClosedError
from llm_unified.failures.classify import Failure
from llm_unified.failures.table import KEY_KINDS, TRANSIENT
from llm_unified.observe.events import FellBack
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.lease import Lease
from llm_unified.pool.rotation import Rotation
from llm_unified.response import FailureKind as K
from llm_unified.wire.transport import ConnectionPool

__all__ = ["Chain", "Work"]

Work = Callable[[PendingAttempt, bool], Awaitable[Any]]
"""Carries out one attempt and returns its result; the flag asks for a fresh connection."""

_CALLERS_FAULT: Final = frozenset({K.BAD_REQUEST, K.CONTEXT_LENGTH, K.CONTENT_POLICY})
_LONGEST_PAUSE_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_PROBE_MARGIN_SECONDS: Final = 1.0
"""A probe belongs to its attempt for so long after the attempt's limit: it takes a moment to end."""


class Chain:
    """Asks the providers of one call until one answers."""

    def __init__(
        self,
        request: Request,
        engine: Engine,
        rotation: Rotation,
        ledger: Ledger,
        pools: MutableMapping[str, ConnectionPool],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        closed: Callable[[], bool] = lambda: False,
        superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        """``engine``: the configuration on which the call ends, whatever is reloaded meanwhile;
        ``superseded`` says whether that has happened.
        """
        self.request, self.engine = request, engine
        self.settings = engine.settings
        first = request.chain[0]
        self.limits = Limits(
            request,
            self.settings,
            lambda provider: engine.reasons(provider, request.model if provider == first else None),
        )
        self.trail = Trail(self.limits.deadline)
        self.pools = pools
        self._rotation, self._ledger = rotation, ledger
        self.publisher = ledger.publisher
        self._sleep, self._closed, self._superseded = sleep, closed, superseded
        self.meant = engine.names.meant(first, request.model)
        """Whom the call is for, as events name it."""
        self._at = first
        self._order: tuple[str, ...] = ()
        self._soonest: str | None = None
        self._last_resort = False
        self._result: Any = None

    async def run(self, work: Work) -> Any:
        """What ``work`` returned for the attempt that answered.

        Raises:
            LLMError: see the failure table.
        """
        order = await self._awake()
        for round_ in range(self.settings.retries + 1):
            if round_:
                order = self._worth_again()
                pause = random.uniform(  # noqa: S311 - full jitter
                    0.0, min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0**round_)
                )
                pause = max([pause, *self._wishes(order)])
                if not order or pause >= self.trail.remaining:
                    break
                await self._sleep(pause)
                self.trail.credentials.clear()
                self._last_resort = True  # their failure may just have opened the breaker
            if await self._walk(order, work):
                return self._result
        if self.trail.remaining > 0.0 and (order := self._last_resorts()):
            self._last_resort = True
            if await self._walk(order, work):
                return self._result
        raise self._nobody()

    async def _walk(self, order: tuple[str, ...], work: Work) -> bool:
        self._order = order
        return await self.engine.walk(order, lambda provider: self._ask(provider, work))

    # -- who -------------------------------------------------------------------------------------

    async def _awake(self) -> tuple[str, ...]:
        """Those of the chain that do not cool down; if all do, the one that is back soonest."""
        chain = self.request.chain
        awake = tuple(name for name in chain if self._available(name))
        if awake:
            return awake
        soonest = self._rotation.soonest(chain)
        if soonest is None:
            raise self._nobody()
        name, wait, asked_for = soonest
        if asked_for and wait > 0:
            if wait >= self.trail.remaining:
                raise AllProvidersFailedError(
                    f"every provider asked to be left alone; the first is back in {wait:.1f} s, "
                    f"after this call's deadline of {self.trail.deadline:g} s",
                    retry_after=wait,
                )
            await self._sleep(wait)
        self._soonest = name
        others = (other for other in chain if other != name)
        return (name, *filter(self._available, others))

    def _available(self, provider: str) -> bool:
        """One that a reload took away meanwhile is still this call's."""
        if self._rotation.available(provider):
            return True
        return self._superseded() and not self._rotation.state(provider)

    def _worth_again(self) -> tuple[str, ...]:
        last = {a.provider: a.kind for a in self.trail.attempts}
        return tuple(name for name in self.request.chain if last.get(name) in TRANSIENT)

    def _wishes(self, order: Iterable[str]) -> list[float]:
        """Seconds that the first of ``order`` asked to be left alone."""
        first = next(iter(order), None)
        last = {a.provider: a.retry_after for a in self.trail.attempts}
        wish = last.get(first) if first is not None else None
        return [] if wish is None else [wish]

    def _last_resorts(self) -> tuple[str, ...]:
        """Not asked yet because their breaker is open: better than giving up."""
        asked = {a.provider for a in self.trail.attempts}
        return tuple(
            name
            for name in self.request.chain
            if name not in asked and self._rotation.last_resorts(name)
        )

    # -- one provider ----------------------------------------------------------------------------

    async def _ask(self, provider: str, work: Work) -> bool:
        """Ask one provider; whether it answered. Each of its keys once, a stale connection once more.

        Raises:
            LLMError: nobody else is to be asked.
        """
        fresh, attempt = False, None
        while True:
            lease = self._lease(provider, attempt if fresh else None)
            if lease is None:
                if attempt is None or attempt.failure is None:
                    return False  # it began to cool down after the order was made
                return self._go_on(attempt.failure)
            attempt = self._begin(lease)
            self.trail.credentials.add(lease.deployment.credential)
            async with attempt:
                self._result = await work(attempt, fresh)
            failure = attempt.failure
            if failure is None:
                return True
            if self.trail.attempts[-1].stale and not fresh:
                fresh = True
                continue
            fresh = False
            if failure.kind not in KEY_KINDS:
                return self._go_on(failure)

    def _lease(self, provider: str, stale: PendingAttempt | None) -> Lease | None:
        if stale is not None:
            return self._rotation.lease(stale.deployment)
        if not self._superseded():
            lease = self._rotation.acquire(
                provider,
                budget=self._seconds(provider)[0] + _PROBE_MARGIN_SECONDS,
                without=frozenset(self.trail.credentials),
                soonest=provider == self._soonest,
                last_resort=self._last_resort,
            )
            if lease is None or self._is_own(lease.deployment):
                return lease
            lease.released()  # a reload came in between
        # This call knows the deployments of its own configuration only.
        own = (d for d in self.engine.deployments.values() if d.provider == provider)
        left = (d for d in own if d.credential not in self.trail.credentials)
        deployment = next(left, None)
        return None if deployment is None else self._rotation.lease(deployment)

    def _is_own(self, deployment: Deployment) -> bool:
        return self.engine.deployments.get(deployment.id) is deployment

    def _begin(self, lease: Lease) -> PendingAttempt:
        """Set the limit.

        Raises:
            LLMError: no time is left, or the service was closed.
        """
        provider, request, trail = lease.deployment.provider, self.request, self.trail
        if self._closed():
            lease.released()
            raise ServiceClosedError("the service was closed during this call")
        seconds, own_limit = self._seconds(provider)
        if seconds <= 0.0:
            lease.released()
            raise self._nobody()
        if provider != self._at:
            self._fell_back(lease.deployment)
        return PendingAttempt(
            request, trail, lease, self._ledger, self.engine, seconds=seconds, own_limit=own_limit
        )

    def _fell_back(self, target: Deployment) -> None:
        request, trail, source = self.request, self.trail, self._at
        last = next((a for a in reversed(trail.attempts) if a.provider == source), None)
        self._at = target.provider
        self.publisher.publish(
            FellBack(
                trail.call_id,
                request.operation,
                request.stream,
                source,
                target.provider,
                None if last is None else last.deployment,
                target.id,
                None if last is None else last.kind,
            )
        )

    def _seconds(self, provider: str) -> tuple[float, bool]:
        """How long one attempt at it may take, and whether that is the caller's own limit."""
        configured = self.limits.attempt(provider)
        asked = self.request.timeout
        later = len(self._order) - 1 - self._order.index(provider)
        seconds = attempt_budget(
            timeout=asked or configured, remaining=self.trail.remaining, later=later
        )
        if self.request.stream:
            first_token = self.limits.first_token(provider)
            configured, seconds = min(configured, first_token), min(seconds, first_token)
        return seconds, asked is not None and seconds == asked < configured

    def most_seconds(self, attempt: PendingAttempt) -> float:
        """How long a stream may show signs of life without content: the others must stay reachable."""
        later = len(self._order) - 1 - self._order.index(attempt.deployment.provider)
        return attempt_budget(timeout=math.inf, remaining=self.trail.remaining, later=later)

    def _go_on(self, failure: Failure) -> bool:
        """Whether the next provider is to be asked is the failure table's business.

        Raises:
            LLMError: it is not.
        """
        others = len({*self.request.chain} - {a.provider for a in self.trail.attempts}) > 0
        last = self.trail.attempts[-1]
        if failure.kind in self.settings.fallback_on:
            return False
        if failure.kind is K.BAD_REQUEST:
            earlier = {
                a.provider
                for a in self.trail.attempts
                if a.sent and a.kind is not K.BAD_REQUEST and a.provider != last.provider
            }
            if earlier or (not last.sent and others):
                return False
        if failure.kind in _CALLERS_FAULT:
            raise refused(self.trail, failure)
        raise self._nobody()

    def _nobody(self) -> AllProvidersFailedError:
        return nobody_answered(self.trail, self._rotation.soonest(self.request.chain))
