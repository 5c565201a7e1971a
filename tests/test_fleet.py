"""Cooldowns shared over a real Redis; without it, with a hanging or a wrong one, nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog

from llm_unified import ConfigurationError
from llm_unified.pool import fleet as fleet_module
from llm_unified.pool import worker as worker_module
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.entries import LARGEST_OUTBOX, Entry, Outbox, read_entry
from llm_unified.pool.fleet import Fleet
from llm_unified.pool.rotation import Rotation
from llm_unified.response import FailureKind as K
from tests.hang import HANG_SECONDS
from tests.redis_server import Redis

DEPLOYMENTS = {
    f"p#{i}": Deployment(f"p#{i}", "p", "m", "openai/m", "e", f"p/key{i}") for i in range(2)
}
FIRST = DEPLOYMENTS["p#0"]


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a loaded machine time to answer."""
    monkeypatch.setattr(fleet_module, "REDIS_WAIT_SECONDS", 10.0)
    monkeypatch.setattr(fleet_module, "CLOSE_SECONDS", 10.0)


class Process:
    """What one process of the fleet has; its clock stands still until it is moved."""

    def __init__(self, url: str) -> None:
        self.now = 1000.0
        self.rotation = Rotation(
            DEPLOYMENTS.values(), threshold=1, clock=self.clock, chance=lambda: 0.5
        )
        self.fleet = Fleet(url, clock=self.clock)

    def clock(self) -> float:
        return self.now

    async def refresh(self) -> None:
        """The next look at Redis, whatever was before."""
        self.now += 1.0
        await self.fleet.refresh(DEPLOYMENTS, self.rotation)

    def fail(self, kind: K, *, retry_after: float | None = None) -> None:
        seconds = self.rotation.lease(FIRST).failed(kind, retry_after=retry_after)
        ids = [d.id for d in self.rotation.affected(FIRST, kind)]
        self.fleet.publish(ids, kind, seconds, asked_for=retry_after is not None)

    @property
    def cooldown(self) -> float:
        return self.rotation.state("p")[0].cooldown_seconds


@contextlib.asynccontextmanager
async def process(url: str) -> AsyncIterator[Process]:
    one = Process(url)
    try:
        yield one
    finally:
        await one.fleet.aclose()


# -- with a Redis ------------------------------------------------------------------------------


@pytest.mark.usefixtures("calm")
async def test_one_process_learns_what_another_met(redis: Redis) -> None:
    """A 429 of one key, for as long as the upstream asked; the other key is free."""
    async with process(redis.url) as one, process(redis.url) as two:
        one.fail(K.RATE_LIMIT, retry_after=60.0)
        await one.fleet.aclose()
        await two.refresh()
        assert two.cooldown == pytest.approx(60.0, abs=5.0)
        assert two.rotation.soonest(["p"]) == ("p", 0.0, False)
        lease = two.rotation.acquire("p", budget=1.0)
        assert lease is not None
        assert lease.deployment.id == "p#1"


@pytest.mark.usefixtures("calm")
async def test_an_opened_breaker_is_open_for_all(redis: Redis) -> None:
    """With a probe afterwards, in each process."""
    async with process(redis.url) as one, process(redis.url) as two:
        one.fail(K.SERVER)
        await one.fleet.aclose()
        await two.refresh()
        assert not two.rotation.available("p")
        assert two.rotation.last_resorts("p")
        two.now += 10.0
        lease = two.rotation.acquire("p", budget=1.0)
        assert lease is not None
        assert lease.probe


@pytest.mark.usefixtures("calm")
async def test_a_wish_is_known_as_one(redis: Redis) -> None:
    """Who asked to be left alone is nobody's last resort, in no process."""
    async with process(redis.url) as one, process(redis.url) as two:
        one.fail(K.SERVER, retry_after=100.0)
        await one.fleet.aclose()
        await two.refresh()
        assert two.cooldown == pytest.approx(100.0, abs=5.0)
        assert not two.rotation.last_resorts("p")


