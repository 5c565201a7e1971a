"""The commands that ask providers: ping, ask, drill, watch, against real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from llm_unified.cli import main
from llm_unified.settings import load_settings
from llm_unified.testing import Simulator, faults, replies
from tests.hang import HANG_SECONDS

ROOT = Path(__file__).parent.parent
SCRIPT = Path(sys.executable).parent / "llm-unified"
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "llm_unified"]
NAMES = ("openai", "azure_openai", "groq", "anthropic")


@pytest.fixture
def cli(sim, monkeypatch, capsys):
    """Run a command here, configured for the simulator: (exit code, output, remarks)."""

    configured = sim.environ()
    keys = [key for provider in sim for key in provider.api_keys]

    def run(*arguments, **environ):
        for name, value in (configured | environ).items():
            monkeypatch.setenv(name, value)
        code = main(arguments)
        said = capsys.readouterr()
        assert not [key for key in keys if key in said.out + said.err]
        return code, said.out, said.err

    return run


def process(sim, *arguments, stdin="", **environ):
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
    return subprocess.run(
        [*COMMAND, *arguments],
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            **environ,
            **sim.environ(),
        },
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=HANG_SECONDS,
        check=False,
    )


def rows(text):
    """The rows of a printed table, by their first column."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if "  " in line]
    return {line[0]: line[1:] for line in lines[1:]}


# -- ping -------------------------------------------------------------------------------------------


