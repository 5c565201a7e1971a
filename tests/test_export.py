"""What other programs need: a LiteLLM Proxy's configuration, lines of environment."""

from __future__ import annotations

import re

import pytest
import yaml

from llm_unified.export import env_lines, key_names, litellm_proxy, proxy_notes, render_proxy
from llm_unified.settings import load_settings

ENVIRON = {
    "LLM_PRIMARY_PROVIDER": "azure_openai",
    "LLM_FALLBACK_PROVIDERS": "openai,groq",
    "LLM_REDIS_URL": "redis://:s3cr3t-pass@cache:6379/0",
    "LLM_FAILURE_THRESHOLD": "5",
    "LLM_COOLDOWN": "7",
    "AZURE_OPENAI_API_KEY": "azure-secret-0001",
    "AZURE_OPENAI_ENDPOINT": "https://example.openai.azure.com",
    "AZURE_OPENAI_DEPLOYMENT": "gpt-4",
    "OPENAI_API_KEYS": "sk-secret-0001,sk-secret-0002",
    "GROQ_API_KEY": "gsk_secret_0001",
    "TEAM_KEY": "gsk_secret_0001",
}
SECRET = re.compile(r"secret|s3cr3t")


def proxy(environ=ENVIRON, **overrides):
    settings = load_settings(environ, **overrides)
    return litellm_proxy(settings, key_names(settings, environ))


def test_no_secret_is_exported():
    """Neither export holds a key or the password of the Redis."""
    settings = load_settings(ENVIRON)
    names = key_names(settings, ENVIRON)
    notes = proxy_notes(settings, names, ENVIRON)
    text = render_proxy(litellm_proxy(settings, names), notes) + "\n".join(env_lines(settings))
    assert not [secret for secret in settings.secrets() if secret in text]
    assert not [line for line in text.splitlines() if SECRET.search(line) and "# " not in line]


def test_keys_are_named_by_the_variable_that_holds_them():
    """A provider's own variable comes first; each key of a list gets a name to be set."""
    rows = {
        row["model_info"]["id"]: row["litellm_params"]["api_key"] for row in proxy()["model_list"]
    }
    assert rows == {
        "azure_openai#0": "os.environ/AZURE_OPENAI_API_KEY",
        "openai#0": "os.environ/OPENAI_API_KEY",
        "openai#1": "os.environ/OPENAI_API_KEY_2",
        "groq#0": "os.environ/GROQ_API_KEY",
    }
    settings = load_settings(ENVIRON)
    notes = proxy_notes(settings, key_names(settings, ENVIRON), ENVIRON)
    assert "OPENAI_API_KEY, OPENAI_API_KEY_2" in next(n for n in notes if n.startswith("Not set"))


def test_pool_copies_are_not_exported():
    """One entry for each deployment and key, however large the pool is."""
    one = [row["model_name"] for row in proxy(pool_size=1)["model_list"]]
    many = [row["model_name"] for row in proxy(pool_size=12)["model_list"]]
    assert one == many == ["azure_openai", "openai", "openai", "groq"]


def test_the_chain_holds_for_provider_names_and_for_model_names():
    """LiteLLM looks up an alias by its own name, so it needs a chain of its own."""
    router = proxy()["router_settings"]
    assert router["model_group_alias"] == {
        "gpt-4": "azure_openai",
        "gpt-4.1-mini": "openai",
        "openai/gpt-oss-20b": "groq",
    }
    chains = {name: others for row in router["fallbacks"] for name, others in row.items()}
    assert chains["azure_openai"] == chains["gpt-4"] == ["openai", "groq"]
    assert chains["groq"] == chains["openai/gpt-oss-20b"] == ["azure_openai", "openai"]


def test_cooldowns_follow_the_settings():
    """A 429 cools down at once, other failures after the threshold, for as long as is configured."""
    config = proxy()
    info = config["model_list"][0]["model_info"]
    assert info["cooldown_time"] == config["router_settings"]["cooldown_time"] == 7.0
    assert info["allowed_fails_policy"]["RateLimitErrorAllowedFails"] == 0
    assert info["allowed_fails_policy"]["InternalServerErrorAllowedFails"] == 4
    assert config["router_settings"]["redis_url"] == "os.environ/LLM_REDIS_URL"
    assert config["general_settings"] == {"master_key": "os.environ/LITELLM_MASTER_KEY"}


def test_without_fallback_nobody_follows():
    """LLM_ENABLE_FALLBACK=false is exported as chains of one."""
    router = proxy(enable_fallback=False)["router_settings"]
    assert router["fallbacks"] == router["context_window_fallbacks"] == []


def test_the_text_is_yaml_and_says_what_is_lost():
    """The printed file reads back as the same configuration; its head tells how to start it."""
    settings = load_settings(ENVIRON)
    names = key_names(settings, ENVIRON)
    config = litellm_proxy(settings, names)
    text = render_proxy(config, proxy_notes(settings, names, ENVIRON))
    assert yaml.safe_load(text) == config
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    assert "pip install 'litellm[proxy]'" in head
    assert "litellm --config config.yaml" in head
    assert "LLM_DEADLINE" in head
    assert "round robin" in head


