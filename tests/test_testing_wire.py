"""The simulator's protocols: what the vendors refuse, and the shape of what they say."""

import base64
import json
import struct

import httpx
import pytest

from llm_unified.testing import Simulator, replies
from tests.hang import HANG_SECONDS

USER = {"role": "user", "content": "Hi"}
OPENAI_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OPENAI_CALLS = {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]}
OPENAI_RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}
CLAUDE_CALLS = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
}
CLAUDE_RESULT = {
    "role": "user",
    "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}],
}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["C", "F"]},
        "days": {"type": "integer", "minimum": 2},
        "where": {"$ref": "#/$defs/place"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}},
        "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "sure": {"type": "boolean"},
        "optional": {"type": "string"},
    },
    "required": ["city", "unit", "days", "where", "tags", "maybe", "sure"],
    "$defs": {"place": {"allOf": [{"properties": {"lat": {"type": "number"}}}]}},
}
EXAMPLE = {
    "city": "example city",
    "unit": "C",
    "days": 2,
    "where": {"lat": 1},
    "tags": ["exa"],
    "maybe": 1,
    "sure": True,
}


@pytest.fixture(scope="module")
def sim():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def fresh(sim):
    yield
    sim.reset()


@pytest.fixture(scope="module")
def http():
    with httpx.Client(timeout=HANG_SECONDS) as client:
        yield client


class Vendor:
    """Sends requests in one vendor's manner, right but for what a test changes."""

    def __init__(self, http, provider):
        self.http, self.provider, key = http, provider, provider.api_key
        self.claude = provider.name == "anthropic"
        self.path, self.headers = {
            "openai": ("/v1/chat/completions", {"authorization": f"Bearer {key}"}),
            "azure_openai": (
                "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
                {"api-key": key},
            ),
            "groq": ("/openai/v1/chat/completions", {"authorization": f"Bearer {key}"}),
            "anthropic": ("/v1/messages", {"x-api-key": key, "anthropic-version": "2023-06-01"}),
        }[provider.name]
        self.body = {"model": provider.model, "messages": [USER]}
        if self.claude:
            self.body["max_tokens"] = 500

    def send(self, *, method="POST", path=None, drop=(), headers=(), raw=None, **changes):
        body = {k: v for k, v in (self.body | changes).items() if k not in drop}
        sent = {k: v for k, v in (self.headers | dict(headers)).items() if k not in drop}
        url = f"http://127.0.0.1:{self.provider.port}{path or self.path}"
        content = raw if raw is not None else json.dumps(body)
        return self.http.request(method, url, headers=sent, content=content)

    def error(self, **options):
        response = self.send(**options)
        envelope = response.json()
        assert response.headers["content-type"].startswith("application/json")
        assert self.provider.requests[-1].outcome.startswith("refused")
        if self.claude:
            assert "error" == envelope["type"]
            assert envelope["request_id"] == response.headers["request-id"]
        return response.status_code, envelope["error"]["message"]


@pytest.fixture(params=["openai", "azure_openai", "groq", "anthropic"])
def vendor(request, sim, http):
    return Vendor(http, sim[request.param])


@pytest.fixture
def claude(sim, http):
    return Vendor(http, sim.anthropic)


def test_all_vendors_refuse_the_same_blunders(vendor):
    """Keys, paths, methods and bodies that no vendor takes, each with a status and a message."""
    keys = ("authorization", "api-key", "x-api-key")
    assert 401 == vendor.error(drop=keys)[0]
    wrong = {k: v[:-1] + "x" for k, v in vendor.headers.items() if k in keys}
    assert 401 == vendor.error(headers=wrong)[0]
    assert 404 == vendor.error(path="/v1/no/such/path")[0]
    assert 405 == vendor.error(method="GET")[0]
    assert 400 == vendor.error(raw=b'{"model": "x", ')[0]
    assert 400 == vendor.error(drop=["messages"])[0]
    assert 400 == vendor.error(messages=[])[0]
    assert 400 == vendor.error(messages=[{"role": "wizard", "content": "x"}])[0]
    assert 400 == vendor.error(messages=[{"role": "user", "content": None}])[0]
    assert 400 == vendor.error(messages=[{"role": "user", "content": [{"type": "odd_url"}]}])[0]
    assert 400 == vendor.error(temperature=3)[0]
    if vendor.provider.name != "azure_openai":
        assert 400 == vendor.error(drop=["model"])[0]


