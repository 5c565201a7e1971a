"""Clients of the kind that LiteLLM's `completion()` wants, whose bytes go over our wire.

What LiteLLM gets to see of an answer was parsed and written anew here; of a failure it gets an envelope of
ours with the status, never the upstream's text. The `Exchange` keeps the facts.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx
import yarl
from openai import AsyncAzureOpenAI, AsyncOpenAI

from llm_unified.engine.imports import AsyncHTTPHandler
from llm_unified.vendors import Vendor
from llm_unified.wire.exchange import Exchange, WireError
from llm_unified.wire.reply import Reply
from llm_unified.wire.request import post, post_headers
from llm_unified.wire.transport import ConnectionPool

__all__ = ["client_over"]

_CLIENT_TIMEOUT_SECONDS: Final = 6000.0  # never reached: attempts are bounded by their own limit
_NOT_SENT_ON: Final = frozenset(
    {"host", "content-length", "connection", "accept", "accept-encoding"}
)
_STATUS_OF_A_FAULT: Final = 599
"""Unassigned: LiteLLM takes it for a server error, we look at the facts."""


def client_over(
    vendor: Vendor, params: Mapping[str, Any], pool: ConnectionPool, exchange: Exchange
) -> Any:
    """A client for one attempt. (LiteLLM ignores a client of another kind.)"""
    transport = _OurWire(vendor, pool, exchange)
    http = httpx.AsyncClient(transport=transport, trust_env=False, timeout=_CLIENT_TIMEOUT_SECONDS)
    if vendor.protocol in ("groq", "anthropic"):
        handler = AsyncHTTPHandler(timeout=_CLIENT_TIMEOUT_SECONDS, transport=transport)
        handler.client = http
        return handler
    if vendor.protocol == "azure":
        return AsyncAzureOpenAI(
            api_key=params["api_key"],
            azure_endpoint=params["api_base"],
            api_version=params["api_version"],
            http_client=http,
            max_retries=0,
        )
    return AsyncOpenAI(
        api_key=params["api_key"],
        base_url=params["api_base"],
        organization=params.get("organization"),
        http_client=http,
        max_retries=0,
    )


class _OurWire(httpx.AsyncBaseTransport):
    """An httpx transport over one deployment's connections, for one attempt."""

    def __init__(self, vendor: Vendor, pool: ConnectionPool, exchange: Exchange) -> None:
        self._vendor, self._pool, self._exchange = vendor, pool, exchange

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._exchange.requests:  # LiteLLM or an SDK would ask again by itself
            return _envelope(self._exchange)
        body = await request.aread()
        stream = b'"stream":true' in body or b'"stream": true' in body
        headers = {n: v for n, v in request.headers.items() if n not in _NOT_SENT_ON}
        url = yarl.URL(str(request.url), encoded=True)
        ours = post(url, post_headers(headers, stream=stream), body)
        try:
            reply = await self._pool.send(ours, self._exchange, stream=stream)
            if stream and reply.is_event_stream:
                return httpx.Response(
                    200,
                    headers={"content-type": "text/event-stream"},
                    stream=_Rewritten(self._vendor, reply, self._exchange),
                )
            return httpx.Response(200, json=await reply.json())
        except WireError:
            return _envelope(self._exchange)


class _Rewritten(httpx.AsyncByteStream):
    """A stream's events, written anew after they were read whole."""

    def __init__(self, vendor: Vendor, reply: Reply, exchange: Exchange) -> None:
        self._named = vendor.protocol == "anthropic"
        self._reply, self._end, self._exchange = reply, vendor.end_marker, exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for events in self._reply.batches(self._end):
            for event in events:
                if self._named or event.get("usage") or event.get("x_groq"):
                    self._exchange.counted = True
                name = f"event: {event.get('type')}\n" if self._named else ""
                yield f"{name}data: {json.dumps(event)}\n\n".encode()
        if not self._named:
            yield b"data: [DONE]\n\n"

    async def aclose(self) -> None:
        await self._reply.aclose()


def _envelope(exchange: Exchange) -> httpx.Response:
    """A failure as LiteLLM gets it: the status and a sentence of ours."""
    status = exchange.status
    if status is None or status < 400:  # noqa: PLR2004 - the HTTP classes
        status = _STATUS_OF_A_FAULT
    words = exchange.reason or f"HTTP {status}"
    return httpx.Response(
        status,
        headers={"x-should-retry": "false"},
        json={"error": {"message": words, "type": "upstream_error", "code": None, "param": None}},
    )
