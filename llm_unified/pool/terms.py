"""How long a cooldown is. One `Terms` is shared by a rotation and its leases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llm_unified.failures.table import FOLLOWS, Effect
from llm_unified.forksafe import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_unified.response import FailureKind

__all__ = [
    "LONGEST_COOLDOWN_SECONDS",
    "LONGEST_RETRY_AFTER_SECONDS",
    "LONGEST_SPENT_SECONDS",
    "MISCONFIGURED_SECONDS",
    "Terms",
]

LONGEST_COOLDOWN_SECONDS: Final = 60.0
"""The cap of a breaker's doubling cooldown (``LLM_COOLDOWN`` itself may be longer)."""
MISCONFIGURED_SECONDS: Final = 60.0
"""The cooldown of a wrong key or model."""
SPENT_SECONDS: Final = 60.0
"""The first cooldown of a key whose money or quota is spent; it doubles."""
LONGEST_SPENT_SECONDS: Final = 900.0
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
"""The cap of an upstream's ``Retry-After``."""
_JITTER: Final = 0.1  # many processes do not come back at the same instant
_LARGEST_EXPONENT: Final = 32  # 2.0 ** opened must not overflow


@dataclass(slots=True)
class Terms:
    """What is configured, the clock, chance, and the lock that guards all breakers of a rotation."""

    threshold: int
    """Consecutive failures that open a breaker."""
    cooldown: float
    """Seconds of the first cooldown."""
    clock: Callable[[], float]
    chance: Callable[[], float]
    """Uniform in [0, 1)."""
    lock: ForkSafeLock = field(default_factory=ForkSafeLock)

    def breaker_seconds(self, opened: int) -> float:
        """The cooldown of a breaker that opened ``opened`` times in a row before: doubling, jittered."""
        longest = max(LONGEST_COOLDOWN_SECONDS, self.cooldown)
        seconds: float = min(longest, self.cooldown * 2.0 ** min(opened, _LARGEST_EXPONENT))
        return seconds * (1.0 + _JITTER * (2.0 * self.chance() - 1.0))

    def spent_seconds(self, opened: int) -> float:
        """The cooldown of a key whose quota was spent ``opened`` times in a row before."""
        seconds: float = SPENT_SECONDS * 2.0 ** min(opened, _LARGEST_EXPONENT)
        return min(LONGEST_SPENT_SECONDS, seconds)

    def longest(self, kind: FailureKind, *, asked_for: bool) -> float:
        """Seconds that a cooldown because of ``kind`` can have at most."""
        follows = FOLLOWS[kind]
        if asked_for or follows is Effect.COOL_KEY:
            return LONGEST_RETRY_AFTER_SECONDS
        if follows is Effect.SPENT_KEY:
            return LONGEST_SPENT_SECONDS
        if follows is Effect.COUNT:
            return max(LONGEST_COOLDOWN_SECONDS, self.cooldown) * (1.0 + _JITTER)
        return 0.0 if follows is Effect.NOTHING else MISCONFIGURED_SECONDS
