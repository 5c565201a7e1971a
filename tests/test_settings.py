"""Environment, .env file and arguments → settings, or every problem at once."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from llm_unified.errors import ConfigurationError
from llm_unified.failures.table import FALLBACK_KINDS
from llm_unified.response import FailureKind
from llm_unified.settings import (
    DeploymentSettings,
    ProviderSettings,
    Settings,
    fingerprint,
    load_settings,
)
from llm_unified.settings.options import KNOWN_VARIABLES, OPTIONS, typos

OPENAI = {"OPENAI_API_KEY": "sk-openai-0123456789abcdef"}
GROQ = {"GROQ_API_KEY": "gsk_groq0123456789abcdef"}
ANTHROPIC = {"ANTHROPIC_API_KEY": "sk-ant-0123456789abcdef"}
AZURE = {
    "AZURE_OPENAI_API_KEY": "azurekey0123456789abcdef",
    "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com",
    "AZURE_OPENAI_DEPLOYMENT": "gpt-4",
}
FOUR = OPENAI | GROQ | ANTHROPIC | AZURE


def problems(environ, **overrides):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ, **overrides)
    return caught.value.problems


def events(environ, **overrides):
    with capture_logs() as logs:
        load_settings(environ, **overrides)
    return logs


# --- Who is asked


def test_nothing_configured_says_exactly_what_to_set():
    """The very first error is a set of instructions, and names the way without a key."""
    (problem,) = problems({})
    assert "OPENAI_API_KEY" in problem
    assert "AZURE_OPENAI_DEPLOYMENT" in problem
    assert "LLM_PRIMARY_PROVIDER=local" in problem


def test_a_lone_env_file_is_mentioned_and_not_read(tmp_path, monkeypatch):
    """Whoever expects that ``.env`` is found learns how; else nobody looks for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OPENAI_API_KEY=k")
    nothing, remark = problems({})
    assert "without the service's environment" in nothing
    assert "LLM_ENV_FILE=.env" in remark
    assert load_settings({"LLM_ENV_FILE": ".env"}).chain == ("openai",)
    assert events(GROQ) == []


def test_the_head_of_a_list_that_names_everybody_is_the_primary():
    """And the origin says so."""
    settings = load_settings(OPENAI | GROQ | {"LLM_FALLBACK_PROVIDERS": "groq,openai"})
    assert settings.chain == ("groq", "openai")
    origin = "first of environment LLM_FALLBACK_PROVIDERS"
    assert settings.origins["primary_provider"] == origin


def test_the_origin_of_a_chain_without_a_switched_off_provider_says_so():
    """The environment did not say what is shown, so it is not named alone."""
    named = {"LLM_PRIMARY_PROVIDER": "openai", "LLM_FALLBACK_PROVIDERS": "groq,anthropic"}
    origins = load_settings(FOUR | named | {"OPENAI_ENABLED": "false"}).origins
    assert origins["primary_provider"] == "openai is switched off"
    assert origins["fallback_providers"].endswith("LLM_FALLBACK_PROVIDERS, openai is switched off")
    origins = load_settings(FOUR | named).origins
    assert origins["primary_provider"] == "environment LLM_PRIMARY_PROVIDER"


@pytest.mark.parametrize(
    "key", ["sk-...", "<your-key>", "changeme", "xxxxxxxx", "your-api-key", "sk-your-api-key-here"]
)
def test_a_placeholder_is_pointed_out_and_not_shown(key):
    """A template that nobody filled in; the remark names the variable only."""
    (event,) = events({"GROQ_API_KEY": key})
    assert event["remark"] == "GROQ_API_KEY looks like a placeholder."
    assert events(FOUR) == []


def test_an_unknown_variable_with_our_prefix_is_pointed_out():
    """The prefix is ours; the command's own variables are exempt."""
    (event,) = events(GROQ | {"LLM_COLOUR": "red", "LLM_UNIFIED_LOG": "x"})
    assert event["remark"] == "LLM_COLOUR is set but is not read."
    (event,) = events(GROQ | {"LLM_PRIMARY": "groq"})
    assert event["did_you_mean"] == "LLM_PRIMARY_PROVIDER"


def test_without_a_word_all_that_have_a_key_are_asked_in_a_fixed_order():
    """One key is enough; several make a chain, and the origin says that it is a default."""
    assert load_settings(GROQ).chain == ("groq",)
    settings = load_settings(FOUR)
    assert settings.chain == ("openai", "azure_openai", "groq", "anthropic")
    assert settings.origins["primary_provider"] == "default"


