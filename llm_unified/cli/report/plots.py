"""Plots as HTML with inline SVG: no script, no network, readable at any width.

The drawing stretches with the page, the words beside it do not: they are HTML, placed by per cent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["COLOURS", "Series", "Span", "bars", "figure", "legend", "lines", "strips"]

COLOURS: Final = 8
"""Those of the style sheet, ``--c0`` to ``--c7``."""
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200),
    *(86400 * days for days in (1, 2, 3, 7, 14, 28, 91, 182, 364)),
)
"""Seconds between two marks of a clock."""
_MARKS: Final = 5
_DAY: Final = 86400
_YEAR: Final = 366 * _DAY
_EDGE: Final = 0.05  # of the width: a word there would stand over the rim
_WIDE: Final = ' class="wide"'
_WIDTH: Final = 1000
_HEIGHT: Final = 200
_BRIDGED: Final = 3  # intervals without a value that a line crosses


@dataclass(frozen=True, slots=True)
class Span:
    """A time, cut into equal intervals. Moments are seconds since 1970, lengths seconds."""

    start: float
    step: float
    count: int
    zone: tzinfo

    @classmethod
    def over(cls, start: float, end: float, zone: tzinfo, *, at_most: int) -> Span:
        """The smallest step of a clock that needs no more than so many intervals."""
        length = max(end - start, 1.0)
        step = next((s for s in _STEPS if length / s < at_most), math.ceil(length / at_most))
        first = math.floor(start / step) * step
        return cls(first, step, int((end - first) // step) + 1, zone)

    @property
    def length(self) -> float:
        return self.step * self.count

    def place(self, at: float) -> int:
        """The interval of this moment."""
        return min(self.count - 1, max(0, int((at - self.start) // self.step)))

    def clock(self, at: float, *, seconds: bool = False) -> str:
        """``"14:05"``; with the day where the whole is longer than one."""
        try:
            moment = datetime.fromtimestamp(at, self.zone)
        except (ValueError, OverflowError, OSError):
            return f"{at:.0f}"
        hour = "%H:%M:%S" if seconds or self.length < _MARKS * 60 else "%H:%M"
        day = f"%d %b {hour}" if self.length <= _YEAR else "%b %Y"
        return moment.strftime(hour if self.length <= _DAY else day)

    def marks(self) -> Iterator[tuple[float, str]]:
        """Where a word stands below the plot: ``(share of the width, word)``."""
        step = next((s for s in _STEPS if self.length / s <= _MARKS), self.length / _MARKS)
        try:
            offset = datetime.fromtimestamp(self.start, self.zone).utcoffset() or timedelta()
        except (ValueError, OverflowError, OSError):
            offset = timedelta()
        shift = offset.total_seconds()
        at = math.ceil((self.start + shift) / step) * step - shift
        while at <= self.start + self.length:
            share = (at - self.start) / self.length
            if _EDGE <= share <= 1 - _EDGE:
                word = self.clock(at)
                whole_days = step >= _DAY and self.length <= _YEAR
                yield share, word.rpartition(" ")[0] if whole_days else word
            at += step


@dataclass(frozen=True, slots=True)
class Series:
    """One value per interval; ``None``: there is none."""

    name: str
    values: Sequence[float | None]
    colour: int = 0
    faint: bool = False
    """Drawn thin and dashed, and not in the legend."""


def figure(title: str, about: str, body: str, *, wide: bool = False) -> str:
    """A plot, or a table, with its title and one sentence about what it shows."""
    words = f"<p>{escape(about)}</p>" if about else ""
    return (
        f'<figure id="{escape(title.lower())}"{_WIDE if wide else ""}>'
        f"<figcaption><h2>{escape(title)}</h2>{words}</figcaption>{body}</figure>"
    )


def legend(names: Sequence[tuple[str, int]]) -> str:
    """The colours' meaning."""
    items = "".join(
        f'<li><i style="background:var(--c{colour % COLOURS})"></i>{escape(name)}</li>'
        for name, colour in names
    )
    return f'<ul class="legend">{items}</ul>'


def lines(series: Sequence[Series], span: Span, unit: Callable[[float], str]) -> str:
    """Lines over time."""
    top, rungs = _scale(max((v for s in series for v in s.values if v is not None), default=0.0))
    drawn = []
    for one in sorted(series, key=lambda s: not s.faint):
        path, dots, last = [], "", None
        for place, value in enumerate(one.values):
            if value is None:
                continue
            joined = last is not None and place - last <= _BRIDGED
            x, y = _x(place + 0.5, span.count), _y(value, top)
            path.append(f"L{x} {y}" if joined else f"M{x} {y}")
            alone = not any(one.values[n] is not None for n in _near(place, span.count))
            # A line of no length is a dot, thanks to its round ends.
            dots += f"M{x} {y}L{x} {y}" if alone else ""
            last = place
        style, colour = "faint" if one.faint else "line", one.colour % COLOURS
        drawn.append(
            f'<path class="{style}" style="stroke:var(--c{colour})" d="{"".join(path)}">'
            f"<title>{escape(one.name)}</title></path>"
        )
        if dots:
            drawn.append(f'<path class="dot" style="stroke:var(--c{colour})" d="{dots}"/>')
    return _framed("".join(drawn), span, [(share, unit(value)) for share, value in rungs(top)])