@pytest.mark.usefixtures("calm")
async def test_a_recovery_is_told_as_well(redis: Redis) -> None:
    """Who finds a provider well again takes the common entries back."""
    async with process(redis.url) as one, process(redis.url) as two:
        one.fail(K.SERVER)
        await one.refresh()
        with redis.client() as client:
            assert len(client.keys("deployment:*")) == 2
        one.now += 10.0
        probe = one.rotation.acquire("p", budget=1.0)
        assert probe is not None
        assert probe.succeeded()
        one.fleet.withdraw(DEPLOYMENTS)
        await one.fleet.aclose()
        await two.refresh()
        assert two.rotation.available("p")


@pytest.mark.usefixtures("calm")
async def test_an_own_entry_does_not_undo_a_recovery(redis: Redis) -> None:
    """What was withdrawn counts as gone, even before Redis knows it."""
    async with process(redis.url) as one:
        one.fail(K.SERVER)
        await one.refresh()
        probe = one.rotation.acquire("p", budget=1.0, last_resort=True)
        assert probe is not None
        assert probe.succeeded()
        one.fleet._outbox.put(DEPLOYMENTS, None)  # as `withdraw`, not sent yet
        one.fleet._outbox.take()
        await one.refresh()
        assert one.rotation.available("p")


@pytest.mark.usefixtures("calm")
async def test_entries_are_litellms(redis: Redis) -> None:
    """Key, value and lifetime as LiteLLM's router keeps them; no clock of another host is believed."""
    async with process(redis.url) as one, process(redis.url) as two:
        one.fail(K.RATE_LIMIT, retry_after=60.0)
        await one.fleet.aclose()
        with redis.client() as client:
            key = "deployment:p#0:cooldown"
            value = json.loads(client.get(key))
            assert value["exception_received"] == "rate_limit"
            assert {"status_code", "timestamp", "cooldown_time"} <= set(value)
            assert 50_000 < client.pttl(key) <= 60_000
            value["timestamp"] -= 3600.0
            client.set(key, json.dumps(value), keepttl=True)
        await two.refresh()
        assert two.cooldown == pytest.approx(60.0, abs=5.0)


@pytest.mark.usefixtures("calm")
async def test_a_wrong_redis_is_never_believed(redis: Redis) -> None:
    """Garbage, another type, no lifetime, a lifetime of years: nothing, or our own longest cooldown."""
    good = {"exception_received": "server"}
    async with process(redis.url) as one:
        with redis.client() as client:
            client.set("deployment:p#0:cooldown", b"\xff\x00 nonsense", px=60_000)
            client.lpush("deployment:p#1:cooldown", "a list")
            await one.refresh()
            assert one.rotation.available("p")
            client.flushall()
            client.set("deployment:p#0:cooldown", json.dumps(good))
            await one.refresh()
            assert one.rotation.available("p")
            client.set("deployment:p#0:cooldown", json.dumps(good), px=10**11)
            await one.refresh()
            assert one.cooldown == pytest.approx(66.0)


@pytest.mark.usefixtures("calm")
async def test_redis_is_asked_once_a_second(redis: Redis) -> None:
    """Not by every call."""
    async with process(redis.url) as one:
        await one.refresh()
        with redis.client() as client:
            client.set("deployment:p#0:cooldown", '{"exception_received": "server"}', px=60_000)
        one.now += 0.9
        await one.fleet.refresh(DEPLOYMENTS, one.rotation)
        assert one.rotation.available("p")
        one.now += 0.2
        await one.fleet.refresh(DEPLOYMENTS, one.rotation)
        assert not one.rotation.available("p")


@pytest.mark.usefixtures("calm")
async def test_a_redis_that_comes_back_learns_what_it_missed(redis: Redis) -> None:
    """One warning, a pause, and then what was found meanwhile is sent with its remaining time."""
    async with process(redis.url) as one, process(redis.url) as two:
        await one.refresh()
        redis.stop()
        with structlog.testing.capture_logs() as logs:
            await one.refresh()
            one.fail(K.RATE_LIMIT, retry_after=60.0)
            await one.refresh()
        assert [entry["event"] for entry in logs] == ["redis_unreachable"]
        assert one.fleet._backoff == 2.0
        redis.start()
        one.now += 9.0
        await one.refresh()
        assert one.fleet._backoff == 0.0
        await two.refresh()
        assert 30.0 < two.cooldown < 52.0


