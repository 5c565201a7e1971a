"""One client in one fresh process: what it costs, as JSON on the last line of the output.

Raw samples only; `figures` makes the figures of them. CPU is that of the process, all threads.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .clients import CLIENTS, Peer, Warming
from .plan import Plan

HELLO = "Hello there."
PACE = 0.001
"""Seconds between two events of a stream: so each arrives on its own, as from a vendor."""
GIVE_UP = 9.0
"""Seconds after which failing calls are enough, for those that wait before they fail over."""

Ask = Callable[[], Awaitable[None]]


async def measured(plan: Plan) -> dict[str, Any]:
    peer = CLIENTS[plan.client].make(plan.upstream)

    async def ask() -> None:
        text = await peer.call()
        if text != HELLO:
            raise ValueError(f"{plan.client} answered {text!r}")

    found: dict[str, Any] = {}
    if plan.warmed and isinstance(peer, Warming):
        await peer.warm()
    found["start"] = await start(plan, ask)
    if plan.memory:
        found["memory"] = await memory(plan, ask)
    elif not plan.warmed:
        found["calibration"] = [calibrated()]
        found["call"] = await calls(plan, ask)
        found["burst"] = await streams(plan, peer, pace=0.0)
        found["stream"] = await streams(plan, peer, pace=PACE)
        found["many"] = {str(many): await throughput(plan, ask, many) for many in plan.concurrent}
        found["calibration"].append(calibrated())
        if plan.failing and CLIENTS[plan.client].fails_over:
            found["failover"] = await failover(plan, ask)
    await peer.close()
    return found


def calibrated() -> float:
    """CPU seconds of a fixed piece of work, the best of five: what this machine is worth just now."""
    document = {f"key {i}": [i, str(i), {"text": "word " * 5}] for i in range(100)}
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        for _ in range(60):
            json.loads(json.dumps(document))
            sum(len(str(i)) for i in range(500))
        best = min(best, time.process_time() - begun)
    return best


async def start(plan: Plan, ask: Ask) -> dict[str, float]:
    """From nothing to the first answer, and what that answer and the next took."""
    begun = time.perf_counter()
    await ask()
    first = time.perf_counter() - begun
    reached = {"wall": time.time() - plan.spawned, "cpu": time.process_time(), "rss": resident()}
    begun = time.perf_counter()
    await ask()
    return {**reached, "first": first, "second": time.perf_counter() - begun}


async def calls(plan: Plan, ask: Ask) -> list[tuple[float, float]]:
    """CPU and wall seconds per call, one after the other, in blocks."""
    block = 20
    samples: list[tuple[float, float]] = []
    for _ in range(block):
        await ask()
    until = time.perf_counter() + plan.seconds
    while not samples or time.perf_counter() < until:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(block):
            await ask()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        samples.append((cpu / block, wall / block))
    return samples


async def streams(plan: Plan, peer: Peer, *, pace: float) -> list[tuple[float, float]]:
    """CPU seconds per chunk and seconds to the first text, per stream."""
    from upstream import CHUNKS, WORDS

    samples = []
    asked_state(plan, f"pace={pace}")
    for number in range(plan.streams + 1):
        text, first = "", 0.0
        cpu, begun = time.process_time(), time.perf_counter()
        async for piece in peer.stream():
            if piece:
                first = first or time.perf_counter() - begun
                text += piece
        cpu = time.process_time() - cpu
        if text != "".join(WORDS):
            raise ValueError(f"{plan.client} streamed {len(text)} characters, not what was sent")
        if number:  # the first imports
            samples.append((cpu / CHUNKS, first))
    asked_state(plan, "pace=0")
    return samples


async def throughput(plan: Plan, ask: Ask, many: int) -> dict[str, float]:
    """Calls per second with ``many`` under way all the time, and how long the slowest hundredth took."""
    ends = 0.0
    least = many * 2
    times: list[float] = []

    async def worker(*, warm: bool = False) -> None:
        while warm or len(times) < least or time.perf_counter() < ends:
            begun = time.perf_counter()
            await ask()
            if warm:
                return
            times.append(time.perf_counter() - begun)

    await asyncio.gather(*(worker(warm=True) for _ in range(many)))  # opens the connections
    before = asked_state(plan)["cpu"]
    cpu, begun = time.process_time(), time.perf_counter()
    ends = begun + plan.seconds
    await asyncio.gather(*(worker() for _ in range(many)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
    return {
        "rate": len(times) / wall,
        "p50": statistics.median(times),
        "p99": sorted(times)[int(len(times) * 0.99)],
        "cpu": cpu / len(times),
        "upstream_busy": (asked_state(plan)["cpu"] - before) / wall,
    }


async def failover(plan: Plan, ask: Ask) -> dict[str, Any]:
    """The first endpoint, until now well, answers 500: the call that meets it, and those that follow."""
    for _ in range(5):
        await ask()
    before = asked_state(plan, "down=1")["refused"]
    times: list[float] = []
    refused: list[float] = []
    begun = time.perf_counter()
    while len(times) < plan.failing and time.perf_counter() < begun + GIVE_UP:
        called = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - called)
        refused.append(asked_state(plan)["refused"] - before)
    asked_state(plan, "down=0")
    return {"times": times, "refused": refused}


async def memory(plan: Plan, ask: Ask) -> dict[str, float]:
    """Resident MiB after a twentieth of the calls, when all is imported and connected, and after all."""
    seen: dict[str, float] = {}
    for upto in (plan.memory // 20, plan.memory - plan.memory // 20):
        left = iter(range(upto))

        async def worker(left: Any = left) -> None:
            for _ in left:
                await ask()

        await asyncio.gather(*(worker() for _ in range(16)))
        seen["after" if seen else "before"] = resident()
    return seen


def resident() -> float:
    """MiB of this process in memory; where only the peak is told, the peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        import resource  # not on Windows, where this benchmark does not run

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    return pages * 4096 / 2**20


def asked_state(plan: Plan, switches: str = "") -> dict[str, float]:
    """What the upstream says of itself, after setting ``switches``."""
    import http.client

    host = plan.upstream.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    connection.request("GET", f"/-/state?{switches}")
    found: dict[str, float] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def main(text: str) -> int:
    import logging

    logging.disable(logging.ERROR)  # what is written is not what is measured
    print(json.dumps(asyncio.run(measured(Plan.loads(text)))), flush=True)
    return 0
