"""`UnifiedModel` in pydantic-ai's own hands, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="run it with: python3 dev.py frameworks")

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelRetry, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import (
    FallbackExceptionGroup,
    ModelAPIError,
    ModelHTTPError,
    UserError,
)
from pydantic_ai.messages import (
    CachePoint,
    DocumentUrl,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
    VideoUrl,
)
from pydantic_ai.models import ModelRequestParameters, override_allow_model_requests
from pydantic_ai.models.fallback import FallbackModel

from llm_unified import (
    AllProvidersFailedError,
    BadRequestError,
    ConfigurationError,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.integrations.pydantic_ai import UnifiedModel, UnifiedModelSettings
from llm_unified.testing import Simulator, faults, replies

PNG = BinaryContent(b"\x89PNG\r\n", media_type="image/png")


@pytest.fixture
async def service(sim: Simulator) -> AsyncIterator[UnifiedLLMService]:
    """OpenAI first, Anthropic second."""
    environ = sim.environ("openai", "anthropic")
    async with UnifiedLLMService(load_settings(environ=environ)) as made:
        yield made


@pytest.fixture
async def anthropic(sim: Simulator) -> AsyncIterator[UnifiedLLMService]:
    """Anthropic alone."""
    async with UnifiedLLMService(load_settings(environ=sim.environ("anthropic"))) as made:
        yield made


class Weather(BaseModel):
    """A report."""

    city: str
    celsius: int


def weather_agent(service: UnifiedLLMService, **settings: Any) -> Agent[None, str]:
    agent = Agent(UnifiedModel(service, settings=UnifiedModelSettings(**settings)))

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        if city == "Atlantis":
            raise ModelRetry("no such city")
        return f"sunny in {city}"

    return agent


def last(messages: list[ModelMessage]) -> ModelResponse:
    assert isinstance(messages[-1], ModelResponse)
    return messages[-1]


async def test_an_agent_is_answered_by_the_second_when_the_first_fails(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """An agent's run goes on when a provider is down, and the response says who answered and why."""
    sim.openai.always(faults.status(500))
    sim.anthropic.script(replies.text("From the second.", usage=(20, 4)))
    result = await Agent(UnifiedModel(service)).run("Are you there?")
    assert result.output == "From the second."
    answer = last(result.all_messages())
    assert (answer.provider_name, answer.model_name) == ("anthropic", sim.anthropic.model)
    assert answer.finish_reason == "stop"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (20, 4)
    details = answer.provider_details or {}
    assert [line.split(" ")[0] for line in details["attempts"]] == ["openai#0", "anthropic#0"]


async def test_a_stream_is_begun_by_whoever_can(sim: Simulator, service: UnifiedLLMService) -> None:
    """``run_stream`` fails over before the first content, and ends with usage and the whole message."""
    sim.openai.script(faults.cut_stream(after=0))
    sim.anthropic.script(replies.text("one two three", chunks=3, usage=(20, 4)))
    async with Agent(UnifiedModel(service)).run_stream("Hi") as result:
        parts = [part async for part in result.stream_text(delta=True, debounce_by=None)]
    assert "".join(parts) == "one two three"
    assert len(parts) == 3
    answer = last(result.all_messages())
    assert (answer.provider_name, answer.finish_reason) == ("anthropic", "stop")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (20, 4)
    assert answer.provider_response_id


