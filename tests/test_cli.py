"""What an operator types and reads; nothing here needs a provider. Driven as a process, like a stranger."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from llm_unified.cli import main
from llm_unified.cli.commands import cli
from tests.hang import HANG_SECONDS

ROOT = Path(__file__).parent.parent
SCRIPT = Path(sys.executable).parent / "llm-unified"
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "llm_unified"]
HELP = Path(__file__).with_name("test_cli_help.txt")
KEYS = {
    "OPENAI_API_KEY": "sk-proj-abcdefghijklmnopqrstuvwxyz0001",
    "GROQ_API_KEY": "gsk_abcdefghijklmnopqrstuvwxyz0002",
}


def run(*arguments, stdin="", **environ):
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environ},
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=HANG_SECONDS,
        check=False,
    )


def table(text):
    """The rows of a printed table, by their first word."""
    return {line.split()[0]: line.split(maxsplit=2) for line in text.splitlines() if "  " in line}


def test_check_shows_values_with_their_origins(tmp_path):
    """Each value names the variable or the line it comes from; keys are fingerprints."""
    file = tmp_path / "llm.yaml"
    file.write_text("pool_size: 5\nproviders:\n  groq:\n    model: llama-x\n", "utf-8")
    done = run("check", "--config", str(file), **KEYS, LLM_TIMEOUT="20")
    assert (done.returncode, done.stderr) == (0, "")
    rows = table(done.stdout)
    assert rows["pool_size"][1:] == ["5", f"YAML {file}:1"]
    assert rows["timeout"][1] == "20"
    assert rows["timeout"][2].endswith("$LLM_TIMEOUT")
    assert rows["groq.model"][1:] == ["llama-x", f"YAML {file}:4"]
    assert "sk-…0001 (sha256:" in done.stdout
    assert done.stdout.startswith("chain: openai → groq\n")
    assert not [key for key in KEYS.values() if key in done.stdout + done.stderr]


def test_check_as_json():
    """A program reads values, origins and hints; keys are fingerprints there, too."""
    done = run("check", "--json", **KEYS, LLM_POOL_SIZE="1", LLM_POOLSIZE="2")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["chain"]) == (0, True, ["openai", "groq"])
    assert found["settings"]["pool_size"] == {"value": 1, "origin": "environment LLM_POOL_SIZE"}
    assert found["settings"]["deadline"] == {"value": 120.0, "origin": "default"}
    assert found["providers"]["groq"]["api_key"]["value"][0].startswith("…0002 (sha256:")
    assert any("did you mean LLM_POOL_SIZE" in hint for hint in found["hints"])
    assert any("a pool of one" in hint for hint in found["hints"])
    assert not [key for key in KEYS.values() if key in done.stdout]


def test_check_names_all_problems_at_once():
    """Exit code 2, every problem with its variable, nothing that looks like a program's crash."""
    done = run("check", LLM_POOL_SIZE="99", LLM_TIMEOUT="soon", LLM_PRIMARY_PROVIDER="grok")
    assert (done.returncode, done.stdout) == (2, "")
    assert "3 problems" in done.stderr
    for words in ("LLM_POOL_SIZE must be", "LLM_TIMEOUT must be", "did you mean groq"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    problems = json.loads(run("check", "--json", LLM_POOL_SIZE="99").stdout)
    assert problems["ok"] is False
    assert any("LLM_POOL_SIZE" in text for text in problems["problems"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"GROQ_API_KEY": ""}, "openai is alone: when it fails, nobody takes over"),
        ({"LLM_ENABLE_FALLBACK": "off"}, "LLM_ENABLE_FALLBACK is off: when openai fails"),
        ({"LLM_FALLBACK_PROVIDERS": "none"}, "groq is configured but not in the chain"),
        ({"LLM_POOL_SIZE": "1"}, "a pool of one"),
        ({"LLM_WARM_PROBE": "connection"}, "LLM_WARM_PROBE: without effect while"),
        ({"LLM_DEADLINE": "5"}, "LLM_TIMEOUT (60 s) is longer than LLM_DEADLINE (5 s)"),
        ({"OPENAI_BASE_URL": "http://gateway:8080"}, "openai: http:// sends the key"),
        ({"OPENAI_API_BASE": "http://x"}, "OPENAI_API_BASE is set but unknown, did you mean"),
        ({"GROQ_ENABLED": "false"}, "groq is switched off"),
        ({"AZURE_OPENAI_API_KEY": "azure-key-1"}, "azure_openai has no endpoint. Set AZURE_"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_hints_for_what_is_allowed_and_hardly_meant(changes, words, monkeypatch, capsys):
    """Each names the variable; where nothing is odd nothing is said."""
    for name, value in (KEYS | changes).items():
        monkeypatch.setenv(name, value)
    assert main(["check"]) == 0
    said = capsys.readouterr().out
    assert words in said
    assert ("hint:" in said) is bool(words)


def test_check_is_quick_and_never_loads_litellm():
    """At most twice the function calls of importing what it stands on."""
    programs = {
        "check": "from llm_unified.cli import main; main(['check'])",
        "below": "import click, pydantic_settings, yaml, asyncio",
    }
    counted = {}
    for name, work in programs.items():
        program = f"""
import sys
calls = 0
def count(frame, event, argument):
    global calls
    calls += event in ("call", "c_call")
sys.setprofile(count)
{work}
sys.setprofile(None)
print({{"litellm", "openai", "httpx", "aiohttp", "rich", "typer"}} & set(sys.modules))
print(calls)
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **KEYS},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        )
        *_, heavy, counted[name] = done.stdout.splitlines()
        assert heavy == "set()"
    assert int(counted["check"]) < 2 * int(counted["below"]), counted


def test_a_pipe_that_closes_early_is_no_error():
    """`llm-unified check | head -1` ends without a word on standard error."""
    done = subprocess.run(
        f"{subprocess.list2cmdline(COMMAND)} check --all | head -1",
        shell=True,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **KEYS},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.stdout, done.stderr) == ("chain: openai → groq\n", "")


@pytest.mark.skipif(
    shutil.which("script") is None, reason="needs script(1), which makes a terminal"
)
@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_only_in_a_terminal_and_only_if_wanted(no_color, coloured):
    """NO_COLOR is respected in a terminal; a pipe gets an escape sequence only by FORCE_COLOR."""
    environ = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "TERM": "xterm", **KEYS}
    command = subprocess.list2cmdline([*COMMAND, "check"])
    done = subprocess.run(
        ["script", "-qec", command, os.devnull],
        env={**environ, "NO_COLOR": no_color},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (b"\x1b[" in done.stdout) is coloured
    assert "\x1b[" not in run("check", TERM="xterm", **KEYS).stdout
    forced = run("check", FORCE_COLOR="1", NO_COLOR=no_color, **KEYS).stdout
    assert ("\x1b[" in forced) is coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", forced)
    assert [line.rstrip() for line in plain.splitlines()] == run(
        "check", **KEYS
    ).stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek"], "there is no command 'chek', did you mean check?"),
        (["check", "--config", "nowhere.yaml"], "--config nowhere.yaml: there is no such file"),
        (["ping", "--tokens", "-1"], "--tokens: -1 is not in the range 0<=x<=4096"),
        (["ping", "-p", "grok"], "no such provider, did you mean groq?"),
        (["watch", "--every", "0"], "--every: must be a number of seconds above 0"),
        (["ask", "--schema", "nowhere.json", "Hi"], "--schema nowhere.json: No such file"),
        (["ask", ""], "the question is empty"),
        (["ask", "-p", "mistral", "Hi"], "no such provider. Configured are openai, groq"),
        (["ping", "groq"], "'groq' is one argument too many, did you mean -p groq?"),
        (["ping", "groq", "openai"], "Try `llm-unified ping --help`."),
        (
            ["ping", "--tokes", "0"],
            "llm-unified ping: there is no option --tokes, did you mean --t",
        ),
        (["--jsn", "check"], "there is no option --jsn, did you mean --json?"),
        (["check", "--config", "."], "--config .: this is a folder. Name the YAML file in it."),
        (["vendor", "my-app/llm"], "'my-app' is no name of a Python package"),
        (["vendor", "services/class"], "'class' is no name of a Python package"),
        (["export", "terraform"], "'terraform' is not one of 'litellm-proxy', 'env'"),
        (["vendor"], "llm-unified vendor: Missing argument 'DIR'"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_answered_with_the_next_step(arguments, words, monkeypatch, capsys):
    """Exit code 2 and one clear sentence, no traceback."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    code = main(arguments)
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert words in said.err


def test_a_schema_that_is_none_is_refused_before_anybody_is_asked(tmp_path, monkeypatch, capsys):
    """The message says what is wrong with the file."""
    monkeypatch.setenv("OPENAI_API_KEY", KEYS["OPENAI_API_KEY"])
    for text, words in (("{", "not JSON"), ("[]", "must be an object")):
        (tmp_path / "schema.json").write_text(text, "utf-8")
        assert main(["ask", "--schema", str(tmp_path / "schema.json"), "Hi"]) == 2
        assert words in capsys.readouterr().err


def test_common_options_stand_before_or_after_the_command(tmp_path):
    """`--json check` and `check --json` are the same."""
    file = tmp_path / "llm.yaml"
    file.write_text("pool_size: 2\n", "utf-8")
    before = run("--config", str(file), "--json", "check", **KEYS)
    after = run("check", "--config", str(file), "--json", **KEYS)
    assert before.stdout == after.stdout
    assert json.loads(before.stdout)["settings"]["pool_size"]["value"] == 2


def test_version_says_what_a_bug_report_needs(capsys):
    """Ours, LiteLLM's and Python's."""
    assert main(["--version"]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r"llm-unified \d\S+ \(LiteLLM 1\.\S+, Python 3\.\S+\)\n", said)


def test_without_a_command_the_help_is_shown():
    """A script that forgot the command fails; a person sees what there is."""
    done = run()
    assert done.returncode == 2
    assert "examples:" in done.stdout
    assert "llm-unified drill" in done.stdout


def test_every_help_is_as_it_was_reviewed():
    """The texts are checked in; `python tests/test_cli.py` writes them anew."""
    assert HELP.read_text("utf-8") == helps()


def parsed(words):
    """The command that the words start, its arguments read and checked."""
    name, command, words = cli.resolve_command(click.Context(cli), words)
    return command.make_context(name, words)


def test_every_command_has_examples_that_parse():
    """What the help shows can be typed."""
    for name, command in cli.commands.items():
        lines = command.epilog.splitlines()[2:]
        assert lines, name
        for line in lines:
            typed = re.search(r"llm-unified (.*?)(?:\)\"|  | [|>&]|$)", line)[1]
            assert parsed(shlex.split(typed)).info_name == name


def test_export_env_is_sourced_by_a_shell():
    """`llm-unified export env > llm.env` and `. llm.env`: the same chain, and no key in the file."""
    lines = run("export", "env", **KEYS, LLM_POOL_SIZE="4").stdout
    assert not [key for key in KEYS.values() if key in lines]
    pairs = dict(line.split("=", 1) for line in lines.splitlines() if line and line[0] != "#")
    found = json.loads(run("check", "--json", **KEYS, **pairs).stdout)
    assert found["chain"] == ["openai", "groq"]
    assert found["settings"]["pool_size"]["value"] == 4


def test_export_litellm_proxy_prints_yaml_without_keys():
    """Keys are references; the head tells which variables to set."""
    import yaml

    done = run("export", "litellm-proxy", **KEYS)
    assert (done.returncode, done.stderr) == (0, "")
    assert not [key for key in KEYS.values() if key in done.stdout]
    config = yaml.safe_load(done.stdout)
    assert [row["model_name"] for row in config["model_list"]] == ["openai", "groq"]
    assert (
        "# Set where the proxy runs: LITELLM_MASTER_KEY, OPENAI_API_KEY, GROQ_API_KEY."
        in done.stdout
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_of_the_shell(shell, capsys):
    """The script asks this program at every Tab; where the shell is installed, it accepts the script."""
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_LLM_UNIFIED_COMPLETE={shell}_complete" in script
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def test_check_shows_several_deployments_and_hides_passwords(tmp_path, monkeypatch, capsys):
    """A number tells deployments apart; a Redis is shown without its password; --all shows everything."""
    file = tmp_path / "llm.yaml"
    file.write_text(
        "fallback_on: [rate_limit, server]\n"
        "providers:\n"
        "  openai:\n"
        "    timeout: 9\n"
        "    deployments:\n"
        "      - {model: gpt-4o, weight: 2, base_url: 'http://localhost:1'}\n"
        "      - {model: gpt-4.1, input_cost_per_token: 0.001}\n",
        "utf-8",
    )
    environ = {
        "OPENAI_API_KEY": KEYS["OPENAI_API_KEY"],
        "OPENAI_MODEL": "gpt-5",
        "LLM_REDIS_URL": "redis://user:s3cr3t-word@cache/2",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "--all", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    rows = table(said)
    assert rows["openai.timeout"][1] == "9"
    assert rows["openai.0.model"][1:] == ["gpt-4o", f"YAML {file}:6"]
    assert rows["openai.0.weight"][1] == "2"
    assert rows["openai.1.input_cost_per_token"][1] == "0.001"
    assert rows["openai.1.api_key"][2].endswith("$OPENAI_API_KEY")
    assert rows["redis_url"][1] == "redis://cache:6379/2"
    assert rows["fallback_on"][1] == "rate_limit,"
    assert rows["warm_probe"][2] == "default"
    assert "s3cr3t" not in said
    assert "hint: OPENAI_MODEL is without effect" in said


def test_exports_and_vendor_as_json(tmp_path, monkeypatch, capsys):
    """Every command has JSON for programs, these three too; keys may come from LLM_ENV_FILE."""
    (tmp_path / ".env").write_text(f"GROQ_API_KEY={KEYS['GROQ_API_KEY']}\n", "utf-8")
    monkeypatch.setenv("LLM_ENV_FILE", str(tmp_path / ".env"))
    found = []
    for command in (
        ["export", "env"],
        ["export", "litellm-proxy"],
        ["vendor", str(tmp_path / "x")],
    ):
        assert main([*command, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["LLM_PRIMARY_PROVIDER"] == "groq"
    assert found[1]["model_list"][0]["litellm_params"]["api_key"] == "os.environ/GROQ_API_KEY"
    assert set(found[2]["files"].values()) == {"written"}
    (tmp_path / "x" / "connection_warmer.py").write_text("", "utf-8")
    assert main(["vendor", str(tmp_path / "x"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["files"]["connection_warmer.py"] == "differs"


def test_the_embedded_model_cannot_be_exported(monkeypatch, capsys):
    """It lives in the service's process; the message says what to do."""
    monkeypatch.setenv("LLM_PRIMARY_PROVIDER", "local")
    assert main(["export", "litellm-proxy"]) == 2
    assert "Set the key of a provider" in capsys.readouterr().err
    assert main(["check"]) == 0
    assert "hint" not in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_completes():
    """In a real bash: a command, an option of it, a word of an argument."""
    script = run("completion", "bash").stdout
    cases = {
        "llm-unified dr": "drill",
        "llm-unified ask --sy": "--system",
        "llm-unified export e": "env",
        "llm-unified ping -p gr": "groq",
    }
    for typed, expected in cases.items():
        words = typed.split()
        program = (
            f"{script}\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1};"
            '_llm_unified_completion llm-unified; echo "${COMPREPLY[*]}"'
        )
        path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", program],
            env={"PATH": path, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert (done.stdout.strip(), done.stderr) == (expected, "")


@pytest.mark.parametrize("page", ["runbook.md", "migration.md", "observability.md"])
def test_every_command_in_the_documents_exists(page):
    """What a page tells to type is understood, option by option."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    typed = re.findall(r"^ *\$ (.*)$|`(llm-unified [^`]+)`", text, re.MULTILINE)
    commands = {first or second for first, second in typed}
    assert commands
    for command in commands:
        words = shlex.split(re.split(r" [|>&]+ ", command)[0])
        words = words[words.index("llm-unified") + 1 :]
        assert words == ["--version"] or parsed(words)


def helps():
    names = [[], *([name] for name in cli.commands)]
    texts = [
        CliRunner().invoke(cli, [*name, "-h"], prog_name="llm-unified").output for name in names
    ]
    return "\n\n".join(f"{'=' * 80}\n{text}".rstrip() for text in texts) + "\n"


if __name__ == "__main__":
    HELP.write_text(helps(), "utf-8")
