"""Counters of one service: exact at the moment a call returns, and nobody else's.

An inline subscriber. ``requests - errors = answers`` holds per provider at any time between calls, because both
sides of an attempt are written when its verdict is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from llm_unified.forksafe import ForkSafeLock
from llm_unified.observe.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    FellBack,
)
from llm_unified.observe.figures import Seconds, Stats
from llm_unified.observe.histogram import Histogram
from llm_unified.observe.publisher import Listener, Publisher
from llm_unified.observe.tally import Tally

__all__ = ["Statistics"]


class Statistics:
    """Thread-safe counters of calls, and per provider and deployment."""

    def __init__(self, providers: Sequence[str]) -> None:
        self._lock = ForkSafeLock()
        self._names = tuple(providers)
        self._in_flight = 0
        self._zero()

    def _zero(self) -> None:
        self._providers: defaultdict[str, Tally] = defaultdict(Tally)
        self._deployments: defaultdict[str, Tally] = defaultdict(Tally)
        self._providers.update((name, Tally()) for name in self._names)
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
                (self._deployments if of else self._providers)[name].in_flight = count

    def subscribe_to(self, publisher: Publisher) -> None:
        """Count what it publishes."""
        handlers: dict[type[Event], Listener] = {
            CallStarted: self._call_started,
            FellBack: self._fell_back,
            AttemptStarted: self._attempt_started,
            AttemptEnded: self._attempt_ended,
            CallEnded: self._call_ended,
        }
        for kind, handler in handlers.items():
            publisher.subscribe(handler, only=(kind,), inline=True)

    def _call_started(self, _: CallStarted) -> None:
        with self._lock:
            self._total += 1
            self._in_flight += 1

    def _attempt_started(self, event: AttemptStarted) -> None:
        if event.operation != "ping":
            with self._lock:
                self._providers[event.upstream.provider].in_flight += 1
                self._deployments[event.upstream.deployment].in_flight += 1

    def _attempt_ended(self, event: AttemptEnded) -> None:
        users, sent, upstream = event.operation != "ping", event.attempt.sent, event.upstream
        with self._lock:
            for tally in (
                self._providers[upstream.provider],
                self._deployments[upstream.deployment],
            ):
                tally.in_flight -= users
                if sent and users:
                    tally.attempt(event)
                elif sent:
                    tally.connected(event)

    def _fell_back(self, event: FellBack) -> None:
        with self._lock:
            self._providers[event.source].fallbacks_out += 1
            self._providers[event.target].fallbacks_in += 1
            self._deployments[event.target_deployment].fallbacks_in += 1
            if event.source_deployment is not None:
                self._deployments[event.source_deployment].fallbacks_out += 1

    def _call_ended(self, event: CallEnded) -> None:
        with self._lock:
            self._in_flight -= 1
            if event.outcome == "answered":
                self._fallbacks += event.by_fallback
                self._seconds.add(event.seconds)
            elif event.outcome == "cancelled":
                self._cancelled += 1
            else:
                self._failed += 1
                self._interrupted += event.outcome == "interrupted"
            asked: set[str] = set()
            for attempt in event.attempts:
                for tallies, name in (
                    (self._providers, attempt.provider),
                    (self._deployments, attempt.deployment),
                ):
                    if attempt.sent and name not in asked:
                        asked.add(name)
                        tallies[name].calls += 1

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
