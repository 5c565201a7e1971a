"""The providers, one row of data each: what differs between them, and nothing that they do.

A name that is not in the table comes from YAML and means "anything that LiteLLM speaks";
:func:`provider_row` makes a row for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROVIDERS", "Protocol", "ProviderRow", "Target", "provider_row", "read_base_url"]

Protocol = Literal["openai", "azure", "groq", "anthropic", "other"]
"""What goes over the wire; ``"other"`` is whatever LiteLLM makes of it."""


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One provider as data."""

    name: str
    model_prefix: str
    """LiteLLM's name of the vendor, with its slash."""
    protocol: Protocol
    env_prefix: str | None = None
    """``"OPENAI"`` for ``OPENAI_API_KEY``; ``None``: this provider has no variables."""
    default_model: str | None = None
    default_base_url: str | None = None
    """As LiteLLM's ``api_base``, so that LiteLLM never looks for one itself."""
    default_api_version: str | None = None
    end_marker: str | None = None
    """What the last event of a whole stream contains; ``None``: unknown, cannot be checked."""
    embeds: bool = True
    """Whether it offers embeddings."""
    needs: tuple[str, ...] = ()
    """The settings without which it cannot be asked, besides its model."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """Setting → how this vendor calls it, where it differs: Azure's ``model`` is ``deployment``."""

    def variable(self, setting: str) -> str | None:
        """Return the environment variable of a setting: ``"base_url"`` → ``"OPENAI_BASE_URL"``."""
        if self.env_prefix is None:
            return None
        return f"{self.env_prefix}_{self.spellings.get(setting, setting).upper()}"

    def bare_model(self, model: str) -> str:
        """Return the model as the operator means it.

        LiteLLM's prefix is tolerated at a known provider, and part of the name at one that YAML
        defined.
        """
        return model.removeprefix(self.model_prefix) if self.env_prefix else model

    def litellm_model(self, model: str) -> str:
        """Return the model as LiteLLM calls it: ``"gpt-4"`` → ``"azure/gpt-4"``."""
        return self.model_prefix + model.removeprefix(self.model_prefix)


# The default models are the cheapest ones that take `temperature` and a small `max_tokens` as the
# documented example does (a reasoning model refuses the one and spends the other on thinking),
# and that LiteLLM's bundled price list knows; Groq has only reasoning models left there.
PROVIDERS: Mapping[str, ProviderRow] = MappingProxyType(
    {
        row.name: row
        for row in (
            ProviderRow(
                name="openai",
                model_prefix="openai/",
                protocol="openai",
                env_prefix="OPENAI",
                default_model="gpt-4.1-mini",
                default_base_url="https://api.openai.com/v1",
                end_marker="[DONE]",
                needs=("api_key",),
            ),
            ProviderRow(
                name="azure_openai",
                model_prefix="azure/",
                protocol="azure",
                env_prefix="AZURE_OPENAI",
                default_api_version="2024-10-21",
                end_marker="[DONE]",
                needs=("api_key", "base_url"),
                spellings=MappingProxyType({"model": "deployment", "base_url": "endpoint"}),
            ),
            ProviderRow(
                name="groq",
                model_prefix="groq/",
                protocol="groq",
                env_prefix="GROQ",
                default_model="openai/gpt-oss-20b",
                default_base_url="https://api.groq.com/openai/v1",
                end_marker="[DONE]",
                embeds=False,
                needs=("api_key",),
            ),
            ProviderRow(
                name="anthropic",
                model_prefix="anthropic/",
                protocol="anthropic",
                env_prefix="ANTHROPIC",
                default_model="claude-haiku-4-5",
                default_base_url="https://api.anthropic.com",
                end_marker="message_stop",
                embeds=False,
                needs=("api_key",),
            ),
            ProviderRow(
                name="local",
                model_prefix="openai/",
                protocol="openai",
                default_model="smollm2-135m-instruct",
                end_marker="[DONE]",
                embeds=False,
            ),
        )
    }
)


def provider_row(name: str, model: str | None = None) -> ProviderRow:
    """Return the row of a provider; an unknown name gets one that follows its model's prefix.

    ``azure_eu`` with model ``azure/gpt-4`` speaks Azure's protocol and needs what Azure needs.
    ``gemini/gemini-2.0-flash`` is left to LiteLLM.
    """
    if name in PROVIDERS:
        return PROVIDERS[name]
    vendor, slash, _ = (model or "").partition("/")
    prefix = vendor + slash if slash else ""
    for row in PROVIDERS.values():
        if row.model_prefix == prefix:
            # A server that only resembles OpenAI's needs no key, and may end its streams otherwise.
            needs = () if row.protocol == "openai" else row.needs
            return replace(
                row, name=name, env_prefix=None, default_model=None, end_marker=None, needs=needs
            )
    return ProviderRow(name=name, model_prefix=prefix, protocol="other")


@dataclass(frozen=True, slots=True)
class Target:
    """What a pasted address says."""

    base_url: str
    """LiteLLM's ``api_base``."""
    model: str | None = None
    """Azure's "Target URI" carries the deployment, too."""
    api_version: str | None = None


_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d*)?", re.ASCII)
_OPENAI_PATHS = re.compile(r"/(?:chat/completions|completions|responses|embeddings|models)$")
_ANTHROPIC_PATHS = re.compile(r"(?:/v1)?(?:/messages|/models)?$")
_AZURE_PATHS = re.compile(r"/openai(?:/v1)?(?:/deployments/(?P<model>[^/]+)(?:/.*)?|/[a-z/]*)?$")


def read_base_url(row: ProviderRow, url: str) -> Target:
    """Turn an address, in any form that people paste, into what LiteLLM wants for this provider.

    LiteLLM adds ``/chat/completions`` for OpenAI and Groq, ``/v1/messages`` for Anthropic and
    ``/openai/deployments/…`` for Azure. A path prefix stays.

    Raises:
        ValueError: with what is expected. The address itself is not in it, it may hold a secret.
    """
    parts = _checked(row, url)
    root = f"{parts.scheme}://{parts.netloc}"
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    match row.protocol:
        case "openai":
            return Target(root + _versioned(_OPENAI_PATHS.sub("", path), "/v1"))
        case "groq":
            path = _OPENAI_PATHS.sub("", path)
            if parts.hostname == "api.groq.com" and path == "/v1":
                path = ""
            if path.endswith("/openai"):
                path += "/v1"
            return Target(root + (path if path.endswith("/v1") else path + "/openai/v1"))
        case "anthropic":
            return Target(root + _ANTHROPIC_PATHS.sub("", path, count=1))
        case "azure":
            found = _AZURE_PATHS.search(path)
            model = found["model"] if found else None
            return Target(
                root + (path[: found.start()] if found else path),
                model=unquote(model) if model else None,
                api_version=parse_qs(parts.query).get("api-version", [None])[0],
            )
        case _:
            return Target(root + path)


def _checked(row: ProviderRow, url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        raise ValueError("is not an address; write it as https://host/path") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must start with https:// (or http:// for a server of your own)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; a key has its own setting")
    if (parts.query and row.protocol != "azure") or parts.fragment:
        raise ValueError("must end with the path, without '?' or '#'")
    return parts


def _versioned(path: str, version: str) -> str:
    """Add the version unless the path names one already: ``/v1beta/openai`` is complete."""
    return path if any(map(_VERSION.fullmatch, path.split("/"))) else path + version
