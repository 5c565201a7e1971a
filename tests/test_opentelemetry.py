"""Traces and metrics by OpenTelemetry's conventions for generative AI, read off a real SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.trace import SpanKind, StatusCode

import llm_unified
from llm_unified import (
    AllProvidersFailedError,
    LLMError,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.observability import export_opentelemetry
from llm_unified.observe.otel.vocabulary import LATEST, SECONDS_BUCKETS, TOKEN_BUCKETS, V1_41
from llm_unified.testing import Simulator, faults, replies

HELLO = [{"role": "user", "content": "the secret word is swordfish"}]
LATEST_ENV = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http,gen_ai_latest_experimental"}


class Telemetry:
    """An SDK in memory."""

    def __init__(self) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def listen(self, service: UnifiedLLMService, **options: Any) -> Any:
        options.setdefault("environ", {})
        return export_opentelemetry(service, self.tracers, self.meters, **options)

    @property
    def spans(self) -> list[Any]:
        return list(self._spans.get_finished_spans())

    def tree(self) -> list[tuple[str, str | None, list[tuple[str, str | None]]]]:
        """The calls: ``(name, error, [(name, error) of each child])``."""

        def of(span: Any) -> tuple[str, str | None]:
            bad = span.status.status_code is StatusCode.ERROR
            assert bad == ("error.type" in span.attributes)
            return span.name, span.attributes.get("error.type")

        calls = [span for span in self.spans if span.kind is SpanKind.INTERNAL]
        return [
            (
                *of(call),
                [
                    of(span)
                    for span in self.spans
                    if span.parent is not None and span.parent.span_id == call.context.span_id
                ],
            )
            for call in calls
        ]

    def metrics(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        assert data is not None
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        self.scope = scope.scope
        return {metric.name: metric for metric in scope.metrics}

    def points(self, name: str) -> list[Any]:
        return list(self.metrics()[name].data.data_points)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    chosen = names or ("openai", "groq")
    return UnifiedLLMService(load_settings(sim.environ(*chosen), **{"pool_size": 1} | overrides))


OPENAI, GROQ = "chat gpt-4o-mini", "chat openai/gpt-oss-20b"


async def test_a_rescued_call_is_no_error(sim: Simulator, telemetry: Telemetry) -> None:
    """The failed attempt is one, and the call's span names the fallback."""
    sim.openai.script(faults.status(500))
    async with service_for(sim) as service:
        telemetry.listen(service)
        with telemetry.tracers.get_tracer("mine").start_as_current_span("request") as request:
            response = await service.generate_response_async(HELLO, temperature=0.5, max_tokens=9)
    assert telemetry.tree() == [
        ("llm_unified.chat", None, [(OPENAI, "server"), (GROQ, None)]),
        ("request", None, [("llm_unified.chat", None)]),
    ]
    failed, answered, call, _ = telemetry.spans
    assert call.parent.span_id == request.get_span_context().span_id
    assert (failed.kind, answered.kind) == (SpanKind.CLIENT, SpanKind.CLIENT)
    assert failed.attributes["http.response.status_code"] == 500
    assert response.usage is not None
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groq",
        "gen_ai.request.model": "openai/gpt-oss-20b",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.response.model": response.raw_response["model"],
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": response.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": response.usage.completion_tokens,
        "server.address": "127.0.0.1",
        "server.port": sim.groq.port,
        "llm_unified.provider": "groq",
        "llm_unified.deployment": "groq#0",
        "llm_unified.call_id": response.call_id,
    }
    assert expected.items() <= dict(answered.attributes).items()
    assert [(e.name, e.attributes["llm_unified.to"]) for e in call.events] == [
        ("llm_unified.fallback", "groq")
    ]
    assert call.attributes["llm_unified.call_id"] == response.call_id
    assert call.attributes["llm_unified.attempts"] == 2
    assert "swordfish" not in str([span.to_json() for span in telemetry.spans])


