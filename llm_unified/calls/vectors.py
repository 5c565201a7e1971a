"""From a vendor's embeddings to an `Embedding`: as many vectors as texts, each checked."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any

from llm_unified.engine.pieces import AnswerError
from llm_unified.engine.usage import openai_usage
from llm_unified.failures.envelope import of_event
from llm_unified.response import Embedding, Usage
from llm_unified.response import FailureKind as K

__all__ = ["embedding_of"]


def embedding_of(data: Any, *, count: int, provider: str, model: str) -> Embedding:
    """The vectors of ``count`` texts, in their order; the cost is left to the caller.

    Raises:
        AnswerError: too few or too many, an index twice, different dimensions, or no numbers.
    """
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows:
        raise AnswerError("no embeddings", error=of_event(data))
    usage = openai_usage(data.get("usage"))
    vectors: dict[int, tuple[float, ...]] = {}
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _broken("an embedding is no object", usage)
        index = row.get("index", place)
        if not isinstance(index, int) or not 0 <= index < count or index in vectors:
            raise _broken("embeddings are numbered wrongly", usage)
        vectors[index] = _vector(row.get("embedding"), usage)
    if len(vectors) != count:
        raise _broken(f"{len(vectors)} embeddings for {count} texts", usage)
    if len({len(vector) for vector in vectors.values()}) != 1:
        raise _broken("embeddings of different dimensions", usage)
    return Embedding(
        vectors=tuple(vectors[index] for index in range(count)),
        provider=provider,
        model=model,
        usage=usage,
    )


def _vector(value: Any, usage: Usage | None) -> tuple[float, ...]:
    if isinstance(value, str):  # base64 of little-endian float32 (OpenAI API reference)
        try:
            raw = base64.b64decode(value, validate=True)
            value = struct.unpack(f"<{len(raw) // 4}f", raw)
        except (binascii.Error, ValueError, struct.error):
            raise _broken("an embedding is no base64", usage) from None
    if not isinstance(value, list | tuple) or not value:
        raise _broken("an embedding without numbers", usage)
    try:
        vector = tuple(float(number) for number in value if not isinstance(number, str | bool))
    except (TypeError, ValueError, OverflowError):
        raise _broken("an embedding without numbers", usage) from None
    if len(vector) != len(value) or not all(map(math.isfinite, vector)):
        raise _broken("an embedding without numbers", usage)
    return vector


def _broken(reason: str, usage: Usage | None) -> AnswerError:
    return AnswerError(reason, K.INVALID_RESPONSE, usage=usage)
