"""Log events: stable names and fields, one id per call, and nobody who did not ask sees any."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import llm_unified
from llm_unified import (
    ConfigurationError,
    LLMError,
    UnifiedLLMService,
    configure_logging,
    load_settings,
)
from llm_unified.testing import Simulator, faults

HELLO = [{"role": "user", "content": "the secret word is swordfish"}]
PAGE = Path(__file__).parents[1] / "docs" / "logs.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"`(\w+)`")
WHERE = {"log": 1, "_failed": 1, "_remark": 0, "remark": 1}
"""Who takes the name of an event, and as which argument."""


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """Event → (levels, fields), as the page has them."""
    return {
        event: ({level, *({"info"} if "`info`" in when else ())}, set(NAME.findall(fields)))
        for event, level, when, fields in ROW.findall(PAGE.read_text())
    }


def constants(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)
    elif isinstance(node, ast.Name) and node.id == "ENV_FILE_NOT_READ":
        yield "env_file_not_read"


def in_code() -> set[str]:
    """Every event whose name stands in the source."""
    found: set[str] = set()
    for file in Path(llm_unified.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in WHERE and len(node.args) > WHERE[name]:
                    found |= set(constants(node.args[WHERE[name]]))
                elif name == "append" and isinstance(node.args[0], ast.Tuple):
                    level, *rest = node.args[0].elts
                    if {"info", "warning"} & set(constants(level)):
                        found |= set(constants(rest[0]))
    return found


def test_the_page_lists_every_event_of_the_code() -> None:
    """Each has a row, and each row an event."""
    assert set(documented()) == in_code()


@pytest.fixture
def told() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


async def test_events_have_the_fields_that_the_page_says(sim: Simulator, told: list[Any]) -> None:
    """Through a night with everything in it: no field more, none less, and the level of the page."""
    names = ("openai", "anthropic", "groq")
    settings = load_settings(sim.environ(*names), failure_threshold=1, cooldown=0.001, pool_size=1)
    async with UnifiedLLMService(settings) as service:
        sim.openai.script(faults.status(500))
        for _ in range(3):
            await service.generate_response_async(HELLO, max_tokens=5)
        sim.openai.script(faults.status(401))
        await service.generate_response_async(HELLO)
        async for _ in service.stream_response_async(HELLO):
            break
        for name in names:
            sim[name].always(faults.bad_request())
        with pytest.raises(LLMError) as caught:
            await service.generate_response_async(HELLO, provider="groq", temperature=9.0)
        sim.anthropic.always(None)
        await service.generate_response_async(HELLO, provider="anthropic", temperature=1.9)
        await service.reload(load_settings(sim.environ("groq")))
        with pytest.raises(ConfigurationError):
            await service.reload(object())  # type: ignore[arg-type]
        service.subscribe(lambda _: 1 / 0, inline=True)
        for _ in range(3):
            with pytest.raises(LLMError):
                await service.generate_response_async(HELLO)
    page = documented()
    seen = {event["event"] for event in told}
    assert {
        "attempt_failed",
        "provider_misconfigured",
        "fallback",
        "call_failed",
        "call_answered",
        "call_cancelled",
        "request_adapted",
        "breaker_changed",
        "reloaded",
        "reload_refused",
        "subscriber_failed",
        "subscriber_removed",
    } <= seen
    for event in told:
        levels, fields = page[event["event"]]
        assert set(event) - {"event", "log_level"} == fields, event
        assert event["log_level"] in levels, event
    ids = {event["call_id"] for event in told if event["event"] == "call_failed"}
    assert caught.value.call_id in ids
    assert "swordfish" not in str(told)


async def test_one_line_for_each_thing_that_went_wrong(sim: Simulator, told: list[Any]) -> None:
    """One per failed attempt and one for the call that was rescued; a refused key is said once."""
    sim.openai.script(faults.status(500), faults.status(401), faults.status(401))
    settings = load_settings(sim.environ("openai", "groq"), pool_size=1, cooldown=0.001)
    async with UnifiedLLMService(settings) as service:
        response = await service.generate_response_async(HELLO)
        loud = [e for e in told if e["log_level"] in ("warning", "error")]
        assert [(e["event"], e["call_id"]) for e in loud] == [
            ("attempt_failed", response.call_id),
            ("fallback", response.call_id),
        ]
        for _ in range(2):
            await service.generate_response_async(HELLO)
    assert [e["event"] for e in told].count("provider_misconfigured") == 1


@pytest.fixture
def ours() -> Iterator[logging.Logger]:
    """The library's logger, left as it was."""
    from llm_unified import logs

    logger = logging.getLogger("llm_unified")
    before = (list(logger.handlers), logger.level, logger.propagate, dict(logs._format))
    yield logger
    logger.handlers[:], logger.level, logger.propagate = before[:3]
    logger.setLevel(before[1])  # which forgets what was cached of it
    logs._format.update(before[3])


