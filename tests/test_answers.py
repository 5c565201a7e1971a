"""What an answer holds, from whoever it came, streamed or whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from llm_unified import (
    AllProvidersFailedError,
    BadRequestError,
    FailureKind,
    LLMResponse,
    StreamChunk,
    StreamInterruptedError,
    UnifiedLLMClient,
    UnifiedLLMService,
    Usage,
    load_settings,
)
from llm_unified.calls.formats import legal_name, unfenced
from llm_unified.calls.joining import joined
from llm_unified.calls.toolcalls import parse_arguments
from llm_unified.calls.vectors import MAX_TEXTS, MAX_TOKENS, batched
from llm_unified.engine.classic import application_listens
from llm_unified.engine.imports import litellm
from llm_unified.testing import Simulator, faults, replies
from llm_unified.testing.exchange import Exchange, Outcome

ALL = ("openai", "azure_openai", "groq", "anthropic")
OPENAI_WIRE = ALL[:3]
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
HELLO = [{"role": "user", "content": "Where is it warm?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALLS = (
    ("get_weather", {"city": "Rome"}, "call_rome"),
    ("get_weather", {"city": "Oslo"}, "call_oslo"),
)
CITED = {"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "A map"}}
LOCATED = {"type": "char_location", "cited_text": "Rome: 31", "document_index": 0}


@dataclass(frozen=True, slots=True)
class Wire(Outcome):
    """Exactly this body, or these events."""

    said: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    name: str = "wire"

    def play(self, x: Exchange) -> None:
        if isinstance(self.said, Mapping):
            x.respond(200, json.dumps(self.said).encode())
            return
        lines = [f"data: {json.dumps(event)}\n\n" for event in self.said]
        if "choices" in self.said[0]:
            lines.append("data: [DONE]\n\n")
        x.respond(200, "".join(lines).encode(), content_type="text/event-stream")


def whole(message: Mapping[str, Any], finish: str | None = "stop", **more: Any) -> Wire:
    """An answer on OpenAI's wire."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Wire({"id": "c1", "model": "m", "created": 1, "choices": [choice], **more})


def chunk(
    delta: Mapping[str, Any] | None, finish: str | None = None, **more: Any
) -> dict[str, Any]:
    """One event of a stream on OpenAI's wire."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "model": "m", "created": 1, "choices": choices, **more}


def streamed(*deltas: Mapping[str, Any], finish: str = "stop", **last: Any) -> Wire:
    """A stream on OpenAI's wire."""
    return Wire([*map(chunk, deltas), chunk({}, finish, **last)])


def message(*blocks: Mapping[str, Any], stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    """A message on Anthropic's wire."""
    usage = more.pop("usage", {"input_tokens": 12, "output_tokens": 5})
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": list(blocks),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
        **more,
    }


def events(said: Mapping[str, Any]) -> Wire:
    """The same message as a stream, block by block, each delta in two halves."""
    found: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**said, "content": [], "stop_reason": None}}
    ]
    for i, block in enumerate(said["content"]):
        begun, deltas = dict(block), []
        for name, kind in (("thinking", "thinking_delta"), ("text", "text_delta")):
            if name in block and block["type"] == name:
                begun[name], value = "", block[name]
                middle = len(value) // 2
                deltas += [{"type": kind, name: part} for part in (value[:middle], value[middle:])]
        if "signature" in block:
            begun["signature"] = ""
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        for cited in begun.pop("citations", ()):
            deltas.append({"type": "citations_delta", "citation": cited})
        if "input" in block:
            begun["input"], value = {}, json.dumps(block["input"])
            deltas.append({"type": "input_json_delta", "partial_json": value})
        found.append({"type": "content_block_start", "index": i, "content_block": begun})
        found += [{"type": "content_block_delta", "index": i, "delta": d} for d in deltas]
        found.append({"type": "content_block_stop", "index": i})
    ending = {n: said.get(n) for n in ("stop_reason", "stop_sequence", "stop_details", "container")}
    found += [
        {"type": "message_delta", "delta": ending, "usage": said["usage"]},
        {"type": "message_stop"},
    ]
    return Wire(found)


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **overrides))


