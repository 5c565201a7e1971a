"""Where results go: a folder of their own, and the site."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from . import charts, report
from .environments import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
ASSETS = ROOT / "docs" / "assets" / "benchmarks"
BLOCK = re.compile(r"(<!-- results: generated[^>]*-->\n).*?(<!-- /results -->)", re.DOTALL)


def write_results(results: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", "utf-8")


def write(results: dict[str, Any], folder: Path) -> str:
    """The table and the charts into ``folder``; gives the table."""
    folder.mkdir(parents=True, exist_ok=True)
    table = report.markdown(results)
    (folder / "results.md").write_text(table, "utf-8")
    for name, chart in charts.all_of(results).items():
        (folder / f"{name}.svg").write_text(chart, "utf-8")
    return table


def into_site(results: dict[str, Any]) -> None:
    write_results(results, ASSETS)
    for name, chart in charts.all_of(results).items():
        (ASSETS / f"{name}.svg").write_text(chart, "utf-8")
    PAGE.write_text(page(results, PAGE.read_text("utf-8")), "utf-8")


def page(results: dict[str, Any], text: str) -> str:
    """The page with these results between its marks."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{report.markdown(results)}\n{m[2]}", text)