def test_ping_times_every_stage(sim, cli):
    """DNS, connect, auth and first token of all four at once; plain HTTP has no TLS stage."""
    code, out, err = cli("ping", "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (0, "", True)
    assert [row["name"] for row in found["providers"]] == list(NAMES)
    for row in found["providers"]:
        taken = row["milliseconds"]
        assert taken["tls"] is None
        assert all(taken[stage] > 0 for stage in ("dns", "connect", "auth", "first_token"))
    for provider in sim:
        assert [request.method for request in provider.requests] == ["GET", "POST"]


def test_ping_for_free(sim, cli):
    """`--tokens 0` lists the models with the vendor's own headers, and asks for no answer."""
    code, out, _ = cli("ping", "--tokens", "0")
    assert code == 0
    assert "FIRST TOKEN" not in out
    assert {name: row[-1] for name, row in rows(out).items()} == dict.fromkeys(NAMES, "up")
    for provider in sim:
        (request,) = provider.requests
        assert (request.method, request.path.rpartition("/")[2]) == ("GET", "models")


def test_ping_says_which_stage_failed_and_what_to_change(sim, cli):
    """One provider per stage; the remark names the variable."""
    sim.groq.api_keys = ("another",)
    sim.anthropic.script(faults.status(503))
    code, out, err = cli(
        "ping",
        OPENAI_BASE_URL=sim.openai.base_url_for("refused"),
        AZURE_OPENAI_ENDPOINT=sim.azure_openai.base_url_for("tls"),
        LLM_CONNECT_TIMEOUT="2",
    )
    assert code == 1
    found = rows(out)
    assert found["openai"][-1] == "down: the connection was refused"
    assert found["azure_openai"][-1].startswith("down: no TLS spoken")
    assert found["groq"][-1] == "down: the key was refused (HTTP 401)"
    assert found["anthropic"][-1] == "down: the provider is in trouble (HTTP 503)"
    assert "openai: check OPENAI_BASE_URL" in err
    assert "azure_openai: check AZURE_OPENAI_ENDPOINT" in err
    assert "groq: put a valid key into GROQ_API_KEY (now …" in err
    assert not sim.openai.requests


def test_ping_finds_what_only_an_answer_shows(sim, cli):
    """A model that does not exist passes the stage of the key and fails at the first token."""
    sim.groq.models = ("another-model",)
    code, out, err = cli("ping", "-p", "groq", "-p", "openai")
    assert code == 1
    assert list(rows(out)) == ["groq", "openai"]
    assert "not_found, HTTP 404" in rows(out)["groq"][-1]
    assert "groq: check GROQ_MODEL" in err


def test_ping_gives_a_silent_provider_up(sim, cli):
    """A black hole costs the connect limit or the first token's, not for ever."""
    code, out, _ = cli(
        "ping",
        "-p",
        "openai",
        "--tokens",
        "0",
        OPENAI_BASE_URL=sim.openai.base_url_for("blackhole"),
        LLM_TIMEOUT="0.3",
    )
    assert code == 1
    assert rows(out)["openai"][-1] == "down: nothing within 0.3 s"


def test_ping_tries_every_key_of_a_list(sim, cli):
    """A revoked key among good ones is found, and shown by its fingerprint."""
    keys = sim.openai.api_keys
    sim.openai.api_keys = keys[:1]
    code, out, err = cli("ping", "-p", "openai", OPENAI_API_KEYS=",".join(keys[1:2]))
    assert code == 1
    assert {name: row[-1] for name, row in rows(out).items()} == {
        "openai.0": "up",
        "openai.1": "down: the key was refused (HTTP 401)",
    }
    assert "openai.1: put a valid key into OPENAI_API_KEY, OPENAI_API_KEYS (now sk-…" in err


def test_ping_accepts_a_server_that_lists_no_models(sim, cli):
    """A gateway without that page is up; it is said that the key went unchecked."""
    sim.openai.script(faults.status(404))
    code, out, _ = cli("ping", "-p", "openai", "--tokens", "0")
    assert code == 0
    assert "not checked (lists no models (HTTP 404), so the key was not checked)" in out
    sim.openai.script(faults.status(404))
    code, out, _ = cli("ping", "-p", "openai", "--tokens", "0", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["providers"][0]["up"]) == (0, True, None)
    sim.openai.script(faults.status(404))
    assert rows(cli("ping", "-p", "openai")[1])["openai"][-1] == "up"


def test_ping_knows_a_key_that_may_not_list_models(sim, cli):
    """A restricted key is refused by that page alone: it is asked for an answer all the same."""
    refusal = "You have insufficient permissions. Missing scopes: api.model.read."
    sim.openai.script(faults.status(403, message=refusal))
    code, out, _ = cli("ping", "-p", "openai", "--tokens", "0")
    assert (code, rows(out)["openai"][-1][:12]) == (0, "not checked ")
    assert "the key may not list models (HTTP 403)" in out
    sim.openai.script(faults.status(403, message=refusal))
    code, out, _ = cli("ping", "-p", "openai")
    assert (code, rows(out)["openai"][-1]) == (0, "up")


def test_ping_does_not_call_up_what_only_litellm_can_reach(sim, cli, tmp_path):
    """No address, no question: nothing was tested, and nothing is claimed."""
    file = tmp_path / "llm.yaml"
    file.write_text(
        "providers:\n  gemini: {model: gemini/gemini-2.0-flash, api_key_env: GEMINI_API_KEY}\n",
        "utf-8",
    )
    command = ("ping", "-p", "gemini", "--tokens", "0", "--config", str(file))
    code, out, err = cli(*command, GEMINI_API_KEY="gem-secret-key")
    assert (code, err) == (0, "")
    assert rows(out)["gemini"][-1].startswith("not checked (LiteLLM knows the address")


@pytest.mark.parametrize(
    ("fault", "others", "advice"),
    [
        (
            faults.rate_limit(retry_after=7),
            "groq",
            (
                "wait 7 s, as it asked (Retry-After), or have its limit raised; "
                "meanwhile the others of the chain answer."
            ),
        ),
        (faults.status(503), "none", "wait, or see its status page."),
    ],
    ids=["429", "503"],
)
def test_ping_advises_to_wait(sim, cli, fault, others, advice):
    """How long, if the provider said so; the others are named only where there are others."""
    sim.openai.always(fault)
    for tokens in ("0", "16"):
        _, out, _ = cli(
            "ping", "-p", "openai", "--json", "--tokens", tokens, LLM_FALLBACK_PROVIDERS=others
        )
        assert json.loads(out)["providers"][0]["advice"] == advice


def test_ping_and_check_number_deployments_alike(sim, cli, tmp_path):
    """From 0, as the pool's ids do."""
    file = tmp_path / "llm.yaml"
    file.write_text(
        "providers:\n  openai:\n    deployments: [{model: gpt-4o}, {model: gpt-4.1}]\n", "utf-8"
    )
    _, out, _ = cli("ping", "-p", "openai", "--tokens", "0", "--config", str(file))
    _, shown, _ = cli("check", "--config", str(file))
    for name, model in (("openai.0", "gpt-4o"), ("openai.1", "gpt-4.1")):
        assert rows(out)[name][0] == model
        assert re.search(rf"{name}.model +{model}", shown)


def test_ping_over_tls(monkeypatch, capsys):
    """The handshake is a stage of its own; a certificate that nobody vouches for is named as such."""
    with Simulator(tls=True) as sim:
        for name, value in sim.environ("openai").items():
            monkeypatch.setenv(name, value)
        assert main(["ping", "--json", "--tokens", "0"]) == 0
        assert json.loads(capsys.readouterr().out)["providers"][0]["milliseconds"]["tls"] > 0
        monkeypatch.delenv("SSL_CERT_FILE")
        assert main(["ping", "--tokens", "0"]) == 1
        assert "certificate is not trusted" in capsys.readouterr().out


# -- ask --------------------------------------------------------------------------------------------


def test_ask_streams_to_a_pipe(sim):
    """As a process: the answer alone on standard output, who gave it on standard error."""
    sim.openai.script(faults.status(500))
    done = process(sim, "ask", "--system", "Be brief", "-", stdin="Why is the sky blue?")
    assert (done.returncode, done.stdout) == (
        0,
        "Hello, this is the simulated azure_openai speaking.\n",
    )
    failed, answered = done.stderr.splitlines()
    assert failed.startswith("-- openai#0 [gpt-4o-mini] server (HTTP 500)")
    assert answered.startswith("-- azure_openai · gpt-4o · ")
    assert sim.azure_openai.requests[0].body["messages"] == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Why is the sky blue?"},
    ]