async def test_failure_cancellation_and_interruption(sim: Simulator, telemetry: Telemetry) -> None:
    """Each has its tree; the call's error is what the caller got, the attempt's is its kind."""
    async with service_for(sim) as service:
        telemetry.listen(service)
        sim.openai.script(faults.status(503))
        sim.groq.script(faults.rate_limit(retry_after=0))
        with pytest.raises(AllProvidersFailedError):
            await service.generate_response_async(HELLO)
        sim.openai.script(faults.blackhole())
        call = asyncio.create_task(service.generate_response_async(HELLO))
        await sim.openai.wait_for_async(requests=2)
        call.cancel()
        await asyncio.wait({call})
        sim.openai.script(faults.cut_stream(after=2))
        with pytest.raises(StreamInterruptedError):
            async for _ in service.stream_response_async(HELLO):
                pass
        async for _ in service.stream_response_async(HELLO):
            break
    assert telemetry.tree() == [
        (
            "llm_unified.chat",
            "AllProvidersFailedError",
            [(OPENAI, "server"), (GROQ, "rate_limit")],
        ),
        ("llm_unified.chat", "cancelled", [(OPENAI, "cancelled")]),
        ("llm_unified.chat", "StreamInterruptedError", [(OPENAI, "connection")]),
        ("llm_unified.chat", "cancelled", [(OPENAI, "cancelled")]),
    ]


async def test_the_trace_goes_upstream_and_baggage_stays_here(
    sim: Simulator, telemetry: Telemetry
) -> None:
    """`traceparent` names the attempt's span, in streams, embeddings and pings, too; an HTTP client's span hangs below."""
    current: list[int] = []

    class Client:
        """Stands for an instrumented HTTP client: looks at the current span while the request is sent."""

        def __enter__(self) -> None:
            current.append(trace.get_current_span().get_span_context().span_id)

        def __exit__(self, *_: object) -> None: ...

    async with service_for(sim, "openai") as service:
        telemetry.listen(service)
        service.subscribe(lambda e: _hang(e, Client()), inline=True)
        token = context.attach(baggage.set_baggage("tenant", "secret"))
        await service.generate_response_async(HELLO)
        async for _ in service.stream_response_async(HELLO):
            pass
        await service.embed_async("text", model="text-embedding-3-small")
        await service.warm_connections()
        context.detach(token)
    spans = [span for span in telemetry.spans if span.kind is SpanKind.CLIENT]
    assert [int(r.headers["traceparent"].split("-")[2], 16) for r in sim.openai.requests] == [
        span.context.span_id for span in spans
    ]
    assert current == [span.context.span_id for span in spans]
    assert not [r for r in sim.openai.requests if "baggage" in r.headers]


def _hang(event: Any, scope: Any) -> None:
    if hasattr(event, "sending"):
        event.sending.scopes.append(scope)


async def test_the_consumer_of_a_stream_is_in_its_own_span(
    sim: Simulator, telemetry: Telemetry
) -> None:
    """Nothing that a stream makes current leaks out of it, read to its end or not."""
    async with service_for(sim, "openai") as service:
        telemetry.listen(service)
        with telemetry.tracers.get_tracer("mine").start_as_current_span("mine") as mine:
            async for _ in service.stream_response_async(HELLO):
                assert trace.get_current_span() is mine
            stream = service.stream_response_async(HELLO)
            await anext(aiter(stream))
            assert trace.get_current_span() is mine
            await stream.aclose()
            assert trace.get_current_span() is mine
        assert not trace.get_current_span().get_span_context().is_valid


async def test_a_ping_has_nothing_of_gen_ai(sim: Simulator, telemetry: Telemetry) -> None:
    """Its span and its metric are ours."""
    async with service_for(sim, "openai") as service:
        telemetry.listen(service)
        await service.warm_connections()
    (span,) = telemetry.spans
    assert (span.name, span.kind) == ("llm_unified.ping", SpanKind.CLIENT)
    assert span.attributes["server.port"] == sim.openai.port
    assert not [name for name in span.attributes if name.startswith("gen_ai")]
    assert "llm_unified.ping.duration" in telemetry.metrics()
    assert not [name for name in telemetry.metrics() if name.startswith("gen_ai")]


