"""The settings as one frozen value. Constructing it reads nothing. All durations are floats in seconds."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from llm_unified.errors import ConfigurationError
from llm_unified.settings.explain import reason
from llm_unified.settings.kinds import Label, UpToHour
from llm_unified.settings.model import DeploymentOptions, Options

__all__ = ["DeploymentSettings", "ProviderSettings", "Settings", "fingerprint"]

_LONG_ENOUGH_TO_SHOW_ITS_END = 20
"""Characters of a secret."""


class _Public(BaseModel):
    """A frozen model that raises our own error and never shows its input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            problems = [
                f"{type(self).__name__}.{'.'.join(map(str, item['loc']))}: {reason(item)}"
                for item in error.errors(include_url=False)
            ]
        else:
            return
        raise ConfigurationError(problems)


class DeploymentSettings(_Public, DeploymentOptions):
    """One place where a provider's model can be asked."""

    model: Label
    """As the operator wrote it; Azure's deployment name."""
    litellm_model: Label
    """As LiteLLM calls it, e.g. ``"azure/gpt-4"``."""
    api_keys: tuple[SecretStr, ...] = ()
    """The deployments of the pool take turns with them."""
    api_base: str | None = None
    """Exactly what LiteLLM wants; ``None``: its own default for this provider."""


class ProviderSettings(_Public):
    """One provider, with at least one deployment."""

    name: str
    deployments: Annotated[tuple[DeploymentSettings, ...], Field(min_length=1)]
    timeout: UpToHour | None = None
    """Of one attempt at this provider; ``None``: as everywhere."""


class Settings(_Public, Options):
    """Everything that a service needs to know: the options, who is asked, and who can be."""

    primary_provider: str
    fallback_providers: tuple[str, ...] = ()
    """Who is asked next, in order; without the primary and without those switched off."""
    providers: tuple[ProviderSettings, ...]
    """All that can be asked: the chain, then those that only ``provider=`` reaches."""
    sources: tuple[tuple[str, str], ...] = Field(default=(), repr=False)
    """What :attr:`origins` shows, as a hashable value."""

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        names = [provider.name for provider in self.providers]
        if len(set(names)) != len(names):
            raise ValueError("providers must have different names")
        for name in (self.primary_provider, *self.fallback_providers):
            if name not in names:
                raise ValueError(f"{name!r} is in the chain but not among the providers")
        return self

    @property
    def chain(self) -> tuple[str, ...]:
        """The primary, then the fallbacks, each once; only the primary without fallback."""
        fallbacks = self.fallback_providers if self.enable_fallback else ()
        return tuple(dict.fromkeys((self.primary_provider, *fallbacks)))

    @property
    def origins(self) -> dict[str, str]:
        """Where each value came from: ``"timeout"`` → ``"environment LLM_TIMEOUT"``.

        Others are ``"argument"``, ``"env file NAME"``, ``"YAML path:line"`` and ``"default"``. What
        belongs to a provider is called like ``"providers.groq.model"``.
        """
        return dict(self.sources)

    def is_default(self, name: str) -> bool:
        """Whether nobody set this option."""
        return name not in self.model_fields_set or self.origins.get(name) == "default"

    def provider(self, name: str) -> ProviderSettings:
        """Return one provider.

        Raises:
            KeyError: it is not configured.
        """
        for provider in self.providers:
            if provider.name == name:
                return provider
        raise KeyError(name)

    def secrets(self) -> tuple[str, ...]:
        """Return every secret text, for redaction: longest first, so that none hides in another."""
        found = {
            key.get_secret_value()
            for provider in self.providers
            for deployment in provider.deployments
            for key in deployment.api_keys
        }
        if self.redis_url is not None:
            url = self.redis_url.get_secret_value()
            password = urlsplit(url).password
            found |= {url, password, unquote(password)} if password else {url}
        return tuple(sorted(found - {""}, key=lambda text: (-len(text), text)))


def fingerprint(secret: SecretStr | str) -> str:
    """Return a label that tells two secrets apart and gives none away: ``"…a1b2 (sha256:1f3c9a)"``.

    The last four characters are shown of a long one only, and its ``sk-``.
    """
    text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    if len(text) < _LONG_ENOUGH_TO_SHOW_ITS_END:
        return f"… (sha256:{digest})"
    start = "sk-" if text.startswith("sk-") else ""
    return f"{start}…{text[-4:]} (sha256:{digest})"
