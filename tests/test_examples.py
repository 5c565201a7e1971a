"""The examples do what they say, with every provider; the tool loop survives a failover in its midst."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.local.weights import missing_packages
from llm_unified.testing import Request, Simulator, faults, replies
from tests.hang import HANG_SECONDS

FOLDER = Path(__file__).parent.parent / "examples"
ALL = ("openai", "azure_openai", "groq", "anthropic")
PAIRS = [pytest.param(*pair, id="→".join(pair)) for pair in permutations(ALL, 2)]
LACKING = missing_packages()
needs_model = pytest.mark.skipif(bool(LACKING), reason=" ".join(LACKING))
TWO_CITIES = [
    ("get_weather", {"city": "Rome"}, "call_A-1"),
    ("get_weather", {"city": "Oslo"}, "call_B-2"),
]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    """Imports an example as if its folder were the working directory."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def configure(sim: Simulator, monkeypatch: pytest.MonkeyPatch):
    """The simulated providers, configured as if they were real ones."""

    def set_up(*names: str) -> None:
        for provider in sim:
            provider.always(replies.auto())
        for name, value in sim.environ(*names).items():
            monkeypatch.setenv(name, value)

    return set_up


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model, configured."""
    monkeypatch.setenv("LLM_PRIMARY_PROVIDER", "local")


# -- the tool loop ----------------------------------------------------------------------------------


def calls_and_results(request: Request) -> tuple[list[tuple[str, Any]], list[str], str]:
    """What one vendor was sent: calls as (id, arguments), ids of results in order, results' text."""
    calls: list[tuple[str, Any]] = []
    results: list[str] = []
    texts = ""
    for message in request.body["messages"]:
        if request.provider == "anthropic":
            for block in message["content"]:
                if isinstance(block, dict) and block["type"] == "tool_use":
                    assert set(block) >= {"id", "name", "input"}
                    calls.append((block["id"], block["input"]))
                elif isinstance(block, dict) and block["type"] == "tool_result":
                    results.append(block["tool_use_id"])
                    texts += json.dumps(block["content"])
        else:
            for call in message.get("tool_calls") or ():
                assert set(call) == {"id", "type", "function"}  # no vendor knows more
                assert set(call["function"]) == {"name", "arguments"}
                calls.append((call["id"], json.loads(call["function"]["arguments"])))
            if message["role"] == "tool":
                results.append(message["tool_call_id"])
                texts += message["content"]
    return calls, results, texts


@pytest.mark.parametrize("provider", ALL)
async def test_the_tool_loop_runs_unchanged_on_each_provider(
    example, sim: Simulator, provider: str, capsys
) -> None:
    """Two calls at once are made, answered and concluded, in each vendor's own protocol."""
    loop = example("tool_loop")
    sim[provider].always(replies.auto()).script(replies.tool_calls(TWO_CITIES))
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        answer = await loop.converse(service, "What is the weather in Rome and in Oslo?")
    assert answer.provider == provider
    assert "21" in answer.content
    first, second = sim[provider].requests
    calls, results, texts = calls_and_results(second)
    assert calls == [("call_A-1", {"city": "Rome"}), ("call_B-2", {"city": "Oslo"})]
    assert results == ["call_A-1", "call_B-2"]
    assert "Rome" in texts
    assert "Oslo" in texts
    assert (first.finished, second.finished) == (True, True)
    assert f"{provider} asks for get_weather({{'city': 'Oslo'}})" in capsys.readouterr().out


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_the_tool_loop_survives_a_failover_in_its_midst(
    example, sim: Simulator, first: str, second: str
) -> None:
    """What one vendor's model asked for, another's concludes: ids and shapes arrive translated."""
    loop = example("tool_loop")
    calls = [(name, arguments) for name, arguments, _ in TWO_CITIES]  # ids as the vendor makes them
    sim[first].script(replies.tool_calls(calls), faults.status(500))
    sim[second].always(replies.auto())
    async with UnifiedLLMService(load_settings(sim.environ(first, second))) as service:
        answer = await loop.converse(service, "What is the weather in Rome and in Oslo?")
        assert service.get_stats()["stats"]["fallback_count"] == 1
    assert answer.provider == second
    assert [a.provider for a in answer.attempts] == [first, second]
    assert "21" in answer.content
    (request,) = sim[second].requests  # accepted: this vendor never saw the question before
    assert request.outcome == "auto"
    made, results, texts = calls_and_results(request)
    assert [arguments["city"] for _, arguments in made] == ["Rome", "Oslo"]
    assert [key for key, _ in made] == results
    assert len(set(results)) == 2
    prefix = "toolu_" if first == "anthropic" else "call_"
    assert all(key.startswith(prefix) for key in results)
    assert "Rome" in texts
    assert "Oslo" in texts


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_the_conversation_may_come_back(
    example, sim: Simulator, first: str, second: str
) -> None:
    """A third turn at the first vendor carries the calls of both, each with its own id."""
    loop = example("tool_loop")
    call = replies.tool_call("get_weather", {"city": "Rome"})
    sim[first].script(call, faults.status(500)).always(replies.auto())
    sim[second].script(replies.tool_call("get_weather", {"city": "Oslo"}))
    async with UnifiedLLMService(load_settings(sim.environ(first, second))) as service:
        answer = await loop.converse(service, "What is the weather in Rome, then in Oslo?")
    assert answer.provider == first
    made, results, _ = calls_and_results(sim[first].requests[-1])
    assert [arguments["city"] for _, arguments in made] == ["Rome", "Oslo"]
    assert [key for key, _ in made] == results


