"""All that one service keeps of what happened: counters, health, and who listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from llm_unified.errors import LLMError
from llm_unified.logs import log
from llm_unified.observe.health import Health
from llm_unified.observe.stats import Stats
from llm_unified.response import Attempt

__all__ = ["Book", "Listener", "Source"]

Listener = Callable[[Attempt, bool], None]
"""Called with each attempt, and whether it was made for a user's request."""


class Source(Protocol):
    """What publishes attempts: a service, or its book."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with every attempt; returns what ends that."""


class Book:
    """Fed inline: with each attempt, and with each call that begins and ends."""

    def __init__(self, providers: Sequence[str]) -> None:
        self.stats = Stats(providers)
        self.health = Health(providers)
        self._listeners: list[Listener] = []

    def keep(self, providers: Sequence[str]) -> None:
        """After a reload: what is new starts at zero, the others keep their history."""
        self.stats.keep(providers)
        self.health.keep(providers)

    def attempt(self, attempt: Attempt, counted: bool) -> None:
        """One attempt is settled; ``counted``: it was made for a user's request."""
        if counted:
            self.stats.attempt(attempt)
        self.health.note(attempt, ping=not counted)
        for listener in tuple(self._listeners):
            listener(attempt, counted)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with every attempt; returns what ends that (safe to call twice)."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def ended(
        self, chain: Sequence[str], attempts: Sequence[Attempt], error: BaseException | None
    ) -> None:
        """One call is over: count it, and say so where somebody else than the first had to answer."""
        if error is None:
            answered = attempts[-1].provider
            by_fallback = answered != chain[0]
            self.stats.answered(by_fallback=by_fallback)
            if by_fallback:
                # While the first cools down nothing new happens, call after call.
                log(
                    "warning" if len(attempts) > 1 else "info",
                    "fallback",
                    wanted=chain[0],
                    answered=answered,
                    attempts=len(attempts),
                    seconds=_seconds(attempts),
                )
            return
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        self.stats.failed(cancelled=cancelled)
        if isinstance(error, LLMError) and not cancelled:
            log(
                "error",
                "call_failed",
                error=type(error).__name__,
                attempts=[f"{a.deployment} {a.kind or a.outcome}" for a in attempts],
                seconds=_seconds(attempts),
            )


def _seconds(attempts: Sequence[Attempt]) -> float:
    return round(sum(a.seconds for a in attempts), 4)
