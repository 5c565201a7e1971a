"""A queue worker: a deadline per job, patience when providers ask for it, a graceful end.

SIGTERM or Ctrl-C: no new job is begun, those under way are finished, the connections are closed.
"""

import asyncio
import contextlib
import signal

from _offline import configured

from llm_unified import AllProvidersFailedError, BadRequestError, UnifiedLLMService

WORKERS, TRIES, DEADLINE, LONGEST_WAIT = 3, 3, 20.0, 30.0


async def work(service: UnifiedLLMService, jobs: asyncio.Queue[str], done: dict[str, str]) -> None:
    while not jobs.empty():
        job = jobs.get_nowait()
        for attempt in range(1, TRIES + 1):
            try:
                response = await service.generate_response_async(
                    [{"role": "user", "content": job}], max_tokens=300, deadline=DEADLINE
                )
            except BadRequestError as error:  # this job is wrong and would stay so
                done[job] = f"rejected: {error}"
                break
            except AllProvidersFailedError as error:  # DeadlineExceededError is one, too
                done[job] = f"failed {attempt} times: {error}"
                if attempt < TRIES:  # come back when the first of them is worth asking
                    await asyncio.sleep(min(error.retry_after or 2.0**attempt, LONGEST_WAIT))
            else:
                done[job] = response.content
                break


async def main(texts: list[str]) -> dict[str, str]:
    jobs: asyncio.Queue[str] = asyncio.Queue()
    for text in texts:
        jobs.put_nowait(text)

    def stop() -> None:
        while not jobs.empty():
            print("left for the next worker:", jobs.get_nowait())

    with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in loops
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop)
    done: dict[str, str] = {}
    async with UnifiedLLMService() as service, asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work(service, jobs, done))
    return done


if __name__ == "__main__":
    with configured():
        for job, result in asyncio.run(main([f"Name a river, no. {i}." for i in range(9)])).items():
            print(f"{job} {result}")
