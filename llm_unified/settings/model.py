"""The settings, as one frozen value, and the one function that reads them.

Constructing :class:`Settings` reads nothing. :func:`load_settings` reads, leftmost wins: arguments,
environment, the ``.env`` file that ``LLM_ENV_FILE`` names, YAML, defaults. All durations are floats
in seconds.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from llm_unified.errors import ConfigurationError
from llm_unified.observe.logs import log
from llm_unified.response import FailureKind
from llm_unified.settings.options import FALLBACK_KINDS, unquoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_unified.settings.assembly import Assembly

__all__ = [
    "DeploymentSettings",
    "ProviderSettings",
    "Settings",
    "fingerprint",
    "inspect_settings",
    "load_settings",
]

_LONG_ENOUGH_TO_SHOW_ITS_END = 20

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Value(BaseModel):
    """A frozen model that raises our own error and never shows its input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            problems = [
                f"{type(self).__name__}.{'.'.join(map(str, item['loc']))}: {item['msg']}"
                for item in error.errors(include_url=False, include_input=False)
            ]
        else:
            return
        raise ConfigurationError(problems)


class DeploymentSettings(_Value):
    """One place where a provider's model can be asked."""

    model: str
    """As the operator wrote it; Azure's deployment name."""
    litellm_model: str
    """As LiteLLM calls it, e.g. ``"azure/gpt-4"``."""
    api_keys: tuple[SecretStr, ...] = ()
    """Pool copies cycle over them."""
    api_base: str | None = None
    """Exactly what LiteLLM wants; ``None``: its own default for this provider."""
    api_version: str | None = None
    organization: str | None = None
    weight: int = Field(default=1, ge=1)
    input_cost_per_token: Cost | None = None
    """US dollars; ``None``: LiteLLM's price list."""
    output_cost_per_token: Cost | None = None
    base_model: str | None = None
    """The model behind an Azure deployment, for the price list."""


class ProviderSettings(_Value):
    """One provider, with at least one deployment."""

    name: str
    deployments: Annotated[tuple[DeploymentSettings, ...], Field(min_length=1)]
    timeout: Seconds | None = None
    """Of one attempt at this provider; ``None``: as everywhere."""


class Settings(_Value):
    """Everything that a service needs to know."""

    primary_provider: str
    fallback_providers: tuple[str, ...] = ()
    """Who is asked next, in order; without the primary and without those switched off."""
    enable_fallback: bool = True
    pool_size: int = Field(default=3, ge=1, le=64)
    timeout: Seconds = 60.0
    connect_timeout: Seconds = 5.0
    first_token_timeout: Seconds = 30.0
    stream_idle_timeout: Seconds = 30.0
    deadline: Seconds = 120.0
    cooldown: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    failure_threshold: int = Field(default=3, ge=1)
    retries: int = Field(default=0, ge=0)
    fallback_on: frozenset[FailureKind] = FALLBACK_KINDS
    enable_connection_warming: bool = False
    keep_alive_interval: Seconds = 60.0
    warm_on_startup: bool = True
    warm_probe: Literal["completion", "connection"] = "completion"
    redis_url: SecretStr | None = None
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


def load_settings(
    environ: Mapping[str, str] | None = None,
    config_file: str | Path | None = None,
    **overrides: Any,
) -> Settings:
    """Read the settings.

    ``environ`` defaults to ``os.environ``, ``config_file`` (YAML) to what ``LLM_CONFIG_FILE``
    names. ``overrides`` are called like the variables in lower case, without ``LLM_``:
    ``pool_size=2``, ``openai_api_key="…"``; ``providers={"openai": {"model": "…"}}`` does as well.

    Raises:
        ConfigurationError: with all problems at once.
    """
    from llm_unified.settings.assembly import ENV_FILE_NOT_READ

    result = inspect_settings(environ, config_file, **overrides)
    for level, event, fields in result.events:
        log(level, event, **fields)
    if result.problems:
        more = [str(row["remark"]) for _, event, row in result.events if event == ENV_FILE_NOT_READ]
        raise ConfigurationError([*result.problems, *more])
    return Settings(**result.values)


def inspect_settings(
    environ: Mapping[str, str] | None = None,
    config_file: str | Path | None = None,
    **overrides: Any,
) -> Assembly:
    """Read as :func:`load_settings` does, and return all that was found: problems and remarks, too."""
    from llm_unified.settings.assembly import ENV_FILE_NOT_READ, NOTHING, assemble
    from llm_unified.settings.sources import read_arguments, read_env_file, read_variables

    environ = os.environ if environ is None else environ
    arguments, environment = read_arguments(overrides), read_variables(environ)
    layers = [arguments, environment]
    variables: dict[str, str | None] = dict(environ)
    in_env_file: dict[str, str] = {}
    if env_file := unquoted(environ.get("LLM_ENV_FILE", "")):
        content = read_env_file(env_file, environment.problems)
        layers.append(read_variables(content, env_file))
        in_env_file = {name: env_file for name in content if name not in environ}
        variables = content | variables
    if path := unquoted(str(config_file or variables.get("LLM_CONFIG_FILE") or "")):
        from llm_unified.settings.configfile import read_config_file

        layers.append(read_config_file(path, variables, in_env_file))
    result = assemble(layers, variables)
    nothing = any(problem.startswith(NOTHING) for problem in result.problems)
    if nothing and not env_file and Path(".env").is_file():
        text = "The file .env in this folder is not read unless LLM_ENV_FILE=.env says so."
        result.events.append(("warning", ENV_FILE_NOT_READ, {"remark": text}))
    return result