async def test_metrics_by_the_conventions(sim: Simulator, telemetry: Telemetry) -> None:
    """Duration, first chunk, further chunks and tokens, with the conventions' units and buckets."""
    sim.openai.script(faults.status(500), faults.slow_drip(interval=0.001))
    async with service_for(sim) as service:
        telemetry.listen(service)
        await service.generate_response_async(HELLO)
        chunks = [c async for c in service.stream_response_async(HELLO) if c.content]
        await service.embed_async("text", model="text-embedding-3-small", provider="openai")
    metrics = telemetry.metrics()
    assert metrics.pop("llm_unified.calls").unit == "{call}"
    assert {
        name: (m.unit, m.data.data_points[0].explicit_bounds) for name, m in metrics.items()
    } == {
        "gen_ai.client.operation.duration": ("s", SECONDS_BUCKETS),
        "gen_ai.client.operation.time_to_first_chunk": ("s", SECONDS_BUCKETS),
        "gen_ai.client.operation.time_per_output_chunk": ("s", SECONDS_BUCKETS),
        "gen_ai.client.token.usage": ("{token}", TOKEN_BUCKETS),
    }
    scope = telemetry.scope
    assert (scope.name, scope.version, scope.schema_url) == (
        "llm_unified",
        llm_unified.__version__,
        "https://opentelemetry.io/schemas/1.41.0",
    )
    durations = {
        (p.attributes["gen_ai.operation.name"], p.attributes.get("error.type")): p.count
        for p in telemetry.points("gen_ai.client.operation.duration")
        if p.attributes["gen_ai.provider.name"] == "openai"
    }
    assert durations == {("chat", "server"): 1, ("chat", None): 1, ("embeddings", None): 1}
    (per_chunk,) = telemetry.points("gen_ai.client.operation.time_per_output_chunk")
    assert 0 < per_chunk.count < len(chunks)
    types = {
        (p.attributes["gen_ai.operation.name"], p.attributes["gen_ai.token.type"])
        for p in telemetry.points("gen_ai.client.token.usage")
    }
    assert types == {("chat", "input"), ("chat", "output"), ("embeddings", "input")}


async def test_the_newer_vocabulary_on_request(sim: Simulator, telemetry: Telemetry) -> None:
    """`gen_ai_latest_experimental` renames what was renamed after v1.41, and says so in the schema URL."""
    sim.openai.script(
        replies.answer("fine", usage=(20, 7), cached=8),
        faults.cut_stream(after=2),
        faults.slow_drip(interval=0.001),
    )
    async with service_for(sim, "openai") as service:
        telemetry.listen(service, environ=LATEST_ENV)
        await service.generate_response_async(HELLO, reasoning_effort="low", model="o3-mini")
        with pytest.raises(StreamInterruptedError):
            async for _ in service.stream_response_async(HELLO):
                pass
        async for _ in service.stream_response_async(HELLO):
            pass
        await service.embed_async("text", model="text-embedding-3-small")
    assert set(telemetry.metrics()) == {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.time_per_output_chunk",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
        "gen_ai.client.embeddings.duration",
        "gen_ai.client.embeddings.operation.input_tokens",
        "llm_unified.calls",
    }
    (cached,) = telemetry.points("gen_ai.client.inference.usage.cache_read.input_tokens")
    assert (cached.value, cached.attributes["gen_ai.token.modality"]) == (8, "unknown")
    assert telemetry.scope.schema_url == LATEST.schema_url
    whole, cut, *_ = (span for span in telemetry.spans if span.kind is SpanKind.CLIENT)
    assert whole.attributes["gen_ai.request.reasoning.level"] == "low"
    assert whole.attributes["gen_ai.usage.cache_read.input_tokens"] == 8
    assert cut.attributes["gen_ai.response.finish_reasons"] == ("error",)


