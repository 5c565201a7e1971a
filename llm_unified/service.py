"""The façade: one way in, one way out. Asynchronous methods are in `asynchronous`; these run the same calls on
one background event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, Unpack

from llm_unified.asynchronous import AsyncMethods, Messages, Tools
from llm_unified.errors import LLMError
from llm_unified.forksafe import ForkSafeLock
from llm_unified.options import ChatOptions, EmbedOptions
from llm_unified.response import Embedding, LLMResponse
from llm_unified.streaming import SyncStream
from llm_unified.wire.background import refuse_inside_loop

__all__ = ["UnifiedLLMService", "get_llm_service"]


class UnifiedLLMService(AsyncMethods):
    """Answers chat requests from some provider: the primary if it can, the next one if not.

    Several services may live in one process, fully apart. One service may be used from any thread and any
    number of event loops, one after the other or at once.

    Use it as a context manager (``with`` or ``async with``), or call `close` / `aclose` when done.
    """

    def generate_response(
        self,
        messages: Messages,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Tools | None = None,
        **options: Unpack[ChatOptions],
    ) -> LLMResponse:
        """`generate_response_async`, synchronous, safe from any thread.

        Raises:
            RuntimeError: called where an event loop runs; it would block that loop.
        """
        refuse_inside_loop("generate_response", "generate_response_async")
        return self.background.run(
            self.generate_response_async(messages, temperature, max_tokens, tools, **options)
        )

    def stream_response(
        self,
        messages: Messages,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Tools | None = None,
        **options: Unpack[ChatOptions],
    ) -> SyncStream:
        """`stream_response_async`, synchronous: ``for chunk in …``.

        Raises:
            RuntimeError: called where an event loop runs; it would block that loop.
        """
        refuse_inside_loop("stream_response", "stream_response_async")
        stream = self.stream_response_async(messages, temperature, max_tokens, tools, **options)
        return SyncStream(stream, self.background)

    def generate_many(
        self,
        conversations: Sequence[Messages],
        *,
        concurrency: int = 8,
        progress: bool = False,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Tools | None = None,
        **options: Unpack[ChatOptions],
    ) -> list[LLMResponse | LLMError]:
        """`generate_many_async`, synchronous."""
        refuse_inside_loop("generate_many", "generate_many_async")
        return self.background.run(
            self.generate_many_async(
                conversations,
                concurrency=concurrency,
                progress=progress,
                temperature=temperature,
                max_tokens=max_tokens,
                tools=tools,
                **options,
            )
        )

    def embed(
        self, inputs: str | Sequence[str], *, model: str, **options: Unpack[EmbedOptions]
    ) -> Embedding:
        """`embed_async`, synchronous."""
        refuse_inside_loop("embed", "embed_async")
        return self.background.run(self.embed_async(inputs, model=model, **options))

    def warm_connections_sync(self, timeout: float = 20.0) -> dict[str, bool]:
        """`warm_connections` for the synchronous methods, which have connections of their own."""
        refuse_inside_loop("warm_connections_sync", "warm_connections")
        return self.background.run(self.warm_connections(timeout))

    def close(self) -> None:
        """`aclose`, synchronous."""
        refuse_inside_loop("close", "aclose")
        self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_service: UnifiedLLMService | None = None
_service_lock = ForkSafeLock()


def get_llm_service() -> UnifiedLLMService:
    """The process's service, built on first use from the environment; rebuilt after it was closed.

    Raises:
        ConfigurationError: with every problem at once.
    """
    global _service  # noqa: PLW0603 - one per process is the contract
    with _service_lock:
        if _service is None or _service.closed:
            _service = UnifiedLLMService()
        return _service
