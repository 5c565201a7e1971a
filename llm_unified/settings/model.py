"""Everything that can be set, as one pydantic-settings model: names, types, bounds, help and defaults.

:class:`Options` and :class:`DeploymentOptions` declare each setting once; :class:`Written` is what the sources
say, and ``Settings`` (in ``values``) what comes of it. The environment variable of an option is its name in
capitals after ``LLM_``. All durations are floats in seconds, all prices US dollars for one token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from llm_unified.failures.table import FALLBACK_KINDS
from llm_unified.settings.kinds import (
    Count,
    Failures,
    Flag,
    Kind,
    Label,
    Price,
    ProviderName,
    ProviderNames,
    RedisUrl,
    Seconds,
    Text,
    UpToDay,
    UpToHour,
    Url,
    Word,
)

PREFIX: Final = "LLM_"
SPELLINGS: Final = {"endpoint": "base_url", "deployment": "model"}
"""Azure's words."""
KEY_REFERENCES: Final[Mapping[str, str]] = {
    "api_key": "The key as os.environ/NAME; never the key itself",
    "api_keys": "Several keys as a list of os.environ/NAME",
    "api_key_env": "The variable that holds the key (or several, separated by commas)",
    "api_keys_env": "Variables that hold keys, as a list; a provider's deployments cycle over all keys",
    "api_key_file": "A file that holds the key, such as a mounted secret; one key per line",
}
"""The ways to keys, which all lead to ``api_key``."""


class Options(BaseModel):
    """What concerns all providers."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    primary_provider: ProviderName | None = Field(
        default=None, description="Who is asked first; by default the first with a key"
    )
    fallback_providers: ProviderNames | None = Field(
        default=None,
        description="Who is asked next, in this order; by default all others with a key; 'none' for nobody",
    )
    enable_fallback: Flag = Field(
        default=True, description="Whether anybody but the primary is asked"
    )
    fallback_on: Failures = Field(
        default=FALLBACK_KINDS, description="The failures after which the next provider is asked"
    )
    retries: Annotated[Count, Field(ge=0, le=10)] = Field(
        default=0, description="Further rounds when everybody failed and time is left"
    )
    adapt: Flag = Field(
        default=True,
        description="Whether a request is adapted to what the provider asked takes; false refuses instead",
    )
    pool_size: Annotated[Count, Field(ge=1, le=64)] = Field(
        default=3, description="Separate connections per deployment, used in turn"
    )
    enable_connection_warming: Flag = Field(
        default=False, description="Whether connections are kept warm"
    )
    keep_alive_interval: UpToDay = Field(
        default=60.0, description="Time between two warm-up rounds"
    )
    warm_on_startup: Flag = Field(
        default=True, description="Whether the warmer starts with a round"
    )
    warm_probe: Annotated[Literal["completion", "connection"], Kind("choice"), Word] = Field(
        default="completion",
        description="'completion' asks for one token; 'connection' only opens the connection, free of charge",
    )
    timeout: UpToHour = Field(default=60.0, description="The longest that one attempt may take")
    connect_timeout: UpToHour = Field(default=5.0, description="The longest wait for a connection")
    first_token_timeout: UpToHour = Field(
        default=30.0, description="Streams: the longest wait for the first content"
    )
    stream_idle_timeout: UpToHour = Field(
        default=30.0, description="Streams: the longest silence after the first content"
    )
    deadline: UpToDay = Field(
        default=120.0, description="The longest that a call may take, all attempts"
    )
    failure_threshold: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=3, description="Failures in a row until a deployment cools down"
    )
    cooldown: Annotated[Seconds, Field(ge=0, le=3600)] = Field(
        default=10.0, description="How long a deployment cools down after failing"
    )
    redis_url: RedisUrl | None = Field(
        default=None, description="A Redis through which several processes share their cooldowns"
    )


class DeploymentOptions(BaseModel):
    """What a deployment has in the sources and in the settings alike."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_version: Label | None = Field(default=None, description="Azure's api-version")
    organization: Label | None = Field(default=None, description="OpenAI's organization")
    weight: Annotated[Count, Field(ge=1, le=100)] = Field(
        default=1, description="Its share of the turns among the provider's deployments"
    )
    input_cost_per_token: Price | None = Field(
        default=None, description="Price of one prompt token, for `cost_usd`"
    )
    output_cost_per_token: Price | None = Field(
        default=None, description="Price of one answered token"
    )
    cache_read_cost_per_token: Price | None = Field(
        default=None, description="Price of one prompt token read from the provider's cache"
    )
    cache_write_cost_per_token: Price | None = Field(
        default=None, description="Price of one prompt token written to the provider's cache"
    )
    base_model: Text | None = Field(
        default=None, description="Azure: the model behind the deployment, for its price"
    )


class WrittenDeployment(DeploymentOptions):
    """What the sources say of one deployment."""

    model: Label | None = Field(
        default=None, description="The model to ask (Azure: the name of the deployment)"
    )
    base_url: Url | None = Field(
        default=None, description="Where it is reached (Azure: the endpoint)"
    )
    api_key: tuple[SecretStr, ...] = Field(default=(), description=KEY_REFERENCES["api_key"])


class WrittenProvider(WrittenDeployment):
    """What the sources say of one provider."""

    enabled: Flag = Field(default=True, description="false leaves the provider out")
    timeout: UpToHour | None = Field(
        default=None, description="The longest that one attempt at it may take"
    )
    deployments: tuple[WrittenDeployment, ...] = Field(
        default=(), description="Several regions, keys or models, asked in turn"
    )


DEPLOYMENT_KEYS: Final = (*{**WrittenDeployment.model_fields, **SPELLINGS, **KEY_REFERENCES},)
PROVIDER_KEYS: Final = (*{**WrittenProvider.model_fields, **SPELLINGS, **KEY_REFERENCES},)
"""What stands in YAML and arguments."""


class Written(BaseSettings, Options):
    """What all sources together say: ``Written(sources=[…])``, leftmost wins."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_prefix=PREFIX
    )

    providers: dict[str, WrittenProvider] = Field(
        default={},
        description="Who can be asked. A name of your own needs a model with LiteLLM's prefix.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: Any,
        **more: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the given sources and no others."""
        given = init_settings.init_kwargs if isinstance(init_settings, InitSettingsSource) else {}
        return tuple(given["sources"])
