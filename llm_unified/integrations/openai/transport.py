"""httpx's transports, by which the SDK's requests become calls of a service, and its answers responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress

from llm_unified.errors import ServiceClosedError
from llm_unified.integrations.openai.calls import Reply, carry_out
from llm_unified.integrations.openai.failures import as_openai_error
from llm_unified.integrations.openai.http import http
from llm_unified.service import UnifiedLLMService, get_llm_service

__all__ = ["AsyncServiceClient", "SyncServiceClient"]


class AsyncServiceClient(http.AsyncClient):
    """Whatever is sent becomes a call of the service, in the event loop of its caller."""

    def __init__(self, service: UnifiedLLMService | None) -> None:
        """``None``: the process's service, at the time of each call."""
        # A proxy of the environment would be a transport of its own.
        super().__init__(transport=_AsyncTransport(service), trust_env=False)


class SyncServiceClient(http.Client):
    """Whatever is sent becomes a call of the service, in its background loop."""

    def __init__(self, service: UnifiedLLMService | None) -> None:
        """As `AsyncServiceClient`."""
        super().__init__(transport=_SyncTransport(service), trust_env=False)


class _AsyncTransport(http.AsyncBaseTransport):
    def __init__(self, service: UnifiedLLMService | None) -> None:
        self._given = service

    async def handle_async_request(self, request: http.Request) -> http.Response:
        """Raises openai.OpenAIError, whose ``__cause__`` is the `LLMError`."""
        with as_openai_error(request):
            service = self._given or get_llm_service()
        reply = await carry_out(service, request)
        body = reply.body
        return _response(reply, request, body if isinstance(body, bytes) else _AsyncBody(body))


class _SyncTransport(http.BaseTransport):
    def __init__(self, service: UnifiedLLMService | None) -> None:
        self._given = service

    def handle_request(self, request: http.Request) -> http.Response:
        """Raises openai.OpenAIError, whose ``__cause__`` is the `LLMError`."""
        with as_openai_error(request):
            service = self._given or get_llm_service()
            reply = service.background.run(carry_out(service, request))
        body = reply.body
        if not isinstance(body, bytes):
            return _response(reply, request, _SyncBody(body, service))
        return _response(reply, request, body)


def _response(
    reply: Reply, request: http.Request, body: bytes | http.AsyncByteStream | http.SyncByteStream
) -> http.Response:
    headers = {} if reply.request_id is None else {"x-request-id": reply.request_id}
    if isinstance(body, bytes):
        headers["content-type"] = "application/json"
        return http.Response(200, headers=headers, content=body, request=request)
    headers["content-type"] = "text/event-stream; charset=utf-8"
    return http.Response(200, headers=headers, stream=body, request=request)


class _AsyncBody(http.AsyncByteStream):
    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events

    async def aclose(self) -> None:
        """Whoever leaves early: the upstream's connection is given back or closed when this returns."""
        await self._events.aclose()


class _SyncBody(http.SyncByteStream):
    def __init__(self, events: AsyncGenerator[bytes], service: UnifiedLLMService) -> None:
        self._events, self._background = events, service.background

    def __iter__(self) -> Iterator[bytes]:
        while (event := self._background.run(_next(self._events))) is not None:
            yield event

    def close(self) -> None:
        """As `_AsyncBody.aclose`. A finaliser may call it in the loop's own thread, which cannot wait for itself."""
        with suppress(ServiceClosedError):  # it has ended then
            try:
                self._background.run(_close(self._events))
            except RuntimeError:
                self._background.start(_close(self._events))


async def _next(events: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(events, None)


async def _close(events: AsyncGenerator[bytes]) -> None:
    await events.aclose()
