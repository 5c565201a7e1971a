"""The whole run: environments, the upstream, rounds of fresh processes in turn, memory, and what is written.

    python benchmarks/compare.py --peers                 everything, into build/benchmarks
    python benchmarks/compare.py --peers --publish       and into docs/, as the site shows it
    python benchmarks/compare.py --peers --render docs/assets/benchmarks/results.json

The last one only draws what an earlier run measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import environments, figures, publish
from .clients import CLIENTS, OURS
from .plan import Plan
from .server import Upstream

PROGRAM = Path(__file__).resolve().parents[1] / "compare.py"
LIMIT = 1800.0
"""Seconds after which a measuring process is given up."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="compare.py --peers", description="Us beside others.")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes per client")
    parser.add_argument("--seconds", type=float, default=1.0, help="per figure and process")
    parser.add_argument("--memory-calls", type=int, default=20_000, help="0 leaves memory out")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--here", action="store_true", help="in this Python, with what it has")
    parser.add_argument("--smoke", action="store_true", help="a few calls: does it work?")
    parser.add_argument("--out", type=Path, default=environments.ROOT / "build" / "benchmarks")
    parser.add_argument("--publish", action="store_true", help="write into docs/, too")
    parser.add_argument("--render", type=Path, metavar="JSON", help="of an earlier run; no run")
    given = parser.parse_args(arguments)
    if given.render:
        results = json.loads(given.render.read_text("utf-8"))
    else:
        results = measured(given)
        publish.write_results(results, given.out)
    print(publish.write(results, given.out))
    say(f"written to {given.out}")
    if given.publish:
        publish.into_site(results)
        say("written into docs/")
    return 1 if results["failed"] else 0


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """The results, as they stand in the JSON file."""
    available = environments.here if given.here else environments.made
    pythons, missing = available(given.clients)
    for name, why in missing.items():
        say(f"{CLIENTS[name].label} {why}: left out")
    plan = Plan(client="", upstream="", seconds=given.seconds)
    memory_calls = given.memory_calls
    if given.smoke:
        plan = replace(plan, seconds=0.01, streams=1, concurrent=(4,), failing=4)
        memory_calls = min(memory_calls, 40)
    else:
        say("about ten minutes on an idle machine with two cores")
    begun = time.monotonic()
    run = Run(pythons, plan)
    with Upstream() as upstream:
        capacity = upstream.capacity(max(plan.seconds, 0.1))
        say(f"the upstream serves {capacity['rate']:,.0f} requests/s to bare sockets")
        run.rounds(upstream, given.rounds)
        run.memory(upstream, memory_calls)
    return {
        "made": datetime.now(UTC).date().isoformat(),
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in run.loads],
        "rounds": given.rounds,
        "memory_calls": memory_calls,
        "upstream": capacity,
        "missing": missing,
        "failed": run.failed,
        "clients": run.results(),
    }


class Run:
    """What the measuring processes said so far."""

    def __init__(self, pythons: environments.Pythons, plan: Plan) -> None:
        self.failed: dict[str, str] = {}
        self.loads: list[float] = []
        self._pythons = pythons
        self._plan = plan
        self._rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
        self._warmed: list[dict[str, Any]] = []
        self._memory: dict[str, dict[str, float]] = {}

    def rounds(self, upstream: Upstream, count: int) -> None:
        """Every client once a round, each round beginning with another one."""
        names = list(self._pythons)
        for number in range(count):
            shift = number * len(names) // count
            for name in names[shift:] + names[:shift]:
                self.loads.append(os.getloadavg()[0])
                found = self._process(replace(self._plan, client=name, upstream=upstream.url))
                if found:
                    self._rounds[name].append(found)
                    wall = found["took"]
                    say(f"round {number + 1} of {count}: {CLIENTS[name].label}, {wall:.0f} s")
            warmed = replace(self._plan, client=OURS, upstream=upstream.url, warmed=True)
            if OURS in names and (found := self._process(warmed)):
                self._warmed.append(found)

    def memory(self, upstream: Upstream, calls: int) -> None:
        """Memory does not mind company: as many processes at once as there are cores."""
        names = [name for name in self._pythons if CLIENTS[name].variant != "documented"]
        if not calls:
            return
        say(f"memory over {calls:,} calls")

        def one(name: str) -> None:
            plan = replace(self._plan, client=name, upstream=upstream.url, memory=calls)
            if found := self._process(plan):
                self._memory[name] = found["memory"]
                say(f"memory: {CLIENTS[name].label}, {found['took']:.0f} s")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(one, reversed(names)))  # the slow ones stand last in the list

    def _process(self, plan: Plan) -> dict[str, Any] | None:
        environ = {**os.environ, "NO_PROXY": "*", "PYTHONWARNINGS": "ignore"}
        begun = time.monotonic()
        text = replace(plan, spawned=time.time()).dumps()
        command = [str(self._pythons[plan.client]), str(PROGRAM), "--measure", text]
        try:
            done = subprocess.run(
                command, env=environ, capture_output=True, text=True, check=True, timeout=LIMIT
            )
        except subprocess.SubprocessError as problem:
            errors = getattr(problem, "stderr", None) or str(problem)
            self.failed[plan.client] = errors.strip().splitlines()[-1][:200]
            say(f"{CLIENTS[plan.client].label} failed:\n{errors[-2000:]}")
            return None
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return {**found, "took": time.monotonic() - begun}

    def results(self) -> dict[str, Any]:
        """Per client who it is, in which version, its figures."""
        done = {name: each for name, each in self._rounds.items() if each}
        scale_to = figures.reference(done)
        return {
            name: {
                "label": CLIENTS[name].label,
                "versions": environments.versions(name, self._pythons[name]),
                "figures": figures.of_client(
                    each,
                    self._warmed if name == OURS else [],
                    self._memory.get(name),
                    scale_to,
                ),
            }
            for name, each in done.items()
        }
