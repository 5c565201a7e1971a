"""The names, in both vocabularies: one table, and the values of `gen_ai.provider.name`.

Sources: OpenTelemetry semantic conventions v1.41.0, docs/gen-ai (gen-ai-spans.md, gen-ai-metrics.md); their
successor open-telemetry/semantic-conventions-genai, docs/gen-ai (client-inference.md, client-embeddings.md,
gen-ai-token-metrics.md, non-normative/migration.md), as of November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from llm_unified.observe.events import Upstream

__all__ = [
    "LATEST",
    "REQUEST_ATTRIBUTES",
    "SECONDS_BUCKETS",
    "TOKEN_BUCKETS",
    "V1_41",
    "Vocabulary",
    "provider_name",
]

SECONDS_BUCKETS: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
TOKEN_BUCKETS: Final = tuple(4**power for power in range(14))
"""1, 4, 16, … 67108864."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What differs between the two. A metric that is ``None`` does not exist there."""

    schema_url: str
    chat_duration: str
    embeddings_duration: str
    first_chunk: str
    output_chunk: str
    cache_write: str
    """The span's attribute of tokens written to a cache."""
    reasoning_level: str | None
    token_usage: str | None
    """A histogram, with ``gen_ai.token.type``."""
    usage: str | None
    """The prefix of the counters of a chat's tokens."""
    chat_tokens: str | None
    """The prefix of the histograms of a chat's tokens."""
    embeddings_tokens: str | None
    """The histogram of the tokens that were embedded."""
    error_finish: bool
    """A stream that ended before its end has the finish reason ``error``."""


V1_41: Final = Vocabulary(
    schema_url="https://opentelemetry.io/schemas/1.41.0",
    chat_duration="gen_ai.client.operation.duration",
    embeddings_duration="gen_ai.client.operation.duration",
    first_chunk="gen_ai.client.operation.time_to_first_chunk",
    output_chunk="gen_ai.client.operation.time_per_output_chunk",
    cache_write="gen_ai.usage.cache_creation.input_tokens",
    reasoning_level=None,
    token_usage="gen_ai.client.token.usage",  # noqa: S106 - no password
    usage=None,
    chat_tokens=None,
    embeddings_tokens=None,
    error_finish=False,
)
LATEST: Final = Vocabulary(
    schema_url="https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev",
    chat_duration="gen_ai.client.inference.duration",
    embeddings_duration="gen_ai.client.embeddings.duration",
    first_chunk="gen_ai.client.inference.time_to_first_chunk",
    output_chunk="gen_ai.client.inference.time_per_output_chunk",
    cache_write="gen_ai.usage.cache_write.input_tokens",
    reasoning_level="gen_ai.request.reasoning.level",
    token_usage=None,
    usage="gen_ai.client.inference.usage.",
    chat_tokens="gen_ai.client.inference.operation.",
    embeddings_tokens="gen_ai.client.embeddings.operation.input_tokens",
    error_finish=True,
)

REQUEST_ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "temperature": "gen_ai.request.temperature",
        "top_p": "gen_ai.request.top_p",
        "top_k": "gen_ai.request.top_k",
        "max_tokens": "gen_ai.request.max_tokens",
        "max_completion_tokens": "gen_ai.request.max_tokens",
        "frequency_penalty": "gen_ai.request.frequency_penalty",
        "presence_penalty": "gen_ai.request.presence_penalty",
        "seed": "gen_ai.request.seed",
        "dimensions": "gen_ai.embeddings.dimension.count",
    }
)
"""Parameters of a request that are a number → attribute."""

_PROVIDER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "azure": "azure.ai.openai",
        "azure_ai": "azure.ai.inference",
        "bedrock": "aws.bedrock",
        "gemini": "gcp.gemini",
        "mistral": "mistral_ai",
        "moonshot": "moonshot_ai",
        "vertex_ai": "gcp.vertex_ai",
        "watsonx": "ibm.watsonx.ai",
        "xai": "x_ai",
    }
)
"""Vendor, as LiteLLM calls it → well-known value; the others have the same name."""


def provider_name(upstream: Upstream) -> str:
    """The value of ``gen_ai.provider.name``: by protocol, whatever the provider is called in the settings."""
    return _PROVIDER_NAMES.get(upstream.vendor, upstream.vendor)
