"""Mixed calls with faults at four vendors: every number that is shown equals the upstreams' journal.

A further exporter gets a ``check_…`` of its own here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import prometheus_client as prometheus
import pytest
from opentelemetry.trace import SpanKind

from llm_unified import UnifiedLLMService
from llm_unified.observability import export_prometheus
from llm_unified.testing import Simulator
from tests.proof import PRICES, PROVIDERS, Truth, Upstreams, carry_out, service_over, tasks
from tests.test_opentelemetry import Telemetry
from tests.test_prometheus import Scrape


def check_statistics(truth: Truth, service: UnifiedLLMService) -> None:
    stats = service.get_stats()["stats"]
    assert stats["total_requests"] == truth.total
    assert stats["failed_requests"] == truth.outcomes["failed"] + truth.outcomes["interrupted"]
    assert stats["interrupted_requests"] == truth.outcomes["interrupted"]
    assert stats["cancelled_requests"] == truth.outcomes["cancelled"]
    assert stats["fallback_count"] == truth.fallbacks
    assert stats["in_flight"] == 0
    for name in PROVIDERS:
        figures = stats["providers"][name]
        of_copies = [f for d, f in stats["deployments"].items() if d.startswith(f"{name}#")]
        kinds = {kind: count for (p, kind), count in truth.kinds.items() if p == name}
        assert figures["calls"] == truth.calls[name]
        assert figures["attempts"] == truth.attempts[name]
        assert figures["answers"] == truth.answers(name)
        assert figures["errors_by_kind"] == kinds
        assert figures["fallbacks_in"] == truth.fallbacks_in[name]
        assert figures["fallbacks_out"] == truth.fallbacks_out[name]
        assert figures["in_flight"] == 0
        assert figures["connections"] == {
            "opened": truth.opened[name],
            "reused": truth.requests[name] - truth.opened[name],
        }
        tokens = figures["tokens"]
        assert tokens["prompt_tokens"] == truth.prompt[name] + truth.embedded[name]
        assert tokens["completion_tokens"] == truth.completion[name]
        cost = tokens["prompt_tokens"] * PRICES[0] + truth.completion[name] * PRICES[1]
        assert figures["cost_usd"] == pytest.approx(cost)
        for what in ("attempts", "errors", "fallbacks_in", "fallbacks_out"):
            assert sum(f[what] for f in of_copies) == figures[what], what  # type: ignore[literal-required]
        assert (figures["latency"]["p99"] is None) == (truth.answers(name) == 0)
        assert (figures["first_token"]["p50"] is None) == (truth.streamed[name] == 0)
        pings = service.get_health()[name]["pings"]
        assert (pings["total_pings"], pings["failures"]) == (truth.pings[name], 0)


def check_opentelemetry(truth: Truth, telemetry: Telemetry) -> None:
    spans = telemetry.spans
    sent = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert {f"{span.context.span_id:016x}" for span in sent} == truth.spans
    assert len(sent) == sum(truth.requests.values())
    pings = Counter(
        span.attributes["llm_unified.provider"] for span in sent if span.name == "llm_unified.ping"
    )
    assert pings == +truth.pings
    errors = Counter(
        (span.attributes["llm_unified.provider"], span.attributes["error.type"])
        for span in sent
        if "error.type" in span.attributes
    )
    assert errors == {key: count for key, count in truth.kinds.items() if count}
    calls = [span for span in spans if span.kind is SpanKind.INTERNAL]
    assert Counter(span.attributes["llm_unified.outcome"] for span in calls) == truth.outcomes
    rescued = [s for s in calls if s.attributes["llm_unified.fallback"]]
    rescued = [s for s in rescued if s.attributes["llm_unified.outcome"] == "answered"]
    assert len(rescued) == truth.fallbacks
    below: dict[int, list[Any]] = {}
    for span in sent:
        if span.parent is not None:
            below.setdefault(span.parent.span_id, []).append(span)
    assert sum(map(len, below.values())) == len(sent) - sum(truth.pings.values())
    for call in calls:
        last = max(below[call.context.span_id], key=lambda span: span.start_time)
        answered = call.attributes["llm_unified.outcome"] == "answered"
        assert answered == ("error.type" not in call.attributes)
        assert answered == ("error.type" not in last.attributes)
    check_metrics(truth, telemetry)


def check_metrics(truth: Truth, telemetry: Telemetry) -> None:
    def by_provider(name: str, what: str, **wanted: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for point in telemetry.points(name):
            if wanted.items() <= dict(point.attributes).items():
                found[point.attributes["llm_unified.provider"]] += getattr(point, what)
        return found

    assert by_provider("gen_ai.client.operation.duration", "count") == +truth.attempts
    assert by_provider("llm_unified.ping.duration", "count") == +truth.pings
    kinds: Counter[Any] = Counter()
    for point in telemetry.points("gen_ai.client.operation.duration"):
        if "error.type" in point.attributes:
            key = (point.attributes["llm_unified.provider"], point.attributes["error.type"])
            kinds[key] += point.count
    assert kinds == truth.kinds
    chat = {"gen_ai.operation.name": "chat"}
    usage = "gen_ai.client.token.usage"
    given = by_provider(usage, "sum", **chat, **{"gen_ai.token.type": "input"})
    assert given == +truth.prompt
    assert by_provider(usage, "sum", **{"gen_ai.token.type": "output"}) == +truth.completion
    embedded = {"gen_ai.operation.name": "embeddings"}
    assert by_provider(usage, "sum", **embedded) == +truth.embedded
    ends: Counter[str] = Counter()
    for point in telemetry.points("llm_unified.calls"):
        ends[point.attributes["llm_unified.outcome"]] += point.value
    assert ends == truth.outcomes
    first = by_provider("gen_ai.client.operation.time_to_first_chunk", "count")
    assert first == +truth.begun


def check_prometheus(truth: Truth, scrape: Scrape, service: str) -> None:
    mine = {"llm_service": service}

    def users(name: str, *labels: str, **only: str) -> dict[Any, float]:
        """Sums of users' requests, pings left out."""
        found: Counter[Any] = Counter()
        for operation in ("chat", "embeddings"):
            found.update(scrape.by(name, *labels, operation=operation, **mine, **only))
        return dict(found)

    assert scrape.by("calls_total", "outcome", **mine) == +truth.outcomes
    answered = {"outcome": "answered", "fallback": "true"}
    assert scrape("calls_total", **answered, **mine) == truth.fallbacks
    assert scrape("calls_in_flight", **mine) == 0
    assert scrape("call_duration_seconds_count", **mine) == truth.total
    assert users("attempts_total", "provider") == +truth.attempts
    assert scrape.by("attempts_total", "provider", operation="ping", **mine) == +truth.pings
    failed = users("attempts_total", "provider", "kind")
    assert {key: count for key, count in failed.items() if key[1]} == +truth.kinds
    assert users("attempt_duration_seconds_count", "provider") == +truth.attempts
    first = scrape.by("attempt_first_token_seconds_count", "provider", **mine)
    assert first == +truth.begun
    assert users("fallbacks_total", "source") == +truth.fallbacks_out
    assert users("fallbacks_total", "target") == +truth.fallbacks_in
    chat = {"operation": "chat", **mine}
    assert scrape.by("tokens_total", "provider", direction="input", **chat) == +truth.prompt
    assert scrape.by("tokens_total", "provider", direction="output", **chat) == +truth.completion
    embedded = scrape.by("tokens_total", "provider", operation="embeddings", **mine)
    assert embedded == +truth.embedded
    costs = users("cost_usd_total", "provider")
    for name in PROVIDERS:
        prompt = truth.prompt[name] + truth.embedded[name]
        cost = prompt * PRICES[0] + truth.completion[name] * PRICES[1]
        assert costs.get(name, 0.0) == pytest.approx(cost)
    assert scrape.by("connections_opened_total", "provider", **mine) == +truth.opened
    reused = truth.requests - truth.opened
    assert scrape.by("connections_reused_total", "provider", **mine) == reused