async def test_a_program_without_logging_gets_lines(
    sim: Simulator, ours: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON or key=value, from the level on that it wants, each event once; the root logger is left alone."""
    out = io.StringIO()
    root = list(logging.getLogger().handlers)
    sim.openai.script(faults.status(500), faults.status(500))
    async with UnifiedLLMService(load_settings(sim.environ("openai", "groq"))) as service:
        configure_logging(json=True, level="warning")
        configure_logging(json=True, level="warning", stream=out)
        response = await service.generate_response_async(HELLO)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        assert [(e["event"], e["level"], e["call_id"]) for e in lines] == [
            ("attempt_failed", "warning", response.call_id),
            ("fallback", "warning", response.call_id),
        ]
        assert all(line["timestamp"].startswith("20") for line in lines)
        out.truncate(out.seek(0))
        configure_logging(level="debug", stream=out)
        response = await service.generate_response_async(HELLO)
    assert re.search(
        rf"^timestamp=\S+ level=debug event=call_answered call_id={response.call_id} .*provider=groq",
        out.getvalue(),
        re.MULTILINE,
    )
    assert logging.getLogger().handlers == root
    assert capsys.readouterr() == ("", "")


def test_an_unknown_level_is_refused(ours: logging.Logger) -> None:
    """With the levels that there are."""
    with pytest.raises(ConfigurationError, match="debug, info, warning, error"):
        configure_logging(level="loud")  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", ["openai", "azure_openai", "groq", "anthropic"])
async def test_other_people_s_loggers_say_nothing_of_our_calls(
    sim: Simulator, provider: str
) -> None:
    """Every logger of the process at DEBUG: whole, streamed, failed, cancelled, pinged, and none holds a word of it."""
    said: list[logging.LogRecord] = []

    class Everything(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record)

    handler, root = Everything(logging.DEBUG), logging.getLogger()
    async with UnifiedLLMService(load_settings(sim.environ(provider), pool_size=1)) as service:
        await service.generate_response_async(HELLO)  # LiteLLM is loaded now
        loggers = [
            root,
            *(x for x in root.manager.loggerDict.values() if isinstance(x, logging.Logger)),
        ]
        before = [(logger, logger.level, logger.disabled) for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.DEBUG)
            logger.disabled = False
            if logger is root or not logger.propagate:
                logger.addHandler(handler)
        try:
            await service.generate_response_async(HELLO)
            async for _ in service.stream_response_async(HELLO):
                pass
            sim[provider].script(faults.echo_secrets(), faults.cut_stream(), faults.blackhole())
            with pytest.raises(LLMError):
                await service.generate_response_async(HELLO)
            with pytest.raises(LLMError):
                async for _ in service.stream_response_async(HELLO):
                    pass
            call = asyncio.create_task(service.generate_response_async(HELLO))
            await sim[provider].wait_for_async(requests=6)
            call.cancel()
            await asyncio.wait({call})
            await service.warm_connections()
        finally:
            for logger, level, disabled in before:
                logger.removeHandler(handler)
                logger.setLevel(level)
                logger.disabled = disabled
    names = {record.name.partition(".")[0] for record in said}
    assert not names & {"openai", "httpx", "httpcore", "LiteLLM"}
    text = " ".join(f"{record.getMessage()} {record.args}" for record in said)
    assert "swordfish" not in text
    assert sim[provider].api_key not in text