async def test_a_mistake_of_the_model_is_told_to_it(example, sim: Simulator) -> None:
    """An unknown function or a wrong argument comes back as a result, and the loop goes on."""
    loop = example("tool_loop")
    sim.openai.always(replies.auto()).script(
        replies.tool_calls([("get_wether", {"city": "Rome"}), ("get_weather", {"town": "Rome"})])
    )
    async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        await loop.converse(service, "What is the weather in Rome?")
    _, _, texts = calls_and_results(sim.openai.requests[-1])
    assert texts.count("error:") == 2


@needs_model
async def test_the_tool_loop_with_the_embedded_model(example, local, capsys) -> None:
    """The small model makes the call, and puts the result into words."""
    loop = example("tool_loop")
    async with UnifiedLLMService() as service:
        answer = await loop.converse(service, "What is the weather in Rome?", max_tokens=100)
    assert "local asks for get_weather({'city': 'Rome'})" in capsys.readouterr().out
    assert "Rome" in answer.content
    assert "<" not in answer.content


# -- the others -------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ALL)
async def test_quickstart(example, configure, provider: str, capsys) -> None:
    """Answer, provider, attempts, the dict of the older client, health, statistics."""
    configure(provider)
    await example("quickstart").main()
    out = capsys.readouterr().out
    assert out.count("speaking.") == 2
    assert f"by {provider} (" in out
    assert f"warm: {{'{provider}': True}}" in out
    assert f"{provider}: healthy" in out
    assert f"{{'{provider}': 2}}" in out


@pytest.mark.parametrize("provider", ALL)
async def test_streaming(example, configure, provider: str, capsys) -> None:
    """Text and a tool call arrive in pieces; afterwards the whole is there."""
    configure(provider)
    await example("streaming").main()
    out = capsys.readouterr().out
    assert "speaking.\n" in out
    assert f"-- {provider}, " in out
    assert "[0] get_weather {" in out
    assert "get_weather({'city':" in out


@pytest.mark.parametrize("provider", ALL)
async def test_reasoning(example, configure, sim: Simulator, provider: str, capsys) -> None:
    """One wish, each vendor's own words for it, and a failover in the second turn."""
    other = "openai" if provider != "openai" else "anthropic"
    configure(provider, other)
    sim[provider].always(None).script(replies.text("No."), faults.status(500))
    answer = await example("reasoning").main()
    assert answer.provider == other
    sent, _ = (request.body for request in sim[provider].requests)
    wish = {
        "openai": ("reasoning_effort", None),  # a model that does not reason
        "azure_openai": ("reasoning_effort", None),
        "groq": ("reasoning_effort", "low"),
        "anthropic": ("thinking", {"type": "enabled", "budget_tokens": 1024}),
    }
    name, value = wish[provider]
    assert sent.get(name) == value
    out = capsys.readouterr().out
    assert "No.\n" in out
    notes = {
        "groq": "sent as it is",
        "anthropic": "temperature dropped: the model reasons",
    }
    assert f"{provider}: {notes.get(provider, 'reasoning_effort dropped')}" in out


