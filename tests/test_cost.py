"""What a call costs beside the bare Router's, counted in Python function calls: the same on any machine.

The ceilings hold with margin and only fall.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Self

import pytest

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.engine.imports import litellm
from llm_unified.pool.deployments import build_model_list
from llm_unified.testing import Simulator, faults, replies

HELLO = [{"role": "user", "content": "Hello"}]
LONG = [
    {"role": "assistant" if i % 2 else "user", "content": f"Short message {i}."} for i in range(201)
]
OPTIONS: dict[str, Any] = {"temperature": 0.5, "max_tokens": 20}
USAGE = {"stream_options": {"include_usage": True}}
PROVIDERS = ("openai", "azure_openai", "groq", "anthropic")
WHOLE = dict.fromkeys(PROVIDERS, 0.16) | {"anthropic": 0.30}
CHUNK = dict.fromkeys(PROVIDERS, 0.08) | {"anthropic": 0.16}
LONG_CHAT = 0.28
OPEN_BREAKER = 1.1

Ask = Callable[[], Awaitable[Any]]
Pair = Callable[..., tuple[UnifiedLLMService, Any]]


class Counter:
    """Counts Python calls, on the event loop's thread and on those that begin while it is there.

    That is where `completion()` runs: LiteLLM hands it to the loop's own executor.
    """

    def __init__(self) -> None:
        self.count, self._on = 0, False

    def __enter__(self) -> Self:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _profile(self, _frame: Any, event: str, _arg: Any) -> None:
        self.count += self._on and event == "call"

    async def of(self, ask: Ask) -> float:
        """Per request."""
        for _ in range(5):
            await ask()
        self.count, self._on = 0, True
        for _ in range(10):
            await ask()
        self._on = False
        return self.count / 10


@pytest.fixture
def counter() -> Iterator[Counter]:
    with Counter() as made:
        yield made


@pytest.fixture
async def pair(sim: Simulator) -> AsyncIterator[Pair]:
    """Our service with everything on, and the bare Router over the same model list."""
    made: list[tuple[UnifiedLLMService, Any]] = []

    def make(provider: str, **overrides: Any) -> tuple[UnifiedLLMService, Any]:
        others = [name for name in PROVIDERS if name != provider]
        settings = load_settings(sim.environ(provider, *others), **overrides)
        router = litellm.Router(
            model_list=build_model_list(settings), num_retries=0, fallbacks=[{provider: others}]
        )
        made.append((UnifiedLLMService(settings), router))
        return made[-1]

    yield make
    for service, router in made:
        await service.aclose()
        (getattr(router, "retire", None) or router.discard)()
    await litellm.close_litellm_async_clients()


def report(what: str, mine: float, theirs: float, ceiling: float) -> None:
    ratio = mine / theirs
    print(f"{what}: {mine:.1f} calls against {theirs:.1f}: {ratio:.3f}")  # noqa: T201 - with -s
    assert ratio <= ceiling, f"{what}: {mine:.1f} calls against {theirs:.1f}: {ratio:.3f}"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_call(pair: Pair, counter: Counter, provider: str) -> None:
    """With pool, turns, breaker, deadline, statistics and trail."""
    service, router = pair(provider)
    mine = await counter.of(lambda: service.generate_response_async(HELLO, **OPTIONS))
    theirs = await counter.of(lambda: router.acompletion(model=provider, messages=HELLO, **OPTIONS))
    report(provider, mine, theirs, WHOLE[provider])


@pytest.mark.full(one_of=4)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_chunk_of_a_stream(
    sim: Simulator, pair: Pair, counter: Counter, provider: str
) -> None:
    """The difference between a long stream and a short one, by the chunks between them."""
    service, router = pair(provider)

    async def ours() -> None:
        async with service.stream_response_async(HELLO, **OPTIONS) as stream:
            async for _ in stream:
                pass

    async def bare() -> None:
        stream = await router.acompletion(
            model=provider, messages=HELLO, stream=True, **OPTIONS, **USAGE
        )
        async for _ in stream:
            pass

    few, many = 20, 220
    counted: dict[Ask, list[float]] = {ours: [], bare: []}
    for chunks in (few, many):
        sim[provider].always(replies.text("word " * chunks, chunks=chunks))
        for ask, counts in counted.items():
            counts.append(await counter.of(ask))
    mine, theirs = ((c[1] - c[0]) / (many - few) for c in counted.values())
    report(provider, mine, theirs, CHUNK[provider])


@pytest.mark.full(one_of=4)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_two_hundred_short_messages(pair: Pair, counter: Counter, provider: str) -> None:
    """Each message is looked at as seldom as can be."""
    service, router = pair(provider)
    mine = await counter.of(lambda: service.generate_response_async(LONG, **OPTIONS))
    theirs = await counter.of(lambda: router.acompletion(model=provider, messages=LONG, **OPTIONS))
    report(provider, mine, theirs, LONG_CHAT)


async def test_a_call_past_an_open_breaker(
    sim: Simulator, pair: Pair, counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    """Beside a call whose primary is well. The warning of the fallback, if anybody wants it, comes on top."""
    caplog.set_level(logging.ERROR, "llm_unified")
    well, _ = pair("azure_openai")
    healthy = await counter.of(lambda: well.generate_response_async(HELLO, **OPTIONS))
    sim.openai.always(faults.status(500))
    failing, _ = pair("openai", failure_threshold=1, cooldown=600.0)
    past = await counter.of(lambda: failing.generate_response_async(HELLO, **OPTIONS))
    assert len(sim.openai.requests) < 10
    report("past an open breaker", past, healthy, OPEN_BREAKER)
