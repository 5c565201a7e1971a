"""`llm_unified.integrations.openai`: the SDK's clients over a service, against the SDK's clients as they are."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from llm_unified import (
    AllProvidersFailedError,
    BadRequestError,
    ConfigurationError,
    DeadlineExceededError,
    ServiceClosedError,
    StreamInterruptedError,
    UnifiedLLMService,
    get_llm_service,
    load_settings,
)
from llm_unified.integrations.openai import MODEL, AsyncOpenAI, OpenAI
from llm_unified.testing import Simulator, faults, replies

MESSAGES: Any = [{"role": "user", "content": "Hi"}]
ASK: Any = {"model": MODEL, "messages": MESSAGES}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]


class City(BaseModel):
    name: str
    country: str


ROME = City(name="Rome", country="Italy")


@pytest.fixture
async def service(sim: Simulator) -> AsyncIterator[UnifiedLLMService]:
    async with UnifiedLLMService(load_settings(sim.environ("openai", "anthropic"))) as made:
        yield made


@pytest.fixture
async def client(service: UnifiedLLMService) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(service=service) as made:
        yield made


def plain(completion: ChatCompletion) -> dict[str, Any]:
    """What a caller reads; without ids and moments, and without what only we have."""
    found: dict[str, Any] = completion.model_dump(
        exclude={"id", "created", "llm_unified", "system_fingerprint", "service_tier"},
        exclude_none=True,
        warnings=False,
    )
    usage = found.pop("usage", {})
    return {**found, "usage": {k: v for k, v in usage.items() if isinstance(v, int)}}


REPLIES = {
    "text": replies.text("Hello there."),
    "tools": replies.tool_calls([("get_weather", {"city": city}, city) for city in ("Rome", "Oslo")]),
    "text and tool": replies.tool_call("get_weather", {"city": "Rome"}, id="1", content="Look."),
    "reasoning": replies.answer("4", reasoning="Two and two.", reasoned=3),
    "refusal beside text": replies.answer("No.", refusal="I would rather not."),
    "logprobs": replies.answer("Yes.", logprobs=True),
    "citations": replies.answer("See.", annotations=[{"type": "url_citation", "url_citation": {}}]),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
async def test_results_are_those_of_the_sdk_itself(
    sim: Simulator, client: AsyncOpenAI, name: str
) -> None:
    """One vendor, two clients: a whole answer and a streamed one are the same objects with the same content."""
    environ = sim.environ("openai")
    theirs = openai.AsyncOpenAI(
        api_key=environ["OPENAI_API_KEY"], base_url=environ["OPENAI_BASE_URL"]
    )
    sim.openai.always(REPLIES[name])
    ask: Any = {"model": sim.openai.model, "messages": MESSAGES, "tools": TOOLS}
    ask["stream_options"] = {"include_usage": True}
    found = []
    async with theirs:
        for each in (theirs, client):
            whole = await each.chat.completions.create(
                model=sim.openai.model, messages=MESSAGES, tools=TOOLS
            )
            assert type(whole) is ChatCompletion
            async with each.chat.completions.stream(**ask) as stream:
                events = [event.type async for event in stream if event.type != "chunk"]
                streamed = await stream.get_final_completion()
            found.append((plain(whole), plain(streamed), events))
    assert found[0][0] == found[1][0]
    for (_, one, _), (_, other, _) in [found]:
        other["model"] = one["model"]  # the upstream's own spelling is known at the end only
        assert one == other
    assert {*found[0][2]} <= {*found[1][2]}


async def test_another_provider_answers_in_the_same_words(
    sim: Simulator, client: AsyncOpenAI
) -> None:
    """The first fails: an Anthropic model's answer is a `ChatCompletion` that says who gave it, after what."""
    sim.openai.script(faults.status(500))
    found: Any = await client.chat.completions.create(**ASK)
    assert "anthropic" in found.choices[0].message.content
    assert found.usage.total_tokens > 0
    assert found.llm_unified["provider"] == "anthropic"
    assert [text.split(" ")[0] for text in found.llm_unified["attempts"]] == ["openai#0", "anthropic#0"]  # fmt: skip
    assert found.llm_unified["cost_usd"] > 0


