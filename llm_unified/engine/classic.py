"""The way through LiteLLM's `completion()`, for what has no plan.

That is: vendors that only YAML names, models that LiteLLM asks over the Responses API, and every call while
the application has LiteLLM callbacks of its own registered (Langfuse, …), which only `completion()` serves.
Those of the four vendors go over our wire all the same (`bridge`). For the others LiteLLM takes no client of
ours: it uses its own, and what happened is known by its exceptions.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import httpx
import yarl

from llm_unified.engine.bridge import client_over
from llm_unified.engine.imports import Router, litellm
from llm_unified.engine.objects import piece_of
from llm_unified.engine.pieces import AnswerError, Piece, without_helper
from llm_unified.engine.quiet import quiet
from llm_unified.engine.usage import litellm_usage
from llm_unified.failures.envelope import read_error
from llm_unified.response import FailureKind as K
from llm_unified.vendors import Vendor
from llm_unified.wire.exchange import Exchange, HttpRequest, SecretHeaders, WireError
from llm_unified.wire.transport import ConnectionPool

__all__ = ["ClassicAnswer", "application_listens", "by_completion", "close_clients", "embed"]

_BY_NAME: Final[Mapping[str, K]] = {
    "Timeout": K.TIMEOUT,
    "ContextWindowExceededError": K.CONTEXT_LENGTH,
    "ContentPolicyViolationError": K.CONTENT_POLICY,
}
"""LiteLLM's exceptions that say more than their status."""
_ONE_REQUEST: Final[Mapping[str, Any]] = {
    "timeout": 6000.0,  # never reached: attempts are bounded by their own limit
    "max_retries": 0,
    "num_retries": 0,
    "drop_params": True,
}
_NOT_OURS: Final = HttpRequest("POST", yarl.URL(), SecretHeaders({}))
_MAX_ERROR_BODY_BYTES: Final = 64 * 1024


def application_listens() -> bool:
    """Whether the application registered LiteLLM callbacks of its own; other Routers' do not count."""
    lists = (
        litellm.callbacks,
        litellm.success_callback,
        litellm.failure_callback,
        litellm._async_success_callback,  # noqa: SLF001 - there is no public name
        litellm._async_failure_callback,  # noqa: SLF001
        litellm.input_callback,
    )
    return any(
        not isinstance(getattr(callback, "__self__", callback), Router)
        for each in lists
        for callback in each
    )


async def by_completion(
    vendor: Vendor | None,
    deployment_params: Mapping[str, Any],
    messages: list[Any],
    params: dict[str, Any],
    *,
    stream: bool,
    exchange: Exchange,
    pool: ConnectionPool | None,
) -> ClassicAnswer:
    """One request; its answer. ``messages`` and ``params`` are changed.

    ``pool``: our connections; ``None``: LiteLLM's own, where it takes no other.

    Raises:
        WireError: refused or broken; ``exchange`` says how.
    """
    params["messages"] = messages
    if stream and vendor is not None and vendor.protocol == "groq" and "response_format" in params:
        params.pop(
            "stream_options", None
        )  # LiteLLM asks for the whole, and sends the option even so
    client = None
    if vendor is not None and pool is not None:
        vendor.nudge(params)
        client = client_over(vendor, deployment_params, pool, exchange)
    else:
        exchange.requests += 1
        if exchange.carried:
            params["extra_headers"] = {**exchange.carried, **(params.get("extra_headers") or {})}
    with _classified(exchange), quiet():
        result = await litellm.acompletion(
            **deployment_params,
            **params,
            **({"stream": True} if stream else {}),  # a `false` would be sent
            client=client,
            **_ONE_REQUEST,
            _skip_mcp_handler=True,  # else `tools=` needs the mcp package
        )
    return ClassicAnswer(
        result, exchange, verified=client is not None, json_mode="response_format" in params
    )


async def embed(
    deployment_params: Mapping[str, Any],
    texts: list[str],
    params: Mapping[str, Any],
    exchange: Exchange,
) -> Any:
    """The vectors of ``texts`` as OpenAI's JSON object.

    Raises:
        WireError: as `by_completion`.
    """
    exchange.requests += 1
    with _classified(exchange), quiet():
        result = await litellm.aembedding(
            **deployment_params,
            input=texts,
            **params,
            **_ONE_REQUEST,
        )
    return result.model_dump()


