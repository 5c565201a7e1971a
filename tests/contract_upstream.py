"""An upstream that writes down what it is asked, and answers as the vendor in question would.

What it answers is chosen by name (`ANSWERS`), whole or as events; a model that is asked for JSON by
LiteLLM's helper tool calls that tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

HELPER = "json_tool_call"
PLACE = {"city": "Zürich", "degrees": 31}
TEXT = "Grüße \u2028 aus 東京 🗼, and a second sentence."
CALLS = (
    ("call_1", "get_weather", {"city": "Rome", "when": "today"}),
    ("call_2", "get_time", {"zone": "Europe/Rome"}),
)
PARTS = 4
"""Events per text or per tool call's arguments."""


@dataclass(frozen=True)
class Said:
    """One answer, whatever the wire."""

    text: str = ""
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    reasoning: str = ""
    refusal: str = ""
    end: str = "stop"
    """OpenAI's word for it."""
    logprobs: bool = False
    cached: int = 0
    written: int = 0


ANSWERS = {
    "text": Said(TEXT),
    "calls": Said("Let me look.", CALLS, end="tool_calls"),
    "json": Said(json.dumps(PLACE)),
    "reasoning": Said(TEXT, reasoning="First, the towers. Then, the greeting."),
    "logprobs": Said(TEXT, logprobs=True),
    "cut": Said(TEXT, end="length"),
    "cached": Said(TEXT, cached=40, written=25),
    "refused": Said(refusal="I cannot help with that.", end="content_filter"),
}
_ANTHROPIC_ENDS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]


class Recorder:
    """All four vendors at one address; Azure and Anthropic are told apart by their paths."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer = "text"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(str(request.rel_url), headers, body))
        said = ANSWERS[self.answer]
        if _helper_asked(body):
            said = Said(calls=(("call_0", HELPER, PLACE),), end="tool_calls")
        anthropic = request.path.endswith("/v1/messages")
        groq = request.path.startswith("/groq")
        if request.path.endswith("/responses"):
            if not body.get("stream"):
                return web.json_response(_response(said))
            return _event_stream(_response_events(said))
        if not body.get("stream"):
            return web.json_response(_anthropic(said) if anthropic else _openai(said, groq=groq))
        lines = _anthropic_events(said) if anthropic else _openai_events(said, body, groq=groq)
        return _event_stream(lines)


def _event_stream(lines: Iterator[str]) -> web.Response:
    return web.Response(text="".join(lines), content_type="text/event-stream", charset="utf-8")


def _helper_asked(body: dict[str, Any]) -> bool:
    tools = body.get("tools") or ()
    return any(HELPER in (t.get("name"), t.get("function", {}).get("name")) for t in tools)


def _parts(text: str) -> list[str]:
    size = max(1, -(-len(text) // PARTS))
    return [text[i : i + size] for i in range(0, len(text), size)]


# -- OpenAI's wire ---------------------------------------------------------------------------------
def _openai_usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {
            "cached_tokens": said.cached,
            "cache_write_tokens": said.written,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": 7 if said.reasoning else 0},
    }


def _logprobs(text: str) -> dict[str, Any]:
    token = {"token": text, "logprob": -0.25, "bytes": list(text.encode())}
    return {"content": [{**token, "top_logprobs": [token]}], "refusal": None}


def _openai(said: Said, *, groq: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
    if said.reasoning:
        message["reasoning" if groq else "reasoning_content"] = said.reasoning
    if said.refusal:
        message["refusal"] = said.refusal
    if said.calls:
        message["tool_calls"] = [
            {
                "id": id_,
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for id_, name, arguments in said.calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": said.end}
    if said.logprobs:
        choice["logprobs"] = _logprobs(said.text)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "upstream-model",
        "service_tier": "default",
        "choices": [choice],
        "usage": _openai_usage(said),
    }


def _openai_events(said: Said, body: dict[str, Any], *, groq: bool) -> Iterator[str]:
    def event(delta: dict[str, Any], end: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": end, **more}
        return sse({**frame, "choices": [choice]})

    def sse(data: dict[str, Any]) -> str:
        return f"data: {json.dumps(data)}\n\n"

    frame = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "upstream-model",
        "service_tier": "default",
    }
    yield event({"role": "assistant", "content": ""})
    for part in _parts(said.reasoning):
        yield event({"reasoning" if groq else "reasoning_content": part})
    for part in _parts(said.text):
        yield event({"content": part}, **({"logprobs": _logprobs(part)} if said.logprobs else {}))
    for part in _parts(said.refusal):
        yield event({"refusal": part})
    for index, (id_, name, arguments) in enumerate(said.calls):
        first = {
            "index": index,
            "id": id_,
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        yield event({"tool_calls": [first]})
        for part in _parts(json.dumps(arguments)):
            yield event({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    if groq:
        yield sse(
            {
                **frame,
                "choices": [{"index": 0, "delta": {}, "finish_reason": said.end}],
                "x_groq": {"id": "req_1", "usage": _openai_usage(said)},
            }
        )
    else:
        yield event({}, said.end)
    if (body.get("stream_options") or {}).get("include_usage"):
        yield sse({**frame, "choices": [], "usage": _openai_usage(said)})
    yield "data: [DONE]\n\n"


def _response(said: Said) -> dict[str, Any]:
    """OpenAI's Responses API, which LiteLLM asks in place of chat completions for some models."""
    text = {"type": "output_text", "text": said.text, "annotations": []}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": "upstream-model",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [text],
            }
        ],
        "usage": {
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _response_events(said: Said) -> Iterator[str]:
    def sse(kind: str, **more: Any) -> str:
        nonlocal number
        number += 1
        return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **more})}\n\n"

    number = -1
    whole = _response(said)
    item = whole["output"][0]
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": []}
    yield sse("response.created", response=begun)
    yield sse("response.output_item.added", output_index=0, item={**item, "content": []})
    yield sse("response.content_part.added", **place, part=empty)
    for part in _parts(said.text):
        yield sse("response.output_text.delta", **place, delta=part)
    yield sse("response.output_text.done", **place, text=said.text)
    yield sse("response.output_item.done", output_index=0, item=item)
    yield sse("response.completed", response=whole)


