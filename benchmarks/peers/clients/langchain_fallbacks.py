"""LangChain: ``ChatOpenAI(…).with_fallbacks([…])``, its SDK's retries off, as its how-to on fallbacks says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from . import KEY, MESSAGES, MODEL, PATIENCE, Peer


def make(root: str, variant: str) -> Peer:
    return LangChain(root)


class LangChain:
    def __init__(self, root: str) -> None:
        from langchain_openai import ChatOpenAI

        def model(base_url: str) -> Any:
            made: Any = ChatOpenAI
            return made(
                model=MODEL,
                api_key=KEY,
                base_url=base_url,
                temperature=0.5,
                max_tokens=50,
                timeout=PATIENCE,
                max_retries=0,
            )

        self._model = model(f"{root}/flaky/v1").with_fallbacks([model(f"{root}/v1")])

    async def call(self) -> str | None:
        found: str = (await self._model.ainvoke(MESSAGES)).content
        return found

    async def stream(self) -> AsyncIterator[str | None]:
        async for chunk in self._model.astream(MESSAGES):
            yield chunk.content

    async def close(self) -> None:
        """It keeps its connections until the process ends."""