@pytest.mark.usefixtures("calm")
async def test_a_restart_is_not_noticed(redis: Redis) -> None:
    """The connection that broke meanwhile is replaced, without a warning."""
    async with process(redis.url) as one:
        await one.refresh()
        redis.stop()
        redis.start()
        with structlog.testing.capture_logs() as logs:
            one.fail(K.SERVER)
            await one.refresh()
        with redis.client() as client:
            assert len(client.keys("deployment:*")) == 2
        assert not logs


@pytest.mark.usefixtures("calm")
def test_many_loops_leave_nothing_behind(redis: Redis, recwarn: pytest.WarningsRecorder) -> None:
    """Also one that is never closed, and one that ends while something is still to be sent."""
    one = Process(redis.url)

    async def call() -> None:
        await one.refresh()
        one.fail(K.RATE_LIMIT, retry_after=60.0)

    for _ in range(3):
        asyncio.run(call())
    abandoned = asyncio.new_event_loop()
    abandoned.run_until_complete(call())
    abandoned.close()
    asyncio.run(one.fleet.aclose())
    gc.collect()
    assert not recwarn.list
    assert not [t for t in threading.enumerate() if t.name == "llm-unified-redis"]
    with redis.client() as client:
        assert client.keys("deployment:*") == [b"deployment:p#0:cooldown"]


@pytest.mark.usefixtures("calm")
async def test_the_thread_ends_when_it_is_idle(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet that was never closed keeps neither a thread nor a socket; the next look starts anew."""
    monkeypatch.setattr(worker_module, "IDLE_SECONDS", 0.01)
    async with process(redis.url) as one:
        await one.refresh()
        thread = one.fleet._worker._thread
        if thread is not None:
            await asyncio.to_thread(thread.join, 10.0)
        assert not one.fleet._worker.running
        with redis.client() as client:
            client.set("deployment:p#0:cooldown", '{"exception_received": "server"}', px=60_000)
        await one.refresh()
        assert not one.rotation.available("p")


@pytest.mark.usefixtures("calm")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_a_connection_of_its_own(redis: Redis) -> None:
    """It looks and tells as its parent does, and the parent's connection goes on."""
    one = Process(redis.url)
    asyncio.run(one.refresh())
    child = os.fork()
    if not child:
        import signal

        signal.alarm(20)

        async def work() -> None:
            await one.refresh()
            one.fail(K.SERVER)
            await one.fleet.aclose()

        asyncio.run(work())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    asyncio.run(one.refresh())
    assert not one.rotation.available("p")
    asyncio.run(one.fleet.aclose())


@pytest.mark.usefixtures("calm")
async def test_a_slow_redis_is_used_but_not_waited_for(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says late still holds; the next calls do not wait for it."""
    async with process(redis.url) as one:
        with redis.client() as client:
            client.set("deployment:p#0:cooldown", '{"exception_received": "server"}', px=60_000)
        monkeypatch.setattr(fleet_module, "REDIS_WAIT_SECONDS", 0.0)
        await one.refresh()
        assert one.fleet._backoff == 1.0
        await one.fleet.aclose()
        assert not one.rotation.available("p")


# -- without one -------------------------------------------------------------------------------


@pytest.fixture
def hanging() -> Iterator[str]:
    """Accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


async def test_a_redis_that_hangs_delays_one_call(hanging: str) -> None:
    """Then nobody waits until the pause is over, which doubles to half a minute."""
    pauses = []
    async with process(hanging) as one:
        with structlog.testing.capture_logs() as logs:
            for _ in range(7):
                await one.fleet.refresh(DEPLOYMENTS, one.rotation)
                posted = one.fleet._worker._jobs.qsize()
                for _ in range(100):  # at once: they start no look-up
                    await one.fleet.refresh(DEPLOYMENTS, one.rotation)
                    one.fail(K.SERVER)
                assert one.fleet._worker._jobs.qsize() <= posted
                pauses.append(one.fleet._backoff)
                one.now += pauses[-1]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert [entry["event"] for entry in logs] == ["redis_unreachable"]


async def test_closing_does_not_wait_for_a_redis_that_hangs(hanging: str) -> None:
    """The thread ends by itself."""
    one = Process(hanging)
    one.fail(K.SERVER)
    thread = one.fleet._worker._thread
    assert thread is not None
    await asyncio.wait_for(one.fleet.aclose(), HANG_SECONDS)
    assert not one.fleet._worker.running
    await asyncio.to_thread(thread.join, 10.0)
    assert not thread.is_alive()


async def test_a_full_executor_changes_nothing(hanging: str) -> None:
    """Neither is the application's executor used, nor waited for."""
    release = threading.Event()
    loop = asyncio.get_running_loop()
    from concurrent.futures import ThreadPoolExecutor

    executor = ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    blocker = loop.run_in_executor(None, release.wait)
    async with process(hanging.replace("127.0.0.1", "localhost")) as one:
        await one.refresh()
        assert one.fleet._backoff == 1.0
        assert executor._work_queue.qsize() == 0
    release.set()
    await blocker


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-NOAUTH no\r\n", b"*1\r\n$-1\r\n", b"", b"\xff"],
)
async def test_what_is_no_redis_is_unreachable(answer: bytes) -> None:
    """Whatever it says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with process(f"redis://127.0.0.1:{port}") as one:
            await one.refresh()
            assert one.fleet._backoff == 1.0
            assert one.rotation.available("p")


async def test_nobody_there_is_unreachable() -> None:
    """Connection refused."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with process(f"redis://127.0.0.1:{port}") as one:
        await one.refresh()
        assert one.fleet._backoff == 1.0


async def test_without_a_thread_calls_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the interpreter's end, when none can be started any more."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with process("redis://127.0.0.1:1/0") as one:
        with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
            patch.setattr(threading.Thread, "start", start)
            await one.refresh()
            one.fail(K.SERVER)
            one.now += 2.0
            one.fail(K.RATE_LIMIT)
        assert one.fleet._backoff == 2.0
    assert [entry["event"] for entry in logs] == ["redis_unreachable"]


async def test_a_cancelled_look_is_cancelled(hanging: str) -> None:
    """The caller's cancellation is not swallowed."""
    async with process(hanging) as one:
        task = asyncio.create_task(one.refresh())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# -- configuration and entries -----------------------------------------------------------------


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`LLM_REDIS_URL` without the extra: the error says what to install, and not the URL."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "redis" else find(name, *a)
    )
    with pytest.raises(ConfigurationError, match=r"llm-unified\[redis\]") as caught:
        Fleet("redis://:hunter2@127.0.0.1:1/0")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://:hunter2@host:port/0", "redis://:hunter2@h/0?db=x"])
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    """It has the password in it."""
    with pytest.raises(ConfigurationError, match="LLM_REDIS_URL") as caught:
        Fleet(url)
    assert "hunter2" not in repr(caught.value) + repr(caught.value.__cause__)


