"""The benchmark runs; how long anything takes is not looked at."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
COMPARE = ROOT / "benchmarks" / "compare.py"
PUBLISHED = ROOT / "docs" / "assets" / "benchmarks"


def compare(*arguments):
    done = subprocess.run(
        [sys.executable, str(COMPARE), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_peers_are_measured_and_told_of(tmp_path):
    """Figures with versions, a table and readable charts come of the clients that are installed."""
    clients = ("llm_unified", "httpx", "openai", "router")
    small = ("--here", "--smoke", "--rounds", 1, "--memory-calls", 0, "--out", tmp_path)
    table = compare("--peers", *small, "--clients", *clients)

    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert set(clients) == set(results["clients"])
    for name, client in results["clients"].items():
        assert client["versions"], name
        assert {"call_cpu_ms", "chunk_cpu_us", "rate_4", "p99_4_ms"} <= client["figures"].keys()
        assert f"{client['label']}" in table
    assert results["clients"]["router"]["figures"]["failover_asked"] == 1
    assert "failover_asked" not in results["clients"]["httpx"]["figures"]
    for name in ("per_call", "per_chunk", "failover", "start"):
        chart = (tmp_path / f"{name}.svg").read_text("utf-8")
        assert ET.fromstring(chart).tag.endswith("svg")
        assert "prefers-color-scheme" in chart


def test_memory_is_measured_and_who_is_missing_is_told(tmp_path):
    """A client that this machine lacks is left out by name, and the others are measured."""
    small = ("--here", "--smoke", "--rounds", 1, "--memory-calls", 40, "--out", tmp_path)
    table = compare("--peers", *small, "--clients", "aiohttp", "tensorzero")

    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert results["clients"]["aiohttp"]["figures"]["memory_after_mib"] > 0
    assert "tensorzero" in results["missing"] and "Left out: TensorZero" in table


def test_what_is_published_comes_from_the_results_beside_it(tmp_path):
    """The tables and charts of the site are those of its results, not edited by hand."""
    table = compare("--peers", "--render", PUBLISHED / "results.json", "--out", tmp_path)

    assert table.strip() in (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    for chart in PUBLISHED.glob("*.svg"):
        assert (tmp_path / chart.name).read_text("utf-8") == chart.read_text("utf-8")