async def test_a_turn_with_tools_goes_on_elsewhere(sim: Simulator, client: AsyncOpenAI) -> None:
    """The model's turn is sent back as the SDK's users do, and another vendor reads it."""
    sim.openai.script(replies.tool_call("get_weather", {"city": "Rome"}), faults.status(503))
    first = (await client.chat.completions.create(**ASK, tools=TOOLS)).choices[0].message
    assert first.tool_calls is not None
    sim.anthropic.script(replies.auto())
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "Sunny."}
    for turn in (first, first.model_dump(), first.to_dict()):
        sim.openai.script(faults.status(503))
        sim.anthropic.script(replies.auto())
        messages: Any = [*MESSAGES, turn, result]
        found = await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
        assert found.choices[0].message.content == "The tool says: Sunny."


async def test_parse_gives_the_callers_own_type(sim: Simulator, client: AsyncOpenAI) -> None:
    """An answer that does not match is turned down, and the next provider's is parsed."""
    sim.openai.always(replies.json({"name": 7}))
    sim.anthropic.always(replies.json(ROME.model_dump()))
    found = await client.chat.completions.parse(**ASK, response_format=City)
    assert found.choices[0].message.parsed == ROME
    sim.openai.always(replies.json(ROME.model_dump()))
    async with client.chat.completions.stream(**ASK, response_format=City) as stream:
        assert (await stream.get_final_completion()).choices[0].message.parsed == ROME
    sim.openai.always(replies.tool_call("get_weather", {"city": "Rome"}))
    tools: Any = await client.chat.completions.parse(**ASK, tools=TOOLS)
    assert tools.choices[0].message.tool_calls[0].function.parsed_arguments == {"city": "Rome"}


