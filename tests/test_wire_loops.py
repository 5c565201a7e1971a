"""Sockets and the loops they belong to: many loops, dead loops, threads and forks."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from llm_unified.errors import ServiceClosedError
from llm_unified.wire.background import BackgroundLoop
from llm_unified.wire.connections import Connections
from llm_unified.wire.exchange import Exchange
from llm_unified.wire.loops import PerLoop
from llm_unified.wire.threads import in_thread
from llm_unified.wire.transport import ConnectionPool
from tests.hang import HANG_SECONDS
from tests.wire_upstream import Upstream, chunk, raw, stream_head, until

ROOT = Path(__file__).resolve().parents[1]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Pool:
    """What `Connections` keeps, and what became of it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.quiet = asyncio.Event()

    async def idle(self) -> None:
        await self.quiet.wait()
        self.seen.append("idle")

    async def aclose(self) -> None:
        self.seen.append("closed")

    def abandon(self) -> None:
        self.seen.append("abandoned")


async def test_a_pool_that_retires_is_closed_once_it_is_idle() -> None:
    """Its key can be given to another meanwhile."""
    connections: Connections[Pool] = Connections()
    pools = await connections.here()
    old, kept = pools["a"], pools["b"] = Pool(), Pool()
    connections.retire({"b"})
    await until(lambda: "a" not in pools)
    pools["a"] = new = Pool()
    assert old.seen == []
    old.quiet.set()
    await until(lambda: old.seen == ["idle", "closed"])
    assert sorted(pools) == ["a", "b"]
    await connections.aclose()
    assert (kept.seen, new.seen) == (["closed"], ["closed"])


async def test_one_that_never_gets_idle_is_closed_with_the_others() -> None:
    """`aclose` waits for nobody."""
    connections: Connections[Pool] = Connections()
    pools = await connections.here()
    pools["a"] = pool = Pool()
    connections.retire(())
    await until(lambda: "a" not in pools)
    await connections.aclose()
    assert pool.seen == ["closed"]


def test_each_loop_has_its_own_and_takes_it_along() -> None:
    """Twenty loops one after the other, one that is closed badly, and one that is not closed at all."""
    connections: Connections[Pool] = Connections()
    made: list[Pool] = []

    async def use() -> None:
        pools = await connections.here()
        assert pools is await connections.here()
        assert not pools
        pools["a"] = Pool()
        made.append(pools["a"])

    for _ in range(20):
        asyncio.run(use())
    assert [pool.seen for pool in made] == [["closed"]] * 20
    made.clear()
    rude, standing = asyncio.new_event_loop(), asyncio.new_event_loop()
    rude.run_until_complete(use())
    rude.close()
    standing.run_until_complete(use())
    asyncio.run(use())
    assert [pool.seen for pool in made] == [["abandoned"], [], ["closed"]]
    asyncio.run(connections.aclose())
    assert made[1].seen == ["abandoned"]
    standing.close()


def test_aclose_reaches_loops_in_other_threads() -> None:
    """Each bundle is closed in its own loop."""
    closed: list[int] = []

    async def close(_: object) -> None:
        closed.append(threading.get_ident())

    bundles: PerLoop[object] = PerLoop(object, close, lambda _: closed.append(0))
    ready, over = threading.Barrier(4), threading.Event()
    idents: list[int] = []

    async def use() -> None:
        await bundles.here()
        idents.append(threading.get_ident())
        await in_thread(ready.wait)
        await in_thread(over.wait)

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait()
    asyncio.run(bundles.aclose())
    over.set()
    for thread in threads:
        thread.join()
    assert sorted(closed) == sorted(idents)
    assert not bundles.items()


# -- the loop of the synchronous API ------------------------------------------------------------------


def test_the_background_loop_runs_work_until_it_is_closed() -> None:
    """From any thread; afterwards an error of ours, and no thread."""
    background = BackgroundLoop()

    async def where() -> int:
        return threading.get_ident()

    first = background.run(where())
    assert first != threading.get_ident()
    assert background.run(where()) == first
    background.close()
    background.close()
    with pytest.raises(ServiceClosedError):
        background.run(where())
    assert first not in {thread.ident for thread in threading.enumerate()}


