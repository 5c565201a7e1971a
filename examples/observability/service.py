"""A service with metrics for `compose.yaml`, whose providers are simulated and fail now and then.

    python examples/observability/service.py      # http://127.0.0.1:9464/metrics; Ctrl-C ends it
    python examples/observability/service.py 20   # ends after that many questions

Your own application needs the two lines in `main` that are marked.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sys
from contextlib import suppress

from prometheus_client import start_http_server

from llm_unified import LLMError, UnifiedLLMService, load_settings
from llm_unified.observability import export_prometheus
from llm_unified.testing import Simulator, faults, replies

PORT = 9464
WEATHER = [faults.status(500), faults.status(429), faults.html(), *[replies.echo()] * 17]


async def main(questions: int | None) -> None:
    with Simulator() as simulator:
        for provider in (simulator.openai, simulator.azure_openai, simulator.groq):
            provider.script(*random.choices(WEATHER, k=10_000))  # noqa: S311 - a demonstration
            provider.always(replies.echo())
        settings = load_settings({**os.environ, **simulator.environ()})
        async with UnifiedLLMService(settings) as service:
            export_prometheus(service)  # 1: every attempt becomes numbers
            start_http_server(PORT)  # 2: Prometheus reads them here
            print(f"http://127.0.0.1:{PORT}/metrics", flush=True)
            for number in itertools.islice(itertools.count(), questions):
                with suppress(LLMError):  # all providers failed: that is counted, too
                    await service.generate_response_async(
                        [{"role": "user", "content": f"Question {number}?"}]
                    )
                await asyncio.sleep(0.2)


def stop(*_: object) -> None:
    """End as Ctrl-C does; `docker stop` sends SIGTERM."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else None))
