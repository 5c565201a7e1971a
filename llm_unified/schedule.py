"""Who is pinged when, to keep connections warm. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from llm_unified.response import Attempt

__all__ = ["COLD", "Seen", "WarmState", "due", "in_use", "next_ping"]

IN_USE: Final = 10.0
"""Intervals for which a provider counts as in use after a user's request."""
IDLE: Final = 4.0
"""Intervals between two pings of an idle fallback …"""
COLD: Final = 200.0
"""… but at most so many seconds: load balancers forget a connection after 240 s and more."""
AGAIN: Final = 0.25
"""Intervals to wait after a ping that failed."""


@dataclass(frozen=True, slots=True)
class WarmState:
    """One deployment at one moment, as `next_ping` sees it. Durations in seconds; ``None``: never."""

    id: str
    provider: str
    rank: int = 0
    """The provider's place in the chain; 0 is asked first."""
    idle: float | None = None
    """Since its connection carried an answer, a user's or a ping's; ``None`` also once it broke."""
    unused: float | None = None
    """Since a user's request to the provider, by whatever deployment."""
    failed: float | None = None
    """Since its connection broke or could not be made; ``None`` once it carried an answer again."""
    cooldown: float = 0.0
    """Until a ping may be sent."""
    probe: bool = False
    """That ping decides whether it cools down again."""


def in_use(state: WarmState, interval: float) -> bool:
    """Whether a user's request will probably go there: the first of the chain, or recently asked."""
    return state.rank == 0 or (state.unused is not None and state.unused < IN_USE * interval)


def next_ping(state: WarmState, interval: float) -> float:
    """Seconds until this deployment is to be pinged; not positive: now.

    1. Never before its cooldown is over, and a probe as soon as it is due: whoever is well again is noticed.
    2. After its connection broke: not before a quarter of the interval.
    3. A provider in use (`in_use`): when the connection carried nothing for one interval.
    4. An idle fallback: after four intervals, but at most 200 s, so that it never cools fully.
    """
    if state.probe:
        return state.cooldown
    silence = interval if in_use(state, interval) else max(interval, min(IDLE * interval, COLD))
    wait = 0.0 if state.idle is None else silence - state.idle
    again = 0.0 if state.failed is None else AGAIN * interval - state.failed
    return max(state.cooldown, wait, again)


def due(states: Iterable[WarmState], interval: float) -> list[WarmState]:
    """Those to be pinged now: providers in use first, then by place in the chain, the quietest first."""
    return sorted(
        (state for state in states if next_ping(state, interval) <= 0.0),
        key=lambda state: (
            not in_use(state, interval),
            state.rank,
            -math.inf if state.idle is None else -state.idle,
        ),
    )


class Seen:
    """What attempts have shown of the connections of one event loop. Moments are monotonic seconds."""

    def __init__(self, began: float | None = None) -> None:
        """``began``: connections that carried nothing yet count as used then; ``None``: as never used."""
        self._began = began
        self._carried: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._planned: dict[str, float] = {}
        self.failed: dict[str, float] = {}
        """By deployment: when its connection broke or could not be made."""

    def attempt(self, attempt: Attempt, now: float, *, counted: bool, here: bool) -> None:
        """``counted``: a user's; ``here``: over this loop's connections."""
        if counted:
            self._asked[attempt.provider] = now
        if not here:
            return
        key = attempt.deployment
        if attempt.outcome == "answered" or (attempt.status or 0) >= 400:  # noqa: PLR2004 - HTTP classes
            self._carried[key] = now
            self.failed.pop(key, None)
        else:
            self._carried.pop(key, None)
            self.failed[key] = now
        if not counted:
            self._planned[key] = now

    def forget(self, deployments: Iterable[str]) -> None:
        """They lead elsewhere now."""
        for key in deployments:
            self._carried.pop(key, None)
            self.failed.pop(key, None)

    def of(self, state: WarmState, now: float) -> WarmState:
        """The state of a deployment with what was seen of it."""
        return replace(
            state,
            idle=_since(self._carried.get(state.id, self._began), now),
            unused=_since(self._asked.get(state.provider), now),
            failed=_since(self.failed.get(state.id), now),
        )

    def unneeded(
        self, states: Iterable[WarmState], chosen: Collection[str], interval: float, now: float
    ) -> list[str]:
        """The providers of pings that would be due now, had users' requests not made them unnecessary."""
        found = []
        for state in states:
            at = self._planned.setdefault(state.id, now)
            alone = replace(state, idle=_since(at, now), failed=None)
            free = state.id not in chosen and state.cooldown <= 0.0
            if free and next_ping(alone, interval) <= 0.0:
                self._planned[state.id] = now
                found.append(state.provider)
        return found


def _since(at: float | None, now: float) -> float | None:
    """Seconds since then; ``None`` also when the clock was set back before it."""
    return None if at is None or at > now else now - at