def test_a_blocking_call_in_its_own_thread_does_not_wait_for_itself() -> None:
    """A finaliser may run there: it posts instead, which never blocks."""
    background = BackgroundLoop()
    seen: list[str] = []

    async def nothing() -> None: ...

    async def inside() -> None:
        with pytest.raises(RuntimeError, match="in the thread of the loop"):
            background.run(nothing())
        background.post(lambda: seen.append("posted"))

    background.post(lambda: seen.append("too early"))
    background.run(inside())
    background.run(nothing())
    assert seen == ["posted"]
    background.close()
    background.post(lambda: seen.append("too late"))
    assert seen == ["posted"]


def test_a_finaliser_of_the_cyclic_collector_in_the_loops_thread() -> None:
    """The collector runs wherever it likes, in the loop's own thread too."""
    background = BackgroundLoop()
    seen: list[int] = []

    class Stream:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            background.post(lambda: seen.append(threading.get_ident()))

    async def collect() -> int:
        gc.collect()
        return threading.get_ident()

    async def nothing() -> None: ...

    Stream()
    thread = background.run(collect())
    background.run(nothing())
    assert seen == [thread]
    background.close()


# -- threads ------------------------------------------------------------------------------------------


async def test_work_in_a_thread_of_its_own() -> None:
    """Result, error and context arrive; a full default executor does not matter."""
    release = threading.Event()
    jobs = [asyncio.create_task(asyncio.to_thread(release.wait)) for _ in range(64)]
    try:
        async with asyncio.timeout(HANG_SECONDS):
            assert await in_thread(lambda a, b: a + b, 1, b=2) == 3
            with pytest.raises(ZeroDivisionError):
                await in_thread(lambda: 1 / 0)
    finally:
        release.set()
        await asyncio.gather(*jobs)


async def test_a_cancelled_wait_drops_the_result() -> None:
    """The thread goes on, and nobody complains."""
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait()
        raise ValueError

    task = asyncio.create_task(in_thread(work))
    await until(begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()


def test_a_thread_that_outlives_its_loop() -> None:
    """Its result has nowhere to go."""
    release = threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        release.wait()

    async def start() -> None:
        task = asyncio.create_task(in_thread(work))
        await until(lambda: threads)
        task.cancel()

    asyncio.run(start())
    release.set()
    threads[0].join(10)
    assert not threads[0].is_alive()


# -- fork ---------------------------------------------------------------------------------------------

CHILD = """
    import asyncio, gc, os, sys, threading, yarl
    from llm_unified.wire.background import BackgroundLoop
    from llm_unified.wire.connections import Connections
    from llm_unified.wire.exchange import Exchange, HttpRequest, SecretHeaders, WireError
    from llm_unified.wire.transport import ConnectionPool

    URL = yarl.URL(sys.argv[1])
    background, connections = BackgroundLoop(), Connections()

    async def begin():
        pools = await connections.here()
        if "a" not in pools:
            pools["a"] = ConnectionPool(True, 5.0)
        request = HttpRequest("POST", URL, SecretHeaders({}), b"{}")
        return await pools["a"].send(request, Exchange())

    async def ask():
        return await (await begin()).json()

    def child(work):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work()
                gc.collect()
                code = 0
            finally:
                sys.stdout.flush()
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0

    def close():
        background.run(connections.aclose())
        background.close()
        asyncio.run(connections.aclose())

    def use():
        assert background.run(ask()) == {"ok": 1}
        close()
"""


@pytest.fixture
def script() -> Any:
    """Runs a program against an upstream in this process; it must print nothing on stderr."""

    async def run(body: str, *steps: Any) -> tuple[str, int]:
        async with Upstream(*steps) as upstream:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-W",
                "error",
                "-W",
                "ignore::DeprecationWarning",  # of `fork` beside threads, from 3.12 on
                "-c",
                textwrap.dedent(CHILD) + textwrap.dedent(body),
                str(upstream.url()),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ROOT,
            )
            try:
                async with asyncio.timeout(HANG_SECONDS):
                    out, err = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
            assert (process.returncode, err.decode()) == (0, "")
            await upstream.closed()
            return out.decode().strip(), len(upstream.peers)

    return run


