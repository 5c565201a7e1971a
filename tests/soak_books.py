"""Both sides of the soak's ledger: what the simulator received and what the callers got."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from llm_unified.events import AttemptEnded
from llm_unified.response import Attempt, FailureKind
from llm_unified.testing import Request, SimulatedProvider, faults, replies

K = FailureKind
NONCE = re.compile(r"nonce-(\d+)-(\w+)")
_LEFT_OUT = {"huge_body", "redirect_same_host", "wrong_content_type"}
"""One is slow, and what the others answer is right but has no nonce."""
_LASTING = {K.AUTH, K.NOT_FOUND, K.QUOTA}
_CALLERS_FAULT = {K.BAD_REQUEST, K.CONTEXT_LENGTH, K.CONTENT_POLICY}
_WITHOUT_ANSWER = {K.CONNECTION, K.TIMEOUT, K.CANCELLED, K.REJECTED}


def wants(provider: str, nonce: str) -> str:
    """The text that a provider answers to a prompt with this nonce."""
    return f"{provider} answers nonce {nonce} in several words"


class Upstream:
    """Draws an outcome for each request of one provider; remembers whom it saw."""

    def __init__(self, provider: SimulatedProvider, *, hostile: float, seed: str) -> None:
        self.provider, self.hostile = provider, hostile
        self.rng = random.Random(seed)
        self.names, self.weights = zip(*_weighted(provider.name), strict=True)
        self.seen: dict[str, list[str]] = {}
        """Nonce → keys, one for each request."""
        self.requests = self.pings = 0
        self.faults: Counter[str] = Counter()
        provider.handler = self

    def __call__(self, request: Request) -> Any:
        """Runs in the simulator's thread."""
        if "redirected" in request.query:
            return None
        body = request.body if isinstance(request.body, dict) else {}
        found = NONCE.search(str(body.get("messages") or body.get("input")))
        if found is None:
            self.pings += 1
        else:
            self.requests += 1
            self.seen.setdefault(found[1], []).append(request.api_key or "")
        if self.rng.random() < self.hostile:
            return self._fault()
        return replies.text("pong") if found is None else self._answer(found[1], found[2])

    def _fault(self) -> Any:
        (name,) = self.rng.choices(self.names, self.weights)
        self.faults[name] += 1
        if name == "refused":  # for a twentieth of a second
            asyncio.get_running_loop().call_later(0.05, self.provider.listen)
        return faults.ALL[name]()

    def _answer(self, nonce: str, kind: str) -> Any:
        name = self.provider.name
        if kind == "tools":
            return replies.tool_call("look_up", {"nonce": nonce, "provider": name})
        if kind == "structured":
            return replies.json({"nonce": nonce, "provider": name})
        return replies.text(wants(name, nonce), chunks=5)


def _weighted(provider: str) -> Iterable[tuple[str, float]]:
    """Fewer of what keeps a key away for minutes, ends a call at once, or takes a timeout to find out."""
    for name, make in faults.ALL.items():
        kind = make().expected(provider)
        if name in _LEFT_OUT:
            continue
        if kind in _LASTING:
            yield name, 0.02
        elif kind in _CALLERS_FAULT or name == "refused" or "rate_limit" in name:
            yield name, 0.1
        else:
            yield name, 0.1 if kind is K.TIMEOUT or "stall" in name else 1.0


