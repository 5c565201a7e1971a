"""Design §2.3, sentence by sentence: 4 providers × every fault × streamed or not × pool of 1 and 3."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from llm_unified import (
    BadRequestError,
    FailureKind,
    LLMResponse,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.testing import Simulator, faults

ORDER = ("openai", "azure_openai", "groq", "anthropic")
HELLO = [{"role": "user", "content": "Say hello to the matrix."}]
RAISED = {FailureKind.BAD_REQUEST}
PATIENT, IMPATIENT = 60.0, 0.3
"""Seconds: a limit that only a hang meets, and one that silence shall meet soon."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def second_of(provider: str) -> str:
    return ORDER[(ORDER.index(provider) + 1) % len(ORDER)]


async def ask(service: UnifiedLLMService, *, stream: bool, **options: Any) -> LLMResponse:
    if not stream:
        return await service.generate_response_async(HELLO, **options)
    async with service.stream_response_async(HELLO, **options) as answer:
        text = "".join([chunk.content async for chunk in answer])
    assert answer.response is not None
    assert text == answer.response.content
    return answer.response


CASES = list(itertools.product(ORDER, faults.ALL, (False, True), (1, 3)))


@pytest.mark.full(one_of=4)
@pytest.mark.parametrize(
    ("provider", "fault_name", "stream", "pool"),
    CASES,
    ids=[f"{p}-{f}-{'stream' if s else 'whole'}-pool{n}" for p, f, s, n in CASES],
)
async def test_every_failure_does_what_the_table_says(
    shared: Simulator, provider: str, fault_name: str, stream: bool, pool: int
) -> None:
    """One provider fails once; the table says who is asked next and what is reported."""
    shared.reset()
    fault = faults.ALL[fault_name]()
    second = second_of(provider)
    shared[provider].script(fault)
    kind = fault.expected(provider, stream=stream)
    broken = stream and fault.after_content
    # Short only where nothing more will come: a busy machine's pause must not look like silence.
    silent = kind is FailureKind.TIMEOUT
    settings = load_settings(
        shared.environ(provider, second),
        pool_size=pool,
        providers={provider: {"timeout": IMPATIENT if silent and not broken else PATIENT}},
        stream_idle_timeout=IMPATIENT if silent else PATIENT,
        deadline=3 * PATIENT,
    )
    async with UnifiedLLMService(settings) as service:
        try:
            response = await ask(service, stream=stream)
        except StreamInterruptedError as error:
            assert broken
            assert (error.kind, error.attempts[-1].kind) == (kind, kind)
            assert error.partial_text or error.tool_calls
            attempts = error.attempts
        except BadRequestError as error:
            assert kind in RAISED
            attempts = error.attempts
        else:
            attempts = response.attempts
            if kind is None or (fault.lenient and response.provider == provider):
                assert response.provider == provider
            else:
                assert not broken
                assert kind not in RAISED
                assert response.provider == second
                assert [a.kind for a in attempts] == [kind, None]
        answered = attempts[-1].outcome == "answered"
        asked_second = answered and attempts[-1].provider == second
        assert len(shared[second].requests) == (1 if asked_second else 0)
        redirected = fault_name == "redirect_same_host"
        assert len(shared[provider].requests) == (2 if redirected else 1)
        assert not shared.stranger.requests
        assert attempts[0].provider == provider
        if fault.retry_after is not None:  # a date is written in whole seconds, rounded up
            assert attempts[0].retry_after == pytest.approx(fault.retry_after, abs=1.1)
        counts = service.get_stats()["stats"]
        failures = 0 if attempts[0].kind is None else 1
        assert counts["errors_by_provider"][provider] == failures
        assert counts["fallback_count"] == (1 if asked_second else 0)
        answers = sum(counts["requests_by_provider"].values()) - failures
        assert answers == (1 if answered else 0)
