"""What happens to the process around a service: forks, signals, threads, event loops, its end."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest

from llm_unified.testing import Simulator, faults, replies
from tests.process_script import run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_hup = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")

WORKS = """
def generate():
    assert service.generate_response(HELLO).content

def generate_in_a_loop():
    assert asyncio.run(service.generate_response_async(HELLO)).content

def stream():
    stream = service.stream_response(HELLO)
    assert [chunk for chunk in stream] and stream.response is not None

def half_a_stream():
    next(iter(service.stream_response(HELLO)))

def close():
    service.close()
    try:
        service.generate_response(HELLO)
    except ServiceClosedError:
        pass

def aclose():
    asyncio.run(service.aclose())

def with_block():
    with service:
        generate()

def async_with_block():
    async def main():
        async with service:
            assert (await service.generate_response_async(HELLO)).content
    asyncio.run(main())

def warm():
    async def main():
        warmer = await get_llm_warmer()
        await warmer.stop()
        assert not warmer.running
        await warmer.start()
        assert warmer.running
        await warmer.first_round()
        await warmer.stop()
    asyncio.run(main())

def process_wide():
    assert get_llm_service() is service
    generate()

def reload():
    asyncio.run(service.reload())
    generate()

def nothing():
    pass

OPEN = [generate, generate_in_a_loop, stream, half_a_stream, warm, process_wide, reload]
ENDS = [with_block, async_with_block, close, aclose, nothing]

def child(*works):
    pid = os.fork()
    if pid == 0:
        for work in works:
            work()
        sys.exit(0)  # as a program ends: with its finalizers
    assert os.waitpid(pid, 0)[1] == 0, works

service = get_llm_service()
"""


def environ(sim: Simulator, *names: str) -> dict[str, str]:
    return sim.environ(*names) | {
        "LLM_ENABLE_CONNECTION_WARMING": "true",
        "LLM_POOL_SIZE": "2",
        "LLM_TIMEOUT": "30",
    }


@pytest.mark.full
@needs_fork
def test_fork_before_the_first_call(sim: Simulator) -> None:
    """Parent and child load what they need by themselves."""
    body = (
        f"{WORKS}\nchild(*OPEN, with_block)\nchild(close)\nchild(aclose)\ngenerate()\nprint('done')"
    )
    assert run(body, environ(sim, "openai")) == ["done"]


@needs_fork
def test_fork_after_the_first_call(sim: Simulator) -> None:
    """A child with sockets, threads and loops that are its parent's, and a warmer that runs there."""
    body = f"""{WORKS}
generate()
generate_in_a_loop()
kept = iter(service.stream_response(HELLO))
next(kept)

async def warmed():
    warmer = await get_llm_warmer()
    await warmer.start()
    await warmer.first_round()
    return warmer

warmer = service.background.run(warmed())
child(*OPEN)
child(*OPEN[::-1])
for end in ENDS:
    child(end)
assert warmer.running
service.background.run(warmer.stop())
assert len(list(kept)) > 1  # the parent's stream is whole
generate()
print("done")
"""
    sim.openai.always(replies.text(chunks=20))
    assert run(body, environ(sim, "openai")) == ["done"]


@pytest.mark.full
@needs_fork
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_fork_during_a_call(sim: Simulator, *, first: bool) -> None:
    """While LiteLLM is loaded, a fork waits for that; while an answer is awaited, it does not."""
    before = "" if first else "service.generate_response(HELLO, provider='groq')"
    body = f"""{WORKS}
{before}
begun = threading.Event()

def ask():
    begun.set()
    print(service.generate_response(HELLO).provider, flush=True)

def groq():
    assert service.generate_response(HELLO, provider="groq").content

thread = threading.Thread(target=ask)
thread.start()
begun.wait()
child(groq, warm, reload, close)
child(nothing)
thread.join()
"""
    sim.openai.always(faults.slow_drip(interval=0.01, size=4) if first else replies.text())
    sim.openai.latency = 0.5
    assert run(body, environ(sim, "openai", "groq")) == ["openai"]


@needs_hup
def test_sighup_at_any_moment(sim: Simulator) -> None:
    """Before, while everything is built, during a call, twice, in a child, after `close`: never an error."""
    body = """
        from llm_unified.reload import reload_on_sighup

        def hup(times=1):
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGHUP)

        service = get_llm_service()
        reload_on_sighup(service)
        hup()
        thread = threading.Thread(target=service.generate_response, args=(HELLO,))
        thread.start()
        hup(2)
        service.generate_response(HELLO)
        for _ in range(100):
            hup()
        thread.join()
        for chunk in service.stream_response(HELLO):
            hup()
        if os.fork() == 0:
            hup()
            service.generate_response(HELLO)
            hup()
            sys.exit(0)
        print(os.wait()[1])
        service.close()
        hup(2)
        names = [t.name for t in threading.enumerate() if t.name == "llm-unified"]
        print(names)
    """
    assert run(body, environ(sim, "openai")) == ["0", "[]"]