async def shown(
    service: UnifiedLLMService, messages: Any = HELLO, **options: Any
) -> tuple[list[StreamChunk], LLMResponse]:
    stream = service.stream_response_async(messages, **options)
    chunks = [chunk async for chunk in stream]
    assert stream.response is not None
    return chunks, stream.response


async def ask(
    service: UnifiedLLMService, messages: Any = HELLO, *, stream: bool, **options: Any
) -> LLMResponse:
    if stream:
        return (await shown(service, messages, **options))[1]
    return await service.generate_response_async(messages, **options)


def data(response: LLMResponse) -> dict[str, Any]:
    """All that an answer says, without what differs from request to request."""
    found = asdict(response)
    del found["call_id"]  # of two calls
    del found["attempts"]
    for name in ("id", "created"):
        del found["raw_response"][name]
    return found


ANSWERS: dict[str, dict[str, Any]] = {
    "text": {"content": "It is warm in Rome."},
    "reasoning": {"content": "In Rome.", "reasoning": "Rome is in the south.", "reasoned": 4},
    "reasoning_and_tools": {"content": None, "reasoning": "I must ask.", "calls": CALLS},
    "text_and_tools": {"content": "I ask.", "calls": CALLS},
    "cut": {"content": "It is", "finish_reason": "length"},
    "cached": {"content": "In Rome.", "usage": (1500, 20), "cached": 1000, "written": 300},
}


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("name", ANSWERS)
async def test_a_stream_assembles_to_the_whole_answer(
    sim: Simulator, provider: str, name: str
) -> None:
    """Field by field, raw_response and message included."""
    sim[provider].always(replies.answer(**ANSWERS[name]))
    async with service_for(sim, provider) as service:
        plain = await service.generate_response_async(HELLO, tools=[TOOL])
        chunks, assembled = await shown(service, tools=[TOOL])
    assert data(assembled) == data(plain)
    assert "".join(c.content for c in chunks) == plain.content
    assert "".join(c.reasoning for c in chunks) == (plain.reasoning or "")
    assert plain.reasoning == ANSWERS[name].get("reasoning")
    assert len(plain.tool_calls) == len(ANSWERS[name].get("calls", ()))


@pytest.mark.parametrize("provider", ["openai", "azure_openai"])
async def test_a_refusal_annotations_and_logprobs_are_kept(sim: Simulator, provider: str) -> None:
    """The same from a stream, piece by piece."""
    reply = replies.answer(
        "In Rome.", refusal="I say no more than that.", annotations=[CITED], logprobs=True
    )
    sim[provider].always(reply)
    async with service_for(sim, provider) as service:
        plain = await ask(service, stream=False, logprobs=True)
        assembled = await ask(service, stream=True, logprobs=True)
    assert plain.refusal == "I say no more than that."
    assert plain.annotations == (CITED,)
    assert plain.logprobs is not None
    for response in (plain, assembled):
        response.raw_response["logprobs"] = None
        assert response.logprobs is not None
        tokens = [token["token"] for token in response.logprobs["content"]]
        assert "".join(tokens) == "In Rome."
    assert data(assembled) == data(plain)


async def test_anthropics_citations_are_annotations(sim: Simulator) -> None:
    """Each with the text that it supports."""
    sim.anthropic.always(replies.answer("It is warm in Rome.", annotations=[LOCATED]))
    async with service_for(sim, "anthropic") as service:
        plain, assembled = [await ask(service, stream=stream) for stream in (False, True)]
    assert plain.annotations == ({**LOCATED, "supported_text": "It is warm in Rome."},)
    assert data(assembled) == data(plain)


@BOTH
async def test_anthropics_thinking_goes_back_as_it_came(sim: Simulator, stream: bool) -> None:
    """Signed and redacted blocks, before the calls, when ``message`` is appended as it is."""
    thinking = {"type": "thinking", "thinking": "I must ask.", "signature": "c2lnbmVk"}
    redacted = {"type": "redacted_thinking", "data": "b3BhcXVl"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}}
    said = message(thinking, redacted, use, stop="tool_use")
    sim.anthropic.script(events(said) if stream else Wire(said), replies.text("31"))
    async with service_for(sim, "anthropic") as service:
        first = await ask(service, stream=stream, tools=[TOOL], reasoning_effort="low")
        assert first.message["content"] is None
        assert first.message["thinking_blocks"] == [thinking, redacted]
        assert first.reasoning == "I must ask."
        result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "31"}
        await service.generate_response_async(
            [*HELLO, first.message, result], tools=[TOOL], reasoning_effort="low"
        )
    sent = sim.anthropic.requests[1].body["messages"][1]["content"]
    assert sent == [thinking, redacted, use]


