"""Draws docs/assets/dashboard.png, the panels of the Grafana dashboard with a real Prometheus' answers, and
docs/assets/report.png, the page that `llm-unified report` makes of the same service's log.

    python -m tests.dashboard_picture

Not Grafana itself: it reads the dashboard's JSON, asks Prometheus its queries over two minutes of traffic on the
simulator (with an outage, a refused key and a slow provider), and draws what comes with the plots of
`llm-unified report`. Needs Debian's prometheus and chromium.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from html import escape
from pathlib import Path
from typing import Any, Final

import prometheus_client
import structlog

from llm_unified import LLMError, UnifiedLLMService, load_settings
from llm_unified.cli.report.figures import figures
from llm_unified.cli.report.lines import read
from llm_unified.cli.report.page import document, page
from llm_unified.cli.report.plots import Series, Span, bars, figure, legend, lines, strips
from llm_unified.cli.report.units import count, money, percent, seconds
from llm_unified.observability import export_prometheus
from llm_unified.testing import Simulator, faults, replies
from tests.browser import screenshot
from tests.prometheus_server import Prometheus, Target, filled

ROOT: Final = Path(__file__).parent.parent
DASHBOARD: Final = ROOT / "examples" / "observability" / "dashboard.json"
PICTURES: Final = ROOT / "docs" / "assets"
LATENCY: Final = {"openai": 0.35, "azure_openai": 0.5, "groq": 0.12, "anthropic": 0.7}
SECONDS: Final = 120
STEP: Final = 2
INTERVAL: Final = "10s"
STYLES: Final = {"green": "good", "orange": "some", "red": "bad", "purple": "bad", "text": "none"}
UNITS: Final[dict[str, Callable[[float], str]]] = {
    "percentunit": percent,
    "reqps": lambda value: f"{value:.3g}/s",
    "s": seconds,
    "currencyUSD": money,
    "short": count,
}
LAYOUT: Final = """<style>
main { max-width: none; } .board { display: grid; grid-template-columns: repeat(24, minmax(0, 1fr)); gap: 10px; }
.board figure { padding: 12px 14px; } .frame svg { height: 150px; } .big { font-size: 30px; font-weight: 600; }
.board figcaption { margin-bottom: 6px; } .strip { grid-template-columns: 120px minmax(0, 1fr) 0; }
.board > div { display: grid; } .strip svg { height: 18px; } .legend { font-size: 12px; } .dim { margin-bottom: 12px; }
</style>"""


async def traffic(sim: Simulator, service: UnifiedLLMService) -> None:
    """Two minutes, in which three things go wrong."""
    rng = random.Random(1)
    began = time.monotonic()

    async def ask(number: int) -> None:
        words = [{"role": "user", "content": "Why is the sky blue? " * rng.randint(1, 40)}]
        try:
            if number % 3:
                await service.generate_response_async(words, deadline=4.0)
            else:
                async for _ in service.stream_response_async(words, deadline=4.0):
                    pass
        except LLMError:
            pass

    tasks = set()
    for number in itertools.count():
        elapsed = time.monotonic() - began
        if elapsed > SECONDS:
            break
        for provider in sim:
            provider.latency = LATENCY[provider.name] * rng.lognormvariate(0, 0.3)
        sim.azure_openai.latency *= 3 if 75 < elapsed < 100 else 1
        sim.openai.always(faults.status(500) if 25 < elapsed < 60 else replies.text(chunks=30))
        everybody = 48 < elapsed < 54
        sim.azure_openai.always(faults.rate_limit() if everybody else replies.text(chunks=30))
        sim.groq.always(faults.status(503) if everybody else replies.text(chunks=30))
        sim.anthropic.always(faults.status(401) if elapsed > 40 else replies.text(chunks=30))
        task = asyncio.create_task(ask(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(rng.expovariate(8))
    await asyncio.gather(*tasks)


def stat(panel: dict[str, Any], server: Prometheus, at: float) -> str:
    """One figure."""
    expression = filled(panel["targets"][0]["expr"], INTERVAL)
    value = float(server.series(expression, at, at, 1)[0]["values"][0][1])
    return f'<p class="big">{escape(UNITS[panel["fieldConfig"]["defaults"]["unit"]](value))}</p>'


def named(target: dict[str, Any], labels: dict[str, str]) -> str:
    """The legend, as Grafana fills it."""
    text: str = target["legendFormat"]
    for label in (
        "provider",
        "deployment",
        "state",
        "kind",
        "outcome",
        "source",
        "target",
        "direction",
    ):
        text = text.replace(f"{{{{{label}}}}}", labels.get(label, ""))
    return text.strip()


def matrix(panel: dict[str, Any], server: Prometheus, span: Span) -> list[Series]:
    """All series of a panel."""
    found: list[Series] = []
    for target in panel["targets"]:
        expression = filled(target["expr"], INTERVAL)
        end = span.start + (span.count - 1) * span.step
        for each in server.series(expression, span.start, end, span.step):
            values: list[float | None] = [None] * span.count
            for at, text in each["values"]:
                value = float(text)
                values[span.place(at)] = None if math.isnan(value) else value
            if any(values):
                name, provider = named(target, each["metric"]), each["metric"].get("provider")
                faint = name.endswith("p99") and provider is not None
                owner = list(LATENCY).index(provider) if provider else len(found)
                found.append(Series(name, values, owner, faint))
    own = [one.colour for one in found if not one.faint]
    if len(set(own)) < len(own):  # several of one provider
        return [replace(one, colour=place) for place, one in enumerate(found)]
    return found


def timeline(panel: dict[str, Any], series: list[Series], span: Span) -> str:
    """States as colours."""
    options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    words = {key: (STYLES[value["color"]], value["text"]) for key, value in options.items()}
    rows = [
        (one.name, [("", "") if v is None else words[f"{v:.0f}"] for v in one.values], "")
        for one in series
    ]
    return strips(rows, span)


def table(panel: dict[str, Any], server: Prometheus, at: float) -> str:
    """Rows of labels."""
    found = server.series(filled(panel["targets"][0]["expr"]), at, at, 1)
    names = ("provider", "deployment", "vendor", "model", "server_address")
    head = "".join(f"<th>{name}</th>" for name in names)
    texts = [[escape(each["metric"].get(name, "")) for name in names] for each in found]
    rows = "".join(f"<tr>{''.join(f'<td>{text}</td>' for text in row)}</tr>" for row in texts)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def drawn(panel: dict[str, Any], server: Prometheus, span: Span) -> str:
    """One panel."""
    place, kind = panel["gridPos"], panel["type"]
    if kind == "stat":
        body = stat(panel, server, span.start + span.length / 4)
    elif kind == "table":
        body = table(panel, server, span.start + span.length / 4)
    elif kind == "state-timeline":
        body = timeline(panel, matrix(panel, server, span), span)
    else:
        defaults = panel["fieldConfig"]["defaults"]
        series, unit = matrix(panel, server, span), UNITS[defaults["unit"]]
        plot = bars if "stacking" in defaults["custom"] else lines
        body = plot(series, span, unit) + legend([(one.name, one.colour) for one in series])
    board = figure(panel["title"], panel["description"], body)
    return f'<div style="grid-column: span {place["w"]}">{board}</div>'


def main() -> None:
    """Make the traffic, ask, draw, and photograph."""
    said = io.StringIO()
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(said),
    )
    registry = prometheus_client.CollectorRegistry()
    target = Target(registry)
    with Simulator() as sim, Prometheus(target, every="2s") as server:
        settings = load_settings(sim.environ(*LATENCY), pool_size=1, cooldown=4.0, retries=0)

        async def run() -> float:
            async with UnifiedLLMService(settings) as service:
                export_prometheus(service, registry)
                await service.warm_connections()
                began = time.time()
                await traffic(sim, service)
                await asyncio.to_thread(target.scraped)
                return began

        span = Span(math.ceil(asyncio.run(run())) + 4, STEP, (SECONDS - 4) // STEP, UTC)
        dashboard = json.loads(DASHBOARD.read_text("utf-8"))
        panels = sorted(dashboard["panels"], key=lambda p: (p["gridPos"]["y"], p["gridPos"]["x"]))
        board = "".join(drawn(panel, server, span) for panel in panels)
    target.close()
    html = document("llm_unified", f'{LAYOUT}<div class="board">{board}</div>')
    screenshot(html, PICTURES / "dashboard.png", width=1400)
    reading = read(said.getvalue().encode().splitlines())
    found = figures(reading)
    assert found is not None
    screenshot(page(reading, found, "service.log"), PICTURES / "report.png", width=1160)


if __name__ == "__main__":
    main()