def test_ask_one_provider_for_one_model(sim, cli):
    """`-p` and `-m` reach the wire; `-q` leaves standard error empty."""
    code, out, err = cli("ask", "-q", "-p", "groq", "-m", "openai/gpt-oss-120b", "Hello", "there")
    assert (code, out, err) == (0, "Hello, this is the simulated groq speaking.\n", "")
    (request,) = sim.groq.requests
    assert (request.body["model"], request.body["messages"][0]["content"]) == (
        "openai/gpt-oss-120b",
        "Hello there",
    )
    assert not sim.openai.requests


def test_ask_as_json(sim, cli):
    """Everything about the answer, with all attempts."""
    sim.openai.script(faults.rate_limit(retry_after=3))
    code, out, err = cli("ask", "--json", "Hello")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["ok"], found["provider"], found["finish_reason"]) == (
        True,
        "azure_openai",
        "stop",
    )
    assert [attempt["kind"] for attempt in found["attempts"]] == ["rate_limit", None]
    assert found["usage"]["total_tokens"] > 0


def test_ask_with_a_schema(sim, cli, tmp_path):
    """The answer is the JSON that the schema asks for; prose is a reason to ask the next provider."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
        "required": ["name", "born"],
        "additionalProperties": False,
    }
    (tmp_path / "person.json").write_text(json.dumps(schema), "utf-8")
    sim.openai.script(replies.text("Ada, of course."))
    sim.azure_openai.script(replies.json({"name": "Ada", "born": 1815}))
    code, out, _ = cli("ask", "--schema", str(tmp_path / "person.json"), "Ada Lovelace")
    assert (code, json.loads(out)) == (0, {"name": "Ada", "born": 1815})
    wanted = sim.azure_openai.requests[0].body["response_format"]
    assert wanted["json_schema"]["schema"]["required"] == ["name", "born"]


def test_ask_when_nobody_answers(sim, cli):
    """Exit code 1, each attempt on a line, and what to do next."""
    for provider in sim:
        provider.refuse()
    code, out, err = cli("ask", "Hello")
    assert (code, out) == (1, "")
    assert [line.split("#")[0] for line in err.splitlines() if line.startswith("  - ")] == [
        f"  - {name}" for name in NAMES
    ]
    assert "`llm-unified ping`" in err


def test_ask_does_not_advise_to_wait_for_a_key(sim, cli):
    """A refused key stays refused; who asked to be left alone is still worth the wait."""
    sim.openai.api_keys = sim.groq.api_keys = ("another",)
    code, _, err = cli("ask", "Hello", LLM_FALLBACK_PROVIDERS="groq")
    assert code == 1
    assert err.endswith("The key of openai, groq was refused: see llm-unified ping.\n")
    assert "Worth asking" not in err
    sim.openai.always(faults.rate_limit(retry_after=7))
    err = cli("ask", "Hello", LLM_FALLBACK_PROVIDERS="groq")[2]
    assert "Worth asking again in 7 s. The key of groq was refused" in err


def test_ask_speaks_of_the_option_when_the_schema_is_not_met(sim, cli, tmp_path):
    """A person who typed `--schema` does not know response_format."""
    (tmp_path / "s.json").write_text('{"type": "object", "required": ["name"]}', "utf-8")
    for provider in sim:
        provider.always(replies.text("Ada, of course."))
    code, _, err = cli("ask", "--schema", str(tmp_path / "s.json"), "Ada")
    assert code == 1
    assert f"does not match --schema {tmp_path / 's.json'}" in err
    assert "response_format" not in err
    assert "ping" not in err


@pytest.mark.full(one_of=3)
@pytest.mark.parametrize(
    ("words", "stdin", "warned"),
    [(["Hi"], "context", True), (["Hi"], "", False), (["Hi", "-"], "context", False)],
    ids=["piped", "empty", "read"],
)
def test_ask_says_that_standard_input_was_not_read(sim, words, stdin, warned):
    """As a process: what was piped in and not asked for is pointed out."""
    done = process(sim, "ask", *words, stdin=stdin)
    assert done.returncode == 0
    assert ("standard input was not read; add - to read it" in done.stderr) is warned


def test_ask_says_when_it_is_worth_asking_again(sim, cli):
    """Everybody asked to be left alone: the shortest wait is named."""
    sim.openai.always(faults.rate_limit(retry_after=20))
    sim.groq.always(faults.rate_limit(retry_after=7))
    code, _, err = cli("ask", "Hello", LLM_FALLBACK_PROVIDERS="groq")
    assert code == 1
    assert "Worth asking again in 7 s." in err


def test_ask_what_the_provider_calls_wrong(sim, cli):
    """The caller's own fault has exit code 2: nobody is down."""
    sim.openai.always(faults.bad_request())
    code, out, err = cli("ask", "Hello")
    assert (code, out) == (2, "")
    assert "openai refused the request" in err