@pytest.mark.parametrize("provider", ALL)
async def test_streaming_that_breaks(
    example, configure, sim: Simulator, provider: str, capsys
) -> None:
    """The beginning stays, the reader is informed, and no other model continues it."""
    configure(provider, *(name for name in ALL if name != provider))
    sim[provider].always(faults.cut_stream(after=3))
    await example("streaming").main()
    out = capsys.readouterr().out
    assert out.count("-- broken off (") == 2
    assert sum(len(p.requests) for p in sim) == len(sim[provider].requests)


@pytest.mark.parametrize("provider", ALL)
async def test_structured(example, configure, sim: Simulator, provider: str) -> None:
    """An instance of the model; an answer that does not fit goes to the next provider."""
    other = "openai" if provider != "openai" else "groq"
    configure(provider, other)
    module = example("structured")
    assert isinstance(await module.main(), module.City)
    sim[provider].script(replies.json({"name": "Paris"}))
    assert isinstance(await module.main(), module.City)
    assert len(sim[other].requests) == 1


@pytest.mark.parametrize("provider", ALL)
async def test_many(example, configure, sim: Simulator, provider: str, capsys) -> None:
    """Every word has its line in order, the one that failed, too."""
    configure(provider)
    module = example("many")
    assert await module.main() == 0

    def refuse_one(request: Request) -> Any:
        return faults.bad_request() if "moon" in json.dumps(request.body) else None

    sim[provider].handler = refuse_one
    assert await module.main() == 1
    lines = capsys.readouterr().out.splitlines()[len(module.WORDS) + 1 :]
    assert [line.split()[0] for line in lines[:-1]] == module.WORDS
    assert "failed: " in lines[module.WORDS.index("moon")]
    assert lines[-1].startswith(f"{len(module.WORDS) - 1} of {len(module.WORDS)} translated")


@pytest.mark.parametrize("provider", ["openai", "azure_openai"])
async def test_embeddings(example, configure, provider: str, capsys) -> None:
    """All texts are ranked, by one model."""
    configure("anthropic", provider)  # the first of the chain has none: it is left out
    module = example("embeddings")
    assert await module.main() == 0
    out = capsys.readouterr().out
    assert f"{provider}, text-embedding-3-small" in out
    assert all(text in out for text in module.TEXTS)


async def test_embeddings_that_nobody_offers(example, configure, capsys) -> None:
    """A chain without embeddings is refused, with exit code 2."""
    configure("groq", "anthropic")
    assert await example("embeddings").main() == 2
    assert "offers embeddings" in capsys.readouterr().err


@pytest.mark.parametrize("provider", ALL)
def test_synchronous(example, configure, sim: Simulator, provider: str, capsys) -> None:
    """Threads share one pool; all its deployments are used."""
    configure(provider)
    module = example("synchronous")
    module.main()
    out = capsys.readouterr().out
    assert all(question in out for question in module.QUESTIONS)
    assert {f"{provider}#{i}" for i in range(3)} <= set(out.split())
    assert len(sim[provider].requests) == len(module.QUESTIONS) + 1
    sim[provider].wait_for(open_connections=0)


@pytest.mark.parametrize("provider", ALL)
async def test_worker(example, configure, sim: Simulator, provider: str) -> None:
    """Jobs are answered; a wrong one is rejected at once, a refused one comes again when it may."""
    configure(provider)

    def some(request: Request) -> Any:
        prompt = json.dumps(request.body["messages"])
        if "wrong" in prompt:
            return faults.bad_request()
        early = sum("later" in json.dumps(r.body["messages"]) for r in sim[provider].requests) == 1
        return faults.rate_limit(retry_after=0.05) if "later" in prompt and early else None

    sim[provider].handler = some
    done = await example("worker").main(["one", "wrong", "later", "two"])
    assert set(done) == {"one", "wrong", "later", "two"}
    assert done["wrong"].startswith("rejected: ")
    assert "speaking" in done["one"]
    assert "speaking" in done["later"]


async def test_worker_gives_up(example, configure, sim: Simulator, monkeypatch) -> None:
    """After so many tries a job is noted as failed, and the worker goes on."""
    configure("openai")
    module = example("worker")
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.001)
    monkeypatch.setenv("LLM_COOLDOWN", "0")
    sim.openai.always(faults.status(500))
    done = await module.main(["one", "two"])
    assert [text.startswith("failed 3 times: ") for text in done.values()] == [True, True]
    assert len(sim.openai.requests) == 6


