"""What a user's first request costs: LiteLLM's bare Router against this package after a warm-up.

    python benchmarks/first_call.py [--rounds 3] [--probe connection]

The four providers of the simulator speak TLS, 30 ms of round trip away. Every figure comes from a fresh
process; imports made before the first call are not counted, for either. Both use three pool copies; of ours
the worst first request to any copy counts. "first stream" is that of a stream with a tool, the first in its
process. "blocked" is the longest that the event loop stood still while `warm_connections()` ran, seen by
a task that wants to run every millisecond; the least of the rounds, since other programs only add to it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from llm_unified.testing import NetworkProxy, Simulator

LATENCY = 0.015  # in each direction
COPIES = 3
STEADY = 30
HELLO = [{"role": "user", "content": "Hello!"}]
TOOLS = [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]
TARGET, BLOCKED = 1.5, 0.050


class Ticker:
    """Wants to run every millisecond and notes how long it had to wait at most."""

    longest = 0.0

    async def run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last), now


async def times(ask: Callable[[], Awaitable[Any]], count: int) -> list[float]:
    """Seconds that each of ``count`` requests took, one after the other."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        await ask()
        found.append(time.perf_counter() - began)
    return found


async def ours() -> dict[str, Any]:
    """Import, warm, then ask."""
    from llm_unified import UnifiedLLMService

    ticker = Ticker()
    ticking = asyncio.create_task(ticker.run())
    async with UnifiedLLMService() as service:
        began = time.perf_counter()
        warm = await service.warm_connections()
        warming = time.perf_counter() - began
        ticking.cancel()
        assert all(warm.values()), warm
        found = await times(lambda: service.generate_response_async(HELLO), COPIES + STEADY)
        async with service.stream_response_async(HELLO, tools=TOOLS) as stream:
            began = time.perf_counter()
            async for _ in stream:
                pass
            streamed = time.perf_counter() - began
    return {
        "first": max(found[:COPIES]),
        "steady": statistics.median(found[COPIES:]),
        "stream": streamed,
        "warming": warming,
        "blocked": ticker.longest,
    }


async def router(provider: str) -> dict[str, Any]:
    """The Router as its documentation shows it."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices
    import litellm
    from litellm.router import Router

    from llm_unified import load_settings
    from llm_unified.pool.deployments import build_model_list

    litellm.suppress_debug_info = True
    model_list = build_model_list(load_settings())
    bare: Any = Router(model_list=model_list)
    found = await times(lambda: bare.acompletion(provider, HELLO), COPIES + STEADY)
    return {"first": found[0], "steady": statistics.median(found[COPIES:])}


def measure(client: str, provider: str, environ: dict[str, str]) -> dict[str, Any]:
    """One fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--client", client, "--provider", provider],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(rounds: int, probe: str) -> bool:
    """Measure, print the table; whether the promises hold."""
    table = Table(
        "provider", "", "first ms", "steady ms", "ratio", "first stream", "warming s", "blocked ms"
    )
    kept = True
    with Simulator(tls=True) as sim:
        for provider in sim:
            with NetworkProxy(provider.port, latency=LATENCY) as proxy:
                environ = {
                    key: proxy.rewrite(value) if value == provider.base_url else value
                    for key, value in sim.environ(provider.name).items()
                } | {"LLM_POOL_SIZE": str(COPIES), "LLM_WARM_PROBE": probe}
                for client in ("router", "ours"):
                    runs = [measure(client, provider.name, environ) for _ in range(rounds)]
                    seen = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                    ratio = statistics.median(run["first"] / run["steady"] for run in runs)
                    blocked = min(run.get("blocked", 0.0) for run in runs)
                    kept = kept and (client == "router" or (ratio <= TARGET and blocked <= BLOCKED))
                    table.add_row(
                        provider.name if client == "router" else "",
                        "bare Router" if client == "router" else "warmed",
                        f"{seen['first'] * 1e3:.0f}",
                        f"{seen['steady'] * 1e3:.0f}",
                        f"{ratio:.2f}",
                        f"{seen['stream'] * 1e3:.0f}" if "stream" in seen else "",
                        f"{seen['warming']:.1f}" if "warming" in seen else "",
                        f"{blocked * 1e3:.0f}" if blocked else "",
                    )
    Console(width=100).print(table)
    return kept


def main() -> None:
    """Measure everything, or be one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="processes per figure (median)")
    parser.add_argument("--probe", choices=["completion", "connection"], default="completion")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--provider", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        work = ours() if given.client == "ours" else router(given.provider)
        print(json.dumps(asyncio.run(work)))
    elif not compare(given.rounds, given.probe):
        sys.exit(f"not kept: first ≤ {TARGET} x steady, blocked ≤ {BLOCKED * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