# -- drill ------------------------------------------------------------------------------------------


def test_drill_breaks_each_in_turn_and_more_and_more(sim, cli):
    """Nobody, one, then all but the last; what is broken gets no request at all."""
    code, out, err = cli("drill", "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (0, "", True)
    assert [(case["broken"], case["answered_by"]) for case in found["cases"]] == [
        ([], "openai"),
        (["openai"], "azure_openai"),
        (["azure_openai"], "openai"),
        (["groq"], "openai"),
        (["anthropic"], "openai"),
        (["openai", "azure_openai"], "groq"),
        (["openai", "azure_openai", "groq"], "anthropic"),
    ]
    assert [len(provider.requests) for provider in sim] == [4, 1, 1, 1]


def test_drill_finds_the_provider_that_could_not_take_over(sim, cli):
    """A fallback with a dead key is found before it is needed: exit code 1."""
    sim.groq.api_keys = ("another",)
    environ = {"LLM_FALLBACK_PROVIDERS": "groq"}
    code, out, err = cli("drill", **environ)
    assert code == 1
    assert rows(out)["openai"][:1] == ["NOBODY"]
    assert rows(out)["openai"][-1] == "openai: connection, groq: auth"
    assert "Nobody answers with openai broken." in err


def test_drill_warns_of_a_provider_that_fails_by_itself(sim, cli):
    """Somebody else answers, but the primary is dead although nobody broke it: exit code 1."""
    sim.openai.api_keys = ("another",)
    code, out, err = cli("drill", LLM_FALLBACK_PROVIDERS="groq,anthropic")
    assert code == 1
    assert "ok:" not in out
    warning = "openai fails although nobody broke it (auth)"
    assert err == f"warning: {warning}; see llm-unified ping\n"
    code, out, _ = cli("drill", "--json", LLM_FALLBACK_PROVIDERS="groq,anthropic")
    found = json.loads(out)
    assert (code, found["ok"], found["warnings"]) == (1, False, [warning])


def test_drill_says_first_how_long_silence_may_take(sim, cli):
    """Nobody has to guess whether it hangs itself."""
    environ = {"LLM_TIMEOUT": "0.6", "LLM_FALLBACK_PROVIDERS": "groq", "LLM_RETRIES": "0"}
    _, out, _ = cli("drill", "--hang", **environ)
    assert "this may take up to 1 s" in out.splitlines()[1]


def test_drill_with_one_provider_says_so(sim, cli):
    """Alone means that nobody takes over."""
    code, _, err = cli("drill", LLM_FALLBACK_PROVIDERS="none", LLM_ENABLE_FALLBACK="true")
    assert code == 1
    assert "It is alone in the chain" in err


def test_drill_with_silence_shows_what_the_limits_cost(sim, cli, tmp_path):
    """`--hang`: the broken one accepts and says nothing, so failover takes one attempt's limit."""
    config = tmp_path / "llm.yaml"
    config.write_text("providers:\n  openai:\n    timeout: 0.4\n", "utf-8")
    more = ("--config", str(config))
    code, out, _ = cli("drill", "--hang", "--json", *more, LLM_FALLBACK_PROVIDERS="groq")
    hanging = json.loads(out)["cases"][1]
    assert (code, hanging["answered_by"]) == (0, "groq")
    silent, _ = hanging["attempts"]
    assert (silent["kind"], silent["reason"]) == ("timeout", "no answer within 0.40 s")
    assert hanging["lost_milliseconds"] == pytest.approx(silent["seconds"] * 1000, abs=0.1)


def test_what_drill_breaks_cannot_be_reached(sim):
    """Address, key and vendor are replaced, also of the embedded model and of LiteLLM's own vendors."""
    from llm_unified.cli.drill import with_broken

    settings = load_settings(
        sim.environ("openai"),
        fallback_providers=["gemini", "local"],
        enable_fallback=True,
        providers={"gemini": {"model": "gemini/gemini-2.0-flash", "api_key": "gem-secret-key"}},
    )
    broken = with_broken(settings, settings.chain, "http://127.0.0.1:9")
    assert broken.chain == ("openai", "gemini", "local!")
    for provider in broken.providers:
        (deployment,) = provider.deployments
        assert deployment.api_base == "http://127.0.0.1:9"
        assert deployment.litellm_model.startswith("openai/")
    assert broken.secrets() == ("drill",)


# -- watch ------------------------------------------------------------------------------------------


def test_watch_prints_a_line_per_round(sim, cli):
    """In a pipe: the moment, then every provider; the last round decides the exit code."""
    sim.groq.script(faults.status(500))
    code, out, _ = cli("watch", "--count", "2", "--every", "0.05")
    first, second = out.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", first)
    assert "groq DOWN (server, HTTP 500" in first
    assert re.search(r"groq up [\d.]+ ms", second)
    assert code == 0


def test_watch_as_json_lines(sim, cli):
    """One object per round with health, turn, latency and errors."""
    sim.groq.always(faults.status(500))
    code, out, _ = cli("watch", "--tokens", "16", "--count", "2", "--every", "0.05", "--json")
    rounds = [json.loads(line) for line in out.splitlines()]
    assert (code, [r["round"] for r in rounds], rounds[1]["ok"]) == (1, [1, 2], False)
    last = rounds[1]["providers"]
    assert (last["groq"]["up"], last["groq"]["errors"], last["groq"]["requests"]) == (False, 2, 2)
    assert (last["openai"]["health"], last["openai"]["turn"]) == ("healthy", "openai#1")
    assert last["openai"]["first_token_ms"] > 0


def test_watch_in_a_terminal_shows_a_table(sim, cli, monkeypatch):
    """The same as a table that is drawn anew."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    sim.groq.always(faults.status(500))
    code, out, _ = cli("watch", "--count", "2", "--every", "0.05", NO_COLOR="1")
    assert code == 1
    assert "round 2" in out
    assert "last problem" in out
    assert "server, HTTP 500" in out


def test_a_terminal_without_rich_gets_what_a_pipe_gets(sim, cli, monkeypatch):
    """The extra `cli` is a convenience: no command needs it, nothing is said about it."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "rich", None)
    code, out, err = cli("watch", "--count", "2", "--every", "0.05")
    assert (code, err) == (0, "")
    assert "round 1" in out
    assert "round 2" in out
    assert "\x1b" not in out
    code, out, err = cli("ping")
    assert (code, err) == (0, "")
    assert "FIRST TOKEN" in out.upper()


def test_watch_ends_with_control_c(sim):
    """As a process: the line of the round, then exit code 130 without a traceback."""
    command = [*COMMAND, "watch", "--every", "60", "-p", "openai"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **sim.environ("openai")}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert "openai up" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, out, err) == (130, "", "")