async def test_an_agents_tools_survive_a_failover_in_their_midst(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """What one provider's model asked a tool for, another's concludes; a tool's retry reaches the model."""
    sim.openai.script(
        replies.tool_call("get_weather", {"city": "Atlantis"}),
        replies.tool_call("get_weather", {"city": "Rome"}),
        faults.status(500),
    )
    sim.anthropic.script(replies.text("It is sunny in Rome."))
    result = await weather_agent(service).run("What is the weather?")
    assert result.output == "It is sunny in Rome."
    sent = sim.openai.requests[1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert "no such city" in sent[-1]["content"]
    assert result.usage.requests == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_signed_thinking_goes_back_to_who_thought_it(
    sim: Simulator, anthropic: UnifiedLLMService, stream: bool
) -> None:
    """Thinking is a part of its own, whole and streamed, and its signature survives the stored history."""
    agent = weather_agent(anthropic, thinking="low", max_tokens=4000)
    calls = [("get_weather", {"city": "Rome"}, "toolu_1")]
    thought = replies.answer("Let me look.", reasoning="The city is Rome.", calls=calls)
    sim.anthropic.script(thought, replies.text("Sunny."))
    if stream:
        async with agent.run_stream("Weather?") as streamed:
            await streamed.get_output()
        messages = streamed.all_messages()
    else:
        messages = (await agent.run("Weather?")).all_messages()
    parts = messages[1].parts
    assert [type(part) for part in parts] == [ThinkingPart, TextPart, ToolCallPart]
    assert isinstance(parts[0], ThinkingPart)
    assert parts[0].content == "The city is Rome."
    assert parts[0].signature
    stored = ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(messages))
    await agent.run("And now?", message_history=stored)
    for request in sim.anthropic.requests[1:]:
        sent = request.body["messages"][1]["content"]
        assert [block["type"] for block in sent] == ["thinking", "text", "tool_use"]
        assert sent[0]["signature"] == parts[0].signature


async def test_histories_of_other_models_are_taken_over(
    sim: Simulator, anthropic: UnifiedLLMService
) -> None:
    """Thinking that AnthropicModel kept goes back, redacted too; what OpenAI encrypted stays out."""
    thoughts = [
        ThinkingPart("A greeting.", signature="c2ln", provider_name="anthropic"),
        ThinkingPart("", id="redacted_thinking", signature="c2Vj", provider_name="anthropic"),
        ThinkingPart("Secret.", signature="encrypted", provider_name="openai"),
    ]
    history: list[ModelMessage] = [
        ModelRequest(parts=[SystemPromptPart("Be brief."), UserPromptPart("Hi")]),
        ModelResponse(parts=[*thoughts, TextPart("Hello.")]),
    ]
    settings = UnifiedModelSettings(thinking="low", max_tokens=4000)
    agent = Agent(UnifiedModel(anthropic, settings=settings), instructions="Be kind.")
    await agent.run("And now?", message_history=history)
    body = sim.anthropic.requests[-1].body
    sent = body["messages"][1]["content"]
    assert [block["type"] for block in sent] == ["thinking", "redacted_thinking", "text"]
    assert [block["text"] for block in body["system"]] == ["Be brief.", "Be kind."]
    assert "encrypted" not in str(body)


async def test_thinking_in_several_blocks_goes_back_in_several(
    sim: Simulator, anthropic: UnifiedLLMService
) -> None:
    """A stored part may hold several signed blocks, which is how a stream leaves them."""
    signed = {"One.": "c2ln", "Two.": "c2lo"}
    blocks = [{"type": "thinking", "thinking": t, "signature": s} for t, s in signed.items()]
    part = ThinkingPart(
        "One.Two.", provider_name="anthropic", provider_details={"thinking_blocks": blocks}
    )
    history: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart("Hi")]),
        ModelResponse(parts=[part, TextPart("Hello.")]),
    ]
    settings = UnifiedModelSettings(thinking="low", max_tokens=4000)
    await Agent(UnifiedModel(anthropic, settings=settings)).run("So?", message_history=history)
    assert sim.anthropic.requests[-1].body["messages"][1]["content"][:2] == blocks


OUTPUTS: dict[str, Any] = {
    "auto": Weather,
    "tool": ToolOutput(Weather),
    "native": NativeOutput(Weather),
    "prompted": PromptedOutput(Weather),
}


@pytest.mark.parametrize("provider", ["openai", "azure_openai", "groq", "anthropic"])
@pytest.mark.parametrize("mode", OUTPUTS)
async def test_structured_output_in_every_mode_from_every_vendor(mode: str, provider: str) -> None:
    """Tool, native and prompted output give the object, whole and streamed, as each vendor's API has it."""
    with Simulator(strict=True) as sim:
        settings = load_settings(environ=sim.environ(provider))
        async with UnifiedLLMService(settings) as service:
            sim[provider].always(replies.json({"city": "Rome", "celsius": 21}))
            agent = Agent(UnifiedModel(service), output_type=OUTPUTS[mode])
            assert (await agent.run("Weather?")).output == Weather(city="Rome", celsius=21)
            async with agent.run_stream("Weather?") as result:
                assert await result.get_output() == Weather(city="Rome", celsius=21)


