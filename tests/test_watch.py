"""`llm-unified watch` as a person on call sees it, and what becomes of its lines in a report."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.cli import main
from llm_unified.testing import Simulator, faults

NAMES = ("openai", "azure_openai", "groq", "anthropic")
HELLO = [{"role": "user", "content": "the secret word is swordfish"}]


@pytest.fixture
def watch(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Watch the simulator for so many rounds: (exit code, output)."""

    def run(count: int, *options: str) -> tuple[int, str]:
        for name, value in sim.environ(*NAMES).items():
            monkeypatch.setenv(name, value)
        code = main(["watch", "--count", str(count), "--every", "0.05", *options])
        return code, capsys.readouterr().out

    return run


def test_watching_spends_no_tokens(sim: Simulator, watch: Any) -> None:
    """Only lists of models are asked for, over one connection each; nothing is counted as spent."""
    code, out = watch(3, "--json")
    last = json.loads(out.splitlines()[-1])
    assert code == 0
    assert {(r.method, r.path.rpartition("/")[2]) for p in sim for r in p.requests} <= {
        ("GET", "models"),
        ("GET", "deployments"),
    }
    for row in last["providers"].values():
        assert (row["up"], row["requests"], row["tokens"], row["cost_usd"]) == (True, 3, 0, 0)
        assert row["first_token_ms"] is None
        assert 0 < row["p50_ms"] <= row["p99_ms"]


def test_tokens_are_spent_when_asked_for(watch: Any) -> None:
    """The first token is timed, tokens and dollars are added up."""
    _, out = watch(2, "--json", "--tokens", "16")
    first, last = (json.loads(line)["providers"]["openai"] for line in out.splitlines())
    assert first["first_token_ms"] > 0
    assert last["tokens"] == 2 * first["tokens"] > 0
    assert last["cost_usd"] == pytest.approx(2 * first["cost_usd"])


def test_who_answers_calls_and_whose_breaker_is_open(sim: Simulator, watch: Any) -> None:
    """A provider that cannot be reached opens its breaker; the next of the chain is the one that answers."""
    sim.openai.refuse()
    code, out = watch(5, "--json", "-p", "openai", "-p", "azure_openai")
    last = json.loads(out.splitlines()[-1])
    openai = last["providers"]["openai"]
    assert (code, last["ok"], last["answers"]) == (1, False, "azure_openai")
    assert last["chain"] == list(NAMES)
    assert (openai["breaker"], openai["errors"]) == ("open", 5)
    assert openai["last_problem"].startswith("connection")
    assert openai["seconds_since_problem"] >= 0


@pytest.mark.parametrize(("status", "kind"), [(500, "server"), (429, "rate_limit"), (401, "auth")])
def test_a_provider_in_trouble_is_down_without_a_token(
    sim: Simulator, watch: Any, status: int, kind: str
) -> None:
    """A connection alone is not "up"."""
    sim.groq.always(faults.status(status))
    _, out = watch(1, "--json")
    assert json.loads(out)["providers"]["groq"]["problem"].startswith(f"{kind}, HTTP {status}")


def test_the_table_fits_80_columns(
    sim: Simulator, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each provider's figures stand on one line, however long its name; the last problem stands beside or below."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    sim.azure_openai.refuse()
    code, out = watch(4, "--tokens", "16")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out)
    lines = [line.split("\r")[-1].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    assert [line for line in lines if len(line) > 80] == []
    assert code == 1
    assert any(
        re.match(r"→ +openai +up +closed +\S+m?s +\S+m?s +\S+m?s +[1-9]\d* +\$\S+", line)
        for line in lines
    )
    assert any(
        re.match(r" +azure_openai +DOWN +half-open +- +- +- +0 +\$0", line) for line in lines
    )
    assert "ago: connection" in text


def test_who_cannot_be_asked_without_tokens_is_not_asked(
    watch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vendor that only LiteLLM knows has no list of models here: it says so, and the round is well."""
    file = tmp_path / "llm.yaml"
    file.write_text(
        "primary_provider: gemini\nproviders:\n  gemini:\n"
        "    model: gemini/gemini-2.0-flash\n    api_key_env: GEM_KEY\n"
    )
    monkeypatch.setenv("GEM_KEY", "gem-secret-key")
    code, out = watch(1, "--config", str(file), "-p", "gemini")
    assert (code, "gemini not checked" in out) == (0, True)


def test_its_lines_become_a_report(sim: Simulator, watch: Any, tmp_path: Path) -> None:
    """What was watched is what the page says."""
    sim.openai.always(faults.status(503))
    _, out = watch(3, "--json", "--tokens", "16")
    file = tmp_path / "lines.jsonl"
    file.write_text(out)
    assert main(["report", str(file)]) == 0
    page = file.with_suffix(".html").read_text("utf-8")
    assert "openai has failed since" in page
    assert "Calls go to azure_openai." in page
    assert "server, HTTP 503" in page


async def test_a_services_log_becomes_a_report(sim: Simulator, tmp_path: Path) -> None:
    """structlog's JSON lines at level debug hold all that the page shows, and no word of the prompt."""
    said = io.StringIO()
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.add_log_level,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(said),
    )
    settings = load_settings(sim.environ("openai", "groq"), pool_size=1)
    async with UnifiedLLMService(settings) as service:
        answers = [await service.generate_response_async(HELLO) for _ in range(3)]
        sim.openai.script(faults.status(500))
        answers.append(await service.generate_response_async(HELLO))
    file = tmp_path / "service.log"
    file.write_text(said.getvalue())
    assert "swordfish" not in said.getvalue()
    assert main(["report", str(file)]) == 0
    page = file.with_suffix(".html").read_text("utf-8")
    tokens = sum(answer.usage.total_tokens for answer in answers if answer.usage)
    assert f"<b>{tokens}</b><span>tokens</span>" in page
    assert "<b>80 %</b><span>answered</span>" in page
    assert "Calls go to groq." in page
    assert "<b>1</b><span>fallbacks</span>" in page
