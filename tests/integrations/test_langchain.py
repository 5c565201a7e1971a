"""`ChatUnified` and `UnifiedEmbeddings` in LangChain's own hands, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="run it with: python3 dev.py frameworks")

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from pydantic import BaseModel, ValidationError, field_validator

from llm_unified import (
    AllProvidersFailedError,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.integrations.langchain import ChatUnified, UnifiedEmbeddings
from llm_unified.testing import Simulator, faults, replies


@pytest.fixture
def service(sim: Simulator) -> Iterator[UnifiedLLMService]:
    """OpenAI first, Anthropic second."""
    with UnifiedLLMService(load_settings(environ=sim.environ("openai", "anthropic"))) as made:
        yield made


@pytest.fixture
def model(service: UnifiedLLMService) -> ChatUnified:
    return ChatUnified(service=service)


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Weather(BaseModel):
    """A report."""

    city: str
    celsius: int

    @field_validator("celsius")
    @classmethod
    def possible(cls, value: int) -> int:
        if value < -273:
            raise ValueError("colder than possible")
        return value


def test_a_chain_is_answered_by_the_second_when_the_first_fails(
    sim: Simulator, model: ChatUnified
) -> None:
    """A LangChain chain goes on when a provider is down, and its message says who answered and why."""
    sim.openai.always(faults.status(500))
    sim.anthropic.script(replies.text("From the second."))
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | model
    answer = chain.invoke({"question": "Are you there?"})
    assert answer.content == "From the second."
    said = answer.response_metadata
    assert said["provider"] == "anthropic"
    assert said["model_name"] == sim.anthropic.model
    assert [line.split(" ")[0] for line in said["attempts"]] == ["openai#0", "anthropic#0"]


async def test_asynchronous_calls_and_streams_fail_over(sim: Simulator, model: ChatUnified) -> None:
    """``ainvoke``, ``astream`` and ``abatch`` fail over as ``invoke`` does, streams before their content."""
    sim.openai.always(faults.status(503))
    assert (await model.ainvoke("Hi")).response_metadata["provider"] == "anthropic"
    sim.anthropic.script(replies.text("one two three", chunks=3))
    parts = [part async for part in (model | StrOutputParser()).astream("Hi")]
    assert "".join(parts) == "one two three"
    assert len([part for part in parts if part]) == 3
    both = await model.abatch(["Hi", "Hello"])
    assert {message.response_metadata["provider"] for message in both} == {"anthropic"}


def test_agents_survive_a_failover_in_their_midst(sim: Simulator, model: ChatUnified) -> None:
    """What one provider's model asked a tool for, another's concludes, in LangChain's messages."""
    sim.openai.script(replies.tool_call("get_weather", {"city": "Rome"}), faults.status(500))
    sim.anthropic.script(replies.text("It is sunny in Rome."))
    bound = model.bind_tools([get_weather])
    history: list[Any] = [HumanMessage("What is the weather in Rome?")]
    asked = bound.invoke(history)
    history += [asked, *(get_weather.invoke(call) for call in asked.tool_calls)]
    concluded = bound.invoke(history)
    assert asked.response_metadata["provider"] == "openai"
    assert asked.tool_calls[0]["args"] == {"city": "Rome"}
    assert concluded.content == "It is sunny in Rome."
    assert concluded.response_metadata["provider"] == "anthropic"


def test_signed_thinking_goes_back_to_who_thought_it(sim: Simulator) -> None:
    """Reasoning is a standard content block, whole and streamed, and its signature survives the history."""
    settings = load_settings(environ=sim.environ("anthropic"))
    with UnifiedLLMService(settings) as service:
        model = ChatUnified(
            service=service, reasoning_effort="low", max_tokens=4000, output_version="v1"
        )
        bound = model.bind_tools([get_weather])
        calls = [("get_weather", {"city": "Rome"}, "toolu_1")]
        sim.anthropic.always(
            replies.answer("Let me look.", reasoning="The city is Rome.", calls=calls)
        )
        streamed: Any = None
        for chunk in bound.stream("Weather in Rome?"):
            streamed = chunk if streamed is None else streamed + chunk
        for asked in (bound.invoke("Weather in Rome?"), streamed):
            kinds = [block["type"] for block in asked.content_blocks]
            assert kinds == ["reasoning", "text", "tool_call"]
            assert asked.content_blocks[0]["reasoning"] == "The city is Rome."
            done = ToolMessage("sunny", tool_call_id="toolu_1")
            bound.invoke([HumanMessage("Weather in Rome?"), asked, done])
            sent = sim.anthropic.requests[-1].body["messages"][1]["content"]
            assert [block["type"] for block in sent] == ["thinking", "text", "tool_use"]
            assert sent[0]["thinking"] == "The city is Rome."
            assert sent[0]["signature"]