def test_the_chain_is_as_named_each_provider_once():
    """Case, spaces, dashes and repetitions do not matter."""
    environ = FOUR | {
        "LLM_PRIMARY_PROVIDER": " Groq ",
        "LLM_FALLBACK_PROVIDERS": "azure-openai, groq,,OPENAI , openai",
    }
    settings = load_settings(environ)
    assert settings.chain == ("groq", "azure_openai", "openai")
    assert settings.primary_provider == "groq"
    assert settings.fallback_providers == ("azure_openai", "openai")
    assert [p.name for p in settings.providers] == ["groq", "azure_openai", "openai", "anthropic"]


def test_fallbacks_alone_leave_the_first_other_one_as_primary():
    """Whoever names openai as the fallback does not want it first."""
    settings = load_settings(OPENAI | GROQ, fallback_providers="openai")
    assert settings.chain == ("groq", "openai")
    assert load_settings(GROQ, fallback_providers=["groq"]).chain == ("groq",)


def test_fallback_can_be_switched_off():
    """``LLM_ENABLE_FALLBACK=false`` leaves the primary, and so does ``none``."""
    assert load_settings(FOUR | {"LLM_ENABLE_FALLBACK": "no"}).chain == ("openai",)
    assert load_settings(FOUR | {"LLM_FALLBACK_PROVIDERS": "none"}).chain == ("openai",)


def test_local_is_chosen_by_name_only_and_brings_nobody_along():
    """The embedded model is never a surprise, and does not turn into a bill."""
    assert load_settings({"LLM_PRIMARY_PROVIDER": "local"}).chain == ("local",)
    assert load_settings(FOUR | {"LLM_PRIMARY_PROVIDER": "local"}).chain == ("local",)
    assert "local" not in {p.name for p in load_settings(FOUR).providers}
    assert load_settings(OPENAI | {"LLM_FALLBACK_PROVIDERS": "local"}).chain == ("openai", "local")


@pytest.mark.parametrize(
    ("name", "meant"), [("azure", "azure_openai"), ("claude", "anthropic"), ("gorq", "groq")]
)
def test_an_unknown_provider_is_answered_with_the_one_that_was_meant(name, meant):
    """Friendly names and slips get a did-you-mean."""
    (problem,) = problems(FOUR | {"LLM_PRIMARY_PROVIDER": name})
    assert problem.startswith("LLM_PRIMARY_PROVIDER")
    assert f"did you mean {meant}?" in problem


def test_a_provider_switched_off_is_left_out_with_one_line():
    """It may stay named in the chain; one event tells."""
    environ = FOUR | {"GROQ_ENABLED": "false", "LLM_FALLBACK_PROVIDERS": "groq,anthropic"}
    assert load_settings(environ).chain == ("openai", "anthropic")
    assert events(environ) == [
        {"event": "provider_disabled", "provider": "groq", "log_level": "info"}
    ]


def test_a_primary_switched_off_is_replaced_by_the_first_fallback_with_a_warning():
    """Switching the primary in one edit works, and is not silent."""
    environ = FOUR | {
        "LLM_PRIMARY_PROVIDER": "openai",
        "LLM_FALLBACK_PROVIDERS": "groq,anthropic",
        "OPENAI_ENABLED": "0",
    }
    assert load_settings(environ).chain == ("groq", "anthropic")
    assert {
        "event": "primary_replaced",
        "primary_provider": "groq",
        "disabled": "openai",
        "log_level": "warning",
    } in events(environ)


def test_all_switched_off_is_an_error_that_names_the_switch():
    """The operator learns which variable did it."""
    (problem,) = problems(OPENAI | {"OPENAI_ENABLED": "false"})
    assert "OPENAI_ENABLED" in problem


@pytest.mark.parametrize("variable", ["LLM_PRIMARY_PROVIDER", "LLM_FALLBACK_PROVIDERS"])
def test_a_named_provider_without_its_key_is_an_error(variable):
    """The message names the variable to set and the ways out."""
    (problem,) = problems(OPENAI | {variable: "groq"})
    assert "GROQ_API_KEY" in problem
    assert variable in problem
    assert "GROQ_ENABLED=false" in problem


