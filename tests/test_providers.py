"""The table of providers, and the addresses that people paste."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from llm_unified.providers import PROVIDERS, provider_row, read_base_url

OPENAI, AZURE = PROVIDERS["openai"], PROVIDERS["azure_openai"]
GROQ, ANTHROPIC = PROVIDERS["groq"], PROVIDERS["anthropic"]


def prices() -> dict[str, dict[str, object]]:
    """LiteLLM's bundled price list, found without importing LiteLLM."""
    spec = importlib.util.find_spec("litellm")
    assert spec and spec.origin
    file = Path(spec.origin).with_name("model_prices_and_context_window_backup.json")
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("prefix", ["", "/gateway", "/a/b"])
@pytest.mark.parametrize("slash", ["", "/", "//"])
@pytest.mark.parametrize(
    ("row", "forms", "expected"),
    [
        (OPENAI, ["", "/v1", "/v1/chat/completions", "/v1/models"], "/v1"),
        (GROQ, ["", "/openai", "/openai/v1", "/openai/v1/chat/completions"], "/openai/v1"),
        (ANTHROPIC, ["", "/v1", "/v1/messages"], ""),
        (AZURE, ["", "/openai", "/openai/v1", "/openai/deployments/gpt-4/chat/completions"], ""),
    ],
    ids=["openai", "groq", "anthropic", "azure_openai"],
)
def test_every_form_of_an_address_leads_to_the_same_place(row, forms, expected, prefix, slash):
    """With or without /v1, a trailing slash and a path prefix: LiteLLM gets one and the same base."""
    root = f"https://llm.example:8443{prefix}"
    assert {read_base_url(row, root + form + slash).base_url for form in forms} == {root + expected}


def test_the_default_address_is_its_own_normal_form():
    """What the table says needs no change."""
    for row in PROVIDERS.values():
        if row.default_base_url:
            assert read_base_url(row, row.default_base_url).base_url == row.default_base_url


@pytest.mark.parametrize(
    ("row", "url"),
    [
        (OPENAI, "https://generativelanguage.googleapis.com/v1beta/openai"),
        (OPENAI, "https://gateway.ai.cloudflare.com/v1/account/gateway/openai"),
        (OPENAI, "https://llm.example/api/v3"),
        (GROQ, "http://127.0.0.1:4000/v1"),
    ],
)
def test_an_address_that_names_a_version_is_complete(row, url):
    """Nothing is added to a gateway's own path."""
    assert read_base_url(row, url).base_url == url


def test_groqs_host_with_a_plain_v1_is_understood():
    """``https://api.groq.com/v1`` does not exist; what was meant does."""
    url = read_base_url(GROQ, "https://api.groq.com/v1/").base_url
    assert url == "https://api.groq.com/openai/v1"


def test_azures_target_uri_tells_deployment_and_version():
    """The address that the portal shows can be pasted whole."""
    target = read_base_url(
        AZURE,
        "https://x.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2024-06-01",
    )
    assert target.base_url == "https://x.openai.azure.com"
    assert (target.model, target.api_version) == ("my gpt", "2024-06-01")


@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com/v1",
        "localhost:8000",
        "https://",
        "ftp://host",
        "https://user:hunter2@host/v1",
        "https://host/v1?key=hunter2",
        "https://host/v1#hunter2",
        "https://host:hunter2/v1",
        "https://[hunter2/v1",
    ],
)
def test_a_wrong_address_is_refused_without_showing_it(url):
    """The reason says what is expected; a secret in the address stays out of it."""
    with pytest.raises(ValueError, match=r"must|is not") as caught:
        read_base_url(OPENAI, url)
    assert "hunter2" not in str(caught.value)


def test_models_get_their_prefix_once():
    """An operator may write LiteLLM's prefix or leave it out."""
    assert AZURE.litellm_model("gpt-4") == AZURE.litellm_model("azure/gpt-4") == "azure/gpt-4"
    assert AZURE.bare_model("azure/gpt-4") == "gpt-4"
    assert GROQ.litellm_model("openai/gpt-oss-20b") == "groq/openai/gpt-oss-20b"
    assert provider_row("gemini", "gemini/flash").litellm_model("gemini/flash") == "gemini/flash"
    assert provider_row("gemini", "gemini/flash").litellm_model("pro") == "gemini/pro"
    assert PROVIDERS["local"].litellm_model("tiny") == "openai/tiny"


def test_an_unknown_name_follows_its_models_prefix():
    """``azure_eu`` needs what Azure needs; a server that resembles OpenAI's needs no key."""
    azure_eu = provider_row("azure_eu", "azure/gpt-4")
    assert (azure_eu.name, azure_eu.protocol, azure_eu.needs) == (
        "azure_eu",
        "azure",
        ("api_key", "base_url"),
    )
    assert azure_eu.variable("api_key") is None
    vllm = provider_row("vllm", "openai/qwen")
    assert (vllm.protocol, vllm.needs, vllm.end_marker) == ("openai", (), None)
    gemini = provider_row("gemini", "gemini/flash")
    assert (gemini.protocol, gemini.needs, gemini.end_marker) == ("other", (), None)


def test_every_default_model_has_a_price():
    """The answer of a default model can be given a cost."""
    known = prices()
    for row in (OPENAI, GROQ, ANTHROPIC):
        names = {row.default_model, row.litellm_model(row.default_model or "")}
        assert any(known.get(name or "", {}).get("input_cost_per_token") for name in names), names


def test_streams_end_with_the_vendors_marker():
    """Where the end of a stream is known it is checked."""
    markers = {name: row.end_marker for name, row in PROVIDERS.items()}
    assert markers.pop("anthropic") == "message_stop"
    assert set(markers.values()) == {"[DONE]"}
