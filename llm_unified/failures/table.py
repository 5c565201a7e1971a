"""What follows from each kind of failure: the failure table of the documentation as data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from llm_unified.response import FailureKind as K

__all__ = ["FALLBACK_KINDS", "FOLLOWS", "KEY_KINDS", "TRANSIENT", "Effect"]


class Effect(Enum):
    """What a failure means for the deployment that failed."""

    NOTHING = "nothing"
    COUNT = "the endpoint's breaker counts"
    COOL_KEY = "the key cools down for Retry-After"
    SPENT_KEY = "the key cools down, longer each time"
    MISCONFIGURED_KEY = "the key is wrong: misconfigured"
    MISCONFIGURED = "the model or deployment is wrong: misconfigured"


FOLLOWS: Final[Mapping[K, Effect]] = {
    K.CONNECTION: Effect.COUNT,
    K.TIMEOUT: Effect.COUNT,
    K.RATE_LIMIT: Effect.COOL_KEY,
    K.QUOTA: Effect.SPENT_KEY,
    K.SERVER: Effect.COUNT,
    K.AUTH: Effect.MISCONFIGURED_KEY,
    K.NOT_FOUND: Effect.MISCONFIGURED,
    K.INVALID_RESPONSE: Effect.COUNT,
    K.REJECTED: Effect.NOTHING,
    K.CONTEXT_LENGTH: Effect.NOTHING,
    K.CONTENT_POLICY: Effect.NOTHING,
    K.BAD_REQUEST: Effect.NOTHING,
    K.CANCELLED: Effect.NOTHING,
}

TRANSIENT: Final = frozenset({K.CONNECTION, K.TIMEOUT, K.SERVER, K.INVALID_RESPONSE})
"""Kinds that asking the same provider again may cure at once (only with ``LLM_RETRIES`` > 0)."""

KEY_KINDS: Final = frozenset({K.AUTH, K.QUOTA, K.RATE_LIMIT})
"""Kinds that another key of the same provider may cure."""

FALLBACK_KINDS: Final = frozenset(K) - {K.BAD_REQUEST, K.CANCELLED}
"""Kinds after which the next provider is asked, unless ``LLM_FALLBACK_ON`` says otherwise."""