def test_an_enabled_provider_without_its_key_is_an_error():
    """``GROQ_ENABLED=true`` is a wish to use it."""
    (problem,) = problems(OPENAI | {"GROQ_ENABLED": "true"})
    assert "GROQ_API_KEY" in problem


def test_half_an_azure_that_nobody_named_is_a_warning():
    """Other software uses the same variables; but the operator can find out."""
    environ = OPENAI | {"AZURE_OPENAI_API_KEY": "azurekey0123456789abcdef"}
    assert load_settings(environ).chain == ("openai",)
    (event,) = events(environ)
    assert (event["event"], event["provider"]) == ("provider_incomplete", "azure_openai")
    assert any("AZURE_OPENAI_ENDPOINT" in text for text in event["missing"])


# --- Values


def test_the_defaults_are_the_documented_ones():
    """What nobody sets is what the table says."""
    settings = load_settings(OPENAI)
    for option in OPTIONS[2:]:
        assert getattr(settings, option.name) == option.default
        assert settings.origins[option.name] == "default"
    assert settings.fallback_on == frozenset(FailureKind) - {
        FailureKind.BAD_REQUEST,
        FailureKind.CANCELLED,
    }


def test_every_global_variable_arrives():
    """Each of the documented names sets its attribute, and its origin names it."""
    given_values = {
        "LLM_ENABLE_FALLBACK": ("false", False),
        "LLM_POOL_SIZE": ("5", 5),
        "LLM_ENABLE_CONNECTION_WARMING": ("true", True),
        "LLM_KEEP_ALIVE_INTERVAL": ("15", 15.0),
        "LLM_WARM_ON_STARTUP": ("off", False),
        "LLM_WARM_PROBE": ("Connection", "connection"),
        "LLM_TIMEOUT": ("20", 20.0),
        "LLM_CONNECT_TIMEOUT": ("500ms", 0.5),
        "LLM_FIRST_TOKEN_TIMEOUT": ("7.5", 7.5),
        "LLM_STREAM_IDLE_TIMEOUT": ("8s", 8.0),
        "LLM_DEADLINE": ("2m", 120.0),
        "LLM_COOLDOWN": ("0", 0.0),
        "LLM_FAILURE_THRESHOLD": ("1", 1),
        "LLM_RETRIES": ("2", 2),
        "LLM_ADAPT": ("false", False),
        "LLM_FALLBACK_ON": ("server, Rate-Limit", {FailureKind.SERVER, FailureKind.RATE_LIMIT}),
        "LLM_REDIS_URL": ("redis://h/0", SecretStr("redis://h/0")),
    }
    settings = load_settings(OPENAI | {name: text for name, (text, _) in given_values.items()})
    for variable, (_, expected) in given_values.items():
        name = variable.removeprefix("LLM_").lower()
        assert getattr(settings, name) == expected
        assert settings.origins[name] == f"environment {variable}"


def test_every_provider_variable_arrives():
    """Model, address, version and keys land in the deployment."""
    environ = AZURE | {
        "AZURE_OPENAI_API_VERSION": "2024-06-01",
        "OPENAI_API_KEYS": "k1, k2,,k1",
        "OPENAI_MODEL": "openai/gpt-5.1",
        "OPENAI_BASE_URL": "https://proxy.example/llm/",
        "OPENAI_ORGANIZATION": "org-1",
    }
    settings = load_settings(environ)
    (azure,) = settings.provider("azure_openai").deployments
    assert (azure.model, azure.litellm_model) == ("gpt-4", "azure/gpt-4")
    assert (azure.api_base, azure.api_version) == ("https://x.openai.azure.com", "2024-06-01")
    (openai,) = settings.provider("openai").deployments
    assert (openai.model, openai.organization) == ("gpt-5.1", "org-1")
    assert openai.api_base == "https://proxy.example/llm/v1"
    assert [key.get_secret_value() for key in openai.api_keys] == ["k1", "k2"]
    with pytest.raises(KeyError):
        settings.provider("groq")


@pytest.mark.parametrize("text", ["true", "1", "YES", " on ", '"true"', "'True'", "y", "enabled"])
def test_yes_has_many_spellings(text):
    """Whatever operators type for yes is yes."""
    assert load_settings(OPENAI | {"LLM_ENABLE_CONNECTION_WARMING": text}).enable_connection_warming


@pytest.mark.parametrize("text", ["false", "0", "No", "off ", "'false'", "n", "disabled"])
def test_no_has_many_spellings(text):
    """Whatever operators type for no is no."""
    assert not load_settings(OPENAI | {"LLM_WARM_ON_STARTUP": text}).warm_on_startup


