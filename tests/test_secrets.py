"""No key and no prompt leaves the process, whatever an upstream echoes and whoever logs at whatever level."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from llm_unified import LLMError, UnifiedLLMService, load_settings
from llm_unified.engine import imports
from llm_unified.observability import export_opentelemetry, export_prometheus
from llm_unified.testing import Outcome, Simulator, replies
from llm_unified.testing.exchange import chunks

ALL = ("openai", "azure_openai", "groq", "anthropic")
PROMPT = "the launch code is 0000-swordfish"
HELLO = [{"role": "user", "content": PROMPT}]
TOOL = {
    "type": "function",
    "function": {"name": "launch", "description": PROMPT, "parameters": {"type": "object"}},
}


def forms(*secrets: str) -> set[str]:
    """As it is, URL-encoded, in base64 (at each of the three offsets), in hexadecimal."""
    found: set[str] = set()
    for secret in secrets:
        raw = secret.encode()
        found |= {secret, quote(secret, safe=""), raw.hex()}
        for offset in range(3):
            found.add(base64.b64encode(b"\0" * offset + raw).decode()[4 if offset else 0 :][:-4])
    return {form for form in found if len(form) > 8}


class Echo(Outcome):
    """Repeats what it was sent, in one way or another."""

    def __init__(self, way: str) -> None:
        self.name = way

    def play(self, x: Any) -> None:
        sent = {k: v for k, v in x.request.headers.items() if "key" in k or k == "authorization"}
        key = x.request.api_key
        every = [key, *sent.values(), PROMPT]
        every += [quote(s) for s in every] + [base64.b64encode(s.encode()).decode() for s in every]
        said = " ".join(every)
        headers = {
            **{f"x-echo-{i}": s for i, s in enumerate(every)},
            **dict.fromkeys(("x-request-id", "request-id", "apim-request-id", "x-groq-id"), key),
            "retry-after": said,
            "x-ratelimit-reset-requests": said,
            "server": said,
        }
        error = {
            "error": {
                "message": said,
                "code": key,
                "type": sent.get("authorization", key),
                "param": said,
                "innererror": {"code": key, "content_filter_result": {"jailbreak": said}},
            },
            "request_id": key,
            "type": "error",
        }
        getattr(self, f"_{self.name}")(x, said, headers, error)

    def _event(self, x: Any, error: Any, before: tuple[bytes, ...] = ()) -> None:
        events = (*before, x.wire.event(json.dumps(error), error=True))
        x.write(x.stream_head() + chunks(events) + b"0\r\n\r\n")
        x.finish()

    def _status_400(self, x: Any, said: str, headers: Any, error: Any, status: int = 400) -> None:
        x.respond(status, json.dumps(error).encode(), headers)

    def _status_401(self, *args: Any) -> None:
        self._status_400(*args, status=401)

    def _status_500(self, *args: Any) -> None:
        self._status_400(*args, status=500)

    def _html(self, x: Any, said: str, headers: Any, error: Any) -> None:
        x.respond(200, f"<html>{said}</html>".encode(), headers, content_type="text/html")

    def _redirect(self, x: Any, said: str, headers: Any, error: Any) -> None:
        key = x.request.api_key
        headers["location"] = f"http://{key}:{key}@127.0.0.1:1/{quote(said)}?key={key}"
        x.respond(307, said.encode(), headers)

    def _error_in_200(self, x: Any, said: str, headers: Any, error: Any) -> None:
        if x.request.stream:
            self._event(x, error)
        else:
            x.respond(200, json.dumps(error).encode(), headers)

    def _error_after_content(self, x: Any, said: str, headers: Any, error: Any) -> None:
        if not x.request.stream:
            self._error_in_200(x, said, headers, error)
            return
        stream = x.good_stream(replies.text("some words came").answer(x.chat))
        self._event(x, error, (*stream.head, *stream.content[:2]))

    def _garbage(self, x: Any, said: str, headers: Any, error: Any) -> None:
        x.respond(200, f'{{"choices": [{{"x": "{said}"'.encode(), headers)

    def _wrong_shape(self, x: Any, said: str, headers: Any, error: Any) -> None:
        wrong = {"id": [said], "choices": [{"message": said, "delta": [said]}], "content": [said]}
        if x.request.stream:
            self._event(x, wrong | {"type": "content_block_delta", "delta": said})
        else:
            x.respond(200, json.dumps(wrong).encode(), headers)

    def _success(self, x: Any, said: str, headers: Any, error: Any) -> None:
        body = x.good_body(replies.text("fine").answer(x.chat))
        if x.request.stream:
            replies.text("fine").play(x)
        else:
            x.respond(200, body, headers)


WAYS = [
    name[1:]
    for name in vars(Echo)
    if name.startswith("_") and name[1].islower() and name not in ("_event", "_abc_impl")
]


class Everything(logging.Handler):
    """Every record of every logger, as text with all that it carries."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.getMessage()} {record.__dict__!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self.said += traceback.format_exception(record.exc_info[1])


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """All loggers at DEBUG, those that do not propagate as well."""
    handler, root = Everything(), logging.getLogger()
    loggers = [
        root,
        *(log for log in root.manager.loggerDict.values() if isinstance(log, logging.Logger)),
    ]
    before = [(log, log.level, log.disabled) for log in loggers]
    heard = [log for log in loggers if log is root or not log.propagate]
    for log in loggers:
        log.setLevel(logging.DEBUG)
        log.disabled = False
    for log in heard:
        log.addHandler(handler)
    yield handler.said
    for log in heard:
        log.removeHandler(handler)
    for log, level, disabled in before:
        log.setLevel(level)
        log.disabled = disabled


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """It, its causes and contexts, and those of groups."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def plain_texts(value: Any, depth: int = 5) -> Iterator[str]:
    """Every text in it that a tool which walks plain containers would find."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray):
        yield value.decode("latin-1")
    elif depth and isinstance(value, dict):
        for key, item in list(value.items()):
            yield from plain_texts(key, depth - 1)
            yield from plain_texts(item, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for item in list(value):
            yield from plain_texts(item, depth - 1)


def frames_of(error: BaseException) -> Iterator[str]:
    """What error trackers show of the frames: each variable's `repr`, and the texts of plain containers."""
    for each in chain_of(error):
        place = each.__traceback__
        while place is not None:
            if place.tb_frame.f_code.co_filename != __file__:
                for name, value in place.tb_frame.f_locals.items():
                    where = f"{place.tb_frame.f_code.co_qualname if sys.version_info >= (3, 11) else ''} {name}"
                    yield f"{where}: {value!r}"
                    yield from (f"{where}: {text}" for text in plain_texts(value))
            place = place.tb_next


def shown(error: LLMError, service: UnifiedLLMService) -> Iterator[str]:
    """Everything that is printed, sent or kept of it."""
    for each in chain_of(error):
        yield f"{each} {each!r} {vars(each)!r} {each.args!r}"
        yield "".join(traceback.format_exception(each))
    for attempt in error.attempts:
        yield f"{attempt} {attempt!r}"
    again = pickle.loads(pickle.dumps(error))
    yield f"{pickle.dumps(error)!r} {again} {again!r} {vars(again)!r}"
    yield f"{service.get_stats()} {service.get_health()} {service!r} {service.settings!r}"


def search(texts: list[str], secrets: set[str]) -> None:
    for text in texts:
        for secret in secrets:
            place = text.find(secret)
            assert place < 0, f"{secret} in …{text[max(0, place - 300) : place + 100]}"


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way_in", ["plan", "completion"])
async def test_what_an_upstream_echoes_stays_here(
    sim: Simulator,
    logged: list[str],
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    way_in: str,
    *,
    stream: bool,
) -> None:
    """In errors, their causes, pickles, tracebacks, frames, logs, statistics, health, metrics and spans."""
    import prometheus_client as prometheus
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    asyncio.get_running_loop().set_debug(True)
    if way_in == "completion":  # taken while the application has LiteLLM callbacks of its own
        monkeypatch.setattr(imports.litellm, "success_callback", [lambda *_: None])
    spans, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    registry = prometheus.CollectorRegistry()
    key = sim[provider].api_key
    keys, secrets = forms(key, f"Bearer {key}"), forms(key, f"Bearer {key}", PROMPT)
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        export_prometheus(service, registry)
        export_opentelemetry(service, tracers)

        async def ask() -> Any:
            if stream:
                answer = service.stream_response_async(HELLO, tools=[TOOL], user="me")
                async for _ in answer:
                    pass
                return answer.response
            return await service.generate_response_async(HELLO, tools=[TOOL], user="me")

        failed = 0
        for way in WAYS:
            sim[provider].script(Echo(way))
            try:
                answer = await ask()
            except LLMError as error:
                failed += 1
                search(list(shown(error, service)), secrets)
                search(list(frames_of(error)), keys)
                locals_ = traceback.TracebackException.from_exception(error, capture_locals=True)
                ours = [line for line in locals_.format() if "test_secrets" not in line]
                search(ours, keys)
            else:
                assert way == "success"
                search([repr(answer), str(answer.attempts)], secrets)
            for deployment in service._runtime.states(provider):
                service._dispatcher.rotation.forget(deployment.deployment)  # type: ignore[union-attr]
        assert failed == len(WAYS) - 1
    search(logged, secrets)
    search([prometheus.generate_latest(registry).decode()], secrets)
    search([span.to_json() for span in spans.get_finished_spans()], secrets)


@pytest.mark.parametrize("provider", ALL)
async def test_nothing_is_logged_where_all_is_well(
    sim: Simulator, logged: list[str], provider: str
) -> None:
    """Answers, streams, tools, JSON, vectors, pings, warm-up, reload: at DEBUG, no key and no prompt."""
    secrets = forms(*sim[provider].api_keys, PROMPT)
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        await service.warm_connections()
        await service.generate_response_async(HELLO)
        await service.generate_response_async(
            HELLO, tools=[TOOL], tool_choice="auto", stop=[PROMPT]
        )
        sim[provider].script(replies.json({"a": 1}))
        await service.generate_response_async(HELLO, response_format={"type": "json_object"})
        async for _ in service.stream_response_async(HELLO, tools=[TOOL]):
            pass
        if provider in ("openai", "azure_openai"):
            await service.embed_async([PROMPT], model="text-embedding-3-small")
        await service.reload(load_settings(sim.environ(provider), pool_size=1))
    search(logged, secrets)


async def test_litellm_logs_the_application_s_calls_only(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of ours is logged by LiteLLM even at DEBUG, but the Router's walk; its levels stay as they were."""
    from llm_unified.engine.imports import litellm

    with caplog.at_level(logging.DEBUG):
        async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
            await service.generate_response_async(HELLO)
        assert not [record.message for record in caplog.records if record.name == "LiteLLM"]
        litellm.get_optional_params("gpt-4o-mini", "openai", temperature=0.5)
    assert "LiteLLM" in {record.name for record in caplog.records}
    for name in ("LiteLLM", "LiteLLM Router"):
        assert logging.getLogger(name).level == logging.NOTSET
