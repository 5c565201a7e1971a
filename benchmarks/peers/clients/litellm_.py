"""LiteLLM: `acompletion`, and the Router with ``num_retries=0`` ("bare") and as its documentation shows it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from . import KEY, MESSAGES, MODEL, OPTIONS, PATIENCE, Peer

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices
os.environ["LITELLM_LOG"] = "CRITICAL"


def make(root: str, variant: str) -> Peer:
    import litellm
    from litellm.router import Router

    litellm.suppress_debug_info = True  # else it prints at each failure
    first, second = (
        {"model": f"openai/{MODEL}", "api_key": KEY, "api_base": base, "timeout": PATIENCE}
        for base in (f"{root}/flaky/v1", f"{root}/v1")
    )
    if variant == "acompletion":
        return LiteLLM(litellm.acompletion, {**first, "fallbacks": [second]})
    options: dict[str, Any] = {"num_retries": 0} if variant == "router" else {}
    router = Router(
        model_list=[
            {"model_name": "first", "litellm_params": first},
            {"model_name": "second", "litellm_params": second},
        ],
        fallbacks=[{"first": ["second"]}],
        **options,
    )
    return LiteLLM(router.acompletion, {"model": "first"})


class LiteLLM:
    def __init__(self, ask: Any, request: dict[str, Any]) -> None:
        self._ask = ask
        self._request = {**request, "messages": MESSAGES, **OPTIONS}

    async def call(self) -> str | None:
        answer = await self._ask(**self._request)
        found: str | None = answer.choices[0].message.content
        return found

    async def stream(self) -> AsyncIterator[str | None]:
        async for chunk in await self._ask(**self._request, stream=True):
            yield chunk.choices[0].delta.content

    async def close(self) -> None:
        """It keeps its connections until the process ends."""
