"""What the lines amount to: figures per provider and per interval."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llm_unified.cli.report.plots import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llm_unified.cli.report.lines import Reading, Sample

__all__ = ["Figures", "Outage", "Provider", "figures", "quantile"]

_INTERVALS: Final = 60
_PROVIDERS: Final = 12
"""That are drawn: more are no real configuration but a foreign file."""
_IN_A_ROW: Final = 2
"""So many failures are an outage; a single one is an accident."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A provider failed several times in a row."""

    provider: str
    start: float
    end: float | None
    """``None``: it goes on when the file ends."""
    failures: int
    problem: str


@dataclass(slots=True)
class Provider:
    """One provider over the whole time, and interval by interval."""

    name: str
    asked: list[int]
    failed: list[int]
    cost: list[float]
    seconds: list[list[float]]
    problems: Counter[str] = field(default_factory=Counter)
    tokens: float = 0
    last_failure: tuple[float, str] | None = None
    up: bool | None = None
    """At the end of the file."""

    @property
    def availability(self) -> float | None:
        """The share of what was answered."""
        asked = sum(self.asked)
        return None if not asked else 1 - sum(self.failed) / asked

    def latency(self, share: float) -> float | None:
        """Of all answers."""
        return quantile([second for some in self.seconds for second in some], share)


@dataclass(frozen=True, slots=True)
class Figures:
    """All that the page shows."""

    start: float
    end: float
    span: Span
    providers: Sequence[Provider]
    outages: Sequence[Outage]
    """The latest first."""
    fallbacks: dict[str, list[float]]
    """By who answered, interval by interval."""
    left_out: int
    blind: bool
    """The file tells of failures only, so nobody knows how many questions were answered."""


def figures(reading: Reading) -> Figures | None:
    """Sum up; ``None`` when there is nothing."""
    moments = [s.at for s in reading.samples] + [f.at for f in reading.fallbacks]
    if not moments:
        return None
    span = Span.over(min(moments), max(moments), reading.zone, at_most=_INTERVALS)
    seen = Counter(sample.provider for sample in reading.samples)
    drawn = {name for name, _ in seen.most_common(_PROVIDERS)}
    found: dict[str, Provider] = {}
    for sample in reading.samples:
        if sample.provider in drawn:
            if sample.provider not in found:
                found[sample.provider] = _nothing(sample.provider, span.count)
            _add(found[sample.provider], sample, span.place(sample.at))
    fallbacks: dict[str, list[float]] = {}
    for fallback in reading.fallbacks:
        if fallback.answered in drawn or not fallback.answered:
            row = fallbacks.setdefault(fallback.answered, [0.0] * span.count)
            row[span.place(fallback.at)] += 1
    outages = [
        o for name in found for o in _outages(s for s in reading.samples if s.provider == name)
    ]
    blind = not reading.rounds and not any(sample.ok for sample in reading.samples)
    return Figures(
        min(moments),
        max(moments),
        span,
        list(found.values()),
        [] if blind else sorted(outages, key=lambda outage: outage.start, reverse=True),
        fallbacks,
        len(seen) - len(drawn),
        blind,
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share does not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _nothing(name: str, count: int) -> Provider:
    return Provider(name, [0] * count, [0] * count, [0.0] * count, [[] for _ in range(count)])


def _add(provider: Provider, sample: Sample, place: int) -> None:
    provider.asked[place] += 1
    provider.cost[place] += sample.cost_usd
    provider.tokens += sample.tokens
    provider.up = sample.ok
    if sample.ok:
        if sample.seconds is not None:
            provider.seconds[place].append(sample.seconds)
        return
    provider.failed[place] += 1
    provider.problems[sample.problem or "unknown"] += 1
    provider.last_failure = (sample.at, sample.problem or "unknown")


def _outages(samples: Iterable[Sample]) -> Iterable[Outage]:
    row: list[Sample] = []
    for sample in samples:
        if not sample.ok:
            row.append(sample)
            continue
        if len(row) >= _IN_A_ROW:
            yield _outage(row, sample.at)
        row = []
    if len(row) >= _IN_A_ROW:
        yield _outage(row, None)


def _outage(row: Sequence[Sample], end: float | None) -> Outage:
    problem, _ = Counter(sample.problem or "unknown" for sample in row).most_common(1)[0]
    return Outage(row[0].provider, row[0].at, end, len(row), problem)