async def test_the_provider_is_named_by_its_protocol(sim: Simulator, telemetry: Telemetry) -> None:
    """Whatever it is called in the settings, which is `llm_unified.provider`."""
    settings = load_settings(
        sim.environ("azure_openai", "anthropic"),
        pool_size=1,
    )
    async with UnifiedLLMService(settings) as service:
        telemetry.listen(service)
        await service.generate_response_async(HELLO)
        await service.generate_response_async(HELLO, provider="anthropic")
    names = [
        (span.attributes["gen_ai.provider.name"], span.attributes["llm_unified.provider"])
        for span in telemetry.spans
        if span.kind is SpanKind.CLIENT
    ]
    assert names == [("azure.ai.openai", "azure_openai"), ("anthropic", "anthropic")]


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "swordfish?"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "look_up", "arguments": '{"word": "swordfish"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "a fish"},
]
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
PART = {"type": "object", "required": ["type"]}
CONVERSATION = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["role", "parts"],
        "properties": {"parts": {"type": "array", "items": PART}},
    },
}


@pytest.mark.parametrize(
    ("options", "captured"),
    [
        ({}, False),
        ({"content": True}, True),
        ({"environ": {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}}, True),
        ({"environ": {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "false"}}, False),
    ],
    ids=["default", "argument", "environment", "environment-off"],
)
async def test_content_only_when_somebody_opted_in(
    sim: Simulator, telemetry: Telemetry, options: dict[str, Any], captured: bool
) -> None:
    """Then prompts, tools and answers are on the attempts' spans, in the conventions' JSON."""
    sim.openai.always(replies.tool_call("look_up", {"word": "swordfish"}))
    async with service_for(sim, "openai") as service:
        telemetry.listen(service, **options)
        await service.generate_response_async(MESSAGES, tools=TOOLS)
        async for _ in service.stream_response_async(MESSAGES, tools=TOOLS):
            pass
        await service.embed_async("swordfish", model="text-embedding-3-small")
    text = str([span.to_json() for span in telemetry.spans])
    assert ("swordfish" in text) is captured
    assert "swordfish" not in str([metric.to_json() for metric in telemetry.metrics().values()])
    if not captured:
        return
    for span in [span for span in telemetry.spans if span.kind is SpanKind.CLIENT][:2]:
        asked = json.loads(span.attributes["gen_ai.input.messages"])
        told = json.loads(span.attributes["gen_ai.output.messages"])
        jsonschema.validate(asked, CONVERSATION)
        jsonschema.validate(told, CONVERSATION)
        assert [part["type"] for message in asked for part in message["parts"]] == [
            "text",
            "text",
            "tool_call",
            "tool_call_response",
        ]
        assert told[0]["parts"][0]["arguments"] == {"word": "swordfish"}
        assert told[0]["finish_reason"] == "tool_call"
        assert json.loads(span.attributes["gen_ai.tool.definitions"]) == [
            {"type": "function", "name": "look_up"}
        ]
        assert span.end_time > span.start_time


async def test_an_answer_of_another_model_is_named(sim: Simulator, telemetry: Telemetry) -> None:
    """The upstream's own model and id, unless they could be an echo of the key."""
    async with service_for(sim, "openai") as service:
        telemetry.listen(service)
        sim.openai.always(named("gpt-4o-mini-2024-07-18", "chatcmpl-AbCdEfGh"))
        await service.generate_response_async(HELLO)
        sim.openai.always(named(sim.openai.api_key, f"id-{sim.openai.api_key}"))
        await service.generate_response_async(HELLO)
        ids = [
            (s.attributes.get("gen_ai.response.model"), s.attributes.get("gen_ai.response.id"))
            for s in telemetry.spans
            if s.kind is SpanKind.CLIENT
        ]
    assert ids == [("gpt-4o-mini-2024-07-18", "chatcmpl-AbCdEfGh"), (None, None)]


