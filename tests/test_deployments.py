"""Settings → model list: ids, keys, turns."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_unified.pool.deployments import _AZURE_FAMILIES, build_model_list, fallbacks, plan
from llm_unified.response import Usage
from llm_unified.settings import DeploymentSettings, ProviderSettings, Settings, load_settings

FOUR = {
    "OPENAI_API_KEY": "sk-openai",
    "AZURE_OPENAI_API_KEY": "azure-key",
    "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com/",
    "AZURE_OPENAI_DEPLOYMENT": "gpt-4",
    "GROQ_API_KEY": "gsk-groq",
    "ANTHROPIC_API_KEY": "sk-ant",
}

keys = st.lists(st.sampled_from(["k1", "k2", "k3", "k4"]), max_size=4).map(tuple)
deployments = st.lists(
    st.builds(
        lambda model, keys: DeploymentSettings(model=model, litellm_model=model, api_keys=keys),
        st.sampled_from(["a", "b", "c"]),
        keys,
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def some_settings(draw):
    names = draw(st.lists(st.sampled_from(["p", "q", "r"]), min_size=1, unique=True))
    providers = [ProviderSettings(name=name, deployments=draw(deployments)) for name in names]
    return Settings(
        primary_provider=names[0],
        fallback_providers=tuple(names[1:]),
        pool_size=draw(st.integers(1, 5)),
        providers=tuple(providers),
    )


@given(some_settings())
def test_ids_are_unique_and_count_from_zero(settings):
    """Every deployment has an id of its own, equal in the plan and in LiteLLM's list."""
    ids = [deployment.id for deployment in plan(settings)]
    assert len(set(ids)) == len(ids)
    assert ids == [row["model_info"]["id"] for row in build_model_list(settings)]
    for provider in settings.providers:
        own = [
            deployment.id for deployment in plan(settings) if deployment.provider == provider.name
        ]
        assert own == [f"{provider.name}#{number}" for number in range(len(own))]


@given(some_settings())
def test_every_deployment_has_its_pool_and_every_key_a_member(settings):
    """No key and no deployment is left out, and none has fewer members than the pool is large."""
    rows = build_model_list(settings)
    for provider in settings.providers:
        mine = [r["litellm_params"] for r in rows if r["model_name"] == provider.name]
        assert len(mine) >= settings.pool_size * len(provider.deployments)
        expected = {
            (d.model, k.get_secret_value()) for d in provider.deployments for k in d.api_keys
        }
        assert expected <= {(row["model"], row.get("api_key")) for row in mine}


def test_neighbours_differ_in_deployment_first_and_in_key_second():
    """Taking turns spreads the load over regions and keys."""
    region = {"endpoint": "https://west.example", "api_keys": ["w1", "w2"]}
    other = {"endpoint": "https://east.example", "api_key": "e1"}
    settings = load_settings(
        {},
        providers={"azure_openai": {"model": "gpt-4", "deployments": [region, other]}},
        pool_size=2,
    )
    params = [row["litellm_params"] for row in build_model_list(settings)]
    assert [row["api_key"] for row in params] == ["w1", "e1", "w2", "e1"]
    assert [deployment.credential for deployment in plan(settings)] == [
        "azure_openai/key1",
        "azure_openai/key3",
        "azure_openai/key2",
        "azure_openai/key3",
    ]
    assert len({deployment.endpoint for deployment in plan(settings)}) == 2


def test_all_four_providers_are_explicit():
    """LiteLLM gets model, key, address and version of each, so it looks for none itself."""
    rows = build_model_list(load_settings(FOUR, pool_size=1))
    assert {row["model_name"]: row["litellm_params"] for row in rows} == {
        "openai": {
            "model": "openai/gpt-4.1-mini",
            "api_key": "sk-openai",
            "api_base": "https://api.openai.com/v1",
        },
        "azure_openai": {
            "model": "azure/gpt-4",
            "api_key": "azure-key",
            "api_base": "https://x.openai.azure.com",
            "api_version": "2024-10-21",
        },
        "groq": {
            "model": "groq/openai/gpt-oss-20b",
            "api_key": "gsk-groq",
            "api_base": "https://api.groq.com/openai/v1",
        },
        "anthropic": {
            "model": "anthropic/claude-haiku-4-5",
            "api_key": "sk-ant",
            "api_base": "https://api.anthropic.com",
        },
    }


