"""The main job as one program: what it claims is what happened, and it says what to do where it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.cli import main
from llm_unified.cli.demo import cast, play
from llm_unified.local.weights import missing_packages
from llm_unified.testing import Simulator, faults, replies

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "examples" / "test_llm_service.py"
ALL = ("openai", "azure_openai", "groq", "anthropic")
LACKING = missing_packages()
needs_model = pytest.mark.skipif(bool(LACKING), reason=" ".join(LACKING))


@pytest.fixture
def configure(sim: Simulator, monkeypatch: pytest.MonkeyPatch):
    """The simulated providers, configured as if they were real ones."""

    def set_up(*names: str, **variables: str) -> None:
        for provider in sim:
            provider.always(replies.auto())
        for name, value in (sim.environ(*names) | variables).items():
            monkeypatch.setenv(name, value)

    return set_up


@pytest.fixture
def without_model(monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine on which the embedded model is not installed."""
    sentence = "The provider 'local' needs the package x: `pip install x`."
    monkeypatch.setattr(cast, "missing_packages", lambda: [sentence])
    return sentence


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]):
    """Runs the command; its exit code and what it says as JSON."""

    def run() -> tuple[int, dict[str, Any]]:
        code = main(["demo", "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def claims(data: dict[str, Any], step: str) -> list[dict[str, Any]]:
    return [claim for claim in data["claims"] if claim["step"] == step]


def held(data: dict[str, Any], step: str) -> list[bool]:
    return [claim["held"] for claim in claims(data, step)]


def counts(stats: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Requests and errors of each provider that was asked."""
    errors = stats["stats"]["errors_by_provider"]
    asked = stats["stats"]["requests_by_provider"]
    return {name: (number, errors[name]) for name, number in asked.items() if number}


@needs_model
def test_a_newcomer_sees_a_real_answer_a_tool_call_and_a_failover():
    """With nothing configured, in a pipe of an old terminal: a real model answers; the exit code is 0."""
    environ = {n: v for n, v in os.environ.items() if not n.startswith(("LLM_", "COLUMNS"))}
    ended = subprocess.run(
        [sys.executable, str(PROGRAM)],
        capture_output=True,
        check=False,
        env=environ | {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"},
    )
    text = ended.stdout.decode("ascii")
    assert (ended.returncode, ended.stderr) == (0, b""), text
    assert "Nothing is configured" in text
    assert text.count("Paris") >= 2  # asked itself, and after the failover
    assert "local asks for get_weather({'city': 'Rome'})" in text
    assert "21 degrees" in text.partition("local concludes")[2]
    assert "simulated_openai is broken and fails: could not connect" in text
    assert "local answers instead" in text
    assert "the service counts 1 fallback" in text
    assert "REQUESTS  ERRORS" in text
    assert "claims hold" in text
    assert "\033" not in text


@needs_model
def test_the_only_provider_gets_the_embedded_model_beside_it(configure, report, sim):
    """Who has one provider sees a failover all the same, and the embedded model is the one asked."""
    configure("groq")
    code, data = report()
    assert code == 0, data
    first, second = data["statistics"]
    assert list(counts(first)) == ["groq"]
    assert counts(second) == {"groq": (1, 1), "local": (1, 0)}


@needs_model
def test_the_embedded_model_alone_takes_over_from_a_simulated_provider(report, monkeypatch):
    """``LLM_PRIMARY_PROVIDER=local``: everything is the real model, its broken colleague is simulated."""
    monkeypatch.setenv("LLM_PRIMARY_PROVIDER", "local")
    code, data = report()
    assert code == 0, data
    assert "Paris" in claims(data, "answer")[0]["said"]
    assert "21" in claims(data, "tool call")[-1]["said"]
    assert counts(data["statistics"][1]) == {"simulated_openai": (1, 1), "local": (1, 0)}


def test_four_providers_are_asked_and_nothing_broken_is_sent_to_them(configure, report, sim):
    """Each answers for itself; the broken primary is not asked at all, the next one answers."""
    configure(*ALL)
    code, data = report()
    assert code == 0, data
    assert data["ok"] is True
    assert held(data, "warm-up") == held(data, "answer") == [True] * 4
    assert "azure_openai answers instead" in claims(data, "failover")[1]["text"]
    for provider in sim:
        assert {request.api_key for request in provider.requests} == {provider.api_key}
        assert {request.state for request in provider.requests} == {"answered"}
    # Three pings, its own question, and the two of the tool call; none of the failover.
    assert len(sim.openai.requests) == 3 + 1 + 2
    assert len(sim.azure_openai.requests) == 3 + 1 + 1
    first, second = data["statistics"]
    assert first["stats"]["total_requests"] == 6
    assert second["stats"]["fallback_count"] == 1
    assert counts(second) == {"openai": (1, 1), "azure_openai": (1, 0)}


def test_a_person_reads_it_all_and_no_secret(configure, capsys, sim):
    """For people: the chain, each claim, answers, tokens, costs, a table; a claim that fails says so."""
    configure("openai", "anthropic", LLM_POOL_SIZE="1")
    sim.anthropic.script(replies.text("x"), faults.echo_secrets(500))
    assert main(["demo"]) == 1  # the provider that failed answers nothing, and that is said
    out, err = capsys.readouterr()
    for provider in (sim.openai, sim.anthropic):
        assert provider.api_key not in out + err
    assert "chain: openai → anthropic" in out
    assert "tokens, $0.0000" in out
    assert "ok  openai asks for get_weather" in out
    assert "NO  anthropic answers\n" in out
    assert "1 of 10 claims do not hold" in out


def test_a_refused_key_is_reported_with_the_next_step(configure, report, sim):
    """The others still do their work; the exit code is 1 and the claim names what to type."""
    configure("openai", "groq", OPENAI_API_KEY="sk-wrong-wrong-wrong-wrong")
    code, data = report()
    assert code == 1
    assert data["ok"] is False
    (failed,) = [claim for claim in claims(data, "answer") if not claim["held"]]
    assert failed["text"] == "openai answers"
    assert "auth (HTTP 401)" in failed["next_step"]
    assert "llm-unified ping -p openai" in failed["next_step"]
    assert "groq asks for get_weather" in claims(data, "tool call")[0]["text"]
    assert all(held(data, "failover"))
    assert held(data, "statistics") == [True]
    assert "sk-wrong" not in json.dumps(data)


def test_a_model_without_tools_is_found_out(configure, report, sim):
    """Words instead of the tool call that was required: the claim does not hold."""
    configure("openai", "groq")
    sim.openai.always(replies.text("No idea."))
    code, data = report()
    assert code == 1
    assert held(data, "tool call") == [False]


@pytest.mark.parametrize("count", [0, 1])
def test_a_tool_call_that_fails_half_way_is_reported(configure, report, sim, count):
    """Whichever half of the tool call finds nobody, the report says so and goes on."""
    configure("openai", "groq", LLM_POOL_SIZE="1")
    fine = [replies.text("ping"), replies.text("answer")]
    tool = [replies.tool_call("get_weather", {"city": "Rome"})] * count
    sim.openai.script(*fine, *tool, faults.status(500))
    sim.groq.script(*fine, faults.status(503))
    code, data = report()
    assert code == 1
    assert held(data, "tool call") == [True] * count + [False]
    assert held(data, "statistics") == [True]


def test_a_wrong_configuration_shows_all_problems_and_asks_nobody(configure, capsys, sim):
    """Exit code 2 with every problem at once; not one request is made."""
    configure("openai", LLM_POOL_SIZE="many", LLM_FALLBACK_PROVIDERS="anthropic,opnai")
    assert main(["demo"]) == 2
    err = capsys.readouterr().err
    for name in ("LLM_POOL_SIZE", "ANTHROPIC_API_KEY", "opnai"):
        assert name in err
    assert sim.openai.requests == ()


def test_the_embedded_model_must_be_installed_where_it_is_wanted(
    without_model, capsys, monkeypatch
):
    """Whoever asks for ``local`` without its packages is informed before anything is tried."""
    monkeypatch.setenv("LLM_PRIMARY_PROVIDER", "local")
    assert main(["demo"]) == 2
    assert without_model in capsys.readouterr().err


def test_without_the_model_the_simulator_plays_and_says_what_is_missing(without_model, report):
    """Everything else is shown, but no real model answered: exit code 1 and what to install."""
    code, data = report()
    assert code == 1
    (failed,) = [claim for claim in data["claims"] if not claim["held"]]
    assert "real model" in failed["text"]
    assert failed["next_step"] == without_model
    assert "simulated_anthropic concludes" in claims(data, "tool call")[-1]["text"]
    assert "simulated_anthropic answers instead" in claims(data, "failover")[1]["text"]


def test_the_only_provider_without_the_model_gets_a_simulated_one(without_model, configure, report):
    """Then a simulated provider stands in for the failover, which is enough to show one."""
    configure("anthropic")
    code, data = report()
    assert code == 0, data
    assert "simulated_openai answers instead" in claims(data, "failover")[1]["text"]


def test_fallback_that_is_switched_off_is_shown_as_if_it_were_on(configure, capsys):
    """The failover is shown with the configured fallbacks, and the reader is told."""
    configure("openai", "groq", LLM_ENABLE_FALLBACK="false")
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "LLM_ENABLE_FALLBACK is off" in out
    assert "groq answers instead" in out


def test_nobody_answers_at_all(configure, report, sim):
    """With every provider down each claim fails by itself, and the statistics still agree."""
    configure("openai", "groq")
    for provider in sim:
        provider.always(faults.status(500))
    code, data = report()
    assert code == 1
    assert held(data, "answer") == [False, False]
    assert held(data, "failover") == [True, False, False]
    assert held(data, "statistics") == [True]


async def test_statistics_that_are_wrong_would_be_noticed(sim):
    """The comparison is a real one: one call too many and it fails."""
    async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        witness = play.Witness(service)
        await witness.ask([{"role": "user", "content": "Hi"}])
        assert witness.agrees()
        await service.generate_response_async([{"role": "user", "content": "Hi"}])
        assert not witness.agrees()


def test_what_a_model_says_cannot_move_the_cursor(configure, capsys, sim):
    """Escape sequences and line breaks in an answer are shown as blanks."""
    configure("openai", "groq")
    sim.openai.always(replies.text("red\033[31m\nand\x07 more"))
    main(["demo"])
    out = capsys.readouterr().out
    assert '"red [31m and more"' in out
    assert "\033" not in out


def test_a_long_answer_is_cut_and_no_secret_with_it(configure, capsys, sim):
    """A model that never ends, and one that quotes a key, do no harm to the page."""
    configure("openai", "groq")
    sim.openai.always(replies.text("word " * 55 + f"{sim.openai.api_key} " * 20))
    main(["demo"])
    out = capsys.readouterr().out
    assert "word ***" in out
    assert '…"' in out
    assert sim.openai.api_key[:12] not in out
