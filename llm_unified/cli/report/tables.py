"""The tables of the page; on a phone each row becomes a block."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from llm_unified.cli.report.plots import figure
from llm_unified.cli.report.units import count, duration, money, percent, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llm_unified.cli.report.figures import Figures, Provider

__all__ = ["available", "outages", "providers"]

_OUTAGES: Final = 12  # that are listed


def available(provider: Provider, found: Figures) -> str:
    """The share that it answered, where that can be known."""
    return percent(None if found.blind else provider.availability)


def providers(found: Figures) -> str:
    names = ("provider", "now", "answered", "questions", "median", "99th", "tokens", "cost")
    rows = []
    for provider in found.providers:
        at, problem = provider.last_failure or (None, "none")
        last = problem if at is None else f"{found.span.clock(at, seconds=True)} {problem}"
        figures_ = (
            available(provider, found),
            count(sum(provider.asked)),
            seconds(provider.latency(0.5)),
            seconds(provider.latency(0.99)),
            count(provider.tokens),
            money(sum(provider.cost)),
        )
        now = "?" if found.blind else "answers" if provider.up else "FAILS"
        rows.append((provider.name, now, *figures_, last))
    return figure(
        "Providers", "", _table((*names, "last failure"), rows, numbers=range(2, 8)), wide=True
    )


def outages(found: Figures) -> str:
    if not found.outages:
        nothing = (
            "failures alone do not tell" if found.blind else "no provider failed twice in a row"
        )
        return figure("Outages", f"{nothing.capitalize()}.", "", wide=True)
    names = ("provider", "from", "until", "lasted", "failures", "problem")
    rows = [
        (
            one.provider,
            found.span.clock(one.start, seconds=True),
            "still failing" if one.end is None else found.span.clock(one.end, seconds=True),
            duration((found.end if one.end is None else one.end) - one.start),
            count(one.failures),
            one.problem,
        )
        for one in found.outages[:_OUTAGES]
    ]
    more = len(found.outages) - _OUTAGES
    tail = f'<p class="dim">{more} earlier ones are not shown.</p>' if more > 0 else ""
    about = "Two failures in a row and more; the latest first."
    return figure("Outages", about, _table(names, rows, numbers=range(3, 5)) + tail, wide=True)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], numbers: range) -> str:
    styles = {"answers": "good", "FAILS": "bad", "still failing": "bad"}

    def cell(place: int, text: str) -> str:
        style = "number" if place in numbers else styles.get(text, "") if place in (1, 2) else ""
        return f'<td class="{style}" data-name="{escape(names[place])}"><span>{escape(text)}</span></td>'

    head = "".join(
        f'<th class="{"number" if place in numbers else ""}">{escape(name)}</th>'
        for place, name in enumerate(names)
    )
    body = "".join(
        f"<tr>{''.join(cell(place, text) for place, text in enumerate(row))}</tr>" for row in rows
    )
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
