"""How the time of a call is split among the attempts still to come. Pure: no clock."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_RESERVE_SECONDS", "attempt_budget"]

MAX_RESERVE_SECONDS: Final = 5.0
"""Kept back, at most, for each provider still to come."""


def attempt_budget(*, timeout: float, remaining: float, later: int) -> float:
    """Return the seconds that one attempt may take.

    ``min(timeout, remaining - later * reserve)`` where the reserve of each of the ``later`` providers is
    its equal share of what remains, but at most `MAX_RESERVE_SECONDS`: with a short deadline everybody
    gets the same, with a long one the first is not starved. Hence the last provider is always reachable.
    """
    reserve = min(MAX_RESERVE_SECONDS, remaining / (later + 1))
    return max(0.0, min(timeout, remaining - later * reserve))