async def test_a_wrong_native_answer_is_turned_down(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """An answer that is not valid by the schema is asked for again at the next provider."""
    sim.openai.always(replies.json({"city": "Rome"}))
    sim.anthropic.always(replies.json({"city": "Rome", "celsius": 21}))
    agent = Agent(UnifiedModel(service), output_type=NativeOutput(Weather))
    result = await agent.run("Weather?")
    assert result.output.celsius == 21
    assert last(result.all_messages()).provider_name == "anthropic"


async def test_the_models_mistakes_in_tool_arguments_are_shown_to_it(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """pydantic-ai's own validation and its retry are untouched: the model is told what was wrong."""
    sim.openai.script(
        replies.tool_call("final_result", {"city": "Rome", "celsius": "warm"}),
        replies.tool_call("final_result", {"city": "Rome", "celsius": 21}),
    )
    agent = Agent(UnifiedModel(service), output_type=ToolOutput(Weather))
    assert (await agent.run("Weather?")).output.celsius == 21
    assert "celsius" in sim.openai.requests[1].body["messages"][-1]["content"]


async def test_settings_reach_the_provider(sim: Simulator, service: UnifiedLLMService) -> None:
    """pydantic-ai's settings have their effect; the request's own win over the model's, ours included."""
    model = UnifiedModel(
        service,
        model="gpt-4o",
        settings={"temperature": 0.5, "seed": 7, "unified_options": {"user": "u1"}},
    )
    agent = Agent(model)
    await agent.run(
        "Hi",
        model_settings=UnifiedModelSettings(
            temperature=0.1,
            max_tokens=9,
            stop_sequences=["END"],
            timeout=5,
            parallel_tool_calls=True,
            extra_headers={"x-trace": "1"},
        ),
    )
    request = sim.openai.requests[-1]
    wanted = {"model": "gpt-4o", "temperature": 0.1, "seed": 7, "stop": ["END"], "user": "u1"}
    assert {name: request.body[name] for name in wanted} == wanted
    assert request.body["max_tokens"] == 9
    assert "parallel_tool_calls" not in request.body
    assert request.headers["x-trace"] == "1"
    chosen = UnifiedModelSettings(unified_options={"provider": "anthropic"})
    result = await agent.run("Hi", model_settings=chosen)
    assert last(result.all_messages()).provider_name == "anthropic"
    assert model.model_name == "gpt-4o"
    assert UnifiedModel(service).model_name == sim.openai.model


async def test_tool_choice_is_pydantic_ais(sim: Simulator, service: UnifiedLLMService) -> None:
    """``tool_choice`` forces, forbids or narrows the tools that the model is offered."""
    agent = weather_agent(service)
    agent.tool_plain(lambda: "noon", name="get_time")
    named = {"type": "function", "function": {"name": "get_time"}}
    for given, sent in {"auto": "auto", "none": "none"}.items():
        await agent.run("Hi", model_settings=UnifiedModelSettings(tool_choice=given))  # type: ignore[typeddict-item]
        assert sim.openai.requests[-1].body["tool_choice"] == sent
    parameters = ModelRequestParameters(
        function_tools=[tool.tool_def for tool in agent._function_toolset.tools.values()]
    )
    asked: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("Hi")])]
    for names, sent in ((["get_time"], named), (["get_time", "get_weather"], "required")):
        await model_request(
            agent.model,  # type: ignore[arg-type]
            asked,
            model_settings=UnifiedModelSettings(tool_choice=names),
            model_request_parameters=parameters,
        )
        assert sim.openai.requests[-1].body["tool_choice"] == sent


