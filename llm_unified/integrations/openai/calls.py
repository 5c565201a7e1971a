"""One request of the SDK → one call of the service → the body of its answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from llm_unified.integrations.openai.bodies import MODEL, Chunks, completion, embeddings, models
from llm_unified.integrations.openai.failures import as_openai_error, not_offered
from llm_unified.integrations.openai.http import http
from llm_unified.service import UnifiedLLMService

__all__ = ["Reply", "carry_out"]

_OWN_HEADERS: Final = frozenset(
    {
        *("host", "connection", "accept", "accept-encoding", "content-type", "content-length"),
        *("authorization", "user-agent", "cookie", "idempotency-key", "x-client-request-id"),
        *("openai-organization", "openai-project"),
    }
)
"""The SDK's and HTTP's own; whatever else a request has is its caller's ``extra_headers``."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the SDK gets to see."""

    body: bytes | AsyncGenerator[bytes]
    """A JSON text, or the events of a stream that has begun."""
    request_id: str | None = None
    """The call's, as in events, logs and traces."""


async def carry_out(service: UnifiedLLMService, request: http.Request) -> Reply:
    """Raises openai.OpenAIError, whose ``__cause__`` is the `LLMError`."""
    offered = _OFFERED.get((request.method, request.url.path))
    if offered is None:
        raise not_offered(request)
    with as_openai_error(request):
        return await offered(service, request)


async def _chat(service: UnifiedLLMService, request: http.Request) -> Reply:
    options = json.loads(request.content)
    messages, stream = options.pop("messages", None), options.pop("stream", False)
    wanted = options.pop("stream_options", None) or {}
    options |= _who(service, options.pop("model", None)) | _limits(request, options, stream=stream)
    if not stream:
        response = await service.generate_response_async(messages, **options)
        return Reply(_json(completion(response)), response.call_id)
    events = _events(service, request, messages, options, usage=bool(wanted.get("include_usage")))
    await anext(events)
    return Reply(events)


async def _events(
    service: UnifiedLLMService,
    request: http.Request,
    messages: Any,
    options: Mapping[str, Any],
    *,
    usage: bool,
) -> AsyncGenerator[bytes]:
    """Server-sent events. The first is empty: it says that somebody answers, as a status line would."""
    with as_openai_error(request):
        async with service.stream_response_async(messages, **options) as stream:
            first = await anext(stream)
            yield b""
            chunks = Chunks(first)
            yield _event(chunks.of(first))
            async for chunk in stream:
                if chunk.finish_reason is None:
                    yield _event(chunks.of(chunk))
            assert stream.response is not None  # noqa: S101 - it ended by itself
            yield _event(chunks.last(stream.response))
            if usage:
                yield _event(chunks.usage(stream.response))
            yield b"data: [DONE]\n\n"


async def _embeddings(service: UnifiedLLMService, request: http.Request) -> Reply:
    options = json.loads(request.content)
    inputs = options.pop("input", None)
    options |= _who(service, options.pop("model", None), embeddings=True)
    found = await service.embed_async(inputs, **options | _limits(request, options))
    body = embeddings(found, as_base64=options.get("encoding_format") == "base64")
    return Reply(_json(body), found.call_id)


async def _models(service: UnifiedLLMService, request: http.Request) -> Reply:
    return Reply(_json(models(service.settings)))


_OFFERED: Final[
    Mapping[tuple[str, str], Callable[[UnifiedLLMService, http.Request], Awaitable[Reply]]]
] = MappingProxyType(
    {
        ("POST", "/v1/chat/completions"): _chat,
        ("POST", "/v1/embeddings"): _embeddings,
        ("GET", "/v1/models"): _models,
    }
)


def _who(service: UnifiedLLMService, name: Any, *, embeddings: bool = False) -> dict[str, Any]:
    """Whom a model's name means: see `MODEL`, which means no model for embeddings."""
    if not name or name == MODEL:
        return {"model": None} if embeddings else {}
    providers = service.settings.providers
    for provider in providers:
        configured = {deployment.model for deployment in provider.deployments}
        if name in configured:
            return {"provider": provider.name} | ({"model": name} if len(configured) > 1 else {})
    head, _, rest = str(name).partition("/")
    if any(head == provider.name for provider in providers):
        return {"provider": head} | ({"model": rest} if rest else {})
    return {"model": name}


def _limits(
    request: http.Request, options: Mapping[str, Any], *, stream: bool = False
) -> dict[str, Any]:
    """The SDK's ``timeout`` and ``extra_headers``."""
    limits: dict[str, Any] = {}
    seconds = request.extensions.get("timeout", {}).get("read")
    if seconds is not None and "deadline" not in options and "timeout" not in options:
        limits["timeout" if stream else "deadline"] = seconds
    headers = {
        name: value
        for name, value in request.headers.items()
        if name not in _OWN_HEADERS and not name.startswith("x-stainless-")
    }
    if headers:
        limits["extra_headers"] = headers
    return limits


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + _json(body) + b"\n\n"
