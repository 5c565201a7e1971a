"""What a call costs beside the bare Router's, counted in Python function calls: the same on any machine."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from llm_unified import UnifiedLLMService, load_settings
from llm_unified import engine as door
from llm_unified.pool.deployments import build_model_list
from llm_unified.testing import Simulator, replies

HELLO = [{"role": "user", "content": "Hello"}]
OPTIONS: dict[str, Any] = {"temperature": 0.5, "max_tokens": 20}


async def calls_of(ask: Callable[[], Awaitable[Any]]) -> float:
    """Python calls per request, on the event loop's thread."""
    for _ in range(5):
        await ask()
    count = 0

    def profile(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        for _ in range(10):
            await ask()
    finally:
        sys.setprofile(None)
    return count / 10


@pytest.mark.parametrize("provider", ["openai", "azure_openai", "groq", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_call_costs_less_than_the_bare_routers(
    sim: Simulator, provider: str, stream: bool
) -> None:
    """With everything on: pool, turns, breaker, deadline, statistics, trail."""
    sim[provider].always(replies.text("one two three four five six", chunks=6))
    others = [p.name for p in sim.providers if p.name != provider]
    settings = load_settings(sim.environ(provider, *others))
    litellm = door.litellm
    router = litellm.Router(
        model_list=build_model_list(settings), num_retries=0, fallbacks=[{provider: others}]
    )
    async with UnifiedLLMService(settings) as service:

        async def ours() -> None:
            if not stream:
                await service.generate_response_async(HELLO, **OPTIONS)
                return
            async for _ in service.stream_response_async(HELLO, **OPTIONS):
                pass

        async def bare() -> None:
            more = {"stream_options": {"include_usage": True}} if stream else {}
            answer = await router.acompletion(
                model=provider, messages=HELLO, stream=stream, **OPTIONS, **more
            )
            if stream:
                async for _ in answer:
                    pass

        mine, theirs = await calls_of(ours), await calls_of(bare)
    router.discard()
    await litellm.close_litellm_async_clients()
    assert mine <= theirs, f"{mine:.0f} calls against {theirs:.0f}"
    print(f"{provider}: {mine:.0f} calls against {theirs:.0f}: {mine / theirs:.2f}")  # noqa: T201 - -s