class ClassicAnswer:
    """LiteLLM's answer object, or its stream, as an `Incoming`."""

    def __init__(self, result: Any, exchange: Exchange, *, verified: bool, json_mode: bool) -> None:
        """``verified``: its events came over our wire, so the end marker was looked for.

        ``json_mode``: LiteLLM may have asked for JSON by its helper tool.
        """
        self._result, self._exchange, self._verified = result, exchange, verified
        self._json_mode = json_mode
        self._helpers: set[int | None] = set()

    @property
    def complete(self) -> bool:
        """LiteLLM makes up a finish reason for a cut stream; what it received is remembered apart."""
        finished = any(
            getattr(self._result, name, None) is not None
            for name in ("received_finish_reason", "intermittent_finish_reason")
        )
        return finished and (self._exchange.ended or not self._verified)

    async def whole(self) -> Piece:
        return self._read(self._result, part="message")

    def _read(self, answer: Any, *, part: str) -> Piece:
        piece = piece_of(answer, part=part)
        return without_helper(piece, self._helpers) if self._json_mode else piece

    async def batches(self) -> AsyncIterator[list[Piece]]:
        with _classified(self._exchange):
            chunks = aiter(self._result)
            while (chunk := await _next(chunks)) is not None:
                piece = self._read(chunk, part="delta")
                if piece.usage is None:  # not asked for on the wire: it is in the last chunk
                    hidden = getattr(chunk, "_hidden_params", None) or {}
                    if hidden.get("usage") is not None:
                        piece.usage = litellm_usage(hidden["usage"])
                if self._verified and not self._exchange.counted:
                    piece.usage = None  # LiteLLM counts for a server that does not
                yield [piece]

    async def aclose(self) -> None:
        close = getattr(self._result, "aclose", None)
        if close is not None:
            with contextlib.suppress(Exception):
                await close()


async def _next(chunks: AsyncIterator[Any]) -> Any:
    with quiet():
        return await anext(chunks, None)


@contextlib.contextmanager
def _classified(exchange: Exchange) -> Iterator[None]:
    """What LiteLLM raises becomes facts of the exchange; those of our own wire win."""
    try:
        yield
    except (AnswerError, WireError):
        raise
    except Exception as error:
        if not _known(exchange):
            _note(exchange, getattr(error, "original_exception", None) or error)
        raise WireError from error


def _known(exchange: Exchange) -> bool:
    return exchange.fault is not None or exchange.status is not None


def _note(exchange: Exchange, error: BaseException) -> None:
    """By LiteLLM's exception and that one's causes, where it used a client of its own."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, httpx.HTTPStatusError):
            answer = current.response
            exchange.receive(answer.status_code, answer.headers.items(), _NOT_OURS)
            exchange.error = read_error(_body(answer))
            return
        if (fault := _socket_fault(current)) is not None:
            exchange.fault, exchange.reason = fault
            return
        current = current.__cause__ or current.__context__
    status = getattr(error, "status_code", None)
    named = _BY_NAME.get(type(error).__name__)
    if named is not None:
        exchange.fault, exchange.reason = named, f"LiteLLM's {type(error).__name__}"
        return
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    if isinstance(status, int):
        exchange.receive(status, headers.items(), _NOT_OURS)
    else:
        exchange.fault, exchange.reason = K.CONNECTION, "no answer"


def _socket_fault(error: BaseException) -> tuple[K, str] | None:
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return K.TIMEOUT, "timeout"
    if isinstance(error, httpx.DecodingError):
        return K.INVALID_RESPONSE, "body could not be decoded"
    if isinstance(error, httpx.TransportError | httpx.StreamError | OSError):
        return K.CONNECTION, "connection lost"
    return None


def _body(response: httpx.Response) -> bytes:
    try:
        return response.content[:_MAX_ERROR_BODY_BYTES]
    except httpx.StreamError:  # it was not read
        return b""


async def close_clients() -> None:
    """Close the clients that LiteLLM made by itself."""
    close: Any = getattr(litellm, "close_litellm_async_clients")  # noqa: B009 - no stub has it
    await close()
