"""What one call costs: ours, the bare Router, litellm.acompletion, the openai SDK, httpx.

    python benchmarks/compare.py                 # all tables, about three minutes
    python benchmarks/compare.py --rounds 20     # more rounds, less noise

All clients run interleaved in one process, a block of calls each in turn, against `upstream.py` in a process of
its own on loopback (no latency, no TLS): what is measured is the client. CPU is that of this process, all
threads. Use the ratios: milliseconds depend on the machine. "ours" has everything on: pool of three, round
robin, breaker, deadline, statistics, trail. The first table shows what the upstream itself can do.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the others are not to go to the network
os.environ["LITELLM_LOG"] = "CRITICAL"

import aiohttp
import httpx
from rich.console import Console
from rich.table import Table
from upstream import CHUNKS

from llm_unified import UnifiedLLMService, load_settings

HELLO = [{"role": "user", "content": "Say hello."}]
LONG = [
    {"role": "assistant" if i % 2 else "user", "content": f"Short message {i}."} for i in range(201)
]
OPTIONS: dict[str, Any] = {"temperature": 0.5, "max_tokens": 50}
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
PROVIDERS = ("openai", "azure_openai", "groq", "anthropic")
CONCURRENT = 256
PATIENT_SECONDS = 300.0
"""A loop that is busy with 256 calls connects late."""
TARGETS = {
    "call": dict.fromkeys(PROVIDERS, 0.16) | {"anthropic": 0.30},
    "chunk": {"openai": 0.08, "anthropic": 0.16},
}
LONG_TARGET = 0.10

Ask = Callable[[], Awaitable[Any]]
Results = dict[str, tuple[float, float]]
console = Console(width=100)


class Upstream:
    """`upstream.py` in another process."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("upstream.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.root = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def environ(self, primary: str, *, down: str | None = None) -> dict[str, str]:
        """All four providers, ``primary`` first; the one that is ``down`` refuses."""
        root = {name: self.root + ("/down" if name == down else "") for name in PROVIDERS}
        return {
            "LLM_PRIMARY_PROVIDER": primary,
            "LLM_FALLBACK_PROVIDERS": ",".join(name for name in PROVIDERS if name != primary),
            "OPENAI_API_KEY": "sk-benchmark",
            "OPENAI_BASE_URL": root["openai"] + "/v1",
            "OPENAI_MODEL": "gpt-4.1-mini",
            "AZURE_OPENAI_API_KEY": "benchmark",
            "AZURE_OPENAI_ENDPOINT": root["azure_openai"],
            "AZURE_OPENAI_DEPLOYMENT": "gpt-4.1-mini",
            "GROQ_API_KEY": "gsk-benchmark",
            "GROQ_BASE_URL": root["groq"] + "/openai/v1",
            "ANTHROPIC_API_KEY": "sk-ant-benchmark",
            "ANTHROPIC_BASE_URL": root["anthropic"],
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate("")


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


class Rivals:
    """The same requests by others: the bare Router over the same model list, and without a Router."""

    def __init__(self, upstream: Upstream, provider: str) -> None:
        import litellm
        import openai

        from llm_unified.pool.deployments import build_model_list

        model_list = build_model_list(load_settings(upstream.environ(provider)))
        others = [name for name in PROVIDERS if name != provider]
        self.provider = provider
        self.router = litellm.Router(
            model_list=model_list,
            num_retries=0,
            fallbacks=[{provider: others}],
            timeout=PATIENT_SECONDS,
        )
        self.params = next(e["litellm_params"] for e in model_list if e["model_name"] == provider)
        self.acompletion = litellm.acompletion
        root = f"{upstream.root}/v1"
        self.sdk = openai.AsyncOpenAI(
            api_key="sk-benchmark", base_url=root, max_retries=0, timeout=PATIENT_SECONDS
        )
        limits = httpx.Limits(max_connections=CONCURRENT)
        self.http = httpx.AsyncClient(trust_env=False, timeout=PATIENT_SECONDS, limits=limits)
        self.url = f"{root}/{'messages' if provider == 'anthropic' else 'chat/completions'}"

    def clients(self, messages: list[Any], *, stream: bool = False) -> dict[str, Ask]:
        more: dict[str, Any] = {**OPTIONS, "messages": messages, **(STREAM if stream else {})}

        async def finish(opening: Awaitable[Any]) -> None:
            answer = await opening
            if stream:
                async for _ in answer:
                    pass

        async def raw() -> None:
            async with self.http.stream("POST", self.url, json={"model": "m", **more}) as answer:
                if not stream:
                    await answer.aread()
                    answer.json()
                    return
                async for _ in answer.aiter_lines():
                    pass

        made: dict[str, Ask] = {
            "bare Router": lambda: finish(self.router.acompletion(model=self.provider, **more)),
            "litellm.acompletion": lambda: finish(self.acompletion(**self.params, **more)),
        }
        if self.provider == "openai":
            made["openai SDK"] = lambda: finish(
                self.sdk.chat.completions.create(model="gpt-4.1-mini", **more)
            )
        made["httpx"] = raw
        return made

    async def aclose(self) -> None:
        await self.http.aclose()
        await self.sdk.close()


def ours(service: UnifiedLLMService, messages: list[Any], *, stream: bool = False) -> Ask:
    async def ask() -> None:
        if not stream:
            await service.generate_response_async(messages, **OPTIONS)
            return
        async with service.stream_response_async(messages, **OPTIONS) as answer:
            async for _ in answer:
                pass

    return ask


async def capacity(upstream: Upstream) -> None:
    """Requests per second that the upstream serves to a client that does next to nothing."""
    url, total = f"{upstream.root}/v1/chat/completions", 4000
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENT)) as session:

        async def one() -> None:
            async with session.post(url, data=b"{}") as answer:
                await answer.read()

        begun = time.perf_counter()
        await many(one, total)
        rate = total / (time.perf_counter() - begun)
    console.print(f"The upstream serves {rate:,.0f} requests per second to bare aiohttp.\n")


async def many(ask: Ask, total: int) -> None:
    """``total`` calls, `CONCURRENT` of them at a time."""
    left = iter(range(total))

    async def worker() -> None:
        for _ in left:
            await ask()

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


async def throughput(upstream: Upstream, rounds: int) -> None:
    rivals = Rivals(upstream, "openai")
    async with UnifiedLLMService(load_settings(upstream.environ("openai"))) as service:
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
    rivals = Rivals(upstream, "azure_openai")
    down = upstream.environ("openai", down="openai")
    never = load_settings(down, failure_threshold=1000)
    async with (
        UnifiedLLMService(load_settings(upstream.environ("azure_openai"))) as well,
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
        rivals = Rivals(upstream, provider)
        async with UnifiedLLMService(load_settings(upstream.environ(provider))) as service:
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


async def main(rounds: int, only: str | None) -> None:
    logging.disable(logging.ERROR)  # what is written is not what is measured
    with Upstream() as upstream:
        await capacity(upstream)
        for part in (calls, throughput, failover):
            if only in (None, part.__name__):
                await part(upstream, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=("calls", "throughput", "failover"), help="one part")
    parser.add_argument("--rounds", type=int, default=8, help="blocks per client (default 8)")
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.only))