def test_the_pool_is_as_large_as_asked():
    """``LLM_POOL_SIZE=3`` is three deployments of each provider."""
    ids = [deployment.id for deployment in plan(load_settings(FOUR | {"LLM_POOL_SIZE": "3"}))]
    assert ids[:4] == ["openai#0", "openai#1", "openai#2", "azure_openai#0"]
    assert len(ids) == 12


def test_fallbacks_follow_the_chain_from_wherever_a_call_starts():
    """The others follow in the chain's order; without fallback nobody does."""
    settings = load_settings(
        FOUR, fallback_providers=["groq", "openai"], primary_provider="anthropic"
    )
    assert fallbacks(settings) == [
        {"anthropic": ["groq", "openai"]},
        {"groq": ["anthropic", "openai"]},
        {"openai": ["anthropic", "groq"]},
        {"azure_openai": ["anthropic", "groq", "openai"]},
    ]
    assert fallbacks(load_settings(FOUR, enable_fallback=False)) == []
    assert fallbacks(load_settings({"GROQ_API_KEY": "k"})) == []


def test_the_embedded_models_server_is_filled_in_by_the_caller():
    """Address and key of the local server exist only once it runs."""
    settings = load_settings({"LLM_PRIMARY_PROVIDER": "local", "OPENAI_API_KEY": "sk-openai"})
    rows = build_model_list(settings, local=("http://127.0.0.1:9/v1", "random"))
    local = next(row["litellm_params"] for row in rows if row["model_name"] == "local")
    assert (local["api_base"], local["api_key"]) == ("http://127.0.0.1:9/v1", "random")
    openai = next(row["litellm_params"] for row in rows if row["model_name"] == "openai")
    assert openai["api_key"] == "sk-openai"


def test_a_server_without_key_is_never_sent_somebody_elses():
    """LiteLLM would send ``OPENAI_API_KEY`` to any OpenAI-compatible server that has no key."""
    block = {"vllm": {"model": "openai/qwen", "base_url": "http://localhost:8000"}}
    settings = load_settings({}, providers=block, pool_size=1)
    (row,) = build_model_list(settings)
    assert row["litellm_params"]["api_key"] == "no-key"
    assert plan(settings)[0].credential == "vllm/keyless"


def test_prices_timeout_and_weight_stay_here():
    """They are ours to apply; given to LiteLLM, prices make every call half as dear again in CPU."""
    block = {
        "api_key": "k",
        "timeout": 7,
        "organization": "org-1",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": "2e-6",
        "weight": 4,
    }
    settings = load_settings({}, providers={"openai": block}, pool_size=1)
    (row,) = build_model_list(settings)
    assert row["litellm_params"]["organization"] == "org-1"
    assert not {"timeout", "input_cost_per_token"} & set(row["litellm_params"])
    (deployment,) = plan(settings)
    assert deployment.weight == 4
    assert deployment.cost(Usage(1000, 100, 1100)) == pytest.approx(0.0012)
    assert settings.provider("openai").timeout == 7.0


def test_azure_is_priced_by_its_name_or_by_what_the_operator_says():
    """A deployment called like its model has that model's price; others say ``base_model``."""

    def base_model(**block):
        settings = load_settings(FOUR, providers={"azure_openai": block}, pool_size=1)
        rows = build_model_list(settings)
        return next(r for r in rows if r["model_name"] == "azure_openai")["model_info"]

    assert base_model(model="GPT-4o-2024-08-06")["base_model"] == "azure/gpt-4o"
    assert base_model(model="gpt-3.5-turbo")["base_model"] == "azure/gpt-35-turbo"
    assert "base_model" not in base_model(model="production")
    own = base_model(model="production", base_model="azure/gpt-4.1")
    assert own["base_model"] == "azure/gpt-4.1"


def test_every_guessed_azure_model_has_a_price():
    """A guess that the price list does not know would be worse than none."""
    spec = importlib.util.find_spec("litellm")
    assert spec and spec.origin
    file = Path(spec.origin).with_name("model_prices_and_context_window_backup.json")
    known = json.loads(file.read_text(encoding="utf-8"))
    assert {name for name in _AZURE_FAMILIES if f"azure/{name}" not in known} == set()


def test_no_key_is_in_the_plan():
    """Rotation and statistics know a key by its place only."""
    text = repr(plan(load_settings(FOUR)))
    assert not [secret for secret in load_settings(FOUR).secrets() if secret in text]
