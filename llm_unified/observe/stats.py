"""Counters of one service: exact at the moment a call returns, and nobody else's.

An inline subscriber. ``requests - errors = answers`` holds per provider at any time between calls, because both
sides of an attempt are written when its verdict is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llm_unified.forksafe import ForkSafeLock
from llm_unified.observe.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    FellBack,
    Upstream,
)
from llm_unified.observe.figures import Seconds, Stats
from llm_unified.observe.histogram import Histogram
from llm_unified.observe.tally import Tally

__all__ = ["COUNTED", "Counted", "Statistics"]

COUNTED: Final = (CallStarted, FellBack, AttemptStarted, AttemptEnded, CallEnded)
"""The types of events that it wants."""
Counted = CallStarted | FellBack | AttemptStarted | AttemptEnded | CallEnded


class Statistics:
    """Thread-safe counters of calls, and per provider and deployment."""

    def __init__(self, providers: Sequence[str]) -> None:
        self._lock = ForkSafeLock()
        self._names = tuple(providers)
        self._in_flight = 0
        self._zero()

    def _zero(self) -> None:
        self._providers = {name: Tally() for name in self._names}
        self._deployments: dict[str, Tally] = {}
        self._total = self._fallbacks = 0
        self._failed = self._interrupted = self._cancelled = 0
        self._seconds = Histogram()

    def keep(self, providers: Sequence[str]) -> None:
        """After a reload: new providers start at zero, the others keep their counts."""
        with self._lock:
            self._names = tuple(providers)
            for name in providers:
                self._providers.setdefault(name, Tally())

    def reset(self) -> None:
        """Count from zero again; what is in flight stays so."""
        with self._lock:
            flying = [
                (of, name, tally.in_flight)
                for of, tallies in enumerate((self._providers, self._deployments))
                for name, tally in tallies.items()
                if tally.in_flight
            ]
            self._zero()
            for of, name, count in flying:
                tallies = self._deployments if of else self._providers
                tallies.setdefault(name, Tally()).in_flight = count

    def take(self, event: Counted) -> None:
        """Count one event."""
        with self._lock:
            if isinstance(event, AttemptEnded):
                self._attempt_ended(event)
            elif isinstance(event, AttemptStarted):
                self._attempt_started(event)
            elif isinstance(event, CallEnded):
                self._call_ended(event)
            elif isinstance(event, CallStarted):
                self._total += 1
                self._in_flight += 1
            else:
                self._fell_back(event)

    def _of(self, upstream: Upstream) -> tuple[Tally, Tally]:
        return (
            _found(self._providers, upstream.provider),
            _found(self._deployments, upstream.deployment),
        )

    def _attempt_started(self, event: AttemptStarted) -> None:
        if event.operation != "ping":
            for tally in self._of(event.upstream):
                tally.in_flight += 1

    def _attempt_ended(self, event: AttemptEnded) -> None:
        users, sent = event.operation != "ping", event.attempt.sent
        for tally in self._of(event.upstream):
            tally.in_flight -= users
            if sent:
                tally.connected(event)
                if users:
                    tally.attempt(event)

    def _fell_back(self, event: FellBack) -> None:
        _found(self._providers, event.source).fallbacks_out += 1
        _found(self._providers, event.target).fallbacks_in += 1
        _found(self._deployments, event.target_deployment).fallbacks_in += 1
        if event.source_deployment is not None:
            _found(self._deployments, event.source_deployment).fallbacks_out += 1

    def _call_ended(self, event: CallEnded) -> None:
        self._in_flight -= 1
        if event.outcome == "answered":
            self._fallbacks += event.by_fallback
            self._seconds.add(event.seconds)
        elif event.outcome == "cancelled":
            self._cancelled += 1
        else:
            self._failed += 1
            self._interrupted += event.outcome == "interrupted"
        sent = [attempt for attempt in event.attempts if attempt.sent]
        for name in {attempt.provider for attempt in sent}:
            _found(self._providers, name).calls += 1
        for name in {attempt.deployment for attempt in sent}:
            _found(self._deployments, name).calls += 1

    def latency(self, provider: str) -> Seconds:
        """How long this provider takes to answer."""
        with self._lock:
            return self._providers.get(provider, Tally()).seconds.as_dict()

    def as_dict(self) -> Stats:
        """Plain data; all durations in seconds, all costs in US dollars."""
        with self._lock:
            of = self._providers.items()
            deployments = self._deployments.items()
            return {
                "total_requests": self._total,
                "failed_requests": self._failed,
                "interrupted_requests": self._interrupted,
                "cancelled_requests": self._cancelled,
                "fallback_count": self._fallbacks,
                "in_flight": self._in_flight,
                "requests_by_provider": {n: t.attempts for n, t in of},
                "errors_by_provider": {n: t.errors for n, t in of},
                "errors_by_kind": {n: dict(t.kinds) for n, t in of},
                "requests_by_deployment": {n: t.attempts for n, t in deployments if t.attempts},
                "latency_by_provider": {n: t.seconds.as_dict() for n, t in of},
                "first_token_by_provider": {n: t.first_token.as_dict() for n, t in of},
                "tokens_by_provider": {n: t.tokens for n, t in of},
                "cost_usd_by_provider": {n: t.cost_usd for n, t in of},
                "latency": self._seconds.as_dict(),
                "providers": {n: t.as_dict() for n, t in of},
                "deployments": {n: t.as_dict() for n, t in deployments},
            }


def _found(tallies: dict[str, Tally], name: str) -> Tally:
    found = tallies.get(name)
    if found is None:
        found = tallies[name] = Tally()
    return found
