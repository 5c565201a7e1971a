"""What a FastAPI or Starlette application needs around its calls; Starlette alone is enough.

    app = FastAPI(lifespan=lifespan)                       # warm before the first request, closed after the last
    app.add_route("/health", health)                       # 503 when no provider can answer
    app.add_exception_handler(LLMError, error_response)    # 503 with Retry-After, 504, 400

    @app.post("/chat")
    async def chat(question: str) -> AnswerStream:
        messages = [{"role": "user", "content": question}]
        return AnswerStream(get_llm_service().stream_response_async(messages))

Needs ``starlette``, which ``fastapi`` brings.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from llm_unified.asgi import lifespan
from llm_unified.errors import (
    AllProvidersFailedError,
    BadRequestError,
    DeadlineExceededError,
    LLMError,
)
from llm_unified.service import UnifiedLLMService, get_llm_service
from llm_unified.streaming import LLMStream

__all__ = ["AnswerStream", "error_response", "health", "lifespan"]

_DEAD: Final = frozenset({"unhealthy", "misconfigured"})
_UNBUFFERED: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""Proxies pass on each event when it comes (nginx: ``X-Accel-Buffering``)."""


async def health(request: Request) -> JSONResponse:
    """A route: ``{"ok": …, "providers": {"openai": "healthy", …}}``; 503 when no provider can answer.

    It asks nobody and costs no token: it says what the requests and the warmer's pings have shown. A provider that
    nobody has asked yet counts as able.
    """
    service = _service_of(request)
    providers = {name: service.status_of(name) for name in service.settings.chain}
    alive = not service.closed and any(status not in _DEAD for status in providers.values())
    status = HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"ok": alive, "providers": providers}, status)


async def error_response(request: Request, error: Exception) -> JSONResponse:
    """A handler for `LLMError`: 400, 504 or 503 (with ``Retry-After`` where it is known); else 500.

    The answer has the kind of error and no details: those are for the log.
    """
    status, headers = HTTPStatus.INTERNAL_SERVER_ERROR, {}
    if isinstance(error, BadRequestError):
        status = HTTPStatus.BAD_REQUEST
    elif isinstance(error, DeadlineExceededError):
        status = HTTPStatus.GATEWAY_TIMEOUT
    elif isinstance(error, AllProvidersFailedError):
        status = HTTPStatus.SERVICE_UNAVAILABLE
        if error.retry_after is not None:
            headers["retry-after"] = str(math.ceil(error.retry_after))
    return JSONResponse({"error": type(error).__name__}, status, headers)


class AnswerStream(Response):
    """An answer as it arrives. When the client leaves, the upstream's connection is closed at once.

    ``format="sse"``: server-sent events, ``data: {"content": …}`` (or ``"reasoning"``), at last
    ``event: done`` with provider, model, finish reason and usage; if it breaks after its first content,
    ``event: error``. ``format="text"``: the text alone; if it breaks, the response is cut, which HTTP clients
    report.

    The status is sent with the first content: until then another provider may still answer, and an `LLMError` is
    raised to the application's handlers.
    """

    def __init__(
        self,
        stream: LLMStream,
        *,
        format: Literal["sse", "text"] = "sse",  # noqa: A002 - the plain word
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        """``stream``: from `UnifiedLLMService.stream_response_async`; tool calls in it are not shown."""
        self._stream, self._sse = stream, format == "sse"
        self.status_code, self.background = HTTPStatus.OK, background
        self.media_type = "text/event-stream" if self._sse else "text/plain"
        self.body = b""
        self.init_headers({**_UNBUFFERED, **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or stop when the client has left.

        Raises:
            LLMError: nobody answered, before anything was sent; with ``format="text"`` also later.
        """
        answering = asyncio.create_task(self._answer(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not answering.done():
                answering.cancel()
            await asyncio.wait((answering, leaving))
            await self._stream.aclose()
        if not answering.cancelled():
            answering.result()
        if self.background is not None:
            await self.background()

    async def _answer(self, send: Send) -> None:
        started = False
        async for piece in self._pieces():
            if not started:
                started = True
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self) -> AsyncIterator[bytes]:
        begun = False
        try:
            async for chunk in self._stream:
                begun = True
                if not self._sse:
                    if chunk.content:
                        yield chunk.content.encode()
                    continue
                shown = {"content": chunk.content, "reasoning": chunk.reasoning}
                if shown := {name: text for name, text in shown.items() if text}:
                    yield _event(shown)
        except LLMError as error:
            if not begun or not self._sse:
                raise
            yield _event({"error": type(error).__name__}, "error")
            return
        response = self._stream.response
        if self._sse and response is not None:
            usage = None if response.usage is None else response.usage.as_dict()
            yield _event(
                {
                    "provider": response.provider,
                    "model": response.model,
                    "finish_reason": response.finish_reason,
                    "usage": usage,
                },
                "done",
            )


def _event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {text}\n\n".encode()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _service_of(request: Request) -> UnifiedLLMService:
    """The one of the application's lifespan, else the process's."""
    found: UnifiedLLMService | None = getattr(request.state, "llm_service", None)
    return get_llm_service() if found is None else found
