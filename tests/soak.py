"""The soak: everything at once for as long as you like, then both sides' books are compared.

    python tests/soak.py --calls 200000
    python -X dev tests/soak.py --seconds 120 --seed 7

Asynchronous, synchronous and streamed calls (read, dropped, cancelled), tools, structured answers,
embeddings, many event loops, reloads, a warmer and a Redis that comes and goes, while every provider but one
draws a fault at random for every other request. Ends with 1 if a call was lost, asked twice, mixed up,
counted wrongly or late, or if anything is left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_unified import (
    AllProvidersFailedError,
    BadRequestError,
    ConnectionWarmer,
    LLMError,
    Settings,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.events import AttemptEnded
from llm_unified.testing import Simulator
from tests.hang import HANG_SECONDS
from tests.soak_books import Books, Complaints, Stalls, Upstream, footprint

HEALTHY = "openai"
NAMES = ("azure_openai", "groq", "anthropic", HEALTHY)
HOSTILE = 0.5
ASYNC_USERS, SYNC_USERS = 48, 6
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"nonce": {"type": "string"}, "provider": {"type": "string"}},
        },
    },
}
KINDS = ("whole", "stream", "tools", "structured", "embeddings", "hurried", "dropped", "cancelled")
WEIGHTS = (40, 20, 8, 8, 4, 8, 6, 6)


class Card(BaseModel):
    """The structured answer."""

    nonce: str
    provider: str


class Soak:
    """One run."""

    def __init__(self, sim: Simulator, options: argparse.Namespace, redis: str | None) -> None:
        self.sim, self.options, self.redis = sim, options, redis
        self.books = Books(
            {
                name: Upstream(
                    sim[name],
                    hostile=0.0 if name == HEALTHY else HOSTILE,
                    seed=f"{options.seed} {name}",
                )
                for name in NAMES
            }
        )
        self.rng = random.Random(options.seed)
        self.started = time.monotonic()
        self.stalls = Stalls()
        self.reloads = 0
        self.service = UnifiedLLMService(self.settings())
        self.service.subscribe(self.books.note, only=(AttemptEnded,), inline=True)

    def settings(self) -> Settings:
        """Each another one: order, size, and at times other connections and breakers that start afresh."""
        rng = self.rng
        names = list(NAMES)
        rng.shuffle(names)
        environ = self.sim.environ(*names, all_keys=rng.random() < 0.8)
        if self.redis:
            environ["LLM_REDIS_URL"] = self.redis
        return load_settings(
            environ,
            timeout=5.0,
            connect_timeout=rng.choice((4.5, 5.0)),
            first_token_timeout=5.0,
            stream_idle_timeout=5.0,
            cooldown=0.05,
            failure_threshold=rng.choice((3, 20)),
            deadline=90.0,
            pool_size=rng.choice((1, 2, 4)),
            enable_connection_warming=True,
            keep_alive_interval=2.0,
            providers={HEALTHY: {"timeout": 30.0}},
        )

    @property
    def over(self) -> bool:
        done = sum(self.books.calls.values())
        seconds = time.monotonic() - self.started
        return done >= self.options.calls or seconds >= self.options.seconds

    # -- users -----------------------------------------------------------------------------------

    async def user(self, rng: random.Random) -> None:
        """Asks one after the other."""
        while not self.over:
            (kind,) = rng.choices(KINDS, WEIGHTS)
            await self.ask(kind, rng)

    async def ask(self, kind: str, rng: random.Random) -> None:  # noqa: C901 - each end is another entry
        """One call, and its entry in the books."""
        books, began, trail = self.books, time.monotonic(), None
        nonce = books.begin(kind)
        prompt = [{"role": "user", "content": f"nonce-{nonce}-{kind}"}]
        deadline = rng.uniform(0.3, 1.5) if kind == "hurried" else None
        how = kind
        try:
            answer = await getattr(self, f"_{kind}")(prompt, rng, deadline)
        except BadRequestError as error:
            how, trail = "refused", error.attempts
            if not trail:
                books.complain(f"{nonce} {kind}: {error!r}")
        except StreamInterruptedError as error:
            how, trail = "interrupted", error.attempts
        except AllProvidersFailedError as error:
            how, trail = "unanswered", error.attempts
            if deadline is None:
                books.complain(f"{nonce} {kind}: {error!r}")
        except asyncio.CancelledError:
            how = "cancelled"
        except Exception as error:  # noqa: BLE001 - the point of the soak
            how, trail = "lost", getattr(error, "attempts", ())
            books.complain(f"{nonce} {kind}: {error!r}")
        else:
            if answer is not None:
                trail = answer.attempts
                books.answer(nonce, kind, answer)
        books.end(nonce, how, trail)
        if deadline is not None:
            self._on_time(began, deadline)

    def _on_time(self, began: float, deadline: float) -> None:
        over = time.monotonic() - began - (1.05 * deadline + 0.05)
        if over > 0.0:
            self.books.over_deadline += 1
            stalled = self.stalls.since(began)
            if over <= stalled:
                self.books.over_deadline_by_stalls += 1
            else:
                self.books.complain(
                    f"{deadline:.2f} s overrun by {over:.3f} s, stalled {stalled:.3f}"
                )

    async def _whole(self, prompt: Any, rng: random.Random, deadline: float | None) -> Any:
        options: dict[str, Any] = {}
        if rng.random() < 0.1:
            options["accept"] = lambda answer: answer.provider == HEALTHY or rng.random() < 0.5
        if rng.random() < 0.2:
            options["provider"] = rng.choice(NAMES)
        return await self.service.generate_response_async(prompt, **options)

    async def _hurried(self, prompt: Any, rng: random.Random, deadline: float | None) -> Any:
        # A healthy one would be blamed for what a busy machine cannot do in time.
        provider = rng.choice(NAMES[:-1])
        return await self.service.generate_response_async(
            prompt, deadline=deadline, provider=provider, fallback=False
        )

    async def _tools(self, prompt: Any, rng: random.Random, _: float | None) -> Any:
        return await self.service.generate_response_async(prompt, tools=[TOOL])

    async def _structured(self, prompt: Any, rng: random.Random, _: float | None) -> Any:
        return await self.service.generate_response_async(prompt, response_format=Card)

    async def _embeddings(self, prompt: Any, rng: random.Random, _: float | None) -> Any:
        texts = [prompt[0]["content"], "another"]
        return await self.service.embed_async(texts, model="text-embedding-3-small")

    async def _stream(self, prompt: Any, rng: random.Random, _: float | None) -> Any:
        stream = self.service.stream_response_async(prompt)
        text = "".join([chunk.content async for chunk in stream])
        assert stream.response is not None, "the stream ended without a word"
        assert text == stream.response.content, (text, stream.response)
        return stream.response

    async def _dropped(self, prompt: Any, rng: random.Random, _: float | None) -> Any:
        left = rng.randrange(5)
        async for _chunk in self.service.stream_response_async(prompt):
            if not left:
                return
            left -= 1

    async def _cancelled(self, prompt: Any, rng: random.Random, _: float | None) -> Any:
        work = self._stream if rng.random() < 0.5 else self._whole
        task = asyncio.ensure_future(work(prompt, rng, None))
        done, _pending = await asyncio.wait({task}, timeout=rng.expovariate(100.0))
        if not done:
            task.cancel()
        return await task

    def sync_user(self, rng: random.Random) -> None:
        """The same in a thread: by turns over the background loop and over loops of its own."""
        books, service = self.books, self.service
        while not self.over:
            if rng.random() < 0.1:
                asyncio.run(self._some(rng))
                continue
            nonce = books.begin("sync")
            prompt = [{"role": "user", "content": f"nonce-{nonce}-sync"}]
            how, trail = "sync", None
            try:
                if rng.random() < 0.5:
                    answer = service.generate_response(prompt)
                else:
                    stream = service.stream_response(prompt)
                    for _chunk in stream:
                        if rng.random() < 0.05:
                            break
                    answer = stream.response
            except LLMError as error:
                how, trail = type(error).__name__, error.attempts
                if not isinstance(error, BadRequestError | StreamInterruptedError):
                    books.complain(f"{nonce} sync: {error!r}")
            else:
                if answer is not None:
                    trail = answer.attempts
                    books.answer(nonce, "sync", answer)
            books.end(nonce, how, trail)

    async def _some(self, rng: random.Random) -> None:
        for _ in range(rng.randrange(5)):
            await self.ask(rng.choice(("whole", "stream", "tools")), rng)

    # -- what happens meanwhile ------------------------------------------------------------------

    async def reload(self) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(0.2, 2.0))
            await self.service.reload(self.settings())
            self.reloads += 1

    async def run(self) -> dict[str, Any]:
        """Everything, until it is over."""
        rng, loop = self.rng, asyncio.get_running_loop()
        await self.service.warm_connections()
        self.started = (
            time.monotonic()
        )  # a busy machine loads LiteLLM for as long as a short soak lasts
        threads = [
            threading.Thread(target=self.sync_user, args=(random.Random(rng.random()),))
            for _ in range(SYNC_USERS)
        ]
        warmer = ConnectionWarmer(self.service)
        await warmer.start()
        helpers = [loop.create_task(self.stalls.watch()), loop.create_task(self.reload())]
        users = [self.user(random.Random(rng.random())) for _ in range(ASYNC_USERS)]
        for thread in threads:
            thread.start()
        early = loop.create_task(self._footprint_after(0.3))
        await asyncio.gather(*users)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        for helper in (*helpers, early):
            helper.cancel()
        before = await asyncio.gather(early, return_exceptions=True)
        await asyncio.gather(*helpers, return_exceptions=True)
        await warmer.stop()
        for name in NAMES:
            with contextlib.suppress(TimeoutError):
                await self.sim[name].wait_idle_async()
        stats = self.service.get_stats()["stats"]
        late = footprint()
        await self.service.aclose()
        await asyncio.sleep(0)
        left = [t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        if left:
            self.books.complain(f"tasks left: {left}")
        early_print = before[0] if isinstance(before[0], dict) else None
        return {"stats": stats, "early": early_print, "late": late}

    async def _footprint_after(self, share: float) -> dict[str, int]:
        """When things have warmed up."""
        while True:
            await asyncio.sleep(0.2)
            done = sum(self.books.calls.values()) / self.options.calls
            if max(done, (time.monotonic() - self.started) / self.options.seconds) >= share:
                return footprint()


def compare(books: Books, stats: dict[str, Any]) -> None:
    """Journal, trails, statistics."""
    calls, gone = sum(books.calls.values()), books.calls["cancelled"]
    if not calls - gone <= stats["total_requests"] <= calls:
        books.complain(f"{calls} calls, counted {stats['total_requests']}")
    for name, upstream in books.upstreams.items():
        sent, errors = stats["requests_by_provider"][name], stats["errors_by_provider"][name]
        if sent != books.attempts[name]:
            books.complain(f"{name}: {books.attempts[name]} attempts, counted {sent}")
        if sent - errors != books.answered[name]:
            books.complain(f"{name}: {sent} - {errors} is not {books.answered[name]}")
        if not 0 <= books.answered[name] - books.answers[name] <= gone:
            books.complain(
                f"{name}: {books.answered[name]} answers, {books.answers[name]} reached a caller"
            )
        if not sent - books.unheard[name] <= upstream.requests <= sent:
            books.complain(f"{name}: {sent} attempts, the upstream saw {upstream.requests}")
        pings = books.pings[name]
        if not pings - books.unheard_pings[name] <= upstream.pings <= pings:
            books.complain(f"{name}: {pings} pings, the upstream saw {upstream.pings}")


@contextlib.contextmanager
def redis_that_comes_and_goes(seed: int) -> Any:
    """A real server: hangs, dies and is started again, at random."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    rng, ended = random.Random(seed), threading.Event()

    def live() -> None:
        while not ended.is_set():
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            try:
                ended.wait(rng.uniform(1, 8))
                process.send_signal(signal.SIGSTOP)
                ended.wait(rng.uniform(0, 2))
                process.send_signal(signal.SIGCONT)
                ended.wait(rng.uniform(0, 4))
            finally:
                process.kill()
                process.wait()
            ended.wait(rng.uniform(0, 2))

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        ended.set()
        thread.join()


