"""pydantic-ai: a `FallbackModel` of two OpenAI models, asked through ``pydantic_ai.direct``, its cheapest way.

Its SDK's retries are off, as its documentation of `FallbackModel` recommends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from . import KEY, MESSAGES, MODEL, OPTIONS, PATIENCE, Peer


def make(root: str, variant: str) -> Peer:
    return PydanticAI(root)


class PydanticAI:
    def __init__(self, root: str) -> None:
        from openai import AsyncOpenAI
        from pydantic_ai import direct
        from pydantic_ai.messages import ModelRequest
        from pydantic_ai.models.fallback import FallbackModel
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        def model(base_url: str) -> Any:
            client: Any = AsyncOpenAI(
                api_key=KEY, base_url=base_url, max_retries=0, timeout=PATIENCE
            )
            return OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))

        self._direct: Any = direct
        self._model = FallbackModel(model(f"{root}/flaky/v1"), model(f"{root}/v1"))
        self._messages = [ModelRequest.user_text_prompt(MESSAGES[0]["content"])]

    async def call(self) -> str | None:
        answer = await self._direct.model_request(
            self._model, self._messages, model_settings=OPTIONS
        )
        found: str = answer.parts[0].content
        return found

    async def stream(self) -> AsyncIterator[str | None]:
        async with self._direct.model_request_stream(
            self._model, self._messages, model_settings=OPTIONS
        ) as events:
            async for event in events:
                piece = getattr(event, "delta", None) or getattr(event, "part", None)
                if event.event_kind != "part_end":
                    yield getattr(piece, "content_delta", None) or getattr(piece, "content", None)

    async def close(self) -> None:
        """It keeps its connections until the process ends."""