def test_other_integrations_thinking_is_taken_over(sim: Simulator) -> None:
    """A history that langchain-anthropic or LangChain's standard blocks hold keeps its signed thinking."""
    settings = load_settings(environ=sim.environ("anthropic"))
    spoken = {"type": "text", "text": "Hello."}
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "A greeting.", "signature": "c2ln"},
        {"type": "reasoning", "reasoning": "A greeting.", "extras": {"signature": "c2ln"}},
    ]
    with UnifiedLLMService(settings) as service:
        model = ChatUnified(service=service, reasoning_effort="low", max_tokens=4000)
        for block in blocks:
            model.invoke([HumanMessage("Hi"), AIMessage([block, spoken]), HumanMessage("And now?")])
            sent = sim.anthropic.requests[-1].body["messages"][1]["content"]
            assert sent[0] == {
                "type": "thinking",
                "thinking": "A greeting.",
                "signature": "c2ln",
            }


def test_cache_control_reaches_anthropic(sim: Simulator) -> None:
    """Anthropic's mark for its prompt cache survives LangChain's messages."""
    settings = load_settings(environ=sim.environ("anthropic"))
    marked = {"type": "text", "text": "A long text.", "cache_control": {"type": "ephemeral"}}
    with UnifiedLLMService(settings) as service:
        ChatUnified(service=service).invoke([SystemMessage([marked]), HumanMessage("Hi")])
    assert sim.anthropic.requests[-1].body["system"][0]["cache_control"] == {"type": "ephemeral"}


def test_a_wrong_structured_answer_is_turned_down(sim: Simulator, model: ChatUnified) -> None:
    """An answer that the schema's own validators refuse is asked for again at the next provider."""
    sim.openai.always(replies.json({"city": "Rome", "celsius": -300}))
    sim.anthropic.always(replies.json({"city": "Rome", "celsius": 21}))
    found = model.with_structured_output(Weather).invoke("Weather in Rome?")
    assert found == Weather(city="Rome", celsius=21)
    schema = Weather.model_json_schema() | {"title": "report"}
    schema["properties"]["celsius"]["minimum"] = -273
    for strict in (None, True):
        plain = model.with_structured_output(schema, strict=strict, include_raw=True)
        whole = plain.invoke("Weather in Rome?")
        assert isinstance(whole, dict)
        assert whole["parsed"] == {"city": "Rome", "celsius": 21}
        assert whole["raw"].response_metadata["provider"] == "anthropic"
        assert whole["parsing_error"] is None


def test_what_cannot_be_parsed_is_said_beside_the_message(
    sim: Simulator, model: ChatUnified
) -> None:
    """With ``include_raw`` an answer in JSON of another shape is given with the error, not raised."""
    sim.openai.script(replies.text('{"town": "Rome"}'))
    found = model.with_structured_output(Weather, method="json_mode", include_raw=True)
    whole = found.invoke("Weather in Rome, as JSON?")
    assert isinstance(whole, dict)
    assert whole["parsed"] is None
    assert "city" in str(whole["parsing_error"])


def test_structured_output_refuses_arguments_it_does_not_know(model: ChatUnified) -> None:
    """A misspelt argument is an error in LangChain's words, of both classes."""
    with pytest.raises(ValueError, match="methode"):
        model.with_structured_output(Weather, methode="json_mode")
    with pytest.raises(ValidationError, match="temprature"):
        ChatUnified(temprature=0.2)


def test_tools_are_chosen_as_langchain_says(sim: Simulator, model: ChatUnified) -> None:
    """``any``, ``True`` and a tool's name become OpenAI's ``tool_choice``."""
    named = {"type": "function", "function": {"name": "get_weather"}}
    wanted = {"any": "required", "get_weather": named, "auto": "auto", "none": "none"}
    for given, sent in wanted.items():
        model.bind_tools([get_weather], tool_choice=given).invoke("Hi")
        assert sim.openai.requests[-1].body["tool_choice"] == sent
    model.bind_tools([get_weather], tool_choice=True, parallel_tool_calls=False).invoke("Hi")
    assert sim.openai.requests[-1].body["tool_choice"] == "required"
    assert sim.openai.requests[-1].body["parallel_tool_calls"] is False


