"""The plots of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_unified.cli.report.figures import quantile
from llm_unified.cli.report.plots import Series, bars, figure, legend, lines, strips
from llm_unified.cli.report.tables import available
from llm_unified.cli.report.units import count, duration, money, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_unified.cli.report.figures import Figures
    from llm_unified.cli.report.lines import Reading

__all__ = ["availability", "cost", "failures", "fallbacks", "latency"]

_GOOD: Final = 1.0
_HALF: Final = 0.5
_GREY: Final = 7


def availability(found: Figures) -> str:
    rows = []
    for provider in found.providers:
        cells = []
        for place, asked in enumerate(provider.asked):
            share = 1 - provider.failed[place] / asked if asked else 0.0
            style = "good" if share >= _GOOD else "some" if share >= _HALF else "bad"
            at = found.span.clock(found.span.start + place * found.span.step)
            words = f"{at}: {asked - provider.failed[place]} of {asked} answered"
            cells.append((style, words) if asked else ("none", f"{at}: not asked"))
        rows.append((provider.name, cells, available(provider, found)))
    about = (
        f"Each cell is {duration(found.span.step)}: green, all answered; yellow, half or more; "
        "red, less; grey, not asked."
    )
    return figure("Availability", about, strips(rows, found.span), wide=True)


def latency(reading: Reading, found: Figures) -> str:
    series = []
    for colour, provider in enumerate(found.providers):
        for share, faint in ((0.5, False), (0.99, True)):
            values = [quantile(some, share) for some in provider.seconds]
            words = f"{provider.name} {'99th percentile' if faint else 'median'}"
            series.append(Series(words, values, colour, faint))
    what = "what was answered" if reading.rounds else "whole calls, by who answered in the end"
    return _plot(
        ("Latency", f"Of {what}: median solid, 99th percentile dotted."),
        lines(series, found.span, seconds),
        _names(found),
        drawn=any(value is not None for one in series for value in one.values),
    )


def fallbacks(reading: Reading, found: Figures) -> str:
    colours = {provider.name: colour for colour, provider in enumerate(found.providers)}
    series = [
        Series(name or "nobody", row, colours.get(name, _GREY))
        for name, row in found.fallbacks.items()
    ]
    about = "How often another than the first of the chain answered, by who did."
    if reading.rounds:
        about = "In how many rounds a call would have gone to another than the first of the chain."
    return _plot(
        ("Fallbacks", about),
        bars(series, found.span, count, whole=True),
        [(one.name, one.colour) for one in series],
        drawn=bool(series),
    )


def cost(found: Figures) -> str:
    series = [Series(p.name, p.cost, colour) for colour, p in enumerate(found.providers)]
    return _plot(
        ("Cost", f"US dollars per {duration(found.span.step)}, by provider."),
        bars(series, found.span, money),
        [(one.name, one.colour) for one in series if any(one.values)],
        drawn=any(any(one.values) for one in series),
    )


def failures(found: Figures) -> str:
    series = [Series(p.name, p.failed, colour) for colour, p in enumerate(found.providers)]
    return _plot(
        ("Failures", f"Per {duration(found.span.step)}, by provider."),
        bars(series, found.span, count, whole=True),
        [(one.name, one.colour) for one in series if any(one.values)],
        drawn=any(any(one.values) for one in series),
    )


def _plot(
    words: tuple[str, str], drawing: str, names: Sequence[tuple[str, int]], *, drawn: bool
) -> str:
    title, about = words
    body = drawing + legend(names) if drawn else '<p class="nothing">None in this time.</p>'
    return figure(title, about, body)


def _names(found: Figures) -> list[tuple[str, int]]:
    return [(provider.name, colour) for colour, provider in enumerate(found.providers)]