def named(model: str, id_: str) -> faults.Fault:
    """A right answer with a model and an id of its own."""
    choice = {"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    body = json.dumps({"id": id_, "model": model, "choices": [choice]}).encode()
    return faults._body("named", body, "application/json")


async def test_an_unsampled_trace_goes_upstream_as_such(sim: Simulator) -> None:
    """Nothing is recorded, the answer is the same, and `traceparent` says that it is not sampled."""
    tracers = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    async with service_for(sim, "openai") as service:
        export_opentelemetry(service, tracers, MeterProvider(shutdown_on_exit=False), environ={})
        assert (await service.generate_response_async(HELLO)).content
    (request,) = sim.openai.requests
    assert not int(request.headers["traceparent"].rpartition("-")[2], 16) & 1


async def test_without_an_sdk_nothing_happens(sim: Simulator) -> None:
    """The API alone records nothing and sends no header."""
    async with service_for(sim, "openai") as service:
        export_opentelemetry(service, trace.NoOpTracerProvider(), environ={})
        assert (await service.generate_response_async(HELLO)).content
    assert "traceparent" not in sim.openai.requests[0].headers


async def test_two_services_stay_apart_and_an_export_can_be_ended(sim: Simulator) -> None:
    """Each has its SDK; what ends one export leaves no span behind."""
    one, two = Telemetry(), Telemetry()
    async with service_for(sim, "openai") as first, service_for(sim, "openai") as second:
        end = one.listen(first)
        two.listen(second)
        await first.generate_response_async(HELLO)
        end()
        await first.generate_response_async(HELLO)
        with pytest.raises(LLMError):
            await second.generate_response_async(HELLO, provider="groq")
    assert (len(one.spans), len(two.spans)) == (2, 0)


def test_the_names_of_v1_41_are_the_conventions_own() -> None:
    """As the package of OpenTelemetry's constants has them."""
    metrics = {value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_C")}
    ours = {
        V1_41.chat_duration,
        V1_41.embeddings_duration,
        V1_41.first_chunk,
        V1_41.output_chunk,
        V1_41.token_usage,
    }
    assert ours == metrics
    attributes = {v for n, v in vars(gen_ai_attributes).items() if n.startswith("GEN_AI")}
    from llm_unified.observe.otel import vocabulary

    assert {*vocabulary.REQUEST_ATTRIBUTES.values(), V1_41.cache_write} <= attributes
    well_known = {value.value for value in gen_ai_attributes.GenAiProviderNameValues}
    assert set(vocabulary._PROVIDER_NAMES.values()) - {"moonshot_ai"} <= well_known


async def test_a_stream_that_another_task_closes_leaves_no_trace_in_it(
    sim: Simulator, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelled while its request is under way, closed elsewhere: no context is mixed up, nothing is logged of it."""
    sim.openai.always(faults.blackhole())
    async with service_for(sim, "openai") as service:
        telemetry.listen(service)
        stream = service.stream_response_async(HELLO)
        reading = asyncio.create_task(anext(aiter(stream)))
        await sim.openai.wait_for_async(requests=1)
        reading.cancel()
        await asyncio.wait({reading})
        await stream.aclose()
        assert not trace.get_current_span().get_span_context().is_valid
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert telemetry.tree() == [("llm_unified.chat", "cancelled", [(OPENAI, "cancelled")])]


async def test_a_vendor_that_only_litellm_knows_is_traced_too(
    sim: Simulator, telemetry: Telemetry
) -> None:
    """Named by LiteLLM's vendor, with `traceparent` in what LiteLLM's own client sends."""
    block = {"model": "deepseek/deepseek-chat", "api_key": sim.openai.api_key}
    settings = load_settings(
        {},
        providers={"cheap": {**block, "base_url": sim.openai.base_url}},
        primary_provider="cheap",
    )
    async with UnifiedLLMService(settings) as service:
        telemetry.listen(service)
        await service.generate_response_async(HELLO)
        async for _ in service.stream_response_async(HELLO):
            pass
    spans = [span for span in telemetry.spans if span.kind is SpanKind.CLIENT]
    assert [s.attributes["gen_ai.provider.name"] for s in spans] == ["deepseek", "deepseek"]
    assert [s.attributes["llm_unified.provider"] for s in spans] == ["cheap", "cheap"]
    assert [int(r.headers["traceparent"].split("-")[2], 16) for r in sim.openai.requests] == [
        span.context.span_id for span in spans
    ]
