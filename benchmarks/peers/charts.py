"""Bar charts as SVG: nothing loaded from anywhere, a card of its own in light and in dark, ours in colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from .clients import OURS
from .report import number

WIDTH, LABELS, VALUES, EDGE = 560, 206, 54, 16
BAR, GAP, BETWEEN = 11, 3, 11
TOP, BOTTOM = 62, 30
STYLE = """
 .card{fill:#fff;stroke:#d0d7de}.title{fill:#1f2328;font-size:15px;font-weight:600}
 text{fill:#57606a;font:12.5px system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}
 .value{paint-order:stroke;stroke:#fff;stroke-width:3px}
.label{text-anchor:end} .ours{fill:#1f2328;font-weight:600}.tick{font-size:11px}.grid{stroke:#d0d7de;stroke-dasharray:2 3}
 .a{fill:#8c959f}.b{fill:#c8ced5}.ours-a{fill:#0969da}.ours-b{fill:#80b3f0}
 @media(prefers-color-scheme:dark){
 .card{fill:#0d1117;stroke:#30363d}.title,.ours{fill:#e6edf3}text{fill:#9198a1}.grid{stroke:#30363d}.value{stroke:#0d1117}
 .a{fill:#6e7681}.b{fill:#3d444d}.ours-a{fill:#4493f8}.ours-b{fill:#1f4f8f}}
"""


@dataclass(frozen=True)
class Chart:
    """One picture: up to two figures per client, whose names are the legend."""

    title: str
    series: Mapping[str, str]
    """Name in the legend to key of the figure."""
    better: str
    logarithmic: bool = False
    most_first: bool = False


CHARTS = {
    "per_call": Chart("CPU per call, ms", {"": "call_cpu_ms"}, "less is better"),
    "per_chunk": Chart(
        "CPU per streamed chunk, µs",
        {"each arrives alone": "chunk_cpu_us", "all at once": "burst_chunk_cpu_us"},
        "less is better",
    ),
    "throughput": Chart(
        "Calls per second on one upstream",
        {"256 at a time": "rate_256", "64 at a time": "rate_64"},
        "more is better",
        most_first=True,
    ),
    "failover": Chart(
        "A call once the first provider fails, ms",
        {"first call": "failover_first_ms", "steady": "failover_steady_ms"},
        "less is better; logarithmic",
        logarithmic=True,
    ),
    "start": Chart(
        "CPU from the start of the process to the first answer, s",
        {"": "start_cpu_s"},
        "less is better",
    ),
    "memory": Chart(
        "Memory, MiB",
        {"after all calls": "memory_after_mib", "after the first": "start_mib"},
        "less is better",
    ),
}


def all_of(results: dict[str, Any]) -> dict[str, str]:
    """Each chart for which there are figures."""
    drawn = {}
    for name, chart in CHARTS.items():
        first = next(iter(chart.series.values()))
        clients = {k: v for k, v in results["clients"].items() if first in v["figures"]}
        if clients:
            drawn[name] = draw(chart, clients)
    return drawn


def draw(chart: Chart, clients: dict[str, Any]) -> str:
    keys = list(chart.series.values())
    sign = -1 if chart.most_first else 1
    rows = sorted(clients.items(), key=lambda row: sign * row[1]["figures"][keys[0]])
    values = [client["figures"][key] for _, client in rows for key in keys]
    x, ticks = _scale(values, logarithmic=chart.logarithmic)
    step = len(keys) * (BAR + GAP) + BETWEEN
    height = TOP + len(rows) * step + BOTTOM
    bottom = height - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        f' width="{WIDTH}" height="{height}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(chart.title)}</title>',
        f'<desc id="d">{escape(_spoken(chart, rows))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="title" x="{EDGE}" y="26">{escape(chart.title)}</text>',
        *_legend(chart),
    ]
    for tick in ticks:
        at = f"{x(tick):.1f}"
        parts.append(f'<path class="grid" d="M{at} {TOP - 6}V{bottom}"/>')
        label = f"{tick:,.10g}"
        parts.append(
            f'<text class="tick" x="{at}" y="{bottom + 16}" text-anchor="middle">{label}</text>'
        )
    for number_, (name, client) in enumerate(rows):
        parts += _row(name, client, keys, TOP + number_ * step, x, dots=chart.logarithmic)
    return "\n".join([*parts, "</svg>", ""])


def _row(
    name: str,
    client: dict[str, Any],
    keys: list[str],
    y: float,
    x: Callable[[float], float],
    *,
    dots: bool,
) -> list[str]:
    mark, bold = ("ours-", " ours") if name == OURS else ("", "")
    middle = y + len(keys) * (BAR + GAP) / 2 + 3
    label = escape(client["label"])
    parts = [f'<text class="label{bold}" x="{LABELS - 8}" y="{middle}">{label}</text>']
    for place, key in enumerate(keys):
        value = client["figures"][key]
        top = y + place * (BAR + GAP)
        width = max(x(value) - LABELS, 1)
        kind = f'class="{mark}{"ab"[place]}"'
        if dots:  # a bar without a zero would lie
            parts.append(f'<circle {kind} cx="{LABELS + width:.1f}" cy="{top + BAR / 2}" r="5"/>')
        else:
            parts.append(
                f'<rect {kind} x="{LABELS}" y="{top}" width="{width:.1f}" height="{BAR}" rx="1.5"/>'
            )
        at = LABELS + width + (9 if dots else 5)
        parts.append(
            f'<text class="value{bold}" x="{at:.1f}" y="{top + BAR - 1}">{number(value)}</text>'
        )
    return parts


def _legend(chart: Chart) -> list[str]:
    parts, x = [], EDGE
    for place, name in enumerate(name for name in chart.series if name):
        parts.append(
            f'<rect class="{"ab"[place]}" x="{x}" y="37" width="10" height="10" rx="1.5"/>'
        )
        parts.append(f'<text x="{x + 15}" y="46">{escape(name)}</text>')
        x += 36 + round(len(name) * 6.6)
    parts.append(f'<text x="{x}" y="46">{chart.better}</text>')
    return parts


def _spoken(chart: Chart, rows: list[tuple[str, Any]]) -> str:
    def said(figures: dict[str, float]) -> str:
        return ", ".join(f"{n} {number(figures[k])}".strip() for n, k in chart.series.items())

    told = "; ".join(f"{client['label']}: {said(client['figures'])}" for _, client in rows)
    return f"{told}. {chart.better.capitalize()}."


def _scale(
    values: list[float], *, logarithmic: bool
) -> tuple[Callable[[float], float], list[float]]:
    """Where a value lies, and the values that get a line; from zero, unless in powers of ten."""
    room = WIDTH - EDGE - VALUES - LABELS
    if logarithmic:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        ticks = [10.0**power for power in range(low, high + 1)]
        return lambda v: LABELS + room * (math.log10(v) - low) / (high - low or 1), ticks
    most = max(values)
    unit = 10 ** math.floor(math.log10(most))
    step = next(unit * part for part in (0.2, 0.5, 1, 2) if most / (unit * part) <= 5)  # noqa: PLR2004 - lines
    ticks = [step * count for count in range(int(most / step) + 1)]
    return lambda v: LABELS + room * v / most, ticks