# -- Anthropic's wire ------------------------------------------------------------------------------
def _anthropic_usage(said: Said) -> dict[str, Any]:
    return {
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_input_tokens": said.cached,
        "cache_creation_input_tokens": said.written,
        "service_tier": "standard",
    }


def _anthropic(said: Said) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if said.reasoning:
        content.append({"type": "thinking", "thinking": said.reasoning, "signature": "c2ln"})
    if said.text:
        content.append({"type": "text", "text": said.text})
    content += [
        {"type": "tool_use", "id": id_, "name": name, "input": arguments}
        for id_, name, arguments in said.calls
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "upstream-model",
        "content": content,
        "stop_reason": _ANTHROPIC_ENDS[said.end],
        "stop_sequence": None,
        "usage": _anthropic_usage(said),
    }


def _anthropic_events(said: Said) -> Iterator[str]:
    def sse(data: dict[str, Any]) -> str:
        return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n"

    whole = _anthropic(said)
    usage = {**whole["usage"], "output_tokens": 1}
    start = {**whole, "content": [], "stop_reason": None, "usage": usage}
    yield sse({"type": "message_start", "message": start})
    yield sse({"type": "ping"})
    for index, block in enumerate(whole["content"]):
        for event in _block_events(block):
            yield sse({**event, "index": index})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield sse(
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}},
    )
    yield sse({"type": "message_stop"})


def _block_events(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    empty = {
        "thinking": {"type": "thinking", "thinking": "", "signature": ""},
        "text": {"type": "text", "text": ""},
        "tool_use": {**block, "input": {}},
    }[block["type"]]
    yield {"type": "content_block_start", "content_block": empty}
    deltas: list[dict[str, Any]]
    match block["type"]:
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": part} for part in _parts(block["thinking"])
            ]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "text":
            deltas = [{"type": "text_delta", "text": part} for part in _parts(block["text"])]
        case _:
            parts = _parts(json.dumps(block["input"]))
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    for delta in deltas:
        yield {"type": "content_block_delta", "delta": delta}
    yield {"type": "content_block_stop"}
