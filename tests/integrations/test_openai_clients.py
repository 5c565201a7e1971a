"""Libraries that take an OpenAI client, given ours: one line is another, and they survive an outage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.integrations.openai import MODEL, AsyncOpenAI, OpenAI
from llm_unified.testing import Simulator, faults, replies

HOW = "`python3 dev.py frameworks` has {}"
MESSAGES: Any = [{"role": "user", "content": "Which city?"}]


class City(BaseModel):
    name: str
    country: str


ROME = {"name": "Rome", "country": "Italy"}


@pytest.fixture
async def service(sim: Simulator) -> AsyncIterator[UnifiedLLMService]:
    async with UnifiedLLMService(load_settings(sim.environ("openai", "anthropic"))) as made:
        yield made


@pytest.fixture
def outage(sim: Simulator) -> Simulator:
    """The first provider is down; what the second one answers is the test's business."""
    sim.openai.always(faults.status(503))
    return sim


def survived(sim: Simulator) -> bool:
    """Whether the answer came from elsewhere after the first was asked."""
    return bool(sim.openai.requests and sim.anthropic.requests)


@pytest.mark.parametrize("mode", ["TOOLS", "JSON", "MD_JSON", "JSON_SCHEMA"])
async def test_instructor(outage: Simulator, service: UnifiedLLMService, mode: str) -> None:
    """`instructor.from_openai` in its ways of asking; what does not validate is asked again, by Instructor."""
    instructor = pytest.importorskip("instructor", reason=HOW.format("instructor"))
    how = getattr(instructor.Mode, mode)
    wrong, right = {"name": "Rome", "country": 7}, ROME
    if mode == "TOOLS":
        outage.anthropic.script(replies.tool_call("City", wrong))
        outage.anthropic.always(replies.tool_call("City", right))
    else:
        if mode != "JSON_SCHEMA":  # the service itself would turn it down
            outage.anthropic.script(replies.json(wrong))
        outage.anthropic.always(replies.json(right))
    ask: Any = {"model": MODEL, "messages": MESSAGES, "response_model": City}
    client = instructor.from_openai(AsyncOpenAI(service=service), mode=how)
    found, raw = await client.chat.completions.create_with_completion(**ask)
    assert found.model_dump() == right
    assert raw.llm_unified["provider"] == "anthropic"
    assert (await client.chat.completions.create(**ask)).model_dump() == right
    partial = [each async for each in client.chat.completions.create_partial(**ask)]
    assert partial[-1].model_dump() == right
    assert survived(outage)


def test_instructor_without_a_loop(outage: Simulator) -> None:
    """The same with the synchronous client."""
    instructor = pytest.importorskip("instructor", reason=HOW.format("instructor"))
    outage.anthropic.always(replies.tool_call("City", ROME))
    with UnifiedLLMService(load_settings(outage.environ("openai", "anthropic"))) as service:
        client = instructor.from_openai(OpenAI(service=service))
        found = client.chat.completions.create(model=MODEL, messages=MESSAGES, response_model=City)
        assert found.model_dump() == ROME
    assert survived(outage)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_pydantic_ai(outage: Simulator, service: UnifiedLLMService, streamed: bool) -> None:
    """`OpenAIProvider(openai_client=…)`; there is a model of ours for it, too."""
    pytest.importorskip("pydantic_ai", reason=HOW.format("pydantic-ai"))
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=AsyncOpenAI(service=service))
    agent = Agent(OpenAIChatModel(MODEL, provider=provider), output_type=City)
    outage.anthropic.always(replies.tool_call("final_result", ROME))
    if streamed:
        async with agent.run_stream("Which city?") as run:
            found = await run.get_output()
    else:
        found = (await agent.run("Which city?")).output
    assert found.model_dump() == ROME
    assert survived(outage)


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # 3.4: gone in DSPy 3.5
def test_dspy(outage: Simulator) -> None:
    """A `dspy.BaseLM` of a few lines, as DSPy's documentation has it; its predictors get their fields."""
    dspy = pytest.importorskip("dspy", reason=HOW.format("dspy"))
    answer = "[[ ## answer ## ]]\nRome\n\n[[ ## completed ## ]]"
    outage.anthropic.always(replies.text(answer))
    with UnifiedLLMService(load_settings(outage.environ("openai", "anthropic"))) as service:
        client = OpenAI(service=service)

        class Unified(dspy.BaseLM):  # type: ignore[misc]
            def forward(self, prompt: Any = None, messages: Any = None, **more: Any) -> Any:
                messages = messages or [{"role": "user", "content": prompt}]
                options = {**self.kwargs, **more}
                return client.chat.completions.create(
                    model=self.model, messages=messages, **options
                )

        with dspy.context(lm=Unified(MODEL)):
            found = dspy.Predict("question -> answer")(question="Which city?")
    assert found.answer == "Rome"
    assert survived(outage)