def test_weights_prices_and_own_providers_survive(tmp_path):
    """What a YAML file says is exported too; the embedded model stays at home."""
    file = tmp_path / "llm.yaml"
    file.write_text(
        "primary_provider: gemini\n"
        "fallback_providers: [openai, local]\n"
        "providers:\n"
        "  gemini: {model: gemini/gemini-2.0-flash, api_key_env: GEMINI_API_KEY}\n"
        "  vllm: {model: openai/qwen3-8b, base_url: 'http://localhost:8000'}\n"
        "  openai:\n"
        "    timeout: 9\n"
        "    deployments:\n"
        "      - {model: gpt-4o, weight: 3, api_key_env: OPENAI_API_KEY}\n"
        "      - {model: gpt-4.1, input_cost_per_token: 0.001, api_key_env: OPENAI_API_KEY}\n",
        "utf-8",
    )
    environ = {"OPENAI_API_KEY": "sk-secret-0001", "GEMINI_API_KEY": "gem-secret-01"}
    config = proxy(environ, config_file=file)
    rows = {row["model_info"]["id"]: row["litellm_params"] for row in config["model_list"]}
    assert rows["gemini#0"]["api_key"] == "os.environ/GEMINI_API_KEY"
    assert rows["openai#0"]["weight"] == 3
    assert rows["openai#1"]["input_cost_per_token"] == 0.001
    assert {rows["openai#0"]["timeout"], rows["openai#1"]["timeout"]} == {9.0}
    assert rows["vllm#0"]["api_key"] == "no-key"
    assert "local" not in str(config["router_settings"]["fallbacks"])
    assert not any(name.startswith("local#") for name in rows)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"LLM_ENABLE_FALLBACK": "false", "LLM_POOL_SIZE": "7", "LLM_TIMEOUT": "1.5"},
        {"LLM_FALLBACK_ON": "rate_limit,server", "LLM_FALLBACK_PROVIDERS": "none"},
        {"OPENAI_BASE_URL": "http://localhost:8000/a%20b", "LLM_WARM_PROBE": "connection"},
    ],
    ids=["plain", "numbers", "lists", "addresses"],
)
def test_exported_environment_reads_back_as_the_same_settings(changes):
    """With the keys set again, the lines give what they were made from."""
    environ = ENVIRON | changes
    settings = load_settings(environ)
    pairs = [line.partition("=") for line in env_lines(settings) if line and line[0] != "#"]
    again = {name: value for name, _, value in pairs}
    again |= {n: v for n, v in environ.items() if "KEY" in n or n == "LLM_REDIS_URL"}
    assert load_settings(again).model_copy(update={"sources": settings.sources}) == settings


def test_defaults_are_left_out_and_the_file_loads_without_hints(tmp_path, monkeypatch, capsys):
    """A short file to read; with the key in the environment `check` has nothing to say about it."""
    from llm_unified.cli import main

    (tmp_path / "llm.yaml").write_text(
        "pool_size: 4\n"
        "primary_provider: openai\n"
        "fallback_providers: [vllm, groq]\n"
        "providers: {vllm: {model: openai/qwen3-8b, base_url: 'http://localhost:8000'}}\n",
        "utf-8",
    )
    environ = {"OPENAI_API_KEY": "sk-secret-0001", "GROQ_API_KEY": "gsk_secret_0002"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    lines = env_lines(load_settings(environ, config_file=tmp_path / "llm.yaml"))
    assert [line for line in lines if line and line[0] != "#"] == [
        "LLM_PRIMARY_PROVIDER=openai",
        "LLM_FALLBACK_PROVIDERS=groq",
        "LLM_POOL_SIZE=4",
    ]
    assert "# OPENAI_API_KEY=" in lines
    (tmp_path / "e.env").write_text("\n".join(lines), "utf-8")
    monkeypatch.setenv("LLM_ENV_FILE", str(tmp_path / "e.env"))
    assert main(["check"]) == 0
    said = capsys.readouterr()
    assert (said.err, "hint" in said.out) == ("", False)


def test_what_variables_cannot_say_is_a_comment(tmp_path):
    """Several deployments and providers of one's own are pointed out, not dropped in silence."""
    file = tmp_path / "llm.yaml"
    file.write_text(
        "providers:\n"
        "  vllm: {model: openai/qwen3-8b, base_url: 'http://localhost:8000'}\n"
        "  openai:\n"
        "    timeout: 9\n"
        "    deployments: [{model: gpt-4o}, {model: gpt-4.1}]\n",
        "utf-8",
    )
    settings = load_settings({"OPENAI_API_KEY": "sk-secret-0001"}, config_file=file)
    comments = "\n".join(line for line in env_lines(settings) if line.startswith("#"))
    assert "vllm: only a YAML file" in comments
    assert "left out of the chain, as only a YAML file can define them: vllm" in comments
    assert "openai: 1 more deployments" in comments
    assert "timeout or prices" in comments
