"""OpenAI's own client, over httpx as it comes, or over aiohttp. It does not fail over; its retries are off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from . import KEY, MESSAGES, MODEL, OPTIONS, PATIENCE, Peer


def make(root: str, variant: str) -> Peer:
    return Sdk(f"{root}/flaky/v1", over_aiohttp=variant == "aiohttp")


class Sdk:
    def __init__(self, base_url: str, *, over_aiohttp: bool) -> None:
        import openai

        http: Any = {"http_client": openai.DefaultAioHttpClient()} if over_aiohttp else {}
        self._client = openai.AsyncOpenAI(
            api_key=KEY, base_url=base_url, max_retries=0, timeout=PATIENCE, **http
        )
        self._request: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, **OPTIONS}

    async def call(self) -> str | None:
        answer: Any = await self._client.chat.completions.create(**self._request)
        found: str | None = answer.choices[0].message.content
        return found

    async def stream(self) -> AsyncIterator[str | None]:
        chunks: Any = await self._client.chat.completions.create(**self._request, stream=True)
        async for chunk in chunks:
            if chunk.choices:
                yield chunk.choices[0].delta.content

    async def close(self) -> None:
        await self._client.close()
