"""No SDK: what one would write by hand. The floor, not a competitor; neither fails over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from . import CONNECTIONS, KEY, MESSAGES, MODEL, OPTIONS, PATIENCE, Peer

BODY: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, **OPTIONS}
HEADERS = {"authorization": f"Bearer {KEY}"}


def make(root: str, variant: str) -> Peer:
    url = f"{root}/flaky/v1/chat/completions"
    return Httpx(url) if variant == "httpx" else Aiohttp(url)


def text(line: str) -> str | None:
    """What a line of an event stream adds to the answer."""
    if not line.startswith("data: {"):
        return None
    choices = json.loads(line[6:])["choices"]
    found: str | None = choices[0]["delta"].get("content") if choices else None
    return found


class Httpx:
    def __init__(self, url: str) -> None:
        import httpx

        self._url = url
        limits = httpx.Limits(max_connections=CONNECTIONS)
        self._http = httpx.AsyncClient(
            headers=HEADERS, timeout=PATIENCE, limits=limits, trust_env=False
        )

    async def call(self) -> str | None:
        answer = await self._http.post(self._url, json=BODY)
        answer.raise_for_status()
        found: str = answer.json()["choices"][0]["message"]["content"]
        return found

    async def stream(self) -> AsyncIterator[str | None]:
        body = {**BODY, "stream": True}
        async with self._http.stream("POST", self._url, json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if piece := text(line):
                    yield piece

    async def close(self) -> None:
        await self._http.aclose()


class Aiohttp:
    def __init__(self, url: str) -> None:
        import aiohttp

        self._url = url
        self._http = aiohttp.ClientSession(
            headers=HEADERS,
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
            raise_for_status=True,
        )

    async def call(self) -> str | None:
        async with self._http.post(self._url, json=BODY) as answer:
            found: str = (await answer.json())["choices"][0]["message"]["content"]
            return found

    async def stream(self) -> AsyncIterator[str | None]:
        async with self._http.post(self._url, json={**BODY, "stream": True}) as answer:
            async for line in answer.content:
                if piece := text(line.decode()):
                    yield piece

    async def close(self) -> None:
        await self._http.close()