@pytest.mark.parametrize("empty", ["", "   ", '""', "''", "\n"])
def test_an_empty_variable_counts_as_not_set(empty):
    """Compose files and shells set variables to nothing all the time."""
    environ = OPENAI | dict.fromkeys(set(KNOWN_VARIABLES) - set(OPENAI), empty)
    assert load_settings(environ) == load_settings(OPENAI)


def test_white_space_and_quotes_come_off_keys():
    """A key pasted with quotes or a line break is the key."""
    settings = load_settings({"OPENAI_API_KEY": ' "sk-1"\n'})
    assert settings.secrets() == ("sk-1",)


def test_all_given_keys_count_once_in_order(tmp_path):
    """``_API_KEY``, ``_API_KEYS`` and ``_API_KEY_FILE`` add up."""
    file = tmp_path / "secret"
    file.write_text("k4\nk2\n\n")
    environ = {
        "GROQ_API_KEYS": "k2,k3",
        "GROQ_API_KEY": "k1",
        "GROQ_API_KEY_FILE": str(file),
    }
    (groq,) = load_settings(environ).provider("groq").deployments
    assert [key.get_secret_value() for key in groq.api_keys] == ["k1", "k2", "k3", "k4"]


def test_a_key_file_that_is_not_there_is_a_problem(tmp_path):
    """A forgotten mount is named by its variable."""
    (problem,) = problems(OPENAI | {"GROQ_API_KEY_FILE": str(tmp_path / "none")})
    assert problem.startswith("GROQ_API_KEY_FILE")


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.kind in {"count", "seconds"}], ids=str)
def test_ranges_are_exact(option):
    """The ends are allowed, what lies beyond is not, and nothing strange passes as a number."""
    name = option.variable
    generous = OPENAI | {"LLM_TIMEOUT": "3600"}
    for edge in (option.low, option.high):
        assert (
            getattr(
                load_settings(generous | {name: f"{edge:f}".rstrip("0").rstrip(".") or "0"}),
                option.name,
            )
            == edge
        )
    beyond = [f"{option.high + 1:g}", "-1", "nan", "inf", "1e3", "soon", "٣", "1_0", "1,5"]
    for text in [*beyond, *(["0"] if option.low > 0 else [])]:
        assert any(problem.startswith(name) for problem in problems(generous | {name: text})), text


def test_default_times_follow_an_unusual_timeout():
    """A short timeout is no contradiction to defaults, a long one is not cut by the deadline."""
    short = load_settings(OPENAI, timeout=2)
    assert (short.connect_timeout, short.first_token_timeout) == (2.0, 2.0)
    assert load_settings(OPENAI, timeout=300).deadline == 600.0
    (problem,) = problems(OPENAI | {"LLM_TIMEOUT": "2", "LLM_CONNECT_TIMEOUT": "3"})
    assert problem.startswith("LLM_CONNECT_TIMEOUT")
    assert "LLM_TIMEOUT" in problem


def test_failures_that_go_back_to_the_caller_cannot_be_fallen_back_on():
    """``cancelled`` is the caller's own; ``bad_request`` only by name; an empty list has a better spelling."""
    assert load_settings(OPENAI | {"LLM_FALLBACK_ON": "all"}).fallback_on == FALLBACK_KINDS
    named = load_settings(OPENAI | {"LLM_FALLBACK_ON": "server, bad_request"}).fallback_on
    assert named == {FailureKind.SERVER, FailureKind.BAD_REQUEST}
    assert "caller" in problems(OPENAI | {"LLM_FALLBACK_ON": "cancelled"})[0]
    assert "LLM_ENABLE_FALLBACK=false" in problems(OPENAI | {"LLM_FALLBACK_ON": "none"})[0]
    assert "did you mean timeout?" in problems(OPENAI | {"LLM_FALLBACK_ON": "timeot"})[0]


