"""Ours, with everything on: pool of three, round robin, breaker, deadline, statistics, trail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from . import KEY, MESSAGES, MODEL, OPTIONS, PATIENCE, Peer


def make(root: str, variant: str) -> Peer:
    return Unified(root)


class Unified:
    def __init__(self, root: str) -> None:
        from llm_unified import UnifiedLLMService, load_settings

        environ = {
            "LLM_PRIMARY_PROVIDER": "openai",
            "LLM_FALLBACK_PROVIDERS": "groq",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{root}/flaky/v1",
            "OPENAI_MODEL": MODEL,
            "GROQ_API_KEY": KEY,
            "GROQ_BASE_URL": f"{root}/openai/v1",
            "LLM_TIMEOUT": str(PATIENCE),
            "LLM_DEADLINE": str(PATIENCE),
        }
        self._messages: list[Any] = MESSAGES
        self._service = UnifiedLLMService(load_settings(environ))

    async def call(self) -> str | None:
        return (await self._service.generate_response_async(self._messages, **OPTIONS)).content

    async def stream(self) -> AsyncIterator[str | None]:
        async with self._service.stream_response_async(self._messages, **OPTIONS) as answer:
            async for piece in answer:
                yield piece.content

    async def warm(self) -> None:
        await self._service.warm_connections()

    async def close(self) -> None:
        await self._service.aclose()