FAILURES = {
    "server": (faults.status(500), openai.InternalServerError),
    "no answer": (faults.html(), openai.InternalServerError),
    "rate limit": (faults.rate_limit(retry_after=7), openai.RateLimitError),
    "quota": (faults.quota(), openai.RateLimitError),
    "model": (faults.unknown_model(), openai.NotFoundError),
    "key": (faults.status(401), openai.AuthenticationError),
    "request": (faults.bad_request(), openai.BadRequestError),
    "too long": (faults.context_length(), openai.BadRequestError),
    "connection": (faults.reset(), openai.APIConnectionError),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_errors_are_those_of_the_sdk(
    sim: Simulator,
    client: AsyncOpenAI,
    name: str,
    stream: bool,
) -> None:
    """Their class as for the vendor's own answer, ours with all attempts as its cause; the SDK does not ask again."""
    fault, theirs = FAILURES[name]
    ours = BadRequestError if name == "request" else AllProvidersFailedError
    sim.openai.always(fault)
    alone = client.with_options(max_retries=5)
    with pytest.raises(openai.APIError) as caught:
        await alone.chat.completions.create(**ASK, stream=stream, extra_body={"fallback": False})
    assert type(caught.value) is theirs
    cause = caught.value.__cause__
    assert type(cause) is ours
    assert str(cause) == str(caught.value)
    assert len(sim.openai.requests) == len([a for a in cause.attempts if a.sent])
    if isinstance(caught.value, openai.APIStatusError):
        assert caught.value.code
        assert caught.value.request_id == cause.call_id is not None
    if name == "rate limit":
        assert caught.value.response.headers["retry-after"] == "7"


async def test_different_failures_are_an_unavailable_server(
    sim: Simulator, client: AsyncOpenAI
) -> None:
    """No provider answered, each for a reason of its own: 503, and the code says so."""
    sim.openai.always(faults.rate_limit())
    sim.anthropic.always(faults.status(500))
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(**ASK)
    assert (caught.value.status_code, caught.value.code) == (503, "all_providers_failed")


async def test_a_timeout_is_the_calls_deadline(sim: Simulator, client: AsyncOpenAI) -> None:
    """`timeout=` of the client, of `with_options` and of one call, for whole answers and streams."""
    sim.openai.always(faults.blackhole())
    sim.anthropic.always(faults.blackhole())
    impatient = client.with_options(timeout=0.2)
    assert type(impatient) is AsyncOpenAI
    with pytest.raises(openai.APITimeoutError) as caught:
        await impatient.chat.completions.create(**ASK)
    assert isinstance(caught.value.__cause__, DeadlineExceededError)
    assert "deadline of 0.2 s" in caught.value.message
    with pytest.raises(openai.APITimeoutError) as caught:
        await client.chat.completions.create(**ASK, stream=True, timeout=0.1)
    assert {a.kind for a in caught.value.__cause__.attempts} <= {"timeout", "rejected"}


async def test_a_stream_that_breaks_says_so(sim: Simulator, client: AsyncOpenAI) -> None:
    """After the first content nothing is spliced: the SDK's connection error, with what had come as its cause."""
    sim.openai.script(faults.cut_stream(after=2))
    shown = ""
    with pytest.raises(openai.APIConnectionError) as caught:
        async for chunk in await client.chat.completions.create(**ASK, stream=True):
            shown += chunk.choices[0].delta.content or ""
    assert isinstance(caught.value.__cause__, StreamInterruptedError)
    assert caught.value.__cause__.partial_text == shown


async def test_who_leaves_early_closes_the_upstream(sim: Simulator, client: AsyncOpenAI) -> None:
    """By `close`, by leaving the block, and by dropping the stream."""
    sim.openai.always(faults.stall(after=1))
    stream = await client.chat.completions.create(**ASK, stream=True)
    await anext(stream)
    await stream.close()
    await sim.openai.wait_for_async(open_connections=0)
    async with await client.chat.completions.create(**ASK, stream=True) as stream:
        await anext(stream)
    await sim.openai.wait_for_async(open_connections=0)
    stream = await client.chat.completions.create(**ASK, stream=True)
    await anext(stream)
    del stream
    gc.collect()
    await sim.openai.wait_for_async(open_connections=0)


async def test_a_stream_counts_its_tokens_when_asked(sim: Simulator, client: AsyncOpenAI) -> None:
    """The chunk without choices comes with `include_usage` and not without."""
    for options in ({}, {"stream_options": {"include_usage": True}}):
        stream = await client.chat.completions.create(**ASK, stream=True, **options)
        chunks = [chunk async for chunk in stream]
        counted = [chunk.usage for chunk in chunks if not chunk.choices]
        assert len(counted) == len(options)
    assert counted[0].total_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


async def test_vectors(sim: Simulator, client: AsyncOpenAI) -> None:
    """As lists of numbers, however they travel: the SDK asks for base64 unless told otherwise."""
    one = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    other = await client.embeddings.create(
        model="openai/text-embedding-3-small", input="a", encoding_format="float"
    )
    assert one.data[0].embedding == pytest.approx(other.data[0].embedding, rel=1e-6)
    assert [each.index for each in one.data] == [0, 1]
    assert one.usage.prompt_tokens > 0
    raw = await client.embeddings.create(model="e", input="a", encoding_format="base64")
    assert isinstance(raw.data[0].embedding, str)
    for model, wrong, said in (("e", [[1, 2]], "texts"), (MODEL, "a", "model for embeddings")):
        with pytest.raises(openai.BadRequestError, match=said):
            await client.embeddings.create(model=model, input=wrong)


async def test_the_name_of_a_model_says_who_is_asked(sim: Simulator) -> None:
    """A provider's name, a model in it, a configured model's name; else the first provider's model of that name."""
    names = [p.id for p in OpenAI(service=UnifiedLLMService(load_settings(sim.environ()))).models.list()]  # fmt: skip
    assert names[0] == MODEL
    assert len(names) == 5
    asked = {
        MODEL: ("openai", sim.openai.model),
        "groq": ("groq", sim.groq.model),
        "groq/llama-3.3-70b-versatile": ("groq", "llama-3.3-70b-versatile"),
        sim.groq.model: ("groq", sim.groq.model),
        sim.anthropic.model: ("anthropic", sim.anthropic.model),
        "gpt-4.1": ("openai", "gpt-4.1"),
        **{name: (name.split("/")[0], name.partition("/")[2]) for name in names[1:]},
    }
    async with UnifiedLLMService(load_settings(sim.environ())) as service:
        client = AsyncOpenAI(service=service)
        for name, (provider, model) in asked.items():
            found: Any = await client.chat.completions.create(model=name, messages=MESSAGES)
            assert (found.llm_unified["provider"], found.llm_unified["model"]) == (provider, model)


async def test_what_is_sent_is_the_services_own(sim: Simulator, client: AsyncOpenAI) -> None:
    """The SDK's key and headers stay here; the caller's headers and the options of the service travel on."""
    await client.with_options(api_key="sk-of-the-code").chat.completions.create(
        **ASK,
        temperature=0.5,
        extra_headers={"X-Title": "Tests"},
        extra_body={"provider": "openai", "deadline": 5.0, "some_new_parameter": 1},
    )
    request = sim.openai.requests[-1]
    assert request.headers["authorization"] == f"Bearer {sim.openai.api_keys[0]}"
    assert request.headers["x-title"] == "Tests"
    assert not [name for name in request.headers if name.lower().startswith("x-stainless")]
    assert request.body["temperature"] == 0.5
    assert request.body["some_new_parameter"] == 1
    assert not {"provider", "deadline", "stream_options"} & {*request.body}


async def test_raw_responses_have_the_id_of_the_call(sim: Simulator, client: AsyncOpenAI) -> None:
    """`with_raw_response` and `with_streaming_response` work as ever."""
    raw = await client.chat.completions.with_raw_response.create(**ASK)
    found: Any = raw.parse()
    assert found._request_id == found.llm_unified["call_id"] == raw.headers["x-request-id"]
    async with client.chat.completions.with_streaming_response.create(**ASK) as streamed:
        body = json.loads(await streamed.text())
    assert body["object"] == "chat.completion"
    assert streamed.headers["content-type"] == "application/json"


async def test_what_is_not_offered_is_said(client: AsyncOpenAI) -> None:
    """The rest of OpenAI's API: 404, with what there is; nothing is sent."""
    for call in (
        client.responses.create(model="m", input="Hi"),
        client.images.generate(prompt="A cat"),
        client.models.retrieve("gpt-4"),
    ):
        with pytest.raises(openai.NotFoundError, match=r"chat\.completions\.create"):
            await call
    with pytest.raises(openai.BadRequestError, match="n must be 1"):
        await client.chat.completions.create(**ASK, n=2)


def test_nothing_else_leads_anywhere(monkeypatch: pytest.MonkeyPatch, sim: Simulator) -> None:
    """Another address or client is refused; the environment's proxy and address are not looked at."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        found = OpenAI(service=service, api_key="sk-mine").chat.completions.create(**ASK)
        assert found.choices[0].message.content
    for made in (OpenAI, AsyncOpenAI):
        with pytest.raises(openai.OpenAIError, match="base_url"):
            made(base_url="https://example.com/v1")
        with pytest.raises(openai.OpenAIError, match="http_client"):
            made(http_client=openai.DefaultHttpxClient())


def test_the_synchronous_client(sim: Simulator) -> None:
    """From many threads at once, streamed too, left early too; nothing warns."""
    with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        with OpenAI(service=service) as client, ThreadPoolExecutor(8) as threads:
            found = [threads.submit(client.chat.completions.create, **ASK) for _ in range(40)]
            assert all(each.result().choices[0].message.content for each in found)
            texts = [c.choices[0].delta.content or "" for c in client.chat.completions.create(**ASK, stream=True)]  # fmt: skip
            assert "".join(texts) == found[0].result().choices[0].message.content
            with client.chat.completions.stream(**ASK) as stream:
                assert stream.get_final_completion().choices[0].message.content
            sim.openai.script(faults.stall(after=1))
            with client.chat.completions.create(**ASK, stream=True) as early:
                assert next(early).choices
            sim.openai.always(faults.status(500))
            with pytest.raises(openai.InternalServerError) as caught:
                client.chat.completions.create(**ASK)
            assert isinstance(caught.value.__cause__, AllProvidersFailedError)
            sim.openai.always(replies.text(chunks=9))
            dropped = client.chat.completions.create(**ASK, stream=True)
            assert next(dropped).choices
        assert service.get_stats()["stats"]["total_requests"] == 45
    dropped.close()  # after its service


async def test_the_synchronous_client_where_a_loop_runs(sim: Simulator) -> None:
    """It blocks, as the SDK's does in a notebook, and answers."""
    async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        assert OpenAI(service=service).chat.completions.create(**ASK).choices[0].message.content


def test_the_processs_own_service(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made before anything is configured; the service is looked up at each call and outlives the client."""
    client = OpenAI()
    with pytest.raises(openai.OpenAIError, match="OPENAI_API_KEY") as caught:
        client.chat.completions.create(**ASK)
    assert isinstance(caught.value.__cause__, ConfigurationError)
    for name, value in sim.environ("openai").items():
        monkeypatch.setenv(name, value)
    assert client.chat.completions.create(**ASK).choices[0].message.content
    client.close()
    get_llm_service().close()
    assert OpenAI().chat.completions.create(**ASK).choices[0].message.content
    get_llm_service().close()

    async def again() -> None:
        async with AsyncOpenAI() as one:
            assert (await one.chat.completions.create(**ASK)).choices[0].message.content

    for _ in range(2):
        asyncio.run(again())
    get_llm_service().close()


async def test_a_closed_service_is_a_broken_connection(service: UnifiedLLMService) -> None:
    """Not asked again and again by the SDK."""
    await service.aclose()
    with pytest.raises(openai.APIConnectionError) as caught:
        await AsyncOpenAI(service=service).chat.completions.create(**ASK)
    assert isinstance(caught.value.__cause__, ServiceClosedError)
