"""A real Prometheus scrapes a service: alert rules, dashboard and figures, as a team on call gets them."""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest

from llm_unified import LLMError, UnifiedLLMService, load_settings
from llm_unified.observability import export_prometheus
from llm_unified.testing import Request, Simulator, faults
from tests.prometheus_server import HOW, Prometheus, Target, expressions, missing

pytestmark = pytest.mark.skipif(missing(), reason=HOW)
EXAMPLES = Path(__file__).parent.parent / "examples" / "observability"
DASHBOARD = json.loads((EXAMPLES / "dashboard.json").read_text("utf-8"))
HELLO = [{"role": "user", "content": "Hello"}]
CHAIN = ("openai", "azure_openai", "groq", "anthropic")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], cwd=EXAMPLES, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts_the_examples(arguments: tuple[str, ...]) -> None:
    """The configuration and the alert rules are valid, and each alert fires when it should and not before."""
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """No rule is without a case in which it fires."""
    rules = (EXAMPLES / "alerts.yml").read_text("utf-8")
    cases = (EXAMPLES / "alerts_test.yml").read_text("utf-8")
    names = [line.split()[-1] for line in rules.splitlines() if "alert:" in line]
    assert names
    for name in names:
        assert f"- alertname: {name}" in cases


def traffic(sim: Simulator, service: UnifiedLLMService) -> None:
    """Some of everything: answers, streams, vectors, pings, a rescued call, a lost one, an interrupted one."""
    service.warm_connections_sync()
    for _ in range(3):
        service.generate_response(HELLO)
    for _ in service.stream_response(HELLO):
        pass
    service.embed("Hello", model="text-embedding-3-small")
    sim.openai.script(faults.status(500), faults.rate_limit())
    service.generate_response(HELLO)
    service.generate_response(HELLO)
    for provider in sim:
        provider.always(faults.status(500))
    with contextlib.suppress(LLMError):
        service.generate_response(HELLO, deadline=1.0)
    for provider in sim:
        provider.always(None)
    with contextlib.suppress(LLMError):
        for name in CHAIN:
            sim[name].script(faults.cut_stream())
        for _ in service.stream_response(HELLO):
            pass


def arrived(sim: Simulator) -> Counter[tuple[str, str]]:
    """What the providers themselves saw: requests by provider and operation."""
    return Counter(
        (request.provider, operation_of(request))
        for provider in sim
        for request in provider.requests
    )


def operation_of(request: Request) -> str:
    if request.path.endswith("/embeddings"):
        return "embeddings"
    return "ping" if "ping" in str(request.body["messages"]) else "chat"


@pytest.fixture(scope="module")
def scraped() -> Iterator[tuple[Simulator, Prometheus]]:
    """A service, its traffic, and the Prometheus that saw it."""
    registry = prometheus_client.CollectorRegistry()
    target = Target(registry)
    with (
        Simulator() as sim,
        UnifiedLLMService(
            load_settings(sim.environ(*CHAIN), pool_size=1, cooldown=0.0, retries=0)
        ) as service,
        Prometheus(target, rules=EXAMPLES / "alerts.yml") as server,
    ):
        export_prometheus(service, registry)
        for _ in range(2):
            traffic(sim, service)
            target.scraped()
        yield sim, server
    target.close()


def test_every_query_of_the_dashboard_returns_data(scraped: tuple[Simulator, Prometheus]) -> None:
    """No panel is empty after traffic of all sorts, and none shows only NaN."""
    _, server = scraped
    empty = [
        (panel, expression)
        for panel, expression in expressions(DASHBOARD)
        if all(math.isnan(float(each["value"][1])) for each in server.query(expression))
    ]
    assert empty == []
    assert len(expressions(DASHBOARD)) > 20


def test_prometheus_has_the_providers_own_figures(scraped: tuple[Simulator, Prometheus]) -> None:
    """Requests by provider and operation are what the simulator's journal holds, and each call has its outcome."""
    sim, server = scraped
    found = server.query("sum by (provider, operation) (llm_unified_attempts_total)")
    assert arrived(sim) == {
        (each["metric"]["provider"], each["metric"]["operation"]): float(each["value"][1])
        for each in found
    }
    outcomes = server.query("sum by (outcome) (llm_unified_calls_total)")
    assert {each["metric"]["outcome"]: float(each["value"][1]) for each in outcomes} == {
        "answered": 14,
        "failed": 2,
        "interrupted": 2,
    }


def test_alerts_point_to_panels_that_exist() -> None:
    """Whoever is woken finds the panel that the alert names."""
    titles = {panel["title"] for panel in DASHBOARD["panels"]}
    lines = (EXAMPLES / "alerts.yml").read_text("utf-8").splitlines()
    texts = [line for line in lines if "description:" in line]
    named = {name for text in texts for name in re.findall(r'\\"([^"\\]+)\\"', text)}
    assert len(named) >= 4
    assert named <= titles


def test_no_alert_rule_fails_to_evaluate(scraped: tuple[Simulator, Prometheus]) -> None:
    """Prometheus evaluates each rule on real series without an error."""
    _, server = scraped
    groups: Any = server.get("rules")["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert len(health) == 8
    assert set(health.values()) == {"ok"}


def test_the_metrics_are_in_good_form(scraped: tuple[Simulator, Prometheus]) -> None:
    """promtool finds nothing to complain about in names, units and help texts."""
    registry = prometheus_client.CollectorRegistry()
    with Simulator() as sim, UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        export_prometheus(service, registry)
        service.generate_response(HELLO)
        text = prometheus_client.generate_latest(registry).decode()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "_created" not in line]
    assert complaints == []