def main() -> int:
    """Run it and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=10**9)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"soak: seed {options.seed}", flush=True)
    with contextlib.ExitStack() as stack:
        sim = stack.enter_context(Simulator(journal_limit=2000))
        redis = None
        if shutil.which("redis-server"):
            redis = stack.enter_context(redis_that_comes_and_goes(options.seed))
        begin = footprint()
        soak = Soak(sim, options, redis)
        books = soak.books
        complaints = Complaints(books)
        logging.getLogger().addHandler(complaints)
        with asyncio.Runner() as runner:
            found = runner.run(soak.run())
        seconds = time.monotonic() - soak.started
        compare(books, found["stats"])
        for name in NAMES:
            try:
                sim[name].wait_for(open_connections=0)
            except TimeoutError as error:
                books.complain(f"sockets left: {error}")
        for thread in threading.enumerate():
            if thread.name == "llm-unified-blocking":  # a reload that nobody waits for any more
                thread.join(HANG_SECONDS)
        end = footprint()
        if end["threads"] > begin["threads"] + 1:  # the last Redis worker may still be going
            books.complain(f"threads left: {[t.name for t in threading.enumerate()]}")
        if end["files"] > begin["files"] + 4:
            books.complain(f"files left: {end['files']} after {begin['files']}")
        early, late = found["early"], found["late"]
        calls = sum(books.calls.values())
        if early and late["resident_kib"] - early["resident_kib"] > 20_000 + calls // 10:
            books.complain(f"memory grows: {early} {late}")
        report = {
            "seed": options.seed,
            "calls": calls,
            "seconds": round(seconds, 1),
            "by_kind": dict(books.calls),
            "ends": dict(books.ends),
            "answers": dict(books.answers),
            "attempts": dict(books.attempts),
            "pings": dict(books.pings),
            "faults": {n: sum(u.faults.values()) for n, u in books.upstreams.items()},
            "kinds_of_faults": len({f for u in books.upstreams.values() for f in u.faults}),
            "reloads": soak.reloads,
            "redis": redis is not None,
            "late_by_stalls": books.over_deadline_by_stalls,
            "late": books.over_deadline - books.over_deadline_by_stalls,
            "worst_stall_seconds": round(soak.stalls.worst, 3),
            "slow_callbacks": complaints.slow,
            "footprint": {"begin": begin, "early": early, "late": late, "end": end},
            "wrong": len(books.wrong),
        }
    print(json.dumps(report, indent=1))
    for text in books.wrong[:20]:
        print(f"WRONG {text:.1500}")
    return 1 if books.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