@pytest.mark.parametrize("name", ["openai", "azure_openai", "groq"])
def test_openai_family_refuses_tool_muddles(sim, http, name):
    """Results need their calls and calls their results; stream options need a stream."""
    vendor = Vendor(http, sim[name])
    assert "must be a response" in vendor.error(messages=[USER, OPENAI_RESULT])[1]
    assert "did not have response" in vendor.error(messages=[USER, OPENAI_CALLS])[1]
    assert "did not have response" in vendor.error(messages=[USER, OPENAI_CALLS, USER])[1]
    assert 200 == vendor.send(messages=[USER, OPENAI_CALLS, OPENAI_RESULT, USER]).status_code
    assert 400 == vendor.error(stream_options={"include_usage": True})[0]
    assert 400 == vendor.error(tools=[{"type": "function", "name": "f"}])[0]
    image = {"type": "image_url", "image_url": "https://example.com/x.png"}
    assert 400 == vendor.error(messages=[{"role": "user", "content": [image]}])[0]


def test_azure_wants_version_and_deployment(sim, http):
    """No ``api-version``, no resource; the newer style has the model in its body."""
    azure = Vendor(http, sim.azure_openai)
    path = azure.path.partition("?")[0]
    assert (404, "Resource not found") == azure.error(path=path)
    assert (404, "Resource not found") == azure.error(path="/openai/deployments//embeddings")
    sim.azure_openai.models = ("gpt-4o",)
    assert 200 == azure.send().status_code
    assert "deployment" in azure.error(path=azure.path.replace("gpt-4o", "gpt-5"))[1]
    sim.azure_openai.models = None
    bearer = {"authorization": f"Bearer {sim.azure_openai.api_key}"}
    v1 = azure.send(path="/openai/v1/chat/completions", drop=["api-key"], headers=bearer)
    assert "gpt-4o-2024-08-06" == v1.json()["model"]


def test_anthropic_refuses_what_translators_forget(claude):
    """Version, ``max_tokens``, system messages, tool muddles, empty text, foreign parts."""
    assert (400, "anthropic-version: header is required") == claude.error(
        drop=["anthropic-version"]
    )
    assert (400, "max_tokens: Field required") == claude.error(drop=["max_tokens"])
    assert 400 == claude.error(max_tokens=0)[0]
    assert 400 == claude.error(max_tokens="many")[0]
    assert "system" in claude.error(messages=[{"role": "system", "content": "x"}, USER])[1]
    assert "first message" in claude.error(messages=[CLAUDE_CALLS])[1]
    assert "unexpected `tool_use_id`" in claude.error(messages=[USER, CLAUDE_RESULT])[1]
    assert "without `tool_result`" in claude.error(messages=[USER, CLAUDE_CALLS, USER])[1]
    good = [USER, CLAUDE_CALLS, CLAUDE_RESULT]
    assert 200 == claude.send(messages=good).status_code
    assert 400 == claude.error(messages=[{"role": "user", "content": ""}])[0]
    for part in ({"type": "text", "text": ""}, {"type": "image_url"}, {"type": "image"}):
        assert 400 == claude.error(messages=[{"role": "user", "content": [part]}])[0]
    assert "input_schema" in claude.error(tools=[{"name": "f"}])[1]
    assert 400 == claude.error(tool_choice={"type": "any"})[0]
    assert 400 == claude.error(temperature=1.5)[0]
    assert 400 == claude.error(system={"x": 1})[0]


def stream_events(response):
    return [
        line.removeprefix("data: ") if line.endswith("[DONE]") else json.loads(line[6:])
        for line in response.text.splitlines()
        if line.startswith("data: ")
    ]


def test_streams_have_the_vendors_frames(vendor):
    """Role, deltas, finish reason, usage where asked for, and the end marker, in order."""
    vendor.provider.script(replies.text("one two three", usage=(7, 3)))
    extra = {} if vendor.claude else {"stream_options": {"include_usage": True}}
    response = vendor.send(stream=True, **extra)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "chunked" == response.headers["transfer-encoding"]
    events = stream_events(response)
    if vendor.claude:
        kinds = [e["type"] for e in events]
        delta = ["content_block_delta"]
        assert kinds == [
            "message_start", "content_block_start", "ping", *delta * 3,
            "content_block_stop", "message_delta", "message_stop",
        ]  # fmt: skip
        assert {"stop_reason": "end_turn", "stop_sequence": None} == events[-2]["delta"]
        assert (7, 3) == (events[-2]["usage"]["input_tokens"], events[-2]["usage"]["output_tokens"])
        names = [ln[7:] for ln in response.text.splitlines() if ln.startswith("event: ")]
        assert names == kinds
        return
    assert "[DONE]" == events.pop()
    if vendor.provider.name == "azure_openai":
        first = events.pop(0)
        assert [] == first["choices"]
        assert first["prompt_filter_results"]
    usage = events.pop()
    assert [] == usage["choices"]
    assert 10 == usage["usage"]["total_tokens"]
    assert all(e["usage"] is None for e in events)
    assert "assistant" == events[0]["choices"][0]["delta"]["role"]
    deltas = [e["choices"][0]["delta"].get("content") for e in events[1:-1]]
    assert ["one", " two", " three"] == deltas
    assert "stop" == events[-1]["choices"][0]["finish_reason"]
    assert 1 == len({e["id"] for e in events})
    if vendor.provider.name == "groq":
        assert "id" in events[0]["x_groq"]
        assert 10 == events[-1]["x_groq"]["usage"]["total_tokens"]
        assert not any("x_groq" in e for e in events[1:-1])


