"""One provider of a watch: asked once per round, and what came of it so far."""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from llm_unified.cli.targets import answers, probe, words
from llm_unified.errors import LLMError
from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from llm_unified.response import Attempt
    from llm_unified.service import UnifiedLLMService

__all__ = ["Watched"]

_KEPT: Final = 1000  # times, from which the percentiles come
_RATE_LIMITED: Final = 429
_SERVER_ERROR: Final = 500


class Watched:
    """A provider, and how it was in each round."""

    def __init__(self, service: UnifiedLLMService, name: str, tokens: int, limit: float) -> None:
        """``tokens``: 0 asks for the list of models, which costs nothing; ``limit``: seconds per question."""
        self.name = name
        self._service, self._tokens, self._limit = service, tokens, limit
        self._times: deque[float] = deque(maxlen=_KEPT)
        self._asked = self._failed = self._spent = 0
        self._cost = 0.0
        self._problem: tuple[float, str] | None = None
        self._up: bool | None = None

    async def ask(self) -> dict[str, Any]:
        """Ask it once; what is known now, as plain data: ``up`` in this round, the rest since the beginning."""
        outcome = await self._outcome()
        attempt = None if isinstance(outcome, LLMError) else outcome
        seconds, problem = None, None
        if outcome is None:
            self._up = None
        else:
            self._asked += 1
            self._up = attempt is not None and answers(attempt)
            if attempt is not None and self._up:
                seconds = attempt.first_token_seconds or attempt.seconds
                self._times.append(seconds)
            else:
                self._failed += 1
                problem = words(outcome)
                self._problem = time.monotonic(), problem
        if attempt is not None:
            self._spent += attempt.usage.total_tokens if attempt.usage else 0
            self._cost += attempt.cost_usd or 0.0
        health = self._service.get_health().get(self.name, {})  # knows the chain only
        at, last = self._problem or (0.0, None)
        return {
            "up": self._up,
            "health": health.get("status", "healthy" if self._up else "unhealthy"),
            "breaker": self._breaker(),
            "turn": attempt.deployment if attempt else "-",
            "ms": _milliseconds(seconds),
            "first_token_ms": _milliseconds(seconds) if self._tokens else None,
            "p50_ms": _milliseconds(self._quantile(50)),
            "p99_ms": _milliseconds(self._quantile(99)),
            "requests": self._asked,
            "errors": self._failed,
            "tokens": self._spent,
            "cost_usd": round(self._cost, 8),
            "problem": problem,
            "last_problem": last,
            "seconds_since_problem": round(time.monotonic() - at, 1) if last else None,
        }

    def ready(self) -> bool:
        """Whether a call would be sent there now."""
        dispatcher = self._service.dispatcher_if_built
        return (
            self._up is True and dispatcher is not None and dispatcher.rotation.available(self.name)
        )

    async def _outcome(self) -> Attempt | LLMError | None:
        """``None``: it cannot be asked without spending tokens."""
        if self._tokens:
            return await probe(self._service, self.name, self._tokens, deadline=self._limit)
        dispatcher = await self._service.dispatcher()
        from llm_unified.calls.ping import ping

        lease = dispatcher.rotation.acquire(self.name, budget=self._limit, soonest=True)
        if lease is None or await dispatcher.pool_of(lease.deployment) is None:
            if lease is not None:
                lease.released()
            return None
        return _judged(await ping(dispatcher, lease, "connection", seconds=self._limit))

    def _breaker(self) -> str:
        dispatcher = self._service.dispatcher_if_built
        states = [] if dispatcher is None else dispatcher.rotation.state(self.name)
        best = min(states, key=lambda s: (s.cooldown_seconds, s.half_open), default=None)
        return "closed" if best is None else best.breaker

    def _quantile(self, percent: int) -> float | None:
        if len(self._times) < 2:  # noqa: PLR2004 - what statistics needs
            return next(iter(self._times), None)
        return statistics.quantiles(self._times, n=100, method="inclusive")[percent - 1]


def _judged(attempt: Attempt) -> Attempt:
    """A connection is all that such a ping asks for; who watches wants to know of a provider in trouble, too."""
    status = attempt.status or 0
    if attempt.kind is not None or (status < _SERVER_ERROR and status != _RATE_LIMITED):
        return attempt
    kind = FailureKind.SERVER if status >= _SERVER_ERROR else FailureKind.RATE_LIMIT
    return replace(attempt, outcome="failed", kind=kind)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