@needs_fork
@pytest.mark.parametrize("work", ["close", "use", "lambda: None"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_fork_before_or_after_the_first_call(script: Any, work: str, when: str) -> None:
    """The child closes or calls at once, on sockets of its own; the parent's connection goes on."""
    first = "" if when == "before" else "background.run(ask())"
    body = f"""
        {first}
        child({work})
        child({work})
        assert background.run(ask()) == {{"ok": 1}}
        close()
        print("parent")
    """
    assert await script(body, raw()) == ("parent", 1 + 2 * (work == "use"))


@needs_fork
async def test_a_fork_during_a_call(script: Any) -> None:
    """Neither the child's clean-up nor its end disturbs the answer that the parent is reading."""
    release = asyncio.Event()

    async def slow(peer: Any) -> None:
        await peer.send(stream_head(kind=b"application/json") + chunk(b'{"ok": '))
        await release.wait()
        await peer.send(chunk(b"1}") + b"0\r\n\r\n")

    async def go(peer: Any) -> None:
        await peer.send(raw())
        release.set()

    body = """
        reply = background.run(begin())
        future = background.start(reply.json())
        child(close)
        child(lambda: asyncio.run(reply.aclose()))
        child(use)
        assert future.result() == {"ok": 1}
        close()
        print("parent")
    """
    assert await script(body, slow, go) == ("parent", 2)


@needs_fork
async def test_a_fork_inside_a_running_loop(script: Any) -> None:
    """The child is no part of the loop any more: it closes without awaiting anything."""
    body = """
        async def main():
            assert await ask() == {"ok": 1}
            child(use)
            child(lambda: asyncio.run(connections.aclose()))
            child(lambda: connections.aclose().send(None) if not connections._loops.items() else 1/0)
            assert await ask() == {"ok": 1}
            await connections.aclose()
            print("parent")
        def child(work):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    try:
                        work()
                    except StopIteration:
                        pass
                    gc.collect()
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(pid, 0)[1] == 0
        asyncio.run(main())
    """
    assert await script(body, raw()) == ("parent", 2)


@needs_fork
async def test_a_child_that_ends_normally_is_silent(script: Any) -> None:
    """Interpreter exit in the child finalises whatever it inherited."""
    body = """
        background.run(ask())
        reply = background.run(begin())
        pid = os.fork()
        if pid == 0:
            print("child", flush=True)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        background.run(reply.aclose())
        close()
        print("parent")
    """
    assert await script(body, raw()) == ("child\nparent", 1)


async def test_a_pool_in_a_loop_that_ends(script: Any) -> None:
    """`asyncio.run` closes what was opened in it, streams included."""

    async def never(peer: Any) -> None:
        await peer.send(stream_head() + chunk(b'data: {"a": 1}\n\n'))
        await peer.gone()

    body = """
        async def main():
            reply = await begin()
            assert await anext(reply.batches("[DONE]")) == [{"a": 1}]
        for _ in range(3):
            asyncio.run(main())
            gc.collect()
        print("done")
    """
    assert await script(body, never) == ("done", 3)


async def test_a_pool_lives_in_the_loop_that_made_it() -> None:
    """The counterpart of all of this, in one loop."""
    async with Upstream(raw()) as upstream:
        connections: Connections[ConnectionPool] = Connections()
        pools = await connections.here()
        pools["a"] = ConnectionPool(True, 5.0)
        assert await (await pools["a"].send(upstream.request(), Exchange())).json() == {"ok": 1}
        await connections.aclose()
        await upstream.closed()
