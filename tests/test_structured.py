"""``response_format``: on all four providers by the means each has, validated here."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from llm_unified import (
    BadRequestError,
    FailureKind,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.testing import Simulator, replies

ALL = ("openai", "azure_openai", "groq", "anthropic")
HELLO = [{"role": "user", "content": "Where is it warm?"}]


class Place(BaseModel):
    city: str
    degrees: int


SCHEMA = Place.model_json_schema()
FORMATS: dict[str, Any] = {
    "pydantic": Place,
    "schema": SCHEMA,
    "openai_schema": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}},
    "json_object": {"type": "json_object"},
}


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **overrides))


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_answer_is_parsed(sim: Simulator, provider: str, how: str, stream: bool) -> None:
    """``response.parsed`` is an instance of the model, or the plain object."""
    sim[provider].script(replies.json({"city": "Rome", "degrees": 31}))
    async with service_for(sim, provider) as service:
        if stream:
            async with service.stream_response_async(HELLO, response_format=FORMATS[how]) as answer:
                async for _ in answer:
                    pass
            response = answer.response
            assert response is not None
        else:
            response = await service.generate_response_async(HELLO, response_format=FORMATS[how])
    wanted = Place(city="Rome", degrees=31)
    assert response.parsed == (wanted if how == "pydantic" else wanted.model_dump())
    assert "tool_calls" not in response.raw_response
    body = str(sim[provider].requests[0].body)
    assert "degrees" in body or "JSON object" in body or "json_object" in body


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("how", FORMATS)
async def test_an_answer_that_does_not_validate_goes_to_the_next(
    sim: Simulator, provider: str, how: str
) -> None:
    """It is rejected; its tokens are counted."""
    second = ALL[(ALL.index(provider) + 1) % 4]
    bad = (
        replies.text("It is warm in Rome.") if how != "pydantic" else replies.json({"city": "Rome"})
    )
    sim[provider].script(bad)
    sim[second].script(replies.json({"city": "Oslo", "degrees": 3}))
    async with service_for(sim, provider, second) as service:
        response = await service.generate_response_async(HELLO, response_format=FORMATS[how])
    assert [a.kind for a in response.attempts] == [FailureKind.REJECTED, None]
    assert response.attempts[0].usage is not None
    assert response.attempts[0].usage.total_tokens > 0
    assert response.parsed is not None


async def test_a_stream_that_does_not_validate_is_interrupted(sim: Simulator) -> None:
    """What was shown cannot be taken back."""
    sim.openai.script(replies.json({"city": "Rome"}))
    async with service_for(sim, "openai", "groq") as service:
        with pytest.raises(StreamInterruptedError) as caught:
            async for _ in service.stream_response_async(HELLO, response_format=Place):
                pass
    assert caught.value.kind is FailureKind.REJECTED


@pytest.mark.parametrize(
    "wrong", [int, "json", {"type": "yaml"}, {"type": "json_schema"}], ids=repr
)
async def test_a_format_that_is_none_is_refused(sim: Simulator, wrong: Any) -> None:
    """The error says what may stand there; nothing is sent."""
    async with service_for(sim, "openai") as service:
        with pytest.raises(BadRequestError, match="pydantic model class"):
            await service.generate_response_async(HELLO, response_format=wrong)
    assert not sim.openai.requests


async def test_a_fenced_object_is_read(sim: Simulator) -> None:
    """Models wrap JSON in code fences however often they are told not to."""
    sim.anthropic.script(replies.text('```json\n{"city": "Rome"}\n```'))
    async with service_for(sim, "anthropic") as service:
        response = await service.generate_response_async(
            HELLO, response_format={"type": "json_object"}
        )
    assert response.parsed == {"city": "Rome"}