@pytest.mark.parametrize("provider", ALL)
@BOTH
async def test_the_message_is_in_openais_form(sim: Simulator, provider: str, stream: bool) -> None:
    """Calls with ids and nothing of ours; text is ``None`` where there is none."""
    sim[provider].always(replies.answer(calls=CALLS))
    async with service_for(sim, provider) as service:
        response = await ask(service, stream=stream, tools=[TOOL])
    calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for name, given, id_ in CALLS
    ]
    assert response.message == {"role": "assistant", "content": None, "tool_calls": calls}
    assert set(response.raw_response["tool_calls"][0]) == {
        *("id", "type", "name", "arguments", "function")
    }


async def test_a_reasoning_delta_is_the_first_content(sim: Simulator) -> None:
    """From then on nobody else is asked: two models are never spliced."""
    said = [chunk({"reasoning_content": "Hm."})]
    sim.openai.script(Wire(said))
    sim.groq.script(replies.text("Hello"))
    async with service_for(sim, "openai", "groq") as service:
        got = []
        with pytest.raises(StreamInterruptedError) as caught:
            async for piece in service.stream_response_async(HELLO):
                got.append((piece.content, piece.reasoning))  # noqa: PERF401 - it raises midway
    assert got == [("", "Hm.")]
    assert caught.value.partial_text == ""
    assert not sim.groq.requests


async def test_before_any_delta_the_next_is_asked(sim: Simulator) -> None:
    """A role, an empty delta and a redacted block show nothing."""
    sim.openai.script(Wire([chunk({"role": "assistant", "content": "", "reasoning_content": ""})]))
    sim.groq.script(replies.text("Hello"))
    async with service_for(sim, "openai", "groq") as service:
        response = await ask(service, stream=True)
    assert response.provider == "groq"


@pytest.fixture
def listening() -> Iterator[None]:
    """The application has a LiteLLM callback, so every call goes through `completion()`."""
    from litellm.integrations.custom_logger import CustomLogger

    logger = CustomLogger()
    litellm.callbacks.append(logger)
    assert application_listens()
    yield
    litellm.logging_callback_manager.remove_callback_from_all_lists(logger)
    litellm.input_callback[:] = [found for found in litellm.input_callback if found is not logger]
    assert not application_listens()


@pytest.mark.parametrize("provider", ALL)
@BOTH
async def test_through_completion_an_answer_is_the_same(
    sim: Simulator, listening: None, provider: str, stream: bool
) -> None:
    """What LiteLLM's own objects have of it."""
    sim[provider].script(
        replies.answer(None, reasoning="I must ask.", calls=CALLS), replies.json({"items": [1]})
    )
    async with service_for(sim, provider) as service:
        response = await ask(service, stream=stream, tools=[TOOL])
        structured = await ask(service, stream=stream, response_format=SCHEMA)
    assert response.reasoning == "I must ask."
    assert [call.arguments["city"] for call in response.tool_calls] == ["Rome", "Oslo"]
    assert response.usage is not None
    if provider == "anthropic":
        [block] = response.message["thinking_blocks"]
        assert (block["thinking"], bool(block["signature"])) == ("I must ask.", True)
    assert (structured.parsed, structured.tool_calls) == ({"items": [1]}, ())


async def test_through_completion_nobody_counts_for_a_server(
    sim: Simulator, listening: None
) -> None:
    """LiteLLM would."""
    sim.openai.script(streamed({"content": "Hi"}))
    async with service_for(sim, "openai") as service:
        assert (await ask(service, stream=True)).usage is None


# -- tokens and what they cost -------------------------------------------------------------------