def test_parameters_come_from_the_model_or_the_call(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """A call's arguments win over the model's, and both reach the provider."""
    model = ChatUnified(
        service=service, temperature=0.5, stop=["END"], seed=7, options={"user": "u1"}
    )
    model.invoke("Hi")
    body = sim.openai.requests[-1].body
    assert (body["temperature"], body["stop"], body["seed"], body["user"]) == (
        0.5,
        ["END"],
        7,
        "u1",
    )
    model.bind(temperature=0.1).invoke("Hi", stop=["STOP"], model="gpt-other")
    body = sim.openai.requests[-1].body
    assert (body["temperature"], body["stop"], body["model"]) == (0.1, ["STOP"], "gpt-other")


def test_callbacks_count_the_tokens(sim: Simulator, model: ChatUnified) -> None:
    """LangChain's own usage callback counts per model, whoever of them answered, streamed or not."""
    counted = UsageMetadataCallbackHandler()
    sim.openai.script(replies.text("a", usage=(10, 2)), faults.status(500))
    sim.anthropic.script(replies.text("b", usage=(20, 3)))
    model.invoke("Hi", config={"callbacks": [counted]})
    list(model.stream("Hi", config={"callbacks": [counted]}))
    tokens = {name: used["total_tokens"] for name, used in counted.usage_metadata.items()}
    assert tokens == {sim.openai.model: 12, sim.anthropic.model: 23}


async def test_synchronous_methods_work_in_a_notebook(sim: Simulator, model: ChatUnified) -> None:
    """``invoke``, ``stream`` and embeddings answer where an event loop runs, as in a notebook's cell."""
    assert model.invoke("Hi").content
    assert "".join(chunk.text for chunk in model.stream("Hi"))
    found = UnifiedEmbeddings("text-embedding-3-small", service=model.service)
    assert len(found.embed_query("Hi")) > 1


async def test_leaving_a_stream_stops_it_upstream(sim: Simulator, model: ChatUnified) -> None:
    """Who leaves ``astream`` early closes the connection to the provider."""
    sim.openai.always(replies.text(chunks=1000))
    sim.openai.token_delay = 0.005
    stream = model.astream("Hi")
    async for _ in stream:
        break
    await stream.aclose()
    await sim.openai.wait_for_async(client_gone=1)


def test_errors_are_the_librarys_own(sim: Simulator, model: ChatUnified) -> None:
    """Nobody answering and a broken stream raise this library's errors, attempts included."""
    sim.openai.script(faults.cut_stream(after=2))
    with pytest.raises(StreamInterruptedError) as broken:
        list(model.stream("Hi"))
    assert broken.value.partial_text
    sim.openai.always(faults.status(500))
    sim.anthropic.always(faults.status(500))
    with pytest.raises(AllProvidersFailedError) as nobody:
        model.invoke("Hi")
    assert [attempt.provider for attempt in nobody.value.attempts] == ["openai", "anthropic"]


def test_it_stands_beside_with_fallbacks(sim: Simulator, model: ChatUnified) -> None:
    """LangChain's own ``with_fallbacks`` takes over when the whole chain of providers failed."""
    sim.openai.always(faults.status(500))
    sim.anthropic.always(faults.status(500))
    groq = load_settings(environ=sim.environ("groq"))
    with UnifiedLLMService(groq) as other:
        both = model.with_fallbacks([ChatUnified(service=other)])
        assert both.invoke("Hi").response_metadata["provider"] == "groq"


def test_caches_tell_configurations_apart(sim: Simulator, model: ChatUnified) -> None:
    """LangChain's cache key holds the chain and the parameters, and no secret."""
    settings = load_settings(environ=sim.environ("groq"))
    with UnifiedLLMService(settings) as other:
        models = [model, ChatUnified(service=other), ChatUnified(service=other, temperature=0.3)]
        keys = {each._get_llm_string(stop=["x"]) for each in models}
        headers = {"extra_headers": {"x-key": "confidential"}}
        headed = ChatUnified(service=other, options=headers)
        keys.add(headed._get_llm_string() + repr(headed))
    assert len(keys) == 4
    assert not any("confidential" in key for key in keys)
    assert not any(sim.openai.api_key in key or sim.groq.api_key in key for key in keys)


def test_traces_name_the_first_model(sim: Simulator, service: UnifiedLLMService) -> None:
    """LangSmith's parameters name the model that is asked first, by whichever way it is chosen."""
    named = {
        sim.openai.model: ChatUnified(service=service),
        sim.anthropic.model: ChatUnified(service=service, provider="anthropic"),
        "gpt-other": ChatUnified(service=service, model="gpt-other"),
    }
    for wanted, model in named.items():
        assert model._get_ls_params()["ls_model_name"] == wanted
        assert model._get_ls_params()["ls_provider"] == "llm-unified"


def test_embeddings_fail_over_within_one_model(sim: Simulator) -> None:
    """Vectors of one model come from whichever provider serves it, and none is asked for nothing."""
    settings = load_settings(environ=sim.environ("openai", "azure_openai"))
    with UnifiedLLMService(settings) as service:
        found = UnifiedEmbeddings("text-embedding-3-small", service=service, dimensions=8)
        sim.openai.always(faults.status(500))
        vectors = found.embed_documents(["one", "two"])
        assert len(vectors) == 2
        assert len(sim.azure_openai.requests) == 1
        assert sim.azure_openai.requests[0].body["dimensions"] == 8
        assert found.embed_documents([]) == []
        assert asyncio.run(found.aembed_query("one")) == vectors[0]


def test_the_environment_configures_it(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments the process's own service answers: the environment is all there is to set."""
    for name, value in sim.environ("groq").items():
        monkeypatch.setenv(name, value)
    from llm_unified import get_llm_service

    with get_llm_service():
        assert ChatUnified().invoke("Hi").response_metadata["provider"] == "groq"
