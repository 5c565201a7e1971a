"""What it costs to be watched: CPU per call with nothing on, with each exporter, with everything.

    python benchmarks/observability.py                # about two minutes
    python benchmarks/observability.py --rounds 100   # less noise

One service for each row, interleaved in one process, a block of calls each in turn, against `upstream.py` in a
process of its own on loopback. The calls go to each of the four vendors, whole, and as a stream of 200 chunks.
CPU is that of this process, all threads, so the SDK's exporting thread counts, and the SDK's own work, which is
most of it: what is exported is thrown away only at its end. "nothing" has statistics and health, which are
always on. The last line is the figure that is promised: everything on, one trace of ten sampled, as many streams
as whole answers.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import prometheus_client
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from rich.console import Console
from rich.table import Table

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.observability import export_opentelemetry, export_prometheus

HELLO = [{"role": "user", "content": "Say hello."}]
OPTIONS: dict[str, Any] = {"temperature": 0.5, "max_tokens": 50}
PROVIDERS = ("openai", "azure_openai", "groq", "anthropic")
PER_BLOCK = 64
PROMISED = 1.10
"""Everything on, against nothing."""
NOTHING, EVERYTHING = "nothing", "everything, 10 % of traces"


class Discarding(SpanExporter):
    """Takes the spans as a real exporter would, and sends them nowhere."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Watched:
    """One service for each way of being watched."""

    def __init__(self, root: str) -> None:
        self._environ = {
            "LLM_PRIMARY_PROVIDER": "openai",
            "LLM_FALLBACK_PROVIDERS": ",".join(PROVIDERS[1:]),
            "OPENAI_API_KEY": "sk-benchmark",
            "OPENAI_BASE_URL": f"{root}/v1",
            "OPENAI_MODEL": "gpt-4.1-mini",
            "AZURE_OPENAI_API_KEY": "benchmark",
            "AZURE_OPENAI_ENDPOINT": root,
            "AZURE_OPENAI_DEPLOYMENT": "gpt-4.1-mini",
            "GROQ_API_KEY": "gsk-benchmark",
            "GROQ_BASE_URL": f"{root}/openai/v1",
            "ANTHROPIC_API_KEY": "sk-ant-benchmark",
            "ANTHROPIC_BASE_URL": root,
        }
        self.services: dict[str, UnifiedLLMService] = {}
        self._ends: list[Any] = []
        self._registry = prometheus_client.CollectorRegistry()
        self._service(NOTHING)
        self._opentelemetry(self._service("OpenTelemetry, 10 % of traces"), 0.1)
        self._opentelemetry(self._service("OpenTelemetry, all traces"), 1.0)
        export_prometheus(self._service("Prometheus"), self._registry, name="alone")
        self._service("a subscriber of your own").subscribe(_look)
        for name, share in ((EVERYTHING, 0.1), ("everything, all traces", 1.0)):
            service = self._service(name)
            self._opentelemetry(service, share)
            export_prometheus(service, self._registry, name=name)
            service.subscribe(_look)

    def _service(self, name: str) -> UnifiedLLMService:
        self.services[name] = UnifiedLLMService(load_settings(self._environ))
        return self.services[name]

    def _opentelemetry(self, service: UnifiedLLMService, share: float) -> None:
        sampler = ParentBased(TraceIdRatioBased(share))
        tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        tracers.add_span_processor(BatchSpanProcessor(Discarding()))
        meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
        export_opentelemetry(service, tracers, meters, environ={})
        self._ends += [tracers.shutdown, meters.shutdown]

    async def aclose(self) -> None:
        for service in self.services.values():
            await service.aclose()
        for end in self._ends:
            end()


def _look(event: object) -> None:
    """A subscriber of an application's own, on its own thread."""


async def calls(service: UnifiedLLMService, *, stream: bool) -> None:
    """One at each vendor."""
    for provider in PROVIDERS:
        if stream:
            async for _ in service.stream_response_async(HELLO, provider=provider, **OPTIONS):
                pass
        else:
            await service.generate_response_async(HELLO, provider=provider, **OPTIONS)


async def contest(
    services: dict[str, UnifiedLLMService], *, stream: bool, rounds: int
) -> dict[str, float]:
    """Milliseconds of CPU per call.

    A block is as many calls as the exporter records in one go, so that each block pays for that once. Of the
    blocks the lower decile counts: the machine's other work is in the others.
    """
    passes = PER_BLOCK // len(PROVIDERS)
    samples: dict[str, list[float]] = {name: [] for name in services}
    for service in services.values():
        for _ in range(passes):
            await calls(service, stream=stream)
    names = list(services)
    for round_ in range(rounds):
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            begun = time.process_time()
            for _ in range(passes):
                await calls(services[name], stream=stream)
            samples[name].append((time.process_time() - begun) / PER_BLOCK * 1e3)
    return {name: statistics.quantiles(each, n=10)[0] for name, each in samples.items()}


def show(whole: dict[str, float], stream: dict[str, float]) -> dict[str, float]:
    """A table; the ratio of each row's mix (as many streams as whole answers) to that of nothing."""
    table = Table(title="CPU of one call")
    for column in ("watched by", "whole ms", "× nothing", "stream ms", "× nothing ", "mix: ×"):
        table.add_column(column, justify="left" if column == "watched by" else "right")
    ratios = {
        name: (whole[name] + stream[name]) / (whole[NOTHING] + stream[NOTHING]) for name in whole
    }
    for name, ratio in ratios.items():
        table.add_row(
            name,
            *(f"{whole[name]:.3f}", f"{whole[name] / whole[NOTHING]:.3f}"),
            *(f"{stream[name]:.3f}", f"{stream[name] / stream[NOTHING]:.3f}"),
            f"{ratio:.3f}",
        )
    Console(width=88).print(table)
    return ratios


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    program = Path(__file__).with_name("upstream.py")
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    watched = Watched(f"http://127.0.0.1:{int(process.stdout.readline())}")
    try:
        whole = await contest(watched.services, stream=False, rounds=chosen.rounds)
        stream = await contest(watched.services, stream=True, rounds=chosen.rounds)
        ratios = show(whole, stream)
    finally:
        await watched.aclose()
        process.communicate("")
    more = 100 * (ratios[EVERYTHING] - 1)
    print(f"{EVERYTHING}: {more:+.1f} % CPU per call (promised: under 10 %)")
    return 0 if ratios[EVERYTHING] < PROMISED else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
