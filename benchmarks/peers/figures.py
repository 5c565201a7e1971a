"""From raw samples to figures. CPU is scaled by the calibration loop and the median of the rounds counts; of
times by the clock and of rates the best round counts, since other programs only ever take away.
"""

from __future__ import annotations

import statistics
from typing import Any

Samples = list[dict[str, Any]]
Figures = dict[str, float]


def reference(rounds: dict[str, Samples]) -> float:
    """CPU seconds of the calibration loop in the median process of the whole run."""
    every: list[float] = [k for each in rounds.values() for one in each for k in one["calibration"]]
    return statistics.median(every)


def of_client(
    rounds: Samples, warmed: Samples, memory: dict[str, float] | None, scale_to: float
) -> Figures:
    """All figures of one client; what was not measured is not there."""

    def cpu(seconds: list[float]) -> float:
        machine = [statistics.mean(round_["calibration"]) for round_ in rounds]
        scaled: list[float] = [one * scale_to / k for one, k in zip(seconds, machine, strict=True)]
        return statistics.median(scaled)

    def middle(part: str, column: int) -> list[float]:
        return [statistics.median(row[column] for row in round_[part]) for round_ in rounds]

    starts = [round_["start"] for round_ in rounds]
    found = {
        "call_cpu_ms": cpu(middle("call", 0)) * 1e3,
        "call_ms": min(middle("call", 1)) * 1e3,
        "chunk_cpu_us": cpu(middle("stream", 0)) * 1e6,
        "burst_chunk_cpu_us": cpu(middle("burst", 0)) * 1e6,
        "first_text_ms": min(middle("stream", 1)) * 1e3,
        "start_s": min(start["wall"] for start in starts),
        "start_cpu_s": cpu([start["cpu"] for start in starts]),
        "start_mib": statistics.median(start["rss"] for start in starts),
        "first_call_ms": min(start["first"] for start in starts) * 1e3,
        "second_call_ms": min(start["second"] for start in starts) * 1e3,
    }
    for many in rounds[0]["many"]:
        each = [round_["many"][many] for round_ in rounds]
        found[f"rate_{many}"] = max(one["rate"] for one in each)
        found[f"p99_{many}_ms"] = min(one["p99"] for one in each) * 1e3
        found[f"core_rate_{many}"] = 1 / cpu([one["cpu"] for one in each])
        found[f"upstream_busy_{many}"] = max(one["upstream_busy"] for one in each)
    if all("failover" in round_ for round_ in rounds):
        found |= _failover([round_["failover"] for round_ in rounds])
    if warmed:
        found["warmed_first_call_ms"] = min(one["start"]["first"] for one in warmed) * 1e3
    if memory:
        found |= {"memory_before_mib": memory["before"], "memory_after_mib": memory["after"]}
    return found


def _failover(rounds: list[dict[str, list[float]]]) -> Figures:
    """The first call that meets the failure, and the later half of those behind it."""
    steady, asked = [], []
    for round_ in rounds:
        half = len(round_["times"]) // 2
        steady.append(statistics.median(round_["times"][half:]))
        behind = len(round_["times"]) - half
        asked.append((round_["refused"][-1] - round_["refused"][half - 1]) / behind)
    return {
        "failover_first_ms": min(round_["times"][0] for round_ in rounds) * 1e3,
        "failover_steady_ms": min(steady) * 1e3,
        "failover_asked": statistics.median(asked),
    }
