"""The upstreams' side of the ledger: mixed calls with faults, and what their journal says of them.

A call's prompt says what each provider is to do with it, so the journal alone tells how it went; nothing that the
library says about itself is used.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from llm_unified import LLMError, StreamInterruptedError, UnifiedLLMService, load_settings
from llm_unified.response import FailureKind as K
from llm_unified.testing import Request, Simulator, faults, replies

PROVIDERS = ("openai", "azure_openai", "groq", "anthropic")
EMBEDS = ("openai", "azure_openai")
PRICES = (2e-6, 8e-6)
"""US dollars per token of prompt and answer, of everybody."""
KINDS = ("whole", "stream", "thread", "embeddings", "cancelled", "left", "ping")
WEIGHTS = (40, 25, 10, 8, 6, 6, 5)
FAULTS: dict[str, tuple[Callable[[], faults.Fault], K]] = {
    "500": (lambda: faults.status(500), K.SERVER),
    "503": (lambda: faults.status(503), K.SERVER),
    "429": (lambda: faults.rate_limit(retry_after=0), K.RATE_LIMIT),
    "bad": (faults.bad_request, K.BAD_REQUEST),
    "html": (faults.html, K.INVALID_RESPONSE),
    "empty": (faults.empty_object, K.INVALID_RESPONSE),
    "reset": (faults.reset, K.CONNECTION),
}
"""Each of them strikes when the request was heard, and asks for no rest."""
AT_ONCE = 16


@dataclass
class Truth:
    """What the journal says. All counters are by provider."""

    total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    fallbacks: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    pings: Counter[str] = field(default_factory=Counter)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    streamed: Counter[str] = field(default_factory=Counter)
    """Streams that were answered."""
    fallbacks_in: Counter[str] = field(default_factory=Counter)
    fallbacks_out: Counter[str] = field(default_factory=Counter)
    prompt: Counter[str] = field(default_factory=Counter)
    completion: Counter[str] = field(default_factory=Counter)
    opened: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    embedded: Counter[str] = field(default_factory=Counter)
    """Tokens of texts, a quarter of their characters each (the simulator's count)."""
    begun: Counter[str] = field(default_factory=Counter)
    """Streams whose first content came, finished or not."""
    spans: set[str] = field(default_factory=set)
    """The span ids that arrived in ``traceparent``."""

    def errors(self, provider: str) -> int:
        return sum(count for (name, _), count in self.kinds.items() if name == provider)

    def answers(self, provider: str) -> int:
        return self.attempts[provider] - self.errors(provider)


@dataclass(frozen=True)
class Task:
    """One call: who is asked in which order, and what each does."""

    number: int
    kind: str
    chain: tuple[str, ...]
    plan: dict[str, str]
    usage: tuple[int, int]

    @property
    def text(self) -> str:
        return json.dumps(
            {"n": self.number, "kind": self.kind, "plan": self.plan, "usage": self.usage}
        )


def tasks(count: int, seed: int) -> Iterator[Task]:
    rng = random.Random(seed)
    for number in range(count):
        (kind,) = rng.choices(KINDS, WEIGHTS)
        names = EMBEDS if kind == "embeddings" else PROVIDERS
        first = rng.choice(names)
        if (
            kind == "left"
        ):  # Anthropic counts the prompt with the first event, before the caller leaves
            first = rng.choice(PROVIDERS[:3])
        chain = (first, *(name for name in names if name != first))
        plan = {name: _outcome(rng, kind, name) for name in chain}
        if kind in ("cancelled", "left"):
            plan[first] = "hold"
        yield Task(number, kind, chain, plan, (rng.randint(1, 900), rng.randint(1, 90)))


def _outcome(rng: random.Random, kind: str, provider: str) -> str:
    if rng.random() < 0.65:
        return "answer"
    if kind == "stream" and provider != "anthropic" and rng.random() < 0.3:
        return "cut"
    return rng.choice(tuple(FAULTS))


class Upstreams:
    """The simulated providers, each doing what the prompt asks for."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self.held: dict[int, threading.Event] = {}
        """By number: the request that is held has arrived."""
        for provider in sim:
            provider.handler = self

    def environ(self) -> dict[str, str]:
        return self._sim.environ(*PROVIDERS)

    def __call__(self, request: Request) -> Any:
        """Runs in the simulator's thread."""
        task = asked(request)
        if task is None:
            return replies.text("pong", usage=(5, 1))
        outcome = task["plan"][request.provider]
        if outcome == "hold":
            self.held[task["n"]].set()
            return faults.stall(after=2) if request.stream else faults.blackhole()
        if outcome == "cut":
            return faults.cut_stream(after=2)
        if outcome in FAULTS:
            return FAULTS[outcome][0]()
        return None if "input" in request.body else replies.text("well said", usage=task["usage"])

    def truth(self) -> Truth:
        """What the journal says."""
        found = Truth()
        asked_by_call: dict[int, list[tuple[Request, dict[str, Any]]]] = {}
        for provider in self._sim:
            name = provider.name
            found.requests[name] = len(provider.requests)
            found.opened[name] = len({r.connection for r in provider.requests})
            for request in provider.requests:
                if "traceparent" in request.headers:
                    found.spans.add(request.headers["traceparent"].split("-")[2])
                task = asked(request)
                if task is None:
                    found.pings[name] += 1
                else:
                    asked_by_call.setdefault(task["n"], []).append((request, task))
        found.total = len(asked_by_call)
        for requests in asked_by_call.values():
            requests.sort(key=lambda pair: pair[0].received_at)
            self._call(found, requests)
        return found

    def _call(self, found: Truth, requests: list[tuple[Request, dict[str, Any]]]) -> None:
        for name in {request.provider for request, _ in requests}:
            found.calls[name] += 1
        ends = [self._attempt(found, request, task) for request, task in requests]
        first, last = requests[0][0].provider, requests[-1][0].provider
        found.outcomes[ends[-1]] += 1
        found.fallbacks += ends[-1] == "answered" and first != last
        before = first
        for request, _ in requests[1:]:
            if request.provider != before:
                found.fallbacks_out[before] += 1
                found.fallbacks_in[request.provider] += 1
                before = request.provider

    def _attempt(self, found: Truth, request: Request, task: dict[str, Any]) -> str:
        name, outcome = request.provider, task["plan"][request.provider]
        found.attempts[name] += 1
        found.begun[name] += request.stream and outcome in ("answer", "hold", "cut")
        if outcome == "answer":
            found.streamed[name] += request.stream
            if "input" in request.body:
                found.embedded[name] += sum(len(text) // 4 for text in request.body["input"])
            else:
                prompt, completion = task["usage"]
                found.prompt[name] += prompt
                found.completion[name] += completion
            return "answered"
        if outcome == "hold":
            found.kinds[name, K.CANCELLED] += 1
            return "cancelled"
        if outcome == "cut":
            found.kinds[name, K.CONNECTION] += 1
            return "interrupted"
        found.kinds[name, FAULTS[outcome][1]] += 1
        return "failed"


def asked(request: Request) -> dict[str, Any] | None:
    """The task in a request; ``None``: a ping."""
    body = request.body
    if not isinstance(body, dict):
        return None
    if "input" in body:
        return dict(json.loads(body["input"][0]))
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else content[-1]["text"]
    return None if text == "ping" else dict(json.loads(text))


def service_over(upstreams: Upstreams) -> UnifiedLLMService:
    """Nobody cools down, and nothing is slow: who is asked follows from the tasks alone."""
    prices = {"input_cost_per_token": PRICES[0], "output_cost_per_token": PRICES[1]}
    settings = load_settings(
        upstreams.environ(),
        pool_size=2,
        failure_threshold=1000,
        timeout=60.0,
        connect_timeout=60.0,
        deadline=300.0,
        first_token_timeout=60.0,
        stream_idle_timeout=60.0,
        providers=dict.fromkeys(PROVIDERS, prices),
    )
    return UnifiedLLMService(settings)


async def carry_out(
    service: UnifiedLLMService, upstreams: Upstreams, planned: list[Task]
) -> Counter[str]:
    """All of them, sixteen at once; how they ended for their callers."""
    ends: Counter[str] = Counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(task: Task) -> None:
        async with gate:
            try:
                ends[await _one(service, upstreams, task)] += 1
            except StreamInterruptedError:
                ends["interrupted"] += 1
            except LLMError:
                ends["failed"] += 1

    await asyncio.gather(*(one(task) for task in planned))
    return ends


async def _one(service: UnifiedLLMService, upstreams: Upstreams, task: Task) -> str:
    if task.kind == "ping":
        await service.warm_connections(60.0)
        return "ping"
    hello = [{"role": "user", "content": task.text}]
    held = upstreams.held.setdefault(task.number, threading.Event())
    first = task.chain[0]
    if task.kind == "stream":
        async for _ in service.stream_response_async(hello, provider=first):
            pass
    elif task.kind == "left":
        async with service.stream_response_async(hello, provider=first) as stream:
            async for _ in stream:
                break
        return "cancelled"
    elif task.kind == "cancelled":
        call = asyncio.create_task(service.generate_response_async(hello, provider=first))
        await asyncio.to_thread(held.wait)
        call.cancel()
        await asyncio.wait({call})
        return "cancelled"
    elif task.kind == "thread":
        await asyncio.to_thread(service.generate_response, hello, provider=first)
    elif task.kind == "embeddings":
        await service.embed_async(task.text, model="text-embedding-3-small", provider=first)
    else:
        await service.generate_response_async(hello, provider=first)
    return "answered"
