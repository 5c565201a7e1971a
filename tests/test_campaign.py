"""Many calls, random faults on all but one provider: none is lost, nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
from collections import Counter
from typing import Any

import pytest

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.testing import Request, Simulator, faults, replies

AT_ONCE = 16
FAULTY = ("openai", "azure_openai", "groq")
HEALTHY = "anthropic"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208


def memory() -> int:
    """Most memory used so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Troublemaker:
    """Fails seven times of ten; remembers how often it saw each prompt, and forgets the journal."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seen: Counter[str] = Counter()

    def __call__(self, request: Request) -> Any:
        self.seen[request.body["messages"][-1]["content"]] += 1
        if self.rng.random() < 0.7:
            return faults.random_fault(self.rng)
        return replies.text("ok")


@pytest.mark.parametrize("calls", [1_000, pytest.param(20_000, marks=pytest.mark.full)])
async def test_answers_survive_faults_on_all_but_one(sim: Simulator, calls: int) -> None:
    """No call is lost, no prompt goes twice to one provider, sockets and memory stay flat."""
    trouble = {name: Troublemaker(seed) for seed, name in enumerate(FAULTY)}
    for name in FAULTY:
        sim[name].handler = trouble[name]
    settings = load_settings(
        sim.environ(*FAULTY, HEALTHY),
        timeout=0.3,
        cooldown=0.2,
        deadline=60.0,
        providers={HEALTHY: {"timeout": 30.0}},  # slow is not faulty, on a loaded machine
    )
    answers: Counter[str] = Counter()

    async def some(service: UnifiedLLMService, numbers: range) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with gate:
                message = [{"role": "user", "content": f"call {number}"}]
                response = await service.generate_response_async(message)
                answers[response.provider] += 1

        await asyncio.gather(*(one(number) for number in numbers))

    async with UnifiedLLMService(settings) as service:
        first = calls // 10
        await some(service, range(first))
        gc.collect()
        before = memory(), open_files()
        await some(service, range(first, calls))
        gc.collect()
        after = memory(), open_files()
        stats = service.get_stats()["stats"]
    assert sum(answers.values()) == stats["total_requests"] == calls
    assert stats["failed_requests"] == 0
    for name in FAULTY:
        assert not [prompt for prompt, times in trouble[name].seen.items() if times > 1]
        assert (
            answers[name] == stats["requests_by_provider"][name] - stats["errors_by_provider"][name]
        )
    # The simulator lives in this process and keeps its journal: 4 KiB a call are its own.
    assert after[0] - before[0] < 20_000 + 4 * calls
    assert after[1] - before[1] <= 4 * AT_ONCE