@BOTH
async def test_a_server_that_does_not_count_is_not_counted_for(
    sim: Simulator, stream: bool
) -> None:
    """No number is invented; the older client's dict keeps its shape."""
    sim.openai.always(streamed({"content": "Hi"}) if stream else whole({"content": "Hi"}))
    async with service_for(sim, "openai") as service:
        response = await ask(service, stream=stream)
        assert response.usage is None
        assert response.cost_usd is None
        assert response.attempts[-1].usage is None
        if not stream:
            answer = await UnifiedLLMClient(service).generate_response(HELLO)
            assert answer["usage"] == {
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "total_tokens": 0,
            }


USAGES: dict[str, tuple[dict[str, Any], Usage]] = {
    "openai": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        Usage(100, 20, 120, cached_tokens=64, cache_write_tokens=30, reasoning_tokens=7),
    ),
    "deepseek": (
        {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 64},
        Usage(100, 20, 120, cached_tokens=64),
    ),
    "moonshot": (
        {"prompt_tokens": 100, "completion_tokens": 20, "cached_tokens": 64},
        Usage(100, 20, 120, cached_tokens=64),
    ),
    "proxy": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "cache_read_input_tokens": 64,
            "cache_creation_input_tokens": 30,
        },
        Usage(100, 20, 120, cached_tokens=64, cache_write_tokens=30),
    ),
}


@pytest.mark.parametrize("form", USAGES)
@BOTH
async def test_every_form_of_counting_is_read(sim: Simulator, form: str, stream: bool) -> None:
    """As servers of OpenAI's protocol write it."""
    raw, wanted = USAGES[form]
    sim.openai.script(
        streamed({"content": "Hi"}, usage=raw) if stream else whole({"content": "Hi"}, usage=raw)
    )
    async with service_for(sim, "openai") as service:
        assert (await ask(service, stream=stream)).usage == wanted


@BOTH
async def test_anthropics_counts_and_their_prices(sim: Simulator, stream: bool) -> None:
    """The cache apart, an hour's writes dearer, thinking as counted, rounds added up."""
    counts = {
        "input_tokens": 10,
        "output_tokens": 100,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 200},
        "output_tokens_details": {"thinking_tokens": 40},
    }
    usage = {**counts, "iterations": [counts, counts]}
    said = message({"type": "text", "text": "Hi"}, usage=usage)
    sim.anthropic.script(events(said) if stream else Wire(said))
    async with service_for(sim, "anthropic") as service:
        response = await ask(service, stream=stream)
    assert response.usage == Usage(
        *(3020, 200, 3220),
        cached_tokens=2000,
        cache_write_tokens=1000,
        cache_write_1h_tokens=400,
        reasoning_tokens=80,
    )
    # claude-haiku-4-5, US dollars per million: 1 in, 5 out, cache 0.1 read, 1.25 and 2 written
    price = (20 * 1 + 200 * 5 + 2000 * 0.1 + 600 * 1.25 + 400 * 2) / 1e6
    assert response.cost_usd == pytest.approx(price)


@pytest.mark.parametrize("provider", ALL)
@BOTH
async def test_configured_prices_of_the_cache(
    sim: Simulator, provider: str, stream: bool, tmp_path: Any
) -> None:
    """Read from YAML; whole and streamed cost the same."""
    file = tmp_path / "llm.yaml"
    file.write_text(
        f"providers:\n  {provider}:\n    input_cost_per_token: 0.001\n"
        "    output_cost_per_token: 0.01\n    cache_read_cost_per_token: 0.0001\n"
        "    cache_write_cost_per_token: 0.002\n"
    )
    written = 300 if provider == "anthropic" else 0
    sim[provider].script(replies.answer("Hi", usage=(1500, 20), cached=1000, written=written))
    settings = load_settings(sim.environ(provider), file)
    async with UnifiedLLMService(settings) as service:
        response = await ask(service, stream=stream)
    plain = 1500 - 1000 - written
    assert response.cost_usd == pytest.approx(
        plain * 0.001 + 1000 * 0.0001 + written * 0.002 + 20 * 0.01
    )


@BOTH
async def test_what_is_turned_down_was_paid_for(sim: Simulator, stream: bool) -> None:
    """Its cost is on the trail and in the statistics."""
    sim.openai.script(replies.answer("", usage=(100, 20)))
    sim.groq.script(replies.answer("Hi", usage=(100, 20)))
    async with service_for(sim, "openai", "groq") as service:
        response = await ask(service, stream=stream)
        stats = service.get_stats()["stats"]
    first = response.attempts[0]
    assert first.kind is FailureKind.INVALID_RESPONSE
    assert first.usage == Usage(100, 20, 120)
    assert first.cost_usd
    assert stats["cost_usd_by_provider"]["openai"] == first.cost_usd


