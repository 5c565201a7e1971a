"""Who is pinged when, to keep connections warm. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["COLD", "WarmState", "due", "in_use", "next_ping"]

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