def test_nothing_is_opened_before_the_first_look() -> None:
    """Neither a thread nor a socket."""
    before = threading.active_count()
    assert not Fleet("redis://127.0.0.1:1/0")._worker.running
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "value",
    [None, 7, b"", b"null", b"[]", b'"x"', b"{}", b'{"exception_received": []}', b"[" * 3000,
     b'{"exception_received": "melted"}', b'{"exception_received": "server"}' + b" " * 5000],
)  # fmt: skip
def test_what_is_no_entry_is_none(value: Any) -> None:
    """Whoever else writes to that Redis."""
    assert read_entry(value) is None


def test_an_entry_is_read_as_it_was_written() -> None:
    """Kind and wish; its time is the key's lifetime."""
    for kind in K:
        for asked_for in (False, True):
            assert read_entry(Entry(kind, asked_for, 5.0).value(5.0)) == Entry(kind, asked_for)


def test_the_outbox_keeps_the_newest_change() -> None:
    """One per deployment, so many at most, and none that is over."""
    now = time.monotonic()
    outbox = Outbox(lambda: now)
    outbox.put(["a"], Entry(K.SERVER, until=now + 10.0))
    outbox.put(["a", "b"], None)
    outbox.put(["b", "c"], Entry(K.SERVER, until=now - 1.0))
    taken = outbox.take()
    assert taken == {"a": None}
    assert not outbox
    outbox.put(["a"], Entry(K.AUTH, until=now + 1.0))
    outbox.unsent(taken)
    assert outbox.take() == {"a": Entry(K.AUTH, until=now + 1.0)}
    outbox.put(map(str, range(LARGEST_OUTBOX + 5)), None)
    kept = outbox.take()
    assert len(kept) == LARGEST_OUTBOX
    assert "5" in kept
    assert "4" not in kept
