"""The page: what happened, worst first, on one screen of HTML. Every word of the file is escaped."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from llm_unified.cli.report import charts, tables
from llm_unified.cli.report.figures import quantile
from llm_unified.cli.report.units import count, duration, money, percent, seconds

if TYPE_CHECKING:
    from llm_unified.cli.report.figures import Figures, Provider
    from llm_unified.cli.report.lines import Reading

__all__ = ["document", "page"]

_BLIND: Final = (
    "This log tells of failures only. At level debug it tells of answers as well, from which "
    "availability, latency and cost are drawn."
)


def page(reading: Reading, found: Figures, source: str) -> str:
    """The whole page; ``source`` is the file's name."""
    span = found.span
    start, end = (span.clock(at, seconds=True) for at in (found.start, found.end))
    where = escape(f"{start} to {end} ({reading.zone}), from {source}")
    parts = (
        f'<h1>How the providers did</h1><p class="dim">{where}</p>',
        _verdict(reading, found),
        _tiles(found),
        '<div class="plots">',
        charts.availability(found),
        charts.latency(reading, found),
        charts.fallbacks(reading, found),
        charts.cost(found),
        charts.failures(found),
        tables.providers(found),
        tables.outages(found),
        "</div>",
        _foot(reading, found),
    )
    return document("How the providers did", "".join(parts))


def document(title: str, body: str) -> str:
    """A page that needs nothing else: no network, no script."""
    style = files("llm_unified.cli.report").joinpath("page.css").read_text("utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>{body}</main></body></html>\n"
    )


# -- in words ----------------------------------------------------------------------------------------


def _verdict(reading: Reading, found: Figures) -> str:
    if found.blind:
        return _said("some", "–", _BLIND)
    down = [provider for provider in found.providers if provider.up is False]
    if not down:
        known = [provider for provider in found.providers if provider.up]
        everybody = f"All {len(known)} providers answer."
        words = everybody if len(known) != 1 else f"{known[0].name} answers."
        style, mark = ("good", "✔") if known else ("some", "–")
        return _said(style, mark, words if known else "No provider was asked.")
    several = [_down(provider, found) for provider in down]
    if len(down) == len(found.providers):
        return _said("bad", "✘", "No provider answers: " + "; ".join(several) + ".")
    words = "; ".join(several) + "."
    if reading.answers:
        words += f" Calls go to {reading.answers}."
    return _said("some", "!", words)


def _down(provider: Provider, found: Figures) -> str:
    last = next((o for o in found.outages if o.provider == provider.name and o.end is None), None)
    at, problem = provider.last_failure or (found.end, "unknown")
    since = last.start if last else at
    return f"{provider.name} has failed since {found.span.clock(since, seconds=True)} ({problem})"


def _said(style: str, mark: str, words: str) -> str:
    return (
        f'<p class="verdict {style}"><b class="{style}">{mark}</b><span>{escape(words)}</span></p>'
    )


def _tiles(found: Figures) -> str:
    asked = sum(sum(provider.asked) for provider in found.providers)
    failed = sum(sum(provider.failed) for provider in found.providers)
    times = [s for provider in found.providers for some in provider.seconds for s in some]
    figures_ = (
        (percent(None if found.blind or not asked else 1 - failed / asked), "answered"),
        (count(asked), "questions"),
        (seconds(quantile(times, 0.5)), "median latency"),
        (seconds(quantile(times, 0.99)), "99th percentile"),
        (count(sum(sum(row) for row in found.fallbacks.values())), "fallbacks"),
        (count(sum(provider.tokens for provider in found.providers)), "tokens"),
        (money(sum(sum(provider.cost) for provider in found.providers)), "cost"),
        (duration(found.end - found.start), "from first to last"),
    )
    tiles = "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in figures_)
    return f'<div class="tiles">{tiles}</div>'


def _foot(reading: Reading, found: Figures) -> str:
    words = [f"{count(reading.lines)} {'line' if reading.lines == 1 else 'lines'} read."]
    if reading.bad:
        named = "; ".join(f"line {number}: {why}" for number, why in reading.bad_lines)
        rest = reading.bad - len(reading.bad_lines)
        words.append(f"{count(reading.bad)} of them say nothing ({named}")
        words[-1] += f"; and {rest} more)." if rest else ")."
    if reading.other:
        words.append(f"Events of another kind: {count(reading.other)}.")
    if found.left_out:
        words.append(f"{count(found.left_out)} providers that were asked least are not shown.")
    return f"<footer>{escape(' '.join(words))}</footer>"