def test_azures_pasted_target_uri_is_enough():
    """Host, deployment and version are taken from it; a contradiction is a problem."""
    uri = "https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01"
    environ = {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": uri}
    settings = load_settings(environ)
    (azure,) = settings.provider("azure_openai").deployments
    assert (azure.model, azure.api_version) == ("gpt-4o", "2024-06-01")
    assert settings.origins["providers.azure_openai.model"] == "environment AZURE_OPENAI_ENDPOINT"
    (problem,) = problems(environ | {"AZURE_OPENAI_DEPLOYMENT": "gpt-4"})
    assert problem.startswith("AZURE_OPENAI_ENDPOINT")


# --- Where values come from


def test_precedence_leftmost_wins(tmp_path):
    """Arguments, environment, .env file, YAML, default."""
    yaml, env = tmp_path / "llm.yaml", tmp_path / "env"
    yaml.write_text("pool_size: 4\nretries: 4\ncooldown: 4\ntimeout: 40\n")
    env.write_text("LLM_POOL_SIZE=5\nLLM_RETRIES=5\nLLM_COOLDOWN=5\n")
    environ = OPENAI | {
        "LLM_ENV_FILE": str(env),
        "LLM_CONFIG_FILE": str(yaml),
        "LLM_POOL_SIZE": "6",
        "LLM_RETRIES": "6",
    }
    settings = load_settings(environ, pool_size=7)
    found = (settings.pool_size, settings.retries, settings.cooldown, settings.timeout)
    assert found == (7, 6, 5.0, 40.0)
    assert [
        settings.origins[n] for n in ("pool_size", "retries", "cooldown", "timeout", "deadline")
    ] == [
        "argument",
        "environment LLM_RETRIES",
        f"env file {env} (LLM_COOLDOWN)",
        f"YAML {yaml}:4",
        "default",
    ]


def test_an_env_file_is_read_only_when_named(tmp_path, monkeypatch):
    """A ``.env`` that lies about is no configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text('export OPENAI_API_KEY="sk-file"  # comment\n')
    with pytest.raises(ConfigurationError):
        load_settings({})
    assert load_settings({"LLM_ENV_FILE": ".env"}).secrets() == ("sk-file",)
    assert "OPENAI_API_KEY" not in os.environ
    (problem,) = problems(OPENAI | {"LLM_ENV_FILE": "nowhere"})
    assert problem.startswith("LLM_ENV_FILE")


def test_arguments_are_called_like_variables():
    """Flat or nested, and secrets may come wrapped."""
    flat = load_settings({}, openai_api_key=SecretStr("k1"), openai_model="m", timeout=None)
    nested = load_settings({}, providers={"openai": {"api_keys": ["k1"], "model": "m"}})
    assert flat.providers == nested.providers
    assert flat.secrets() == ("k1",)
    (problem,) = problems(OPENAI, pool_sise=3)
    assert "did you mean pool_size?" in problem
    (problem,) = problems(OPENAI, providers={"openai": {"modle": 3}})
    assert "did you mean model?" in problem
    assert load_settings({}, providers={"Groq": {"api_key": "k"}}).chain == ("groq",)


def test_the_environment_is_the_processs_own_by_default(monkeypatch):
    """Without arguments ``os.environ`` is read, at that moment."""
    monkeypatch.setenv("GROQ_API_KEY", "k")
    assert load_settings().chain == ("groq",)


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("LLM_POOLSIZE", "LLM_POOL_SIZE"),
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("openai_api_key", "OPENAI_API_KEY"),
        ("OPENAI_API_BASE", "OPENAI_BASE_URL"),
        ("AZURE_OPENAI_DEPLOYMENT_NAME", "AZURE_OPENAI_DEPLOYMENT"),
        ("LLM_FALLBACK_PROVIDER", "LLM_FALLBACK_PROVIDERS"),
    ],
)
def test_a_slip_in_a_variables_name_is_a_warning(slip, meant):
    """Other software may own the variable, so it is only pointed out."""
    assert events(GROQ | {slip: "5"}) == [
        {
            "event": "unknown_variable",
            "variable": slip,
            "did_you_mean": meant,
            "log_level": "warning",
        }
    ]


def test_other_softwares_variables_are_left_alone():
    """No warning where nothing of ours was meant."""
    others = ["LLM_TEMPERATURE_SCALE", "OPENAI_LOG", "OPENAI_API_KEY_EU", "PATH", "OPENAI_ORG_ID"]
    assert typos([*others, *KNOWN_VARIABLES]) == {}


def test_a_missing_key_points_to_the_slip():
    """The variable that was set instead is in the message."""
    (problem,) = problems({"LLM_PRIMARY_PROVIDER": "groq", "GROQ_APIKEY": "x"})
    assert "GROQ_APIKEY" in problem


# --- What becomes part of an address or a header, and files


UNFIT = [
    "a/../b",
    "..",
    "../x",
    "%2e%2e/x",
    "a?b",
    "a#b",
    "a\\b",
    "a\nb",
    "a\x1b[31mb",
    "a\u2028b",
    "\u200bgpt",
]


@pytest.mark.parametrize("text", UNFIT, ids=ascii)
@pytest.mark.parametrize(
    "variable",
    ["OPENAI_MODEL", "OPENAI_ORGANIZATION", "AZURE_OPENAI_DEPLOYMENT", "AZURE_OPENAI_API_VERSION"],
)
def test_a_name_that_leads_elsewhere_is_refused(variable, text):
    """Neither another path or query nor a raw escape in a log comes of a model's name."""
    (problem,) = problems(FOUR | {variable: text})
    assert problem.startswith(f"{variable} must not hold")
    assert problem.isprintable()


@pytest.mark.parametrize(
    "model", ["openai/gpt-oss-20b", "ft:gpt-4o:org::id", "a..b", "@cf/x/y-1.5"]
)
def test_a_name_with_slashes_and_dots_is_a_name(model):
    """Vendors use them."""
    assert load_settings(GROQ | {"GROQ_MODEL": model}).providers[0].deployments[0].model == model
    with pytest.raises(ConfigurationError, match="must not hold"):
        DeploymentSettings(model=f"{model}/../x", litellm_model=model)


def test_a_pasted_address_cannot_smuggle_a_path():
    """Azure's Target URI holds the deployment and the version, percent-encoded or not."""
    for tail in ("%2e%2e%2fx/chat/completions", "gpt/chat/completions?api-version=1%0d%0aX-A:%201"):
        uri = f"https://x.openai.azure.com/openai/deployments/{tail}"
        (problem,) = problems({"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": uri})
        assert problem.startswith("AZURE_OPENAI_ENDPOINT must not hold")
    (problem,) = problems(OPENAI | {"OPENAI_BASE_URL": "https://h.example\n.evil/v1"})
    assert problem.startswith("OPENAI_BASE_URL must not hold a line break")


def test_key_files_are_read_as_people_write_them(tmp_path):
    """A byte-order mark, CRLF, comments and blank lines are no part of a key."""
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbf# team a\r\nk1\r\n\r\n  # team b\r\n k2 \r\n")
    assert load_settings({"GROQ_API_KEY_FILE": str(file)}).secrets() == ("k1", "k2")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x7fELF\xff\xfe", "not a text file"),
        (b"k1\0k2", "a binary file"),
        (b"k" * 65_537, "larger than 64 KB"),
        ("schl\u00fcssel".encode(), "not a key"),
        (b"two words", "not a key"),
    ],
)
def test_a_file_without_keys_is_our_error(tmp_path, content, words):
    """It names the variable and what is wrong, and shows nothing of the file."""
    file = tmp_path / "keys"
    file.write_bytes(content)
    found = problems({"LLM_PRIMARY_PROVIDER": "groq", "GROQ_API_KEY_FILE": str(file)})
    assert found[0].startswith("GROQ_API_KEY_FILE")
    assert words in found[0]


