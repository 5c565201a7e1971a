"""`llm_unified.integrations.llm` in the real `llm`: its command line, and its Python API."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_unified import get_llm_service
from llm_unified.testing import Simulator, faults, replies

llm = pytest.importorskip("llm", reason="`python3 dev.py frameworks` has llm")


@pytest.fixture
def ask(sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The command line, in this process."""
    from click.testing import CliRunner
    from llm.cli import cli

    def run(*arguments: str, **environ: str) -> Any:
        own = sim.environ("openai", "anthropic") | {"LLM_USER_PATH": str(tmp_path)} | environ
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(cli, arguments)

    yield run
    service = sys.modules["llm_unified.service"]
    if service._service is not None:
        service._service.close()


def test_the_model_is_there_once_installed(ask: Any) -> None:
    """`llm models` lists it with what it can do; nothing needs to be configured for that."""
    listed = ask("models", "--options", LLM_PRIMARY_PROVIDER="nobody")
    assert listed.exit_code == 0, listed.output
    found = listed.stdout[listed.stdout.index("llm_unified") :]
    for word in ("provider", "deadline", "temperature", "streaming", "schemas", "tools", "async"):
        assert word in found


def test_as_a_program(sim: Simulator, tmp_path: Path) -> None:
    """`llm -m llm-unified "Hi"` with nothing but the environment; the text is there as it comes."""
    own = sim.environ("openai") | {"LLM_USER_PATH": str(tmp_path)}
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "llm", "-m", "llm-unified"]
    said = subprocess.run(
        [*command, "Hi"],
        check=False,
        env=os.environ | own,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == "Hello, this is the simulated openai speaking.\n"


@pytest.mark.parametrize("how", [(), ("--no-stream",), ("--async",), ("--async", "--no-stream")])
def test_a_question_is_answered_when_the_first_provider_fails(
    sim: Simulator, ask: Any, how: tuple[str, ...]
) -> None:
    """Streamed or whole, sync or async; the tokens are those that the provider counted."""
    sim.openai.always(faults.status(500))
    said = ask("-m", "llm-unified", "Hi", "-u", *how)
    assert said.exit_code == 0, said.output
    assert "anthropic" in said.stdout
    assert "Token usage: 8 input, 12 output" in said.output


def test_tools_and_schemas(sim: Simulator, ask: Any) -> None:
    """`-T` runs the tool that the model calls, `--schema` gives JSON; a conversation is continued."""
    sim.openai.script(replies.tool_call("llm_version", {}))
    sim.openai.always(replies.auto())
    assert "The tool says: " in ask("-m", "llm-unified", "-T", "llm_version", "Version?").stdout
    city = {"name": "Rome", "country": "Italy"}
    sim.openai.always(replies.json(city))
    said = ask("-m", "llm-unified", "--schema", "name, country", "A city")
    assert json.loads(said.stdout) == city
    ask("-c", "Another?")
    roles = [message["role"] for message in sim.openai.requests[-1].body["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_options_say_who_and_how(sim: Simulator, ask: Any) -> None:
    """`-o provider`, `-o fallback`, `-o deadline`, and what any model has."""
    options = ("-o", "provider", "anthropic", "-o", "temperature", "0.5", "-o", "deadline", "9")
    assert "anthropic" in ask("-m", "llm-unified", "Hi", *options).stdout
    assert sim.anthropic.requests[-1].body["temperature"] == 0.5
    sim.openai.always(faults.status(500))
    said = ask("-m", "llm-unified", "Hi", "-o", "fallback", "false")
    assert said.exit_code == 1
    assert "Error: no provider answered" in said.output
    assert len(sim.anthropic.requests) == 1


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # llm 0.27's own file
def test_an_attachment_reaches_the_model(sim: Simulator, ask: Any, tmp_path: Path) -> None:
    """A picture, as `llm` itself sends it."""
    picture = tmp_path / "dot.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8))
    said = ask("-m", "llm-unified", "What is it?", "-a", str(picture))
    assert said.exit_code == 0, said.output
    parts = sim.openai.requests[-1].body["messages"][-1]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"]


def test_without_a_key_the_next_step_is_named(ask: Any) -> None:
    """The error is the service's own: what to set."""
    said = ask("-m", "llm-unified", "Hi", OPENAI_API_KEY="", ANTHROPIC_API_KEY="")
    assert said.exit_code == 1
    assert "OPENAI_API_KEY" in said.output


def test_from_python(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """`llm.get_model("llm-unified")`: text, tools, and the asynchronous model."""
    for name, value in sim.environ("openai", "anthropic").items():
        monkeypatch.setenv(name, value)

    def get_weather(city: str) -> str:
        return f"Sunny in {city}."

    model = llm.get_model("llm-unified")
    assert "openai" in model.prompt("Hi").text()
    sim.openai.script(replies.tool_call("get_weather", {"city": "Rome"}), faults.status(500))
    sim.anthropic.always(replies.auto())
    chain = model.chain("Weather in Rome?", tools=[get_weather])
    assert chain.text() == "The tool says: Sunny in Rome."

    async def ask() -> str:
        response = llm.get_async_model("llm-unified").prompt("Hi")
        return "".join([piece async for piece in response])

    assert "openai" in asyncio.run(ask())
    get_llm_service().close()
