"""The synchronous API, and one service over many event loops: same sockets, nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm_unified import ServiceClosedError, UnifiedLLMService, load_settings
from llm_unified.testing import Simulator, faults
from tests.hang import HANG_SECONDS

ALL = ("openai", "azure_openai", "groq", "anthropic")
HELLO = [{"role": "user", "content": "Hello"}]


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **overrides))


@pytest.mark.parametrize("provider", ALL)
def test_the_synchronous_form_gives_the_same(sim: Simulator, provider: str) -> None:
    """``generate_response`` and ``stream_response`` without any event loop of the caller's."""
    with service_for(sim, provider) as service:
        response = service.generate_response(HELLO, max_tokens=20)
        stream = service.stream_response(HELLO)
        text = "".join(chunk.content for chunk in stream)
    assert response.provider == provider
    assert stream.response is not None
    assert text == stream.response.content == response.content


@pytest.mark.parametrize("calls", [600, pytest.param(5_000, marks=pytest.mark.full)])
def test_many_threads_share_the_pool(sim: Simulator, calls: int) -> None:
    """Sixteen threads under 256 descriptors: never more sockets than calls in flight plus the pool."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with service_for(sim, "openai", pool_size=3) as service:

            def one(_: int) -> int:
                assert service.generate_response(HELLO).content
                return sim.openai.open_connections

            with ThreadPoolExecutor(16) as threads:
                most = max(threads.map(one, range(calls)))
            assert most <= 16 + 3
            sim.openai.wait_for(open_connections=3, timeout=HANG_SECONDS)
            assert service.get_stats()["stats"]["total_requests"] == calls
        sim.openai.wait_for(open_connections=0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_stream_left_early_is_closed(sim: Simulator) -> None:
    """``break`` in a plain ``for`` frees the socket."""
    sim.openai.script(faults.stall(after=2))
    with service_for(sim, "openai", pool_size=1) as service:
        for _ in service.stream_response(HELLO):
            break
        sim.openai.wait_for(open_connections=0)
        assert service.get_stats()["stats"]["errors_by_kind"]["openai"] == {"cancelled": 1}


async def test_inside_a_running_loop_the_error_names_the_way_out(sim: Simulator) -> None:
    """Blocking the caller's own loop would stall it."""
    async with service_for(sim, "openai") as service:
        with pytest.raises(RuntimeError, match="generate_response_async"):
            service.generate_response(HELLO)
        with pytest.raises(RuntimeError, match="stream_response_async"):
            service.stream_response(HELLO)
        with pytest.raises(RuntimeError, match="aclose"):
            service.close()
        # in a thread of its own it works
        response = await asyncio.to_thread(service.generate_response, HELLO)
    assert response.provider == "openai"


def test_twenty_event_loops_one_after_the_other(sim: Simulator) -> None:
    """One service over twenty ``asyncio.run``s: each loop's sockets end with it."""
    service = service_for(sim, "openai", "groq", pool_size=2)

    async def talk() -> str:
        async for _ in service.stream_response_async(HELLO):
            pass
        return (await service.generate_response_async(HELLO)).provider

    for _ in range(20):
        assert asyncio.run(talk()) == "openai"
        sim.openai.wait_for(open_connections=0)
    service.close()
    gc.collect()


def test_several_event_loops_at_once(sim: Simulator) -> None:
    """Loops in four threads and the synchronous API side by side, on one service."""
    service = service_for(sim, "anthropic", pool_size=2)
    failures: list[BaseException] = []

    async def talk() -> None:
        await asyncio.gather(*(service.generate_response_async(HELLO) for _ in range(20)))

    def run(work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)

    jobs = [lambda: asyncio.run(talk())] * 3
    jobs += [lambda: [service.generate_response(HELLO) for _ in range(20)]] * 2  # type: ignore[list-item]
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.close()
    assert failures == []
    assert service.get_stats()["stats"]["total_requests"] == 100
    sim.anthropic.wait_for(open_connections=0)


def test_a_closed_service_says_so(sim: Simulator) -> None:
    """Closing twice is fine; asking afterwards is not."""
    service = service_for(sim, "openai")
    service.generate_response(HELLO)
    service.close()
    service.close()
    with pytest.raises(ServiceClosedError):
        service.generate_response(HELLO)


def run_script(body: str, environ: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[1]
    code = "from llm_unified import *\nHELLO = [{'role': 'user', 'content': 'Hello'}]\n"
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore:.*ReadOnly",
            "-c",
            code + textwrap.dedent(body),
        ],
        env=environ | {"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_the_interpreter_ends_cleanly_without_close(sim: Simulator) -> None:
    """A script that never closes anything prints nothing on stderr and exits with 0."""
    body = """
        import asyncio
        service = get_llm_service()
        print(service.generate_response(HELLO).provider)
        print(asyncio.run(service.generate_response_async(HELLO)).provider)
        next(iter(service.stream_response(HELLO)))
    """
    script = run_script(body, sim.environ("groq"))
    out, err = script.communicate(timeout=HANG_SECONDS)
    assert (script.returncode, out.split(), err) == (0, ["groq", "groq"], "")


def test_a_loop_that_was_only_closed_ends_quietly(sim: Simulator) -> None:
    """`run_until_complete` and `close`, as old scripts do it, and no word on stderr."""
    body = """
        import asyncio
        service, loop = get_llm_service(), asyncio.new_event_loop()
        print(loop.run_until_complete(service.generate_response_async(HELLO)).provider)
        loop.close()
    """
    script = run_script(body, sim.environ("groq"))
    out, err = script.communicate(timeout=HANG_SECONDS)
    assert (script.returncode, out.split(), err) == (0, ["groq"], "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_fork_the_child_starts_afresh(sim: Simulator) -> None:
    """Parent and child both go on asking, each over its own sockets."""
    body = """
        import os
        service = get_llm_service()
        service.generate_response(HELLO)
        child = os.fork()
        for _ in range(3):
            assert service.generate_response(HELLO).provider == "openai"
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(service.generate_response(HELLO).provider)
    """
    script = run_script(body, sim.environ("openai"))
    out, err = script.communicate(timeout=HANG_SECONDS)
    assert (script.returncode, out.strip(), err) == (0, "openai", "")
    assert len(sim.openai.requests) == 8


def test_keyboard_interrupt_gets_through(sim: Simulator) -> None:
    """Ctrl-C during a synchronous call raises in the caller and ends the upstream request."""
    sim.openai.always(faults.blackhole())
    body = """
        service = get_llm_service()
        try:
            service.generate_response(HELLO)
        except KeyboardInterrupt:
            print("interrupted")
            service.close()
    """
    script = run_script(body, sim.environ("openai"))
    sim.openai.wait_for(requests=1, timeout=HANG_SECONDS)
    script.send_signal(signal.SIGINT)
    out, err = script.communicate(timeout=HANG_SECONDS)
    assert (script.returncode, out.strip(), err) == (0, "interrupted", "")
    sim.openai.wait_for(client_gone=1)