def test_an_endless_key_file_is_not_read_to_its_end():
    """A device in place of a file costs its limit, no more."""
    assert "a binary file" in problems(OPENAI | {"GROQ_API_KEY_FILE": "/dev/zero"})[0]


def test_a_key_file_that_everybody_can_read_is_pointed_out(tmp_path):
    """A remark, not an error: mounted secrets are often like that."""
    file = tmp_path / "keys"
    file.write_text("k1")
    file.chmod(0o644)
    (event,) = events({"GROQ_API_KEY_FILE": str(file)})
    assert event["remark"].startswith("GROQ_API_KEY_FILE names a key file that every user")
    file.chmod(0o640)
    assert events({"GROQ_API_KEY_FILE": str(file)}) == []


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("http://gateway.example", True),
        ("http://10.0.0.7:8080", True),
        ("http://127.0.0.2:8080", False),
        ("http://[::1]:8080", False),
        ("http://localhost", False),
        ("https://gateway.example", False),
    ],
)
def test_a_key_in_clear_is_pointed_out(url, clear):
    """Only where somebody could listen."""
    remarks = [event["remark"] for event in events(OPENAI | {"OPENAI_BASE_URL": url})]
    assert remarks == ["openai: http:// sends the key and the prompts in clear."] * clear


@pytest.mark.parametrize("text", ["sk-good\n", " sk-good ", '"sk-good"', "\tsk-good\r\n"])
def test_white_space_around_a_key_is_none_of_it(text):
    """Pasted from a web page or made by `echo`."""
    assert load_settings({"OPENAI_API_KEY": text}).secrets() == ("sk-good",)