async def test_pictures_documents_and_sounds_are_sent(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """Images, PDF, audio, texts and cache points reach the provider in its own form."""
    parts: list[Any] = [
        "Look:",
        CachePoint(),
        PNG,
        ImageUrl("https://example.com/a.png"),
        BinaryContent(b"%PDF-1.4", media_type="application/pdf"),
        BinaryContent(b"plain words", media_type="text/plain"),
    ]
    await Agent(UnifiedModel(service)).run(parts)
    sent = sim.openai.requests[-1].body["messages"][0]["content"]
    kinds = ["text", "image_url", "image_url", "file", "text"]
    assert [part["type"] for part in sent] == kinds
    assert sent[-1]["text"] == "plain words"
    assert sent[3]["file"]["file_data"].startswith("data:application/pdf;base64,")
    sound = BinaryContent(b"RIFF", media_type="audio/wav")
    await Agent(UnifiedModel(service)).run(["Hear:", sound])
    heard = sim.openai.requests[-1].body["messages"][0]["content"][1]
    assert heard == {"type": "input_audio", "input_audio": {"data": sound.base64, "format": "wav"}}
    chosen = UnifiedModelSettings(unified_options={"provider": "anthropic"})
    await Agent(UnifiedModel(service, settings=chosen)).run(parts)
    told = sim.anthropic.requests[-1].body["messages"][0]["content"][0]
    assert told["cache_control"] == {"type": "ephemeral"}


async def test_files_of_a_tool_follow_its_result(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """A picture that a tool gives back is shown to the model behind the tools' results."""
    agent = Agent(UnifiedModel(service))

    @agent.tool_plain
    def take_photo() -> BinaryContent:
        """A photo."""
        return PNG

    sim.openai.script(replies.tool_calls([("take_photo", {}), ("take_photo", {})]))
    await agent.run("Take two.")
    sent = sim.openai.requests[-1].body["messages"]
    assert [message["role"] for message in sent][-3:] == ["tool", "tool", "user"]
    shown = [part["type"] for part in sent[-1]["content"]]
    assert shown.count("image_url") == 2


async def test_what_no_provider_takes_is_the_users_error(service: UnifiedLLMService) -> None:
    """A video and an impossible parameter are refused before anything is sent."""
    agent = Agent(UnifiedModel(service))
    with pytest.raises(UserError, match="VideoUrl"):
        await agent.run(["Look:", VideoUrl("https://example.com/a.mp4")])
    with pytest.raises(UserError, match="max_tokens") as wrong:
        await agent.run("Hi", model_settings={"max_tokens": 0})
    assert isinstance(wrong.value.__cause__, BadRequestError)


async def test_documents_are_fetched_by_pydantic_ais_guarded_download(
    service: UnifiedLLMService,
) -> None:
    """A document's address is never left to a provider: pydantic-ai fetches it, and refuses private ones."""
    url = DocumentUrl("http://127.0.0.1:9/a.pdf")
    with pytest.raises(ValueError, match="private"):
        await Agent(UnifiedModel(service)).run(["Read:", url])


async def test_errors_are_pydantic_ais(sim: Simulator, service: UnifiedLLMService) -> None:
    """A status becomes ModelHTTPError, anything else ModelAPIError; this library's error is the cause."""
    agent = Agent(UnifiedModel(service))
    sim.openai.always(faults.status(500))
    sim.anthropic.always(faults.rate_limit(retry_after=7))
    with pytest.raises(ModelHTTPError) as limited:
        await agent.run("Hi")
    assert limited.value.status_code == 429
    assert isinstance(limited.value.__cause__, AllProvidersFailedError)
    assert "openai#" in str(limited.value.body)
    sim.reset()
    sim.openai.always(faults.status(400))
    with pytest.raises(ModelHTTPError) as wrong:
        await agent.run("Hi")
    assert wrong.value.status_code == 400
    assert isinstance(wrong.value.__cause__, BadRequestError)
    sim.reset()
    sim.openai.refuse()
    sim.anthropic.refuse()
    with pytest.raises(ModelAPIError) as nobody:
        async with agent.run_stream("Hi"):
            pass
    assert not isinstance(nobody.value, ModelHTTPError)


async def test_a_stream_that_breaks_is_told(sim: Simulator, service: UnifiedLLMService) -> None:
    """After the first content nothing is spliced: the stream raises ModelAPIError, its cause has the text."""
    sim.openai.script(faults.cut_stream(after=2))
    with pytest.raises(ModelAPIError) as broken:
        async with Agent(UnifiedModel(service)).run_stream("Hi") as result:
            async for _ in result.stream_text():
                pass
    assert isinstance(broken.value.__cause__, StreamInterruptedError)
    assert broken.value.__cause__.partial_text


async def test_leaving_a_stream_stops_it_upstream(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """Who leaves or cancels a stream early closes the connection to the provider."""
    sim.openai.always(replies.text(chunks=1000))
    sim.openai.token_delay = 0.005
    agent = Agent(UnifiedModel(service))
    async with agent.run_stream("Hi") as result:
        async for _ in result.stream_text(debounce_by=None):
            break
    await sim.openai.wait_for_async(client_gone=1)
    async with agent.run_stream("Hi") as result:
        async for _ in result.stream_text(debounce_by=None):
            await result.cancel()
            break
    assert last(result.all_messages()).state == "interrupted"
    await sim.openai.wait_for_async(client_gone=2)


async def test_it_stands_in_a_fallback_model(sim: Simulator, service: UnifiedLLMService) -> None:
    """pydantic-ai's FallbackModel takes over when the whole chain failed, and groups the errors."""
    sim.openai.always(faults.status(500))
    sim.anthropic.always(faults.status(500))
    groq = load_settings(environ=sim.environ("groq"))
    async with UnifiedLLMService(groq) as other:
        agent = Agent(FallbackModel(UnifiedModel(service), UnifiedModel(other)))
        result = await agent.run("Hi")
        assert last(result.all_messages()).provider_name == "groq"
        async with agent.run_stream("Hi") as streamed:
            assert await streamed.get_output()
        sim.groq.always(faults.status(500))
        with pytest.raises(FallbackExceptionGroup) as nobody:
            await agent.run("Hi")
    assert [type(error) for error in nobody.value.exceptions] == [ModelHTTPError, ModelHTTPError]


async def test_requests_to_try_again_are_told(sim: Simulator, service: UnifiedLLMService) -> None:
    """A stored history of any age, in which an answer or a tool's arguments were refused, goes to the model."""
    call = {"part_kind": "tool-call", "tool_name": "f", "args": "{}", "tool_call_id": "call_1"}
    retries = [
        {"part_kind": "retry-prompt", "content": "too short"},
        {"part_kind": "retry-prompt", "content": "no such x", "tool_name": "f"}
        | {"tool_call_id": "call_1"},
    ]
    stored: list[Any] = [
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Hi"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "No."}]},
        {"kind": "request", "parts": retries[:1]},
        {"kind": "response", "parts": [call]},
        {"kind": "request", "parts": retries[1:]},
    ]
    model = UnifiedModel(service)
    history = ModelMessagesTypeAdapter.validate_python(stored)
    parameters = ModelRequestParameters()
    await model.request(history, None, parameters)
    sent = sim.openai.requests[-1].body["messages"]
    told = {message["role"]: message.get("content") for message in sent}
    assert "too short" in told["user"]
    assert "no such x" in told["tool"]


async def test_model_requests_can_be_forbidden(service: UnifiedLLMService) -> None:
    """pydantic-ai's switch for tests, ``ALLOW_MODEL_REQUESTS = False``, holds here, too."""
    agent = Agent(UnifiedModel(service))
    with override_allow_model_requests(allow_model_requests=False):
        with pytest.raises(RuntimeError, match="ALLOW_MODEL_REQUESTS"):
            await agent.run("Hi")
        with pytest.raises(RuntimeError, match="ALLOW_MODEL_REQUESTS"):
            async with agent.run_stream("Hi"):
                pass


async def test_a_tools_result_may_be_sent_directly(
    sim: Simulator, service: UnifiedLLMService
) -> None:
    """``pydantic_ai.direct`` works without an agent, a tool's result in the history included."""
    call = ToolCallPart("get_weather", {"city": "Rome"}, "call_1")
    history: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart("Weather?")], instructions="Be kind."),
        ModelResponse(parts=[call]),
        ModelRequest(parts=[ToolReturnPart("get_weather", "sunny", "call_1")]),
    ]
    answer = await model_request(UnifiedModel(service), history)
    assert isinstance(answer.parts[0], TextPart)
    sent = sim.openai.requests[-1].body["messages"]
    assert [message["role"] for message in sent][-3:] == ["user", "assistant", "tool"]


async def test_the_environment_configures_it(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without arguments the process's own service answers; where nothing is configured, the error says so."""
    agent = Agent(UnifiedModel())
    with pytest.raises(UserError, match="API_KEY") as nothing:
        await agent.run("Hi")
    assert isinstance(nothing.value.__cause__, ConfigurationError)
    for name, value in sim.environ("groq").items():
        monkeypatch.setenv(name, value)
    from llm_unified import get_llm_service

    async with get_llm_service():
        result = await agent.run("Hi")
    assert last(result.all_messages()).provider_name == "groq"