async def test_an_interrupted_stream_was_paid_for(sim: Simulator) -> None:
    """Anthropic counts the prompt in the first event."""
    sim.anthropic.script(faults.cut_stream())
    async with service_for(sim, "anthropic") as service:
        with pytest.raises(StreamInterruptedError) as caught:
            await ask(service, stream=True)
    last = caught.value.attempts[-1]
    assert last.usage is not None
    assert last.usage.prompt_tokens > 0
    assert last.cost_usd
    assert caught.value.usage == last.usage


# -- how it ended --------------------------------------------------------------------------------


@BOTH
async def test_a_window_that_ran_out_is_length(sim: Simulator, stream: bool) -> None:
    """Anthropic's own word stays in ``raw_response``."""
    said = message({"type": "text", "text": "cut"}, stop="model_context_window_exceeded")
    sim.anthropic.script(events(said) if stream else Wire(said))
    async with service_for(sim, "anthropic") as service:
        response = await ask(service, stream=stream)
    assert response.finish_reason == response.raw_response["finish_reason"] == "length"
    assert response.raw_response["native_finish_reason"] == "model_context_window_exceeded"
    assert response.raw_response["id"] == "msg_1"


@pytest.mark.parametrize("reason", ["error", "insufficient_system_resource", "abort"])
@BOTH
async def test_an_answer_that_its_server_broke_off_is_none(
    sim: Simulator, reason: str, stream: bool
) -> None:
    """The next is asked; a stream that showed something is interrupted."""
    sim.openai.script(
        streamed({"content": "It"}, finish=reason) if stream else whole({"content": "It"}, reason)
    )
    sim.groq.script(replies.text("Hello"))
    async with service_for(sim, "openai", "groq") as service:
        if stream:
            with pytest.raises(StreamInterruptedError):
                await ask(service, stream=True)
        else:
            response = await ask(service, stream=False)
            assert response.attempts[0].kind is FailureKind.INVALID_RESPONSE


async def test_one_call_has_one_answer(sim: Simulator) -> None:
    """``n`` is refused with a pointer, and choices that come all the same are not mixed in."""
    mixed = [
        chunk({"content": "one"}),
        {"choices": [{"index": 1, "delta": {"content": "two"}}]},
        chunk({}, "stop"),
    ]
    sim.openai.script(Wire(mixed))
    async with service_for(sim, "openai") as service:
        with pytest.raises(BadRequestError, match="generate_many"):
            await service.generate_response_async(HELLO, n=2)  # type: ignore[call-arg]
        assert (await ask(service, stream=True)).content == "one"


async def test_a_refusal_without_an_answer_fails_over(sim: Simulator) -> None:
    """As the failure table says of a content filter."""
    sim.openai.script(replies.answer(refusal="No."), replies.answer(refusal="No."))
    async with service_for(sim, "openai") as service:
        for stream in (False, True):
            with pytest.raises(AllProvidersFailedError) as caught:
                await ask(service, stream=stream)
            assert caught.value.attempts[-1].kind is FailureKind.CONTENT_POLICY


@BOTH
async def test_anthropic_says_why_it_stopped(sim: Simulator, stream: bool) -> None:
    """The explanation of a refusal in mid-answer."""
    details = {"type": "refusal", "category": None, "explanation": "Against the policy."}
    said = message({"type": "text", "text": "It"}, stop="refusal", stop_details=details)
    sim.anthropic.script(events(said) if stream else Wire(said))
    async with service_for(sim, "anthropic") as service:
        response = await ask(service, stream=stream)
    assert (response.finish_reason, response.refusal) == ("content_filter", "Against the policy.")


# -- tool calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize("none", ["", " ", "null", "None", "undefined", "[]", '""', '"{}"', "{ }"])
def test_no_arguments_by_any_spelling(none: str) -> None:
    """As vendors and servers write a call without arguments."""
    assert parse_arguments(none) == {}