@pytest.mark.full
@needs_hup
def test_of_two_reloads_the_last_configuration_stays(sim: Simulator, tmp_path: Path) -> None:
    """However their work overlaps."""
    body = """
        service = get_llm_service()
        service.generate_response(HELLO)

        async def main():
            reloads = []
            for size in (2, 3, 4, 5, 6, 7):
                os.environ["LLM_POOL_SIZE"] = str(size)
                reloads.append(asyncio.create_task(service.reload()))
                await asyncio.sleep(0)
            await asyncio.gather(*reloads)
            print(service.settings.pool_size, service.dispatcher_if_built.settings.pool_size)
        asyncio.run(main())
    """
    assert run(body, environ(sim, "openai")) == ["7 7"]


ENDS = {
    "a thread that loads LiteLLM": """
        threading.Thread(target=service.generate_response, args=(HELLO,), daemon=True).start()
        while "litellm.llms.custom_httpx.http_handler" not in sys.modules: pass
    """,
    "a service that is open": "service.generate_response(HELLO)",
    "a half-read stream": "cursor = iter(service.stream_response(HELLO)); next(cursor)",
    "a half-read stream in a cycle": """
        class Holder: pass
        holder = Holder(); holder.itself = holder
        holder.cursor = iter(service.stream_response(HELLO)); next(holder.cursor)
        del holder
    """,
    "a half-read asynchronous stream": """
        async def main():
            stream = service.stream_response_async(HELLO)
            async for chunk in stream: break
            async for chunk in service.stream_response_async(HELLO): return stream
        kept = asyncio.run(main())
    """,
    "a call in a daemon thread": """
        service.generate_response(HELLO, provider="groq")
        threading.Thread(target=service.generate_response, args=(HELLO,), daemon=True).start()
        while not service.dispatcher_if_built._busy: pass
    """,
    "a stream in a daemon thread's own loop": """
        began = threading.Event()
        async def main():
            async for chunk in service.stream_response_async(HELLO, provider="groq"): began.set()
            await service.generate_response_async(HELLO)
        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        began.wait()
    """,
    "a loop that nobody closed": """
        loop = asyncio.new_event_loop()
        loop.run_until_complete(service.generate_response_async(HELLO, provider="groq"))
        loop.close()
    """,
    "a warmer": """
        async def main():
            await (await get_llm_warmer()).start()
            await (await get_llm_warmer()).first_round()
        asyncio.run(main())
        service.background.run(main())
    """,
    "a call in an exit handler": """
        import atexit
        @atexit.register
        def late():
            try: service.generate_response(HELLO)
            except LLMError as error: pass
    """,
}


@pytest.mark.full(one_of=4)
@pytest.mark.parametrize("end", list(ENDS))
def test_the_interpreter_ends_in_silence(sim: Simulator, end: str) -> None:
    """With whatever is open; under ``-X dev -W error``."""
    sim.openai.always(faults.blackhole() if "daemon" in end else replies.text(chunks=50))
    sim.groq.always(replies.text(chunks=5))
    body = "service = get_llm_service()\n" + textwrap.dedent(ENDS[end])
    assert run(body + "\nprint('end')", environ(sim, "openai", "groq")) == ["end"]


def test_event_loops_of_all_kinds(sim: Simulator) -> None:
    """Twenty `asyncio.run`s, some cut short; threads with loops; a full and a closed default executor."""
    body = """
        import concurrent.futures, time
        service = get_llm_service()

        async def ask():
            return (await service.generate_response_async(HELLO)).provider

        async def cut():
            asyncio.create_task(ask())
            await asyncio.sleep(0)

        async def crowded():
            loop = asyncio.get_running_loop()
            gate = threading.Event()
            pool = concurrent.futures.ThreadPoolExecutor(1)
            loop.set_default_executor(pool)
            jobs = [loop.run_in_executor(None, gate.wait) for _ in range(3)]
            try:
                await ask()
                await service.warm_connections()
                await service.reload()
            finally:
                gate.set()
            await asyncio.gather(*jobs)
            await loop.shutdown_default_executor()
            await ask()
            await service.reload()

        asyncio.run(crowded())
        for number in range(20):
            asyncio.run(cut() if number % 3 else ask())
        threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        service.close()
        gc.collect()
        print(len(threading.enumerate()), len(os.listdir("/proc/self/fd")) < 12)
    """
    assert run(body, environ(sim, "openai")) == ["1 True"]
    sim.openai.wait_for(open_connections=0)