@pytest.mark.parametrize(
    "text", ["sk-\u043a", "sk-a\r\nx-evil: 1", "sk\u2013dash", "\u201csk-q\u201d", "a b"]
)
def test_a_key_that_cannot_travel_in_a_header_is_refused(text):
    """At load, not at the first call, and without showing it."""
    (problem,) = problems({"OPENAI_API_KEY": text})
    assert problem.startswith("OPENAI_API_KEY is not a key")
    assert text not in problem


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"providers": 3}, "providers must be made of `key: value` lines"),
        ({"providers": {"groq": 3}}, "providers.groq must be made of"),
        ({"providers": {"groq": {"deployments": 3}}}, "providers.groq.deployments must be a list"),
        (
            {"providers": {"groq": {"deployments": [3]}}},
            "providers.groq.deployments[0] must be made",
        ),
        ({"providers": {"Bad Name": {}}}, "is no name"),
        ({"providers": {"groq": {"api_key_env": "K"}}}, "groq.api_key_env is for YAML alone"),
        (
            {"providers": {"groq": {"deployments": [{"timeout": 1}]}}},
            "[0].timeout is an unknown key",
        ),
        ({"pool_size": [3]}, "pool_size must be one value"),
        ({"timeout": {"a": 1}}, "timeout must be one value"),
        ({"pool_size": True}, "pool_size must be a whole number between 1 and 64"),
        ({"pool_size": 2.5}, "pool_size must be a whole number between 1 and 64"),
        ({"timeout": True}, "timeout must be a number of seconds"),
    ],
)
def test_arguments_of_a_wrong_type_are_named(overrides, words):
    """Our error, whatever is passed."""
    assert words in problems(OPENAI, **overrides)[0]


@given(
    st.dictionaries(
        st.sampled_from(KNOWN_VARIABLES), st.text(max_size=12).filter(lambda t: "\0" not in t)
    )
)
def test_no_environment_breaks_the_reader(environ):
    """Settings or our own error, and every sentence can be printed."""
    try:
        load_settings(environ)
    except ConfigurationError as error:
        assert all(error.problems)


# --- Problems and secrets


def test_all_problems_are_told_at_once():
    """One error, every problem, each beginning with what to look at."""
    found = problems(
        {
            "LLM_PRIMARY_PROVIDER": "groq",
            "LLM_FALLBACK_PROVIDERS": "azure_openai,clyde",
            "LLM_POOL_SIZE": "0",
            "LLM_TIMEOUT": "soon",
            "LLM_WARM_PROBE": "ping",
            "LLM_ENABLE_FALLBACK": "perhaps",
            "LLM_REDIS_URL": "localhost",
        }
    )
    text = "\n".join(found)
    for variable in (
        "LLM_FALLBACK_PROVIDERS",
        "LLM_POOL_SIZE",
        "LLM_TIMEOUT",
        "LLM_WARM_PROBE",
        "LLM_ENABLE_FALLBACK",
        "LLM_REDIS_URL",
        "GROQ_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "AZURE_OPENAI_ENDPOINT",
        "AZURE_OPENAI_DEPLOYMENT",
    ):
        assert variable in text
    assert len(found) == 10


SECRET = "sk-proj-S3cretS3cretS3cret42"


@pytest.mark.parametrize("variable", KNOWN_VARIABLES)
def test_a_secret_in_any_variable_shows_up_nowhere(variable):
    """Not in an error, a log line, a repr or a str, whichever variable it was pasted into."""
    for extra in ({}, FOUR, FOUR | {"OPENAI_API_KEY": SECRET}):
        for value in (
            SECRET,
            f"https://user:{SECRET}@host/v1",
            f"redis://:{SECRET}@h/0",
            f"é {SECRET}",
        ):
            with capture_logs() as logs:
                try:
                    settings = load_settings(extra | {variable: value})
                except ConfigurationError as error:
                    text = f"{error} {error!r} {error.problems} {error.__cause__}"
                else:
                    text = f"{settings} {settings!r} {settings.origins}"
                    text += repr(settings.providers)
            if variable in {"LLM_CONFIG_FILE", "LLM_ENV_FILE"}:
                continue  # a path is shown, so that it can be corrected
            if not variable.endswith(("MODEL", "DEPLOYMENT", "VERSION", "ORGANIZATION")):
                assert SECRET not in text + repr(logs)