@BOTH
async def test_arguments_in_the_message_are_an_object(sim: Simulator, stream: bool) -> None:
    """``raw_response`` keeps them as sent; what is sent back any vendor can read."""
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": "null"}}
    said = {"content": None, "tool_calls": [call]}
    sim.openai.script(streamed(said, finish="tool_calls") if stream else whole(said, "tool_calls"))
    async with service_for(sim, "openai") as service:
        response = await ask(service, stream=stream)
    assert response.raw_response["tool_calls"][0]["arguments"] == "null"
    assert response.message["tool_calls"][0]["function"]["arguments"] == "{}"
    assert response.tool_calls[0].arguments == {}


@BOTH
async def test_a_call_without_a_name_is_no_call(sim: Simulator, stream: bool) -> None:
    """It is neither shown nor kept, and does not make a text a tool call."""
    call = {"index": 0, "id": "c", "function": {"arguments": "{}"}}
    said = {"content": "Hi", "tool_calls": [call]}
    sim.openai.script(streamed(said, finish="tool_calls") if stream else whole(said, "tool_calls"))
    async with service_for(sim, "openai") as service:
        if stream:
            chunks, response = await shown(service)
            assert not any(c.tool_calls for c in chunks)
        else:
            response = await ask(service, stream=False)
    assert (response.content, response.tool_calls, response.finish_reason) == ("Hi", (), "stop")


async def test_parallel_calls_that_are_all_numbered_0(sim: Simulator) -> None:
    """Google's endpoint does so; a new id is a new call."""
    deltas = [
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": id_,
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
            ]
        }
        for name, arguments, id_ in CALLS
    ]
    sim.openai.script(streamed(*deltas, finish="tool_calls"))
    async with service_for(sim, "openai") as service:
        chunks, response = await shown(service)
    assert [call.arguments["city"] for call in response.tool_calls] == ["Rome", "Oslo"]
    assert [d.index for c in chunks for d in c.tool_calls] == [0, 1]


@BOTH
async def test_a_call_without_an_id_gets_one(sim: Simulator, stream: bool) -> None:
    """Its result will have to name it, here and in the message."""
    said = {"content": None, "function_call": {"name": "now", "arguments": "{}"}}
    sim.openai.script(
        streamed(said, finish="function_call") if stream else whole(said, "function_call")
    )
    async with service_for(sim, "openai") as service:
        response = await ask(service, stream=stream)
    assert response.finish_reason == "tool_calls"
    assert response.tool_calls[0].id == response.message["tool_calls"][0]["id"] != ""


@BOTH
async def test_what_anthropic_runs_itself_is_none_of_the_callers(
    sim: Simulator, stream: bool
) -> None:
    """A search on the server's side is no tool call; what it found is kept."""
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    said = message(
        {
            "type": "server_tool_use",
            "id": "srvtoolu_1",
            "name": "web_search",
            "input": {"query": "x"},
        },
        found,
        {"type": "text", "text": "In Rome."},
    )
    sim.anthropic.script(events(said) if stream else Wire(said))
    async with service_for(sim, "anthropic") as service:
        response = await ask(service, stream=stream)
    assert (response.content, response.tool_calls) == ("In Rome.", ())
    assert response.raw_response["server_tool_results"] == [found]


