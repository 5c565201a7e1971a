"""`compare.py` without ``--peers``: ours, the bare Router, litellm.acompletion, the openai SDK, httpx, per provider.

    python benchmarks/compare.py                 # all tables, about three minutes
    python benchmarks/compare.py --rounds 20     # more rounds, less noise

All clients run interleaved in one process, a block of calls each in turn, against `upstream.py` in a process of
its own on loopback (no latency, no TLS): what is measured is the client. CPU is that of this process, all
threads. Use the ratios: milliseconds depend on the machine. "ours" has everything on: pool of three, round
robin, breaker, deadline, statistics, trail. The first line shows what the upstream itself can do.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import time
from typing import Any

from peers.server import Upstream
from rich.console import Console
from rich.table import Table
from rivals import HELLO, LONG, OPTIONS, PROVIDERS, Ask, Rivals, environ
from upstream import CHUNKS

from llm_unified import UnifiedLLMService, load_settings

CONCURRENT = 256
TARGETS = {
    "call": dict.fromkeys(PROVIDERS, 0.16) | {"anthropic": 0.30},
    "chunk": {"openai": 0.08, "anthropic": 0.16},
}
LONG_TARGET = 0.10

Results = dict[str, tuple[float, float]]
console = Console(width=100)


async def contest(clients: dict[str, Ask], *, rounds: int, block: int) -> Results:
    """Blocks of calls in turn; per client the median over the blocks of CPU and wall ms per call."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
    for ask in clients.values():
        for _ in range(5):
            await ask()
    names = list(clients)
    for round_ in range(rounds):
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            ask = clients[name]
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(block):
                await ask()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            samples[name].append((cpu / block * 1e3, wall / block * 1e3))
    return {
        name: (statistics.median(c for c, _ in each), statistics.median(w for _, w in each))
        for name, each in samples.items()
    }


def show(
    title: str,
    results: Results,
    *,
    base: str = "bare Router",
    per: int = 1,
    target: float | None = None,
) -> None:
    """A table of the results, divided by ``per``."""
    wanted = "" if target is None else f" (target: ours ≤ {target:.2f} × {base})"
    table = Table(title=title + wanted)
    for column in ("client", "CPU ms", f"× {base}", "wall ms", f"× {base} "):
        table.add_column(column, justify="left" if column == "client" else "right", no_wrap=True)
    cpu0, wall0 = results[base]
    for name, (cpu, wall) in results.items():
        times = (
            f"{cpu / per:.3f}",
            f"{cpu / cpu0:.3f}",
            f"{wall / per:.3f}",
            f"{wall / wall0:.3f}",
        )
        table.add_row(name, *times)
    console.print(table)


def ours(service: UnifiedLLMService, messages: list[Any], *, stream: bool = False) -> Ask:
    async def ask() -> None:
        if not stream:
            await service.generate_response_async(messages, **OPTIONS)
            return
        async with service.stream_response_async(messages, **OPTIONS) as answer:
            async for _ in answer:
                pass

    return ask


async def many(ask: Ask, total: int) -> None:
    """``total`` calls, `CONCURRENT` of them at a time."""
    left = iter(range(total))

    async def worker() -> None:
        for _ in left:
            await ask()

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


async def throughput(upstream: Upstream, rounds: int) -> None:
    rivals = Rivals(upstream.url, "openai")
    async with UnifiedLLMService(load_settings(environ(upstream.url, "openai"))) as service:
        clients = {"ours": ours(service, HELLO), **rivals.clients(HELLO)}
        del clients["litellm.acompletion"]
        rates: dict[str, list[float]] = {name: [] for name in clients}
        for round_ in range(max(2, rounds // 2) + 1):
            for name, ask in clients.items():
                total = CONCURRENT * (8 if name == "ours" else 2)
                begun = time.perf_counter()
                await many(ask, total)
                if round_:  # the first opens the connections
                    rates[name].append(total / (time.perf_counter() - begun))
    await rivals.aclose()
    table = Table(
        title=f"calls per second, {CONCURRENT} at a time (target: ours ≥ 6 × bare Router)"
    )
    for column in ("client", "calls/s", "× bare Router"):
        table.add_column(column, justify="left" if column == "client" else "right")
    base = statistics.median(rates["bare Router"])
    for name, each in rates.items():
        rate = statistics.median(each)
        table.add_row(name, f"{rate:,.0f}", f"{rate / base:.2f}")
    console.print(table)


async def failover(upstream: Upstream, rounds: int) -> None:
    """The primary refuses; the second answers. Beside: a call whose primary is well."""
    rivals = Rivals(upstream.url, "azure_openai")
    down = environ(upstream.url, "openai", down="openai")
    never = load_settings(down, failure_threshold=1000)
    async with (
        UnifiedLLMService(load_settings(environ(upstream.url, "azure_openai"))) as well,
        UnifiedLLMService(never) as first,
        UnifiedLLMService(load_settings(down, failure_threshold=1, cooldown=3600.0)) as steady,
    ):
        clients = {
            "healthy": ours(well, HELLO),
            "first: the primary is asked and refuses": ours(first, HELLO),
            "steady: past an open breaker": ours(steady, HELLO),
            "bare Router, healthy": rivals.clients(HELLO)["bare Router"],
        }
        results = await contest(clients, rounds=rounds, block=40)
    await rivals.aclose()
    show("failover", results, base="healthy", target=1.1)


async def calls(upstream: Upstream, rounds: int) -> None:
    for provider in PROVIDERS:
        rivals = Rivals(upstream.url, provider)
        async with UnifiedLLMService(load_settings(environ(upstream.url, provider))) as service:
            clients = {"ours": ours(service, HELLO), **rivals.clients(HELLO)}
            results = await contest(clients, rounds=rounds, block=40)
            show(f"one call, {provider}", results, target=TARGETS["call"][provider])
            if provider in TARGETS["chunk"]:
                streams = rivals.clients(HELLO, stream=True)
                streams = {"ours": ours(service, HELLO, stream=True), **streams}
                results = await contest(streams, rounds=rounds, block=3)
                target = TARGETS["chunk"][provider]
                show(f"one of {CHUNKS} chunks, {provider}", results, per=CHUNKS, target=target)
            long = {"ours": ours(service, LONG), **rivals.clients(LONG)}
            results = await contest(long, rounds=rounds, block=5)
            show(f"{len(LONG)} short messages, {provider}", results, target=LONG_TARGET)
        await rivals.aclose()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=("calls", "throughput", "failover"), help="one part")
    parser.add_argument("--rounds", type=int, default=8, help="blocks per client (default 8)")
    given = parser.parse_args(arguments)
    logging.disable(logging.ERROR)  # what is written is not what is measured
    with Upstream() as upstream:
        rate = upstream.capacity(1.0)["rate"]
        console.print(f"The upstream serves {rate:,.0f} requests per second to bare sockets.\n")
        for part in (calls, throughput, failover):
            if given.only in (None, part.__name__):
                asyncio.run(part(upstream, given.rounds))
    return 0
