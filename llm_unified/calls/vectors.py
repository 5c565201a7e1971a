"""Vectors of many texts: in requests that the vendors take, each answer checked."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from llm_unified.engine.pieces import AnswerError, optional_text
from llm_unified.engine.usage import openai_usage
from llm_unified.failures.envelope import of_event
from llm_unified.response import FailureKind as K
from llm_unified.response import Usage

__all__ = ["Vectors", "batched"]

MAX_TEXTS: Final = 2048
MAX_TOKENS: Final = 300_000
"""Of one request. Source: OpenAI API reference, "Create embeddings": ``input``; Azure OpenAI alike."""


def batched(texts: Sequence[str]) -> list[list[str]]:
    """The texts of each request, in order. A token is at least one byte of UTF-8: so none has too many."""
    return [list(texts[begin:end]) for begin, end in pairwise(_borders(texts))]


def _borders(texts: Sequence[str]) -> Iterator[int]:
    yield 0
    begin = size = 0
    for place, text in enumerate(texts):
        length = len(text.encode("utf-8", "surrogatepass"))
        size += length
        if place > begin and (place - begin == MAX_TEXTS or size > MAX_TOKENS):
            yield place
            begin, size = place, length
    yield len(texts)


class Vectors:
    """The vectors that came so far, in the order of their texts."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []
        self.upstream_model: str | None = None
        self.upstream_id: str | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        """All answers' together; ``None`` as soon as one did not count."""

    def add(self, data: Any, *, count: int) -> None:
        """The vectors of the next ``count`` texts.

        Raises:
            AnswerError: too few or too many, an index twice, different dimensions, or no numbers.
        """
        usage = openai_usage(data.get("usage")) if isinstance(data, dict) else None
        self.usage = _sum(self.usage, usage) if self.rows else usage
        if self.upstream_model is None and isinstance(data, dict):
            self.upstream_model = optional_text(data.get("model"))
        rows = data.get("data") if isinstance(data, dict) else None
        if not isinstance(rows, list) or not rows:
            raise AnswerError("no embeddings", error=of_event(data))
        vectors: dict[int, tuple[float, ...]] = {}
        for place, row in enumerate(rows):
            if not isinstance(row, dict):
                raise _broken("an embedding is no object")
            index = row.get("index", place)
            if not isinstance(index, int) or not 0 <= index < count or index in vectors:
                raise _broken("embeddings are numbered wrongly")
            vectors[index] = _vector(row.get("embedding"))
        if len(vectors) != count:
            raise _broken(f"{len(vectors)} embeddings for {count} texts")
        self.rows += (vectors[index] for index in range(count))
        if len({len(vector) for vector in (self.rows[0], *vectors.values())}) != 1:
            raise _broken("embeddings of different dimensions")


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    return None if one is None or other is None else one + other


def _vector(value: Any) -> tuple[float, ...]:
    if isinstance(value, str):  # base64 of little-endian float32 (OpenAI API reference)
        try:
            raw = base64.b64decode(value, validate=True)
            value = struct.unpack(f"<{len(raw) // 4}f", raw)
        except (binascii.Error, ValueError, struct.error):
            raise _broken("an embedding is no base64") from None
    if not isinstance(value, list | tuple) or not value:
        raise _broken("an embedding without numbers")
    try:
        vector = tuple(float(number) for number in value if not isinstance(number, str | bool))
    except (TypeError, ValueError, OverflowError):
        raise _broken("an embedding without numbers") from None
    if len(vector) != len(value) or not all(map(math.isfinite, vector)):
        raise _broken("an embedding without numbers")
    return vector


def _broken(reason: str) -> AnswerError:
    return AnswerError(reason, K.INVALID_RESPONSE)
