"""`llm_unified.integrations.openai_agents` with the real Agents SDK."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from llm_unified import AllProvidersFailedError, UnifiedLLMService, load_settings
from llm_unified.testing import Simulator, faults, replies

agents = pytest.importorskip("agents", reason="`python3 dev.py frameworks` has openai-agents")
import openai  # noqa: E402 - only where the line above found something

from llm_unified.integrations.openai_agents import UnifiedModel, UnifiedModelProvider  # noqa: E402


class City(BaseModel):
    name: str
    country: str


@agents.function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"Sunny in {city}."


@pytest.fixture(autouse=True)
def no_tracing() -> None:
    """The SDK would send its traces to OpenAI."""
    agents.set_tracing_disabled(disabled=True)


@pytest.fixture
async def service(sim: Simulator) -> AsyncIterator[UnifiedLLMService]:
    async with UnifiedLLMService(load_settings(sim.environ("openai", "anthropic"))) as made:
        yield made


def agent(service: UnifiedLLMService, **options: Any) -> Any:
    return agents.Agent(
        name="Help desk", instructions="Be brief.", model=UnifiedModel(service=service), **options
    )


async def test_a_run_goes_on_when_its_provider_fails(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """One vendor calls the tool and then fails; another reads the tool's result and ends the run."""
    sim.openai.script(replies.tool_call("get_weather", {"city": "Rome"}), faults.status(500))
    sim.anthropic.always(replies.auto())
    found = await agents.Runner.run(agent(service, tools=[get_weather]), "Weather in Rome?")
    assert found.final_output == "The tool says: Sunny in Rome."
    usage = found.context_wrapper.usage
    assert (usage.requests, usage.total_tokens) == (2, usage.input_tokens + usage.output_tokens)
    assert usage.output_tokens > 0


async def test_a_streamed_run_shows_its_text_and_counts_its_tokens(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """Tools too, over two vendors; the usage is there without being asked for."""
    sim.openai.script(replies.tool_call("get_weather", {"city": "Rome"}), faults.status(500))
    sim.anthropic.always(replies.auto())
    run = agents.Runner.run_streamed(agent(service, tools=[get_weather]), "Weather in Rome?")
    events = [event async for event in run.stream_events()]
    raw = [event.data for event in events if event.type == "raw_response_event"]
    deltas = [data.delta for data in raw if data.type == "response.output_text.delta"]
    steps = [event.name for event in events if event.type == "run_item_stream_event"]
    assert "".join(deltas) == run.final_output == "The tool says: Sunny in Rome."
    assert len(deltas) > 1
    assert steps == ["tool_called", "tool_output", "message_output_created"]
    assert run.context_wrapper.usage.output_tokens > 0


async def test_structured_output_is_the_callers_type(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """An answer of the wrong form is turned down before the SDK sees it."""
    sim.openai.script(replies.json({"name": 7}))
    sim.anthropic.always(replies.json({"name": "Rome", "country": "Italy"}))
    found = await agents.Runner.run(agent(service, output_type=City), "A city")
    assert found.final_output == City(name="Rome", country="Italy")


async def test_handoffs_by_the_provider_of_models(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """Agents that name a model, or none, get theirs from the run's provider, each from its own vendor."""
    expert = agents.Agent(name="expert", instructions="Answer.", model="anthropic")
    desk = agents.Agent(name="desk", instructions="Hand off.", handoffs=[expert])
    sim.openai.script(replies.tool_call("transfer_to_expert", {}))
    config = agents.RunConfig(model_provider=UnifiedModelProvider(service))
    found = await agents.Runner.run(desk, "Help", run_config=config)
    assert found.last_agent is expert
    assert "anthropic" in found.final_output


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_reasoning_is_an_item_of_the_run(
    sim: Simulator, service: UnifiedLLMService, streamed: bool
) -> None:
    """What the model thinks is kept beside its answer, and the next turn is accepted by both vendors."""
    for provider in (sim.openai, sim.anthropic):
        provider.always(replies.answer("4", reasoning="Two and two.", reasoned=3))
    for name in ("openai", "anthropic"):
        one = dataclasses.replace(agent(service), model=UnifiedModel(name, service=service))
        if streamed:
            found = agents.Runner.run_streamed(one, "2 + 2?")
            async for _ in found.stream_events():
                pass
        else:
            found = await agents.Runner.run(one, "2 + 2?")
        assert [item.type for item in found.new_items] == ["reasoning_item", "message_output_item"]
        assert found.final_output == "4"
        history = [*found.to_input_list(), {"role": "user", "content": "Again?"}]
        for other in ("openai", "anthropic"):
            two = dataclasses.replace(one, model=UnifiedModel(other, service=service))
            assert (await agents.Runner.run(two, history)).final_output == "4"


async def test_settings_of_the_model_reach_the_vendor(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """Temperature, limits, forced tools, and the options of the service in `extra_body`."""
    settings = agents.ModelSettings(
        temperature=0.5, max_tokens=50, tool_choice="required", extra_body={"fallback": False}
    )
    sim.openai.script(replies.tool_call("get_weather", {"city": "Rome"}))
    await agents.Runner.run(agent(service, tools=[get_weather], model_settings=settings), "Hi")
    body = sim.openai.requests[0].body
    assert (body["temperature"], body["max_tokens"], body["tool_choice"]) == (0.5, 50, "required")
    assert "fallback" not in body
    sim.openai.always(faults.status(500))
    with pytest.raises(openai.InternalServerError) as caught:
        await agents.Runner.run(agent(service, model_settings=settings), "Hi")
    assert isinstance(caught.value.__cause__, AllProvidersFailedError)
    assert not sim.anthropic.requests