def bars(
    series: Sequence[Series], span: Span, unit: Callable[[float], str], *, whole: bool = False
) -> str:
    """Bars over time, one upon the other; ``whole``: there is nothing between 1 and 2."""
    sums = [sum(s.values[place] or 0.0 for s in series) for place in range(span.count)]
    top, rungs = _scale(max(sums, default=0.0), whole=whole)
    drawn = []
    for place in range(span.count):
        base = 0.0
        for one in series:
            value = one.values[place] or 0.0
            if value <= 0:
                continue
            high, low = _y(base + value, top), _y(base, top)
            left, right = _x(place + 0.1, span.count), _x(place + 0.9, span.count)
            moment = span.clock(span.start + place * span.step)
            drawn.append(
                f'<rect class="bar" style="fill:var(--c{one.colour % COLOURS})" x="{left}" y="{high}" '
                f'width="{right - left:.2f}" height="{max(low - high, 1.0):.2f}">'
                f"<title>{escape(moment)}: {escape(one.name)} {escape(unit(value))}</title></rect>"
            )
            base += value
    return _framed("".join(drawn), span, [(share, unit(value)) for share, value in rungs(top)])


def strips(rows: Sequence[tuple[str, Sequence[tuple[str, str]], str]], span: Span) -> str:
    """A row of coloured cells per name: ``(name, [(class, words)], figure at the end)``."""
    drawn = []
    for name, cells, total in rows:
        rects = "".join(
            f'<rect class="{style}" x="{_x(place, span.count)}" y="0" '
            f'width="{_WIDTH / span.count * 0.92:.2f}" height="20"><title>{escape(words)}</title></rect>'
            for place, (style, words) in enumerate(cells)
            if style
        )
        drawn.append(
            f'<div class="strip"><b>{escape(name)}</b><svg viewBox="0 0 {_WIDTH} 20" '
            f'preserveAspectRatio="none" role="img" aria-label="{escape(f"{name}: {total}")}">'
            f"{rects}</svg><span>{escape(total)}</span></div>"
        )
    return f'<div class="strips">{"".join(drawn)}<div class="strip"><b></b>{_clock(span)}<span></span></div></div>'


def _framed(drawn: str, span: Span, rungs: Sequence[tuple[float, str]]) -> str:
    grid = "".join(f'<path class="grid" d="M0 {_y(share, 1.0)}H{_WIDTH}"/>' for share, _ in rungs)
    words = "".join(
        f'<span style="bottom:{share * 100:.1f}%">{escape(word)}</span>' for share, word in rungs
    )
    return (
        f'<div class="frame"><div class="scale">{words}</div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img">{grid}{drawn}</svg>'
        f"{_clock(span)}</div>"
    )


def _clock(span: Span) -> str:
    words = "".join(
        f'<span style="left:{share * 100:.1f}%">{escape(word)}</span>'
        for share, word in span.marks()
    )
    return f'<div class="clock">{words}</div>'


def _near(place: int, count: int) -> Sequence[int]:
    """The places from which a line would lead here, or to which it leads."""
    places = range(max(0, place - _BRIDGED), min(count, place + _BRIDGED + 1))
    return [other for other in places if other != place]


def _scale(
    highest: float, *, whole: bool = False
) -> tuple[float, Callable[[float], list[tuple[float, float]]]]:
    """A round number above the highest value, and what divides it."""
    if highest <= 0:
        return 1.0, lambda top: [(0.0, 0.0)]
    power = 10.0 ** math.floor(math.log10(highest))
    top, parts = next(
        (step * power, parts)
        for step, parts in (
            (1, 5),
            (1.5, 3),
            (2, 4),
            (3, 3),
            (4, 4),
            (5, 5),
            (6, 3),
            (8, 4),
            (10, 5),
        )
        if step * power >= highest * 0.999999
    )
    parts = int(top) if whole and top < parts else parts
    return top, lambda top: [(n / parts, top * n / parts) for n in range(parts + 1)]


def _x(place: float, count: int) -> float:
    return round(place / count * _WIDTH, 2)


def _y(value: float, top: float) -> float:
    return round(_HEIGHT - value / top * (_HEIGHT - 2) - 1, 2)