@pytest.mark.skipif(os.name == "nt", reason="signals in event loops are a matter of Unix")
async def test_worker_ends_gracefully(
    example, configure, sim: Simulator, capsys, monkeypatch
) -> None:
    """SIGTERM: the jobs under way are finished, the others are named, the sockets are closed."""
    configure("openai")
    monkeypatch.setenv("LLM_FAILURE_THRESHOLD", "100")
    sim.openai.always(faults.blackhole())
    module = example("worker")
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.001)
    work = asyncio.create_task(module.main([f"job {i}" for i in range(8)]))
    await sim.openai.wait_for_async(requests=3)  # as many as there are workers
    sim.openai.always(replies.text("fine"))
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.to_thread(sim.openai.drop_connections)  # what hangs fails now, and is tried again
    done = await work
    assert done == {f"job {i}": "fine" for i in range(3)}
    assert capsys.readouterr().out.count("left for the next worker: job") == 5
    await sim.openai.wait_for_async(open_connections=0)


@pytest.mark.parametrize("provider", ALL)
def test_script(example, configure, provider: str, capsys) -> None:
    """The answer and nothing else on standard output."""
    configure(provider)
    assert example("script").main("Translate:", "Bonjour") == 0
    assert capsys.readouterr().out == f"Hello, this is the simulated {provider} speaking.\n"


def test_script_exit_codes(example, configure, sim: Simulator, capsys, monkeypatch) -> None:
    """2 for what is wrong with us, 1 when nobody answers; the reason goes to standard error."""
    script = example("script")
    assert script.main("Hi", "") == 2  # nothing is configured
    configure("openai")
    sim.openai.script(faults.bad_request(), faults.status(500))
    assert script.main("Hi", "") == 2
    assert script.main("Hi", "") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "No provider is configured" in captured.err
    assert "openai#" in captured.err


@needs_model
async def test_streaming_with_the_embedded_model(example, local, capsys) -> None:
    """A real model's words, as they come."""
    module = example("streaming")
    async with UnifiedLLMService() as service:
        await module.show(service, "What is the capital of France? Answer in one short sentence.")
    assert "Paris" in capsys.readouterr().out


@needs_model
async def test_structured_with_the_embedded_model(example, local) -> None:
    """Even a very small model fills the form: a grammar allows nothing else."""
    assert "Paris" in (await example("structured").main()).name


@needs_model
def test_script_with_the_embedded_model(example, local, capsys) -> None:
    """One question, one answer."""
    question = "What is the capital of France? Answer in one short sentence."
    assert example("script").main(question, "") == 0
    assert "Paris" in capsys.readouterr().out


# -- as programs ------------------------------------------------------------------------------------


def test_the_offline_helper_simulates_where_nothing_is_configured(example, capsys) -> None:
    """It configures simulated providers, says so on standard error, and leaves nothing behind."""
    before = dict(os.environ)
    with example("_offline").configured():
        assert example("script").main("Hi", "") == 0
        assert os.environ["LLM_PRIMARY_PROVIDER"] == "openai"
    assert dict(os.environ) == before
    assert "Nothing is configured" in capsys.readouterr().err


def test_the_offline_helper_stays_out_of_the_way(example, configure, capsys) -> None:
    """What is configured is used, and a mistake in it is not covered up."""
    configure("groq")
    before = dict(os.environ)
    with example("_offline").configured():
        assert dict(os.environ) == before
    assert capsys.readouterr().err == ""


def test_a_script_in_a_pipeline() -> None:
    """``echo … | python examples/script.py …`` without a key, in a process of its own."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LLM_")}
    ended = subprocess.run(
        [sys.executable, str(FOLDER / "script.py"), "Say", "hello"],
        input="to me",
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        env=environ,
    )
    assert ended.returncode == 0
    assert ended.stdout == "Hello, this is the simulated openai speaking.\n"
    assert ended.stderr == "(Nothing is configured: simulated providers answer.)\n"


def test_pytest_finds_nothing_in_the_examples() -> None:
    """``test_llm_service.py`` is a program: pytest in the folder collects no test and starts nothing."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, str(FOLDER / "test_llm_service.py")],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        cwd=FOLDER.parent,
    )
    assert ended.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, ended.stdout + ended.stderr
    assert "::" not in ended.stdout


def test_examples_are_short_and_say_what_they_are() -> None:
    """Each fits on one screen and begins with a docstring."""
    programs = [p for p in FOLDER.glob("*.py") if p.name != "fastapi_webhook.py"]
    assert len(programs) >= 11
    for path in programs:
        text = path.read_text("utf-8")
        assert text.startswith('"""'), path
        assert len(text.splitlines()) < 60, path