@pytest.mark.parametrize("calls", [300, pytest.param(5_000, marks=pytest.mark.full)])
async def test_every_number_equals_the_journal(sim: Simulator, calls: int) -> None:
    """In statistics, OpenTelemetry and Prometheus alike; a second service has its own numbers, as exact."""
    telemetry, other_telemetry = Telemetry(), Telemetry()
    registry = prometheus.CollectorRegistry()
    with Simulator() as other_sim:
        upstreams, others = Upstreams(sim), Upstreams(other_sim)
        async with service_over(upstreams) as service, service_over(others) as other:
            telemetry.listen(service)
            other_telemetry.listen(other)
            export_prometheus(service, registry, name="one")
            export_prometheus(other, registry, name="other")
            ends, other_ends = await asyncio.gather(
                carry_out(service, upstreams, list(tasks(calls, seed=1))),
                carry_out(other, others, list(tasks(calls // 10, seed=2))),
            )
            scrape = Scrape(registry)
            for told, mine, each, seen, name in (
                (ends, upstreams, service, telemetry, "one"),
                (other_ends, others, other, other_telemetry, "other"),
            ):
                truth = mine.truth()
                del told["ping"]
                assert told == truth.outcomes
                check_statistics(truth, each)
                check_opentelemetry(truth, seen)
                check_prometheus(truth, scrape, name)
