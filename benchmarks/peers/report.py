"""The results as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .clients import CLIENTS, OURS

Figures = dict[str, float]
Column = tuple[str, Callable[[Figures], str]]
BASE = "router"


@dataclass(frozen=True)
class Table:
    title: str
    order: str
    """The figure that the rows are sorted by; with ``-`` the largest first."""
    columns: list[Column]


def number(value: float) -> str:
    """Three digits, as far as they say something."""
    if value >= 1000:  # noqa: PLR2004 - where separators begin
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 100 or value == 0 else f"{value:#.3g}".rstrip(".")  # noqa: PLR2004


def _plain(key: str) -> Callable[[Figures], str]:
    return lambda figures: number(figures[key]) if key in figures else "–"


def markdown(results: dict[str, Any]) -> str:
    """Everything that was measured, and on what."""
    tables = (_one(results), _many(results), _failover(), _start(results["memory_calls"]))
    shown = (f"### {table.title}\n\n{_rows(results, table)}" for table in tables)
    return "\n\n".join((_conditions(results), *shown)) + "\n"


def _one(results: dict[str, Any]) -> Table:
    columns: list[Column] = [
        ("CPU per call, ms", _plain("call_cpu_ms")),
        ("× Router", _times_router(results, "call_cpu_ms")),
        ("CPU per chunk, µs", _plain("chunk_cpu_us")),
        ("× Router", _times_router(results, "chunk_cpu_us")),
        ("the same, all chunks at once, µs", _plain("burst_chunk_cpu_us")),
        ("first text, ms", _plain("first_text_ms")),
    ]
    return Table("One call, one chunk", "call_cpu_ms", columns)


def _many(results: dict[str, Any]) -> Table:
    anyone: Figures = next(iter(results["clients"].values()))["figures"]
    counts = [key[5:] for key in anyone if key.startswith("rate_")]
    columns: list[Column] = []
    for count in counts:
        columns.append((f"calls/s, {count} at a time", _plain(f"rate_{count}")))
        columns.append((f"p99, {count} at a time, ms", _plain(f"p99_{count}_ms")))
    columns.append((f"calls per CPU second, {counts[-1]}", _plain(f"core_rate_{counts[-1]}")))
    columns.append(
        ("upstream busy", lambda f: f"{max(f[f'upstream_busy_{count}'] for count in counts):.0%}")
    )
    return Table("Many at once", f"-rate_{counts[-1]}", columns)


def _failover() -> Table:
    columns: list[Column] = [
        ("first call, ms", _plain("failover_first_ms")),
        ("steady, ms", _plain("failover_steady_ms")),
        ("the dead one is asked, per call", _plain("failover_asked")),
    ]
    return Table("The first of two endpoints begins to answer 500", "failover_steady_ms", columns)


def _start(calls: int) -> Table:
    columns: list[Column] = [
        ("start to first answer, s", _plain("start_s")),
        ("CPU of that, s", _plain("start_cpu_s")),
        ("first call, ms", _plain("first_call_ms")),
        ("second, ms", _plain("second_call_ms")),
        ("first after a warm-up, ms", _plain("warmed_first_call_ms")),
        ("MiB after the first", _plain("start_mib")),
        (f"after {calls // 20:,}", _plain("memory_before_mib")),
        (f"after {calls:,}", _plain("memory_after_mib")),
    ]
    return Table("Start and memory", "start_s", columns)


def _times_router(results: dict[str, Any], key: str) -> Callable[[Figures], str]:
    base = results["clients"].get(BASE)
    return lambda f: f"{f[key] / base['figures'][key]:.2f}" if base else "–"


def _rows(results: dict[str, Any], table: Table) -> str:
    key, sign = table.order.removeprefix("-"), -1 if table.order.startswith("-") else 1
    there = [(name, c) for name, c in results["clients"].items() if key in c["figures"]]
    rows = [
        ["client", *(head for head, _ in table.columns)],
        ["---", *("--:" for _ in table.columns)],
    ]
    for name, client in sorted(there, key=lambda row: sign * row[1]["figures"][key]):
        cells = [client["label"], *(cell(client["figures"]) for _, cell in table.columns)]
        rows.append([f"**{cell}**" for cell in cells] if name == OURS else cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _conditions(results: dict[str, Any]) -> str:
    upstream, load = results["upstream"], results["load"]
    versions = {k: v for c in results["clients"].values() for k, v in c["versions"].items()}
    told = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    busy = max(load) > results["cores"] + 1
    text = [
        f"Measured {results['made']} on {results['cores']} cores ({results['system']}),",
        f"Python {results['python']}, {results['rounds']} rounds of fresh processes, all in",
        f"{results['minutes']} minutes; {told}.",
        f"The upstream serves {upstream['rate']:,.0f} requests a second to bare sockets;",
        f"one costs it {upstream['cpu_us']:.0f} µs of CPU, so that a core of its own would serve",
        f"{upstream['core']:,.0f}. Load average while measuring: {min(load)} to {max(load)}"
        + (", so other programs ran beside: trust the ratios." if busy else "."),
    ]
    left_out = {**results["missing"], **results["failed"]}
    text += [f"Left out: {CLIENTS[name].label}: {why}." for name, why in left_out.items()]
    return textwrap.fill(" ".join(text), 112, break_long_words=False, break_on_hyphens=False)
