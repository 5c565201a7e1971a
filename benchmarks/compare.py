"""What one call costs: ours, the bare Router, litellm.acompletion, the openai SDK, httpx.

    python benchmarks/compare.py                 # all tables, about two minutes
    python benchmarks/compare.py --rounds 20     # more rounds, less noise

All clients run interleaved in one process, a block of calls each in turn, against the provider simulator in
a process of its own on loopback (no latency, no TLS): what is measured is the client. CPU is that of this
process, all threads. Use the ratios: milliseconds depend on the machine. "ours" has everything on: pool of
three, round robin, breaker, deadline, statistics, trail.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the others shall not go to the network
os.environ["LITELLM_LOG"] = "CRITICAL"

from rich.console import Console
from rich.table import Table

from llm_unified import UnifiedLLMService, load_settings

MESSAGES = [{"role": "user", "content": "Say hello."}]
OPTIONS: dict[str, Any] = {"temperature": 0.5, "max_tokens": 50}
Ask = Callable[[], Awaitable[Any]]
console = Console(width=100)


class Upstream:
    """The simulator in another process; its environment variables are what it prints."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llm_unified.testing", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.environ: dict[str, str] = {}
        assert self.process.stdout is not None
        for line in self.process.stdout:
            name, _, value = line.removeprefix("export ").strip().partition("=")
            self.environ[name] = shlex.split(value)[0]
            if name == "ANTHROPIC_MODEL":  # the last one
                break

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.process.wait()


class Contest:
    """Blocks of calls in turn; per client the median over the blocks of CPU and wall time per call."""

    def __init__(self, clients: dict[str, Ask], *, rounds: int, block: int) -> None:
        self.clients, self.rounds, self.block = clients, rounds, block

    async def run(self) -> dict[str, tuple[float, float]]:
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in self.clients}
        for ask in self.clients.values():
            for _ in range(10):
                await ask()
        for round_ in range(self.rounds):
            names = list(self.clients)
            shift = round_ % len(names)
            for name in names[shift:] + names[:shift]:
                ask = self.clients[name]
                cpu, wall = time.process_time(), time.perf_counter()
                for _ in range(self.block):
                    await ask()
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                samples[name].append((cpu / self.block * 1e3, wall / self.block * 1e3))
        return {
            name: (
                statistics.median(cpu for cpu, _ in each),
                statistics.median(wall for _, wall in each),
            )
            for name, each in samples.items()
        }


def show(title: str, results: dict[str, tuple[float, float]], *, per: str, base: str) -> None:
    table = Table(title=title)
    for column in ("client", f"CPU ms/{per}", f"× {base}", f"wall ms/{per}", f"× {base} "):
        table.add_column(column, justify="left" if column == "client" else "right", no_wrap=True)
    cpu0, wall0 = results[base]
    for name, (cpu, wall) in results.items():
        table.add_row(name, f"{cpu:.2f}", f"{cpu / cpu0:.2f}", f"{wall:.2f}", f"{wall / wall0:.2f}")
    console.print(table)


async def main(rounds: int) -> None:
    with Upstream() as upstream:
        settings = load_settings(upstream.environ)
        async with UnifiedLLMService(settings) as service:
            await service.generate_response_async(MESSAGES)
            for provider in settings.chain:
                await whole(service, provider, rounds)
            await streams(service, rounds)
            await failovers(upstream.environ, rounds)


def rivals(service: UnifiedLLMService, provider: str, *, stream: bool = False) -> dict[str, Ask]:
    """The bare Router with the same model list, and the same request without a Router."""
    import litellm
    import openai

    from llm_unified.pool.deployments import build_model_list

    model_list = build_model_list(service.settings)
    chain = [provider, *(name for name in service.settings.chain if name != provider)]
    router = litellm.Router(model_list=model_list, num_retries=0, fallbacks=[{chain[0]: chain[1:]}])
    params = next(e["litellm_params"] for e in model_list if e["model_name"] == provider)

    async def drain(opening: Awaitable[Any]) -> None:
        async for _ in await opening:
            pass

    more: dict[str, Any] = {**OPTIONS, "messages": MESSAGES}
    if stream:
        more |= {"stream": True, "stream_options": {"include_usage": True}}
    finish: Callable[[Awaitable[Any]], Awaitable[Any]] = (
        drain if stream else lambda opening: opening
    )
    clients: dict[str, Ask] = {
        "bare Router": lambda: finish(router.acompletion(model=provider, **more)),
        "litellm.acompletion": lambda: finish(litellm.acompletion(**params, **more)),
    }
    if provider == "openai":
        sdk = openai.AsyncOpenAI(
            api_key=params["api_key"], base_url=params["api_base"], max_retries=0
        )
        model = params["model"].removeprefix("openai/")
        clients["openai SDK"] = lambda: finish(sdk.chat.completions.create(model=model, **more))
    return clients


async def whole(service: UnifiedLLMService, provider: str, rounds: int) -> None:
    clients: dict[str, Ask] = {
        "ours": lambda: service.generate_response_async(MESSAGES, provider=provider, **OPTIONS)
    }
    clients |= rivals(service, provider)
    results = await Contest(clients, rounds=rounds, block=40).run()
    show(f"one call, {provider}", results, per="call", base="bare Router")


async def streams(service: UnifiedLLMService, rounds: int) -> None:
    async def ours() -> None:
        async for _ in service.stream_response_async(MESSAGES, **OPTIONS):
            pass

    clients = {"ours": ours, **rivals(service, "openai", stream=True)}
    results = await Contest(clients, rounds=rounds, block=15).run()
    show("one stream, openai", results, per="stream", base="bare Router")


async def failovers(environ: dict[str, str], rounds: int) -> None:
    """The primary refuses connections; the second answers."""
    import litellm

    from llm_unified.pool.deployments import build_model_list

    broken = environ | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    settings = load_settings(broken, failure_threshold=1000)
    router = litellm.Router(
        model_list=build_model_list(settings),
        num_retries=0,
        fallbacks=[{"openai": ["azure_openai", "groq", "anthropic"]}],
    )
    async with (
        UnifiedLLMService(settings) as always,
        UnifiedLLMService(load_settings(broken)) as rests,
    ):
        clients: dict[str, Ask] = {
            "ours, each call tries the dead primary": lambda: always.generate_response_async(
                MESSAGES, **OPTIONS
            ),
            "ours, breaker open": lambda: rests.generate_response_async(MESSAGES, **OPTIONS),
            "bare Router": lambda: router.acompletion(model="openai", messages=MESSAGES, **OPTIONS),
        }
        results = await Contest(clients, rounds=rounds, block=10).run()
    show("primary down", results, per="call", base="bare Router")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=8, help="blocks per client (default 8)")
    asyncio.run(main(parser.parse_args().rounds))
