"""Durations in bounded memory."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from llm_unified.observe.figures import Seconds

__all__ = ["Histogram"]

_GROWTH: Final = 1.15
_FIRST: Final = 0.001
_EDGES: Final = tuple(_FIRST * _GROWTH**power for power in range(100))
"""From a millisecond to seventeen minutes."""


@dataclass(slots=True)
class Histogram:
    """Durations in seconds, in buckets that grow by 15 %: percentiles right to ±7.5 %, in 101 integers."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_EDGES) + 1))
    total: int = 0
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_EDGES, seconds)] += 1
        self.total += 1
        self.sum += seconds

    def percentile(self, share: float) -> float | None:
        """The duration below which ``share`` (0–1) of the samples lie; ``None`` without samples."""
        wanted, seen = share * self.total, 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                upper = _FIRST * _GROWTH**bucket
                return upper if bucket == 0 else upper / (_GROWTH**0.5)
        return None

    def as_dict(self) -> Seconds:
        return {
            "mean": self.sum / self.total if self.total else None,
            "p50": self.percentile(0.50),
            "p90": self.percentile(0.90),
            "p95": self.percentile(0.95),
            "p99": self.percentile(0.99),
        }
