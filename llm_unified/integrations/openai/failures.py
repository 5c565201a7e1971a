"""Errors of a service as the SDK's: who handles `openai.RateLimitError` handles ours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

import openai

from llm_unified.errors import (
    AllProvidersFailedError,
    BadRequestError,
    ConfigurationError,
    DeadlineExceededError,
    LLMError,
)
from llm_unified.integrations.openai.http import http
from llm_unified.response import Attempt
from llm_unified.response import FailureKind as K

__all__ = ["as_openai_error", "not_offered"]

_STATUSES: Final[Mapping[int, type[openai.APIStatusError]]] = MappingProxyType(
    {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
    }
)
"""The SDK's own table (``OpenAI._make_status_error``); whatever is not in it is an `APIStatusError`."""

_KINDS: Final[Mapping[K, tuple[int, str, str]]] = MappingProxyType(
    {
        K.AUTH: (401, "invalid_request_error", "invalid_api_key"),
        K.NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
        K.RATE_LIMIT: (429, "requests", "rate_limit_exceeded"),
        K.QUOTA: (429, "insufficient_quota", "insufficient_quota"),
        K.CONTEXT_LENGTH: (400, "invalid_request_error", "context_length_exceeded"),
        K.CONTENT_POLICY: (400, "invalid_request_error", "content_policy_violation"),
        K.BAD_REQUEST: (400, "invalid_request_error", "bad_request"),
    }
)
"""Kind → status, type and code. Source: OpenAI, "Error codes"."""
_UNAVAILABLE: Final = (503, "server_error", "all_providers_failed")
"""Several reasons, or one that no client can do anything about."""


@contextmanager
def as_openai_error(request: Any) -> Iterator[None]:
    """Raises openai.OpenAIError in place of an `LLMError`, which is its ``__cause__``.

    The SDK passes its own errors on as they are: it neither wraps them nor tries again.
    """
    try:
        yield
    except LLMError as error:
        raise _translated(error, request) from error


def not_offered(request: Any) -> openai.OpenAIError:
    """For the parts of the API that only OpenAI has."""
    message = (
        f"{request.method} {request.url.path} is not offered by llm_unified; it answers chat.completions.create "
        "and .parse, embeddings.create and models.list"
    )
    return _status(request, message, (404, "invalid_request_error", "unknown_url"))


def _translated(error: LLMError, request: Any) -> openai.OpenAIError:
    kinds = {attempt.kind for attempt in error.attempts}
    if isinstance(error, ConfigurationError):
        return openai.OpenAIError(str(error))  # as the SDK's own constructor, for want of a key
    if isinstance(error, BadRequestError):
        status, kind, code = _KINDS[error.kind]
        return _status(request, str(error), (error.status or status, kind, code), error)
    if isinstance(error, DeadlineExceededError) or _late(error.attempts, request):
        late = openai.APITimeoutError(request)
        late.message, late.args = str(error), (str(error),)  # it has one sentence for all cases
        return late
    if not isinstance(error, AllProvidersFailedError) or kinds == {K.CONNECTION}:
        # Also a stream that broke, and a service that was closed.
        return openai.APIConnectionError(message=str(error), request=request)
    if not kinds and error.retry_after is not None:  # all cool down: they asked for it
        kinds = {K.RATE_LIMIT}
    only = next(iter(kinds)) if len(kinds) == 1 else None
    said = _KINDS.get(only, _UNAVAILABLE) if only is not None else _UNAVAILABLE
    return _status(request, str(error), said, error)


def _late(attempts: Sequence[Attempt], request: Any) -> bool:
    """Whether time alone was the reason. An attempt's limit that the caller set is his own: ``rejected``."""
    own = request.extensions.get("timeout", {}).get("read") or math.inf
    return bool(attempts) and all(
        a.kind is K.TIMEOUT or (a.kind is K.REJECTED and a.seconds >= own) for a in attempts
    )


def _status(
    request: Any, message: str, said: tuple[int, str, str], error: LLMError | None = None
) -> openai.APIStatusError:
    status, kind, code = said
    body = {"message": message, "type": kind, "code": code, "param": None}
    headers = {}
    if error is not None and error.call_id is not None:
        headers["x-request-id"] = error.call_id
    wait = getattr(error, "retry_after", None)
    if wait is not None:
        headers["retry-after"] = str(math.ceil(wait))
    response: Any = http.Response(status, headers=headers, json={"error": body}, request=request)
    made = openai.InternalServerError if status >= 500 else _STATUSES.get(status)  # noqa: PLR2004
    return (made or openai.APIStatusError)(message, response=response, body=body)