def test_answers_have_the_vendors_extras(vendor):
    """Request ids, rate limits and decorations, under the vendor's own names."""
    response = vendor.send()
    headers, body = response.headers, response.json()
    found = {
        "openai": lambda: (headers["x-request-id"], headers["openai-processing-ms"]),
        "azure_openai": lambda: (
            headers["apim-request-id"],
            body["prompt_filter_results"],
            body["choices"][0]["content_filter_results"],
        ),
        "groq": lambda: (body["service_tier"], body["x_groq"]["id"], headers["x-request-id"]),
        "anthropic": lambda: (headers["request-id"], body["usage"]["service_tier"]),
    }[vendor.provider.name]()
    assert all(found)
    limits = [name for name in headers if "ratelimit" in name]
    assert len(limits) >= 4
    assert "on_demand" in str(found) or vendor.provider.name != "groq"


def calls_in(vendor, body):
    if vendor.claude:
        return [(b["name"], b["input"]) for b in body["content"] if b["type"] == "tool_use"]
    calls = body["choices"][0]["message"].get("tool_calls") or []
    return [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]


def calls_in_stream(vendor, events):
    names, arguments = {}, {}
    for event in events:
        if vendor.claude and event["type"] == "content_block_start":
            names[event["index"]] = event["content_block"].get("name")
        elif vendor.claude and event.get("delta", {}).get("type") == "input_json_delta":
            index = event["index"]
            arguments[index] = arguments.get(index, "") + event["delta"]["partial_json"]
        elif not vendor.claude and event != "[DONE]":
            for call in (
                event["choices"][0]["delta"].get("tool_calls", ()) if event["choices"] else ()
            ):
                function, index = call["function"], call["index"]
                names[index] = function.get("name") or names[index]
                arguments[index] = arguments.get(index, "") + function["arguments"]
    return [(names[i], json.loads(arguments[i])) for i in sorted(arguments)]


def test_tool_calls_whole_and_streamed(vendor):
    """Parallel calls arrive in order with their arguments, however they travel."""
    wanted = [("f", {"city": "Rome", "n": 1}), ("g", {})]
    vendor.provider.always(replies.tool_calls(wanted, content="Let me see."))
    body = vendor.send().json()
    assert wanted == calls_in(vendor, body)
    reason = body["stop_reason"] if vendor.claude else body["choices"][0]["finish_reason"]
    assert reason == ("tool_use" if vendor.claude else "tool_calls")
    assert wanted == calls_in_stream(vendor, stream_events(vendor.send(stream=True)))


def tool_for(vendor, schema):
    if vendor.claude:
        return {"name": "plan", "input_schema": schema}
    return {"type": "function", "function": {"name": "plan", "parameters": schema}}


def test_auto_reply_holds_a_conversation(vendor):
    """Calls the tool with arguments that fit its schema, quotes the result, else just talks."""
    vendor.provider.always(replies.auto())
    tools = [tool_for(vendor, SCHEMA)]
    assert [("plan", EXAMPLE)] == calls_in(vendor, vendor.send(tools=tools).json())
    turns = [CLAUDE_CALLS, CLAUDE_RESULT] if vendor.claude else [OPENAI_CALLS, OPENAI_RESULT]
    assert "The tool says: 42" in vendor.send(tools=tools, messages=[USER, *turns]).text
    none = {"type": "none"} if vendor.claude else "none"
    assert "speaking" in vendor.send(tools=tools, tool_choice=none).text
    assert "speaking" in vendor.send().text


def test_auto_reply_obeys_a_schema(vendor):
    """Where the request wants a structured answer, the text is JSON of that schema."""
    vendor.provider.always(replies.auto())
    wanted = {"type": "json_schema", "json_schema": {"name": "plan", "schema": SCHEMA}}
    ways = [{"response_format": wanted}]
    if vendor.claude:
        inner = {"type": "json_schema", "schema": SCHEMA}
        ways = [{"output_format": inner}, {"output_config": {"format": inner}}]
    for way in ways:
        body = vendor.send(**way).json()
        text = (
            body["content"][0]["text"]
            if vendor.claude
            else body["choices"][0]["message"]["content"]
        )
        assert json.loads(text) == EXAMPLE