def test_the_debug_log_of_pydantic_settings_has_no_key(monkeypatch, caplog):
    """It prints what its sources say where ``PYDANTIC_SETTINGS_DEBUG`` is set."""
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    caplog.set_level("DEBUG", "pydantic_settings")
    load_settings({"OPENAI_API_KEY": SECRET, "LLM_REDIS_URL": f"redis://:{SECRET}@h/0"}, retries=1)
    assert "retries" in caplog.text
    assert SECRET not in caplog.text


def test_secrets_lists_what_must_be_blanked_out():
    """Every key, and of the Redis URL the whole and the password as written and as meant."""
    settings = load_settings(
        OPENAI | {"GROQ_API_KEYS": "a1,b2", "LLM_REDIS_URL": "redis://:p%40ss@h/0"}
    )
    assert settings.secrets() == (
        OPENAI["OPENAI_API_KEY"],
        "redis://:p%40ss@h/0",
        "p%40ss",
        "p@ss",
        "a1",
        "b2",
    )


@given(st.text(min_size=1))
def test_a_fingerprint_reveals_four_characters_at_most(secret):
    """Only of a long key, and equal keys have equal fingerprints."""
    label = fingerprint(SecretStr(secret))
    start, _, rest = label.partition("…")
    shown, _, digest = rest.rpartition(" (sha256:")
    assert start in {"", "sk-"}
    assert shown == (secret[-4:] if len(secret) >= 20 else "")
    assert len(digest) == 7
    assert label == fingerprint(secret)


def test_a_fingerprint_looks_like_this():
    """For the operator's eyes."""
    assert fingerprint("sk-0123456789abcdefa1b2") == "sk-…a1b2 (sha256:82405d)"
    assert fingerprint("short").startswith("… (sha256:")


def test_settings_are_a_plain_frozen_value():
    """Constructing reads nothing; equal settings are equal, hashable, copyable, and stay as they are."""
    deployment = DeploymentSettings(model="m", litellm_model="openai/m", api_keys=("k",))
    provider = ProviderSettings(name="openai", deployments=(deployment,))
    settings = Settings(primary_provider="openai", providers=(provider,))
    assert settings.pool_size == 3
    assert len({settings, settings.model_copy()}) == 1
    assert pickle.loads(pickle.dumps(settings)) == copy.deepcopy(settings) == settings
    with pytest.raises(ValueError, match="frozen"):
        settings.pool_size = 4


def test_a_wrong_value_raises_our_own_error_also_without_loading():
    """No pydantic exception escapes from constructing, and no input is in the message."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(primary_provider="x", providers=(), pool_size=SECRET, timeout=-1)
    assert SECRET not in str(caught.value)
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigurationError, match="not among the providers"):
        Settings(primary_provider="x", providers=())
    with pytest.raises(ConfigurationError):
        ProviderSettings(name="x", deployments=())
    deployment = DeploymentSettings(model="m", litellm_model="m")
    twice = (ProviderSettings(name="x", deployments=(deployment,)),) * 2
    with pytest.raises(ConfigurationError, match="different names"):
        Settings(primary_provider="x", providers=twice)


names = st.lists(st.sampled_from(["openai", "azure_openai", "groq", "anthropic"]))


@given(names, names)
def test_a_list_of_names_survives_the_round_trip(primary, fallback):
    """What the chain is does not depend on how it was written."""
    wanted = tuple(dict.fromkeys([*primary[:1], *fallback]))
    if not primary or not fallback:
        return
    written = {"LLM_PRIMARY_PROVIDER": primary[0], "LLM_FALLBACK_PROVIDERS": " , ".join(fallback)}
    assert load_settings(FOUR | written).chain == wanted
    again = load_settings(FOUR, primary_provider=wanted[0], fallback_providers=fallback)
    assert again.chain == wanted


def test_importing_and_reading_is_cheap_and_silent():
    """Neither LiteLLM nor YAML nor an HTTP client is loaded for a plain environment."""
    code = (
        "import sys, llm_unified.settings as s; s.load_settings({'OPENAI_API_KEY': 'k', 'GROQ_APIKEY': '1'});"
        "print([m for m in ('litellm', 'yaml', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