async def test_parts_of_a_content_may_be_thoughts(sim: Simulator) -> None:
    """Mistral's way, whole and streamed."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Rome"},
    ]
    sim.openai.script(whole({"content": parts}), streamed({"content": parts}))
    async with service_for(sim, "openai") as service:
        for stream in (False, True):
            response = await ask(service, stream=stream)
            assert (response.content, response.reasoning) == ("Rome", "Hm.")


# -- structured answers --------------------------------------------------------------------------

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T]


SCHEMA = {
    "title": "Bestell-Übersicht (v2)",
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "integer"}}},
    "required": ["items"],
}
LEGAL = r"^[a-zA-Z0-9_-]{1,64}\Z"


@pytest.mark.parametrize("provider", OPENAI_WIRE)
@pytest.mark.parametrize("wanted", [Page[int], SCHEMA], ids=["pydantic", "schema"])
@BOTH
async def test_schema_names_are_legal(
    sim: Simulator, provider: str, wanted: Any, stream: bool
) -> None:
    """Whatever the class or the title is called; the answer is an instance of the class."""
    sim[provider].script(replies.json({"items": [1]}))
    async with service_for(sim, provider) as service:
        response = await ask(service, stream=stream, response_format=wanted)
    name = sim[provider].requests[0].body["response_format"]["json_schema"]["name"]
    assert name in ("Page_int", "Bestell-Ubersicht_v2")
    assert response.parsed == (Page[int](items=[1]) if wanted is Page[int] else {"items": [1]})


@given(st.text())
def test_any_name_becomes_legal(name: str) -> None:
    """And a legal one is left alone."""
    import re

    found = legal_name(name)
    assert re.match(LEGAL, found)
    assert legal_name(found) == found.strip("_") or "answer"


@pytest.mark.parametrize("provider", ALL)
@BOTH
async def test_a_schema_is_checked_here(sim: Simulator, provider: str, stream: bool) -> None:
    """Plain data too; what does not match is turned down, and a stream is interrupted."""
    sim[provider].script(replies.json({"items": ["one"]}))
    async with service_for(sim, provider) as service:
        with pytest.raises((AllProvidersFailedError, StreamInterruptedError)) as caught:
            await ask(service, stream=stream, response_format=SCHEMA)
    last = caught.value.attempts[-1]
    assert (last.kind, last.reason) == (
        FailureKind.REJECTED,
        "answer does not match response_format",
    )
    assert last.cost_usd


async def test_a_schema_that_is_none_is_refused(sim: Simulator) -> None:
    """Before anything is sent."""
    async with service_for(sim, "openai") as service:
        with pytest.raises(BadRequestError, match="no JSON schema"):
            await service.generate_response_async(
                HELLO, response_format={"type": "object", "properties": 1}
            )
    assert not sim.openai.requests


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "https://example.org/a.json"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^\p{L}$"}}},
    ],
    ids=["ref", "pattern"],
)
async def test_what_cannot_be_checked_here_is_left_to_the_vendor(
    sim: Simulator, schema: dict[str, Any]
) -> None:
    """Nothing is fetched."""
    sim.openai.script(replies.json({"a": "é"}))
    async with service_for(sim, "openai") as service:
        response = await ask(service, stream=False, response_format=schema)
    assert response.parsed == {"a": "é"}


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '```json\n{"a": 1}\n```',
        '```JSON\r\n{"a": 1}\r\n```',
        '```\n{"a": 1}\n```',
        '```json {"a": 1}```',
        'Here you are:\n```json\n{"a": 1}\n```\nAnything else?',
    ],
)
def test_a_fence_is_no_part_of_the_json(text: str) -> None:
    """With and without a language, and words around it."""
    assert json.loads(unfenced(text)) == {"a": 1}


@pytest.mark.parametrize("version", ["2024-06-01", "2024-10-21"])
@BOTH
async def test_the_helper_tool_for_json_never_shows(
    sim: Simulator, version: str, stream: bool
) -> None:
    """Older versions of Azure's API have no schemas: LiteLLM asks by a tool."""
    sim.azure_openai.script(replies.json({"items": [1]}))
    environ = {**sim.environ("azure_openai"), "AZURE_OPENAI_API_VERSION": version}
    async with UnifiedLLMService(load_settings(environ)) as service:
        response = await ask(service, stream=stream, response_format=SCHEMA)
    assert response.parsed == {"items": [1]}
    assert (response.tool_calls, response.finish_reason) == ((), "stop")
    assert "tool_calls" not in response.message


@pytest.mark.parametrize(
    ("provider", "model"),
    [("groq", "llama-3.1-8b-instant"), ("anthropic", "claude-3-haiku-20240307")],
)
@BOTH
async def test_older_models_are_asked_by_the_helper_tool(
    sim: Simulator, provider: str, model: str, stream: bool
) -> None:
    """Its arguments are the answer."""
    sim[provider].script(replies.json({"items": [1]}))
    async with service_for(sim, provider) as service:
        response = await ask(service, stream=stream, response_format=SCHEMA, model=model)
    assert "json_tool_call" in str(sim[provider].requests[0].body)
    assert (response.parsed, response.tool_calls) == ({"items": [1]}, ())
    assert response.finish_reason == "stop"


