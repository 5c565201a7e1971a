"""What follows from each kind of failure: the failure table of the README as data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from llm_unified.response import FailureKind as K

__all__ = ["FALLBACK_KINDS", "FOLLOWS", "KEY_KINDS", "TRANSIENT", "Consequence"]


class Consequence(Enum):
    """What a failure means for the deployment that failed."""

    NOTHING = "nothing"
    COUNT = "the endpoint's breaker counts"
    COOL_KEY = "the key cools down for Retry-After"
    SPENT_KEY = "the key cools down, longer each time"
    MISCONFIGURED_KEY = "the key is wrong: misconfigured"
    MISCONFIGURED = "the model or deployment is wrong: misconfigured"


FOLLOWS: Final[Mapping[K, Consequence]] = {
    K.CONNECTION: Consequence.COUNT,
    K.TIMEOUT: Consequence.COUNT,
    K.RATE_LIMIT: Consequence.COOL_KEY,
    K.QUOTA: Consequence.SPENT_KEY,
    K.SERVER: Consequence.COUNT,
    K.AUTH: Consequence.MISCONFIGURED_KEY,
    K.NOT_FOUND: Consequence.MISCONFIGURED,
    K.INVALID_RESPONSE: Consequence.COUNT,
    K.REJECTED: Consequence.NOTHING,
    K.CONTEXT_LENGTH: Consequence.NOTHING,
    K.CONTENT_POLICY: Consequence.NOTHING,
    K.BAD_REQUEST: Consequence.NOTHING,
    K.CANCELLED: Consequence.NOTHING,
}

TRANSIENT: Final = frozenset({K.CONNECTION, K.TIMEOUT, K.SERVER, K.INVALID_RESPONSE})
"""Kinds that asking the same provider again may cure at once (only with ``LLM_RETRIES`` > 0)."""

KEY_KINDS: Final = frozenset({K.AUTH, K.QUOTA, K.RATE_LIMIT})
"""Kinds that another key of the same provider may cure."""

FALLBACK_KINDS: Final = frozenset(K) - {K.BAD_REQUEST, K.CANCELLED}
"""Kinds after which the next provider is asked, unless ``LLM_FALLBACK_ON`` says otherwise."""