@dataclass
class Books:
    """What the callers got, and everything that does not fit."""

    upstreams: dict[str, Upstream]
    wrong: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    unheard: Counter[str] = field(default_factory=Counter)
    pings: Counter[str] = field(default_factory=Counter)
    unheard_pings: Counter[str] = field(default_factory=Counter)
    over_deadline: int = 0
    over_deadline_by_stalls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    _number: int = 0

    def begin(self, kind: str) -> str:
        """A new nonce."""
        with self.lock:
            self._number += 1
            self.calls[kind] += 1
            return str(self._number)

    def note(self, event: AttemptEnded) -> None:
        """Every attempt that was sent, by subscription."""
        attempt, users = event.attempt, event.operation != "ping"
        if not attempt.sent:
            return
        with self.lock:
            counted, unheard = (
                (self.attempts, self.unheard) if users else (self.pings, self.unheard_pings)
            )
            counted[attempt.provider] += 1
            unheard[attempt.provider] += maybe_unheard(attempt)
            self.answered[attempt.provider] += users and attempt.kind is None

    def complain(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text)

    def end(self, nonce: str, how: str, attempts: Iterable[Attempt] | None) -> None:
        """One call is over; ``attempts``: its trail, ``None`` where its caller went away."""
        with self.lock:
            self.ends[how] += 1
        for name, upstream in self.upstreams.items():
            keys = upstream.seen.pop(nonce, [])
            if attempts is None:
                continue
            own = [a for a in attempts if a.provider == name and a.sent]
            heard = sum(not maybe_unheard(a) for a in own)
            if not heard <= len(keys) <= len(own):
                self.complain(f"{nonce} {how}: {name} saw {len(keys)}, the trail says {own}")
            twice = max(Counter(keys).values(), default=0)
            if twice > 1 + any(a.kind is K.CONNECTION and a.status is None for a in own):
                self.complain(f"{nonce} {how}: {name} was asked {twice} times with one key: {own}")

    def answer(self, nonce: str, kind: str, response: Any) -> None:
        """A whole answer came; is it this call's?"""
        provider = response.provider
        with self.lock:
            self.answers[provider] += 1
        if kind == "tools":
            right = [c.arguments for c in response.tool_calls] == [
                {"nonce": nonce, "provider": provider}
            ]
        elif kind == "structured":
            right = (response.parsed.nonce, response.parsed.provider) == (nonce, provider)
        elif kind == "embeddings":
            right = len(response.vectors) == 2
        else:
            right = response.content == wants(provider, nonce)
        if not right:
            self.complain(f"{nonce} {kind}: the answer of {provider} is not its own: {response}")


def maybe_unheard(attempt: Attempt) -> bool:
    """Whether its request may have broken, or been given up, before the upstream had read it."""
    return attempt.status is None and attempt.kind in _WITHOUT_ANSWER


class Stalls:
    """How late an event loop is, so that a busy machine is not taken for a missed deadline."""

    def __init__(self) -> None:
        self.late: deque[tuple[float, float]] = deque(maxlen=20_000)
        self.worst = 0.0
        self._turn = time.monotonic()

    async def watch(self) -> None:
        while True:
            began = self._turn = time.monotonic()
            await asyncio.sleep(0.01)
            late = time.monotonic() - began - 0.01
            if late > 0.005:
                self.late.append((began, late))
                self.worst = max(self.worst, late)

    def since(self, began: float) -> float:
        """Seconds that the loop was late since then."""
        now = max(0.0, time.monotonic() - self._turn - 0.01)  # this very turn
        return now + sum(late for at, late in self.late if at + late >= began)


class Complaints(logging.Handler):
    """What asyncio, aiohttp and others log; slow callbacks are the machine's."""

    def __init__(self, books: Books) -> None:
        super().__init__(logging.WARNING)
        self.books = books
        self.slow = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name.startswith("llm_unified"):
            return
        if text.startswith("Error on transport creation for incoming connection"):
            return  # asyncio's, in the simulator: it stopped listening while it accepted
        if "Executing" in text and "took" in text:
            self.slow += 1
        else:
            self.books.complain(f"logged by {record.name}: {text}")


def footprint() -> dict[str, int]:
    """Of this process, after a collection: resident KiB, open files, threads."""
    gc.collect()
    with open("/proc/self/statm") as file:  # noqa: PTH123
        pages = int(file.read().split()[1])
    return {
        "resident_kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "threads": threading.active_count(),
    }
