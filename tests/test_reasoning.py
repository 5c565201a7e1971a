"""A model that thinks for minutes is not failed by the defaults; whoever sets a limit gets that one."""

from __future__ import annotations

from typing import Any

import pytest

from llm_unified import DeadlineExceededError, UnifiedLLMService, load_settings
from llm_unified.calls import limits
from llm_unified.calls.arguments import chat_request
from llm_unified.calls.limits import (
    REASONING_DEADLINE_SECONDS,
    REASONING_TIMEOUT_SECONDS,
    Limits,
)
from llm_unified.settings import Settings
from llm_unified.testing import Simulator

HELLO = [{"role": "user", "content": "Hello"}]
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 2000}}


def limits_of(settings: Settings, options: dict[str, Any], *, unasked: bool = False) -> Limits:
    return Limits(chat_request(HELLO, {}, options)(settings), settings, lambda _: unasked)


@pytest.mark.parametrize(
    ("options", "unasked", "reasons"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"reasoning_effort": "low"}, False, True),
        ({"reasoning_effort": "none"}, True, False),
        (THINKING, False, True),
        ({"thinking": {"type": "disabled"}}, True, False),
    ],
)
def test_who_reasons(sim: Simulator, options: dict[str, Any], unasked: bool, reasons: bool) -> None:
    """What the call says; else what is known of the model."""
    found = limits_of(load_settings(sim.environ("openai", "groq")), options, unasked=unasked)
    assert found.reasoning("openai") is reasons
    assert (found.attempt("openai") == REASONING_TIMEOUT_SECONDS) is reasons
    assert (found.first_token("openai") == REASONING_TIMEOUT_SECONDS) is reasons
    assert (found.idle("openai") == REASONING_TIMEOUT_SECONDS) is reasons
    assert (found.deadline == REASONING_DEADLINE_SECONDS) is reasons


def test_a_limit_that_somebody_set_holds(sim: Simulator) -> None:
    """By the environment, by an argument, for one provider, for one call."""
    environ = sim.environ("openai", "groq") | {"LLM_TIMEOUT": "50"}
    settings = load_settings(environ, deadline=100.0, providers={"groq": {"timeout": 20.0}})
    found = limits_of(settings, THINKING)
    assert (found.attempt("openai"), found.attempt("groq"), found.deadline) == (50.0, 20.0, 100.0)
    assert limits_of(settings, THINKING | {"deadline": 7.0}).deadline == 7.0
    by_hand = Settings(primary_provider="openai", providers=settings.providers[:1], deadline=120.0)
    assert limits_of(by_hand, THINKING).deadline == 120.0


@pytest.mark.parametrize(
    ("provider", "model", "reasons"),
    [
        ("openai", "gpt-4o-mini", False),
        ("openai", "o3-mini", True),
        ("groq", "openai/gpt-oss-120b", True),
        ("anthropic", "claude-sonnet-4-5", False),  # only where `thinking` asks for it
    ],
)
async def test_what_the_price_list_knows(
    sim: Simulator, provider: str, model: str, reasons: bool
) -> None:
    """The configured model, and the one that a call names."""
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        engine = (await service.dispatcher()).engine
        assert engine.reasons(provider, model) is reasons


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_minutes_of_thought_in_miniature(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    """Silent for longer than the defaults allow, which are a hundredth here: it answers; one that does not reason
    is given up.
    """
    monkeypatch.setattr(limits, "REASONING_TIMEOUT_SECONDS", 30.0)
    monkeypatch.setattr(limits, "REASONING_DEADLINE_SECONDS", 60.0)
    sim.openai.latency = 1.0
    settings = load_settings(sim.environ("openai"))
    tiny = dict.fromkeys(("timeout", "first_token_timeout", "stream_idle_timeout", "deadline"), 0.3)
    origins = tuple((name, "default") for name in tiny)
    settings = Settings(**{**dict(settings), **tiny, "sources": origins})
    async with UnifiedLLMService(settings) as service:
        await service.dispatcher()

        async def ask(**options: Any) -> str:
            if not stream:
                return (await service.generate_response_async(HELLO, **options)).content
            return "".join(
                [c.content async for c in service.stream_response_async(HELLO, **options)]
            )

        assert await ask(extra_body={"a": 1}, model="o3-mini")
        with pytest.raises(DeadlineExceededError):
            await ask()