@BOTH
async def test_json_mode_after_a_prefill(sim: Simulator, stream: bool) -> None:
    """The beginning of the answer stays the last turn, and counts when the rest is read."""
    sim.anthropic.script(replies.text('"city": "Rome"}'))
    prefilled = [*HELLO, {"role": "assistant", "content": "{"}]
    async with service_for(sim, "anthropic") as service:
        response = await ask(
            service, prefilled, stream=stream, response_format={"type": "json_object"}
        )
    assert sim.anthropic.requests[0].body["messages"][-1]["role"] == "assistant"
    assert response.parsed == {"city": "Rome"}


# -- embeddings ----------------------------------------------------------------------------------


async def test_many_texts_go_in_several_requests(sim: Simulator) -> None:
    """Order kept, tokens added up, one attempt."""
    texts = [f"text {i}" for i in range(MAX_TEXTS + 10)]
    async with service_for(sim, "openai") as service:
        many = await service.embed_async(texts, model="text-embedding-3-small", dimensions=3)
        some = await service.embed_async(texts[-2:], model="text-embedding-3-small", dimensions=3)
        stats = service.get_stats()["stats"]
    sizes = [len(request.body["input"]) for request in sim.openai.requests]
    assert sizes == [MAX_TEXTS, 10, 2]
    assert len(many.vectors) == len(texts)
    assert many.vectors[-2:] == some.vectors
    assert many.usage is not None
    assert many.usage.total_tokens >= len(texts)
    assert len(many.attempts) == 1
    assert stats["requests_by_provider"]["openai"] == 2


async def test_one_failed_request_of_many_fails_over(sim: Simulator) -> None:
    """The whole is asked of the next; what the first had done was paid for."""
    texts = [f"text {i}" for i in range(MAX_TEXTS + 1)]
    sim.openai.script(replies.text(), faults.status(500))
    async with service_for(sim, "openai", "azure_openai") as service:
        found = await service.embed_async(texts, model="text-embedding-3-small", dimensions=3)
    assert [a.provider for a in found.attempts] == ["openai", "azure_openai"]
    assert found.attempts[0].usage is not None
    assert len(found.vectors) == len(texts)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=30), st.integers(1, 4000))
def test_batches_hold_all_texts_within_the_limits(texts: list[str], times: int) -> None:
    """In order; a text that is too long by itself goes alone."""
    many = [text * times for text in texts]
    batches = batched(many)
    assert [text for batch in batches for text in batch] == many
    for batch in batches:
        assert len(batch) <= MAX_TEXTS
        assert len(batch) == 1 or sum(len(text.encode()) for text in batch) <= MAX_TOKENS


# -- joining -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["refusal", "items", "other"]), JSON))
def test_a_single_piece_is_itself(value: dict[str, Any]) -> None:
    """Nothing is lost or added by joining one."""
    assert joined([value]) == value


@given(st.text(), st.integers(0, 5))
def test_a_text_in_pieces_is_the_text(text: str, size: int) -> None:
    """At any borders."""
    pieces = [text[i : i + size] for i in range(0, len(text), size)] if size else [text]
    members = [{"reasoning": piece, "index": 0} for piece in pieces] or [{"reasoning": ""}]
    assert joined(members)["reasoning"] == text


async def test_members_that_are_nested_too_deeply_are_no_answer(sim: Simulator) -> None:
    """Joining them would overflow the stack; nothing but our own error comes out."""
    deep: dict[str, Any] = {}
    # Deep enough to overflow when it is joined, not yet when it is parsed: up to Python 3.11 both count
    # towards one limit, and a comprehension takes two frames.
    for _ in range(600 if sys.version_info < (3, 12) else 1200):
        deep = {"x": deep, "y": 1}
    sim.openai.script(streamed({"content": "Hi", "deep": deep}, {"content": "!", "deep": deep}))
    async with service_for(sim, "openai") as service:
        with pytest.raises(StreamInterruptedError) as caught:
            await ask(service, stream=True)
    assert caught.value.kind is FailureKind.INVALID_RESPONSE


def test_items_with_an_index_are_parts_of_one() -> None:
    """OpenRouter's ``reasoning_details``; what has no index stands for itself."""
    pieces = [
        {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "a"}]},
        {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "b"}, {"text": "c"}]},
    ]
    assert joined(pieces) == {
        "reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "ab"}, {"text": "c"}]
    }