def test_json_reply_uses_the_forced_tool(vendor):
    """JSON goes where the request wants it: into the forced tool, or into the text."""
    vendor.provider.always(replies.json({"a": 1}))
    tools = [tool_for(vendor, SCHEMA)]
    force = [
        {"type": "tool", "name": "plan"}
        if vendor.claude
        else {"type": "function", "function": {"name": "plan"}},
        {"type": "any"} if vendor.claude else "required",
    ]
    for choice in force:
        body = vendor.send(tools=tools, tool_choice=choice).json()
        assert [("plan", {"a": 1})] == calls_in(vendor, body)
    assert r"{\"a\": 1}" in vendor.send(tools=tools).text


def test_echo_takes_parts_of_both_kinds(vendor):
    """Text parts are echoed; images and files show as what they are."""
    vendor.provider.always(replies.echo())
    data = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    image = (
        {"type": "image", "source": data}
        if vendor.claude
        else {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    )
    parts = [{"type": "text", "text": "What is this?"}, image]
    assert (
        "What is this? [image]" in vendor.send(messages=[{"role": "user", "content": parts}]).text
    )


def test_refusals_filters_and_limits(vendor):
    """The model declines, the filter strikes, the tokens run out: each in the vendor's words."""
    vendor.provider.script(
        replies.refusal("No."), replies.content_filter(), replies.text("x", finish_reason="length")
    )
    refusal, filtered, length = [vendor.send().json() for _ in range(3)]
    short = vendor.send(max_tokens=2).json()
    if vendor.claude:
        reasons = [b["stop_reason"] for b in (refusal, filtered, length, short)]
        assert ["refusal", "refusal", "max_tokens", "max_tokens"] == reasons
        assert [] == filtered["content"]
        return
    choices = [b["choices"][0] for b in (refusal, filtered, length, short)]
    filtered = "stop" if vendor.provider.name == "groq" else "content_filter"
    assert ["stop", filtered, "length", "length"] == [c["finish_reason"] for c in choices]
    said = choices[0]["message"]
    assert "No." == (said["content"] if vendor.provider.name == "groq" else said["refusal"])
    assert "Hello, this" == choices[3]["message"]["content"]
    if vendor.provider.name == "azure_openai":
        assert choices[1]["content_filter_results"]["violence"]["filtered"]
    vendor.provider.script(replies.refusal("I will not."), replies.content_filter())
    for _ in range(2):
        assert "[DONE]" == stream_events(vendor.send(stream=True))[-1]


def test_long_streams_have_as_many_chunks_as_wanted(vendor):
    """``chunks=n`` gives n deltas, of generated words or of a text that stays whole."""
    for reply, count in (
        (replies.text(chunks=200), 200),
        (replies.text("ab", chunks=2), 2),
        (replies.text("a longer sentence than that", chunks=3), 3),
        (replies.text(chunks=1500), 1500),
    ):
        vendor.provider.script(reply)
        deltas = []
        for event in stream_events(vendor.send(stream=True)):
            if vendor.claude and event["type"] == "content_block_delta":
                deltas.append(event["delta"]["text"])
            elif not vendor.claude and event != "[DONE]" and event["choices"]:
                deltas.append(event["choices"][0]["delta"].get("content"))
        said = [d for d in deltas if d]
        assert count == len(said)
        vendor.provider.script(reply)
        whole = vendor.send().json()
        text = (
            whole["content"][0]["text"]
            if vendor.claude
            else whole["choices"][0]["message"]["content"]
        )
        assert text == "".join(said)


@pytest.mark.parametrize("name", ["openai", "azure_openai"])
def test_embeddings(sim, http, name):
    """Unit vectors that depend on the text alone, as numbers or packed, in the size asked for."""
    vendor = Vendor(http, sim[name])
    path = vendor.path.replace("chat/completions", "embeddings")
    plain = vendor.send(path=path, input=["a", "b", "a"], dimensions=64).json()
    vectors = [d["embedding"] for d in plain["data"]]
    assert vectors[0] == vectors[2] != vectors[1]
    assert 64 == len(vectors[0])
    assert 1 == pytest.approx(sum(v * v for v in vectors[0]), abs=1e-6)
    packed = vendor.send(path=path, input="a", dimensions=64, encoding_format="base64").json()
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert vectors[0] == pytest.approx(struct.unpack("<64f", raw))
    tokens = vendor.send(path=path, input=[1, 2, 3]).json()
    assert (1, 1536) == (len(tokens["data"]), len(tokens["data"][0]["embedding"]))
    assert 400 == vendor.error(path=path, input=[])[0]


def test_models(vendor):
    """The list of models, which keep-alive probes like to ask for."""
    path = {
        "openai": "/v1/models",
        "azure_openai": "/openai/models?api-version=2024-10-21",
        "groq": "/openai/v1/models",
        "anthropic": "/v1/models",
    }[vendor.provider.name]
    body = vendor.send(method="GET", path=path, raw=b"").json()
    assert vendor.provider.model == body["data"][0]["id"]
