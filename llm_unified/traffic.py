"""What went over each deployment's connection in one event loop: the warmer's memory, from which it plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from llm_unified.response import Attempt
from llm_unified.schedule import WarmState, next_ping

if TYPE_CHECKING:  # loaded with the first call
    from llm_unified.calls.dispatcher import Dispatcher
    from llm_unified.engine.engine import Engine

__all__ = ["Traffic"]

_REFUSED: Final = 400


class Traffic:
    """When each connection carried something, broke, or was planned to be pinged."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.skipped: Counter[str] = Counter()
        """Pings that users' requests made unnecessary, by provider."""
        self.forget()

    def forget(self, *, began: float | None = None) -> None:
        """Nothing is known of the connections of a new loop.

        ``began``: the moment at which those that carried nothing count as used; ``None``: never.
        """
        self._began = began
        self._carried: dict[str, float] = {}
        self._failed: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._planned: dict[str, float] = {}
        self._engine: Engine | None = None

    def note(self, attempt: Attempt, *, counted: bool, here: bool) -> None:
        """One attempt was made; ``counted``: for a user, ``here``: over this loop's connections."""
        now = self._clock()
        if counted:
            self._asked[attempt.provider] = now
        if not here:
            return
        if attempt.outcome == "answered" or (attempt.status or 0) >= _REFUSED:
            self._carried[attempt.deployment] = now
            self._failed.pop(attempt.deployment, None)
        else:
            self.broke(attempt.deployment)
        if not counted:
            self._planned[attempt.deployment] = now

    def broke(self, deployment: str) -> None:
        """Its connection, or the ping over it, failed."""
        self._carried.pop(deployment, None)
        self._failed[deployment] = self._clock()

    def states(
        self, dispatcher: Dispatcher, chain: Sequence[str], claims: Mapping[str, Any]
    ) -> list[WarmState]:
        """All deployments of the chain that a ping may be sent to, now or later.

        ``claims``: the options of `Rotation.claim`.
        """
        self._follow(dispatcher.engine)
        now, found = self._clock(), []
        for rank, provider in enumerate(chain):
            for state in dispatcher.rotation.state(provider):
                wait = dispatcher.rotation.claimable_in(state.deployment, **claims)
                if wait is None:
                    continue
                key = state.deployment.id
                found.append(
                    WarmState(
                        id=key,
                        provider=provider,
                        rank=rank,
                        idle=_since(self._carried.get(key, self._began), now),
                        unused=_since(self._asked.get(provider), now),
                        failed=_since(self._failed.get(key), now),
                        cooldown=wait,
                        probe=state.half_open,
                    )
                )
        return found

    def _follow(self, engine: Engine) -> None:
        """After a reload: deployments that lead elsewhere have connections of which nothing is known."""
        if self._engine is not None and engine is not self._engine:
            for deployment in engine.changed(self._engine):
                self._carried.pop(deployment.id, None)
                self._failed.pop(deployment.id, None)
        self._engine = engine

    def count_skipped(
        self, states: Iterable[WarmState], chosen: Collection[str], interval: float
    ) -> None:
        """Count the pings that would be due without users' requests."""
        now = self._clock()
        for state in states:
            at = self._planned.setdefault(state.id, now)
            alone = replace(state, idle=_since(at, now), failed=None)
            unneeded = state.id not in chosen and state.cooldown <= 0.0
            if unneeded and next_ping(alone, interval) <= 0.0:
                self._planned[state.id] = now
                self.skipped[state.provider] += 1


def _since(at: float | None, now: float) -> float | None:
    """Seconds since then; ``None`` also when the clock was set back before it."""
    return None if at is None or at > now else now - at