# -- a terminal -------------------------------------------------------------------------------------


def terminal(sim, *arguments, columns=80, names=NAMES, **environ):
    """What a terminal of this width gets, with and without its escape sequences."""
    pty, fcntl = pytest.importorskip("pty"), pytest.importorskip("fcntl")
    ours, theirs = pty.openpty()
    size = struct.pack("HHHH", 50, columns, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", **environ}
    command = [*COMMAND, *arguments]
    environ = {**kept, **sim.environ(*names)}
    with subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # a terminal that nobody holds any more
            while part := os.read(ours, 4096):
                said += part
    os.close(ours)
    raw = said.decode()
    return raw, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", raw)


@pytest.mark.full(one_of=2)
@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        (["check"], ["$AZURE_OPENAI_API_VERSION", "azure_openai, groq, anthropic"]),
        (
            ["watch", "--count", "1", "--tokens", "16"],
            ["last problem", "server, HTTP 500: internal_server_error"],
        ),
        (["ping"], ["FIRST TOKEN", "down: the provider is in trouble (HTTP 500)"]),
        (["drill"], ["openai: connection, azure_openai: connection, groq: server"]),
    ],
    ids=lambda value: value[0],
)
def test_a_terminal_of_80_columns_loses_nothing(sim, arguments, whole):
    """No line of a table is longer, and what had to be folded is there."""
    for provider in sim:
        provider.always(replies.auto())
    sim.groq.always(faults.status(500))
    raw, text = terminal(sim, *arguments)
    lines = [line.split("\r")[-1].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    prose = re.compile(r"(ok|hint|warning|groq):")
    assert [line for line in lines if len(line) > 80 and not prose.match(line)] == []
    flat = " ".join(text.split())
    found = [words for words in whole if words in flat or _folded(words, lines)]
    assert found == whole, text
    assert "\x1b[3" in raw  # colours


def _folded(words, lines):
    """Whether the words stand one below the other in the last column."""
    pattern = r"\s+(?:\S.*?\s{2,})?".join(map(re.escape, words.split()))
    return re.search(pattern, "\n".join(lines)) is not None


@pytest.mark.full(one_of=4)
@pytest.mark.parametrize("words", [["ping"], ["ask", "Hi"], ["drill"], ["watch", "--count", "1"]])
def test_what_takes_over_a_second_shows_progress(sim, words):
    """A terminal sees at once what is being done, and nothing of it stays; a program sees none."""
    raw, _ = terminal(sim, *words)
    begun = raw.index("⠋")
    assert any(word in raw[begun : begun + 40] for word in ("asking", "1 of"))
    assert "\x1b[2K" in raw[begun:]  # wiped
    assert "⠋" not in terminal(sim, *words, "--json")[0]


def test_a_dumb_terminal_gets_nothing_but_text(sim):
    """No colours, no progress, no cursor that moves; folded all the same."""
    raw, _ = terminal(sim, "ping", "--tokens", "0", TERM="dumb")
    assert "\x1b" not in raw
    assert "⠋" not in raw
    assert max(map(len, raw.splitlines())) <= 80


# -- secrets ----------------------------------------------------------------------------------------


def test_no_command_shows_a_secret_that_an_upstream_echoes(sim, cli):
    """Every provider echoes the request's headers in its errors; the fixture looks at all output."""
    for provider in sim:
        provider.always(faults.echo_secrets())
    for command in (
        ["ask", "Hi"],
        ["ask", "--json", "Hi"],
        ["ping"],
        ["ping", "--json"],
        ["drill"],
    ):
        assert cli(*command)[0] in (1, 2)
    cli("watch", "--count", "1", "--json")
