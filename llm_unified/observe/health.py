"""How each provider is, from users' requests and pings together. Pure: attempts in, values out.

`status_of` is the rule. `Health` keeps what it needs; the service feeds it every attempt, inline.
Clocks are handed in.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from llm_unified.failures.table import FOLLOWS, Effect
from llm_unified.forksafe import ForkSafeLock
from llm_unified.observe.events import AttemptEnded
from llm_unified.observe.figures import Seconds
from llm_unified.pool.standing import DeploymentState
from llm_unified.response import Attempt, FailureKind

__all__ = ["Health", "Status", "is_alive", "status_of"]

RECENT: Final = 300.0
"""Seconds for which an outcome counts."""
_KEPT: Final = 20
_SICK: Final = 3
_SHAKY: Final = 0.2
_WRONG: Final = frozenset({FailureKind.AUTH, FailureKind.NOT_FOUND, FailureKind.QUOTA})


class Status(StrEnum):
    """In one word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It answers, but not always, or not with all its deployments."""
    UNHEALTHY = "unhealthy"
    """Calls go to the next provider."""
    MISCONFIGURED = "misconfigured"
    """No key, or no model, that it accepts: somebody must change a setting."""
    UNKNOWN = "unknown"
    """Nobody has asked it yet."""


def is_alive(attempt: Attempt) -> bool:
    """Whether this attempt proves that the provider works, even if it refused what was asked.

    A ping for one token that the model answers with "too few" is as good as an answer.
    """
    if attempt.kind is None:
        return True
    refused = FOLLOWS[attempt.kind] is Effect.NOTHING
    return refused and attempt.kind is not FailureKind.CANCELLED and attempt.status is not None


def status_of(
    states: Collection[DeploymentState], outcomes: Iterable[bool], *, denied: Collection[str] = ()
) -> Status:
    """The rule. ``outcomes``: the recent ones, oldest first; ``denied``: deployments whose key is refused.

    * misconfigured: the key or the model of every deployment is refused;
    * unhealthy: every deployment cools down, or the last three outcomes were failures;
    * degraded: some deployment cools down or is refused, the last outcome was a failure, or a fifth of them;
    * unknown: none of these, and nothing was ever asked.
    """
    seen = list(outcomes)
    wrong = [s for s in states if s.kind in _WRONG or s.deployment.id in denied]
    cooling = [s for s in states if s.breaker != "closed" or s in wrong]
    if states and len(wrong) == len(states):
        return Status.MISCONFIGURED
    if states and len(cooling) == len(states):
        return Status.UNHEALTHY
    if len(seen) >= _SICK and not any(seen[-_SICK:]):
        return Status.UNHEALTHY
    if cooling or (seen and (not seen[-1] or seen.count(False) >= _SHAKY * len(seen))):
        return Status.DEGRADED
    return Status.HEALTHY if seen else Status.UNKNOWN


@dataclass(slots=True)
class _Provider:
    outcomes: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    denied: set[str] = field(default_factory=set)
    failure: FailureKind | None = None
    failed_at: float | None = None
    pings: int = 0
    ping_failures: int = 0
    pinged_at: float | None = None
    pinged: datetime | None = None
    tokens: int = 0
    cost_usd: float = 0.0


class Health:
    """What is known of each provider. Safe from any thread."""

    def __init__(
        self,
        providers: Iterable[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        """``clock``: monotonic seconds; ``now``: local time, for people to read."""
        self._clock, self._now = clock, now
        self._lock = ForkSafeLock()
        self._providers = {name: _Provider() for name in providers}

    def keep(self, providers: Iterable[str]) -> None:
        """After a reload: what is new is unknown, the others keep their history."""
        with self._lock:
            for name in providers:
                self._providers.setdefault(name, _Provider())

    def take(self, event: AttemptEnded) -> None:
        """Take one event."""
        self.note(event.attempt, ping=event.operation == "ping")

    def note(self, attempt: Attempt, *, ping: bool) -> None:
        """Take one attempt; one that sent nothing, or a stale one, says nothing about the provider."""
        if attempt.stale or not attempt.sent:
            return
        alive = is_alive(attempt)
        cancelled = attempt.outcome == "cancelled"
        with self._lock:
            known = self._providers.setdefault(attempt.provider, _Provider())
            if ping:
                known.pings += 1
                known.ping_failures += not alive
                known.pinged_at, known.pinged = self._clock(), self._now()
                known.tokens += attempt.usage.total_tokens if attempt.usage else 0
                known.cost_usd += attempt.cost_usd or 0.0
                if attempt.kind is FailureKind.AUTH:
                    known.denied.add(attempt.deployment)
            if alive:
                known.denied.discard(attempt.deployment)
            elif cancelled:
                return  # the caller went away; that says nothing about the provider
            else:
                known.failure, known.failed_at = attempt.kind, self._clock()
            known.outcomes.append((self._clock(), alive))

    def status(self, provider: str, states: Collection[DeploymentState]) -> Status:
        """In one word, by `status_of`; a last outcome that is long ago still counts."""
        with self._lock:
            known = self._providers.get(provider) or _Provider()
            oldest = self._clock() - RECENT
            recent = [alive for at, alive in known.outcomes if at >= oldest]
            if not recent and known.outcomes:
                recent = [known.outcomes[-1][1]]
            return status_of(states, recent, denied=known.denied)

    def report(
        self,
        provider: str,
        states: Collection[DeploymentState],
        seconds: Seconds,
    ) -> dict[str, Any]:
        """All that is known of one provider, as plain data; ``seconds``: its latencies."""
        best = min(states, key=lambda s: (s.cooldown_seconds, s.half_open), default=None)
        kind, ago = self.last_failure(provider)
        return {
            "status": self.status(provider, states).value,
            "breaker": "closed" if best is None else best.breaker,
            "rests_for": 0.0 if best is None else best.cooldown_seconds,
            "last_failure": None if kind is None else kind.value,
            "seconds_since_failure": ago,
            "p50_seconds": seconds["p50"],
            "p95_seconds": seconds["p95"],
            "pings": self.pings(provider),
            "copies": {
                state.deployment.id: {
                    "breaker": state.breaker,
                    "rests_for": state.cooldown_seconds,
                    "reason": None if state.kind is None else state.kind.value,
                }
                for state in states
            },
        }

    def last_failure(self, provider: str) -> tuple[FailureKind | None, float | None]:
        """``(kind, seconds ago)`` of the last failure, ping or not."""
        with self._lock:
            known = self._providers.get(provider) or _Provider()
            if known.failed_at is None:
                return None, None
            return known.failure, max(0.0, self._clock() - known.failed_at)

    def pings(self, provider: str) -> dict[str, Any]:
        """``{"last_ping", "seconds_since_ping", "total_pings", "failures", "failure_rate"}``.

        ``last_ping`` is ISO 8601 in local time, ``None`` before the first.
        """
        with self._lock:
            known = self._providers.get(provider) or _Provider()
            since = None if known.pinged_at is None else max(0.0, self._clock() - known.pinged_at)
            return {
                "last_ping": known.pinged.isoformat(timespec="seconds") if known.pinged else None,
                "seconds_since_ping": since,
                "total_pings": known.pings,
                "failures": known.ping_failures,
                "failure_rate": known.ping_failures / known.pings if known.pings else 0.0,
            }

    def spent(self, provider: str) -> dict[str, Any]:
        """What the pings cost: ``{"pings", "failures", "tokens", "estimated_cost_usd"}``."""
        with self._lock:
            known = self._providers.get(provider) or _Provider()
            return {
                "pings": known.pings,
                "failures": known.ping_failures,
                "tokens": known.tokens,
                "estimated_cost_usd": known.cost_usd,
            }
