"""`lifespan`, and the webhook example as a real server."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import llm_unified
from llm_unified import ConfigurationError, ServiceClosedError, UnifiedLLMService, load_settings
from llm_unified.testing import Simulator, faults

ROOT = Path(__file__).parent.parent
TICKET = {"id": 7, "text": "My invoice is wrong."}


@pytest.fixture(autouse=True)
def fresh_singletons() -> Iterator[None]:
    yield
    sys.modules["llm_unified.service"]._service = None
    if "llm_unified.warmer" in sys.modules:
        sys.modules["llm_unified.warmer"]._warmer = None


@contextmanager
def webhook(environ: dict[str, str]) -> Iterator[str]:
    """The example behind uvicorn in a process of its own; its URL once it accepts requests."""
    command = ["-m", "uvicorn", "fastapi_webhook:app", "--app-dir", str(ROOT / "examples")]
    process = subprocess.Popen(
        [sys.executable, "-W", "error::ResourceWarning", *command, "--port", "0"],
        env=os.environ | environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            pytest.fail("".join(said))
        yield found[1]
        process.send_signal(signal.SIGINT)
        output = process.stderr.read()
        assert "Finished server process" in output
        assert not re.search("Traceback|Unclosed|never awaited|destroyed", output), output
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_webhook_answers_its_first_ticket_over_a_warm_connection(sim: Simulator) -> None:
    """Started with uvicorn, asked over HTTP, stopped with Ctrl-C: warm before, closed after."""
    environ = sim.environ() | {"LLM_ENABLE_CONNECTION_WARMING": "true", "LLM_POOL_SIZE": "2"}
    with webhook(environ) as url:
        assert [p.open_connections for p in sim] == [2, 2, 2, 2]
        draft = httpx.post(f"{url}/tickets", json=TICKET).raise_for_status().json()
        assert (draft["ticket"], draft["provider"]) == (7, "openai")
        assert draft["reply"]
        assert sim.openai.connections == 2
        assert sim.openai.requests[-1].client_port in {
            r.client_port for r in sim.openai.requests[:2]
        }
        health = httpx.get(f"{url}/health").raise_for_status().json()
        assert health["ok"]
        assert health["providers"]["groq"]["status"] == "healthy"
        assert health["stats"]["total_requests"] == 1
    for provider in sim:
        provider.wait_for(open_connections=0)


def test_the_webhook_says_when_to_come_back(sim: Simulator) -> None:
    """Nobody answers: 503 with the time at which it is worth another try; no ping without warming."""
    sim.openai.always(faults.rate_limit(retry_after=20))
    with webhook(sim.environ("openai")) as url:
        assert not sim.openai.requests
        answer = httpx.post(f"{url}/tickets", json=TICKET)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "20")


async def test_the_life_of_the_process_s_service(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside: the service of `get_llm_service()`, kept warm. Afterwards: closed, no task left."""
    for key, value in sim.environ("openai").items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("LLM_ENABLE_CONNECTION_WARMING", "1")
    before = asyncio.all_tasks()
    async with llm_unified.lifespan(object()) as state:
        service = state["llm_service"]
        assert service is llm_unified.get_llm_service()
        warmer = await llm_unified.get_llm_warmer()
        assert (warmer.running, warmer.get_stats()["pings"]) == (True, 3)
    assert not warmer.running
    assert asyncio.all_tasks() == before
    await sim.openai.wait_for_async(open_connections=0)
    with pytest.raises(ServiceClosedError):
        await service.generate_response_async([])


async def test_a_service_of_your_own_is_yours_to_close(sim: Simulator) -> None:
    """`lifespan(service=…)` keeps that one warm and leaves it open."""
    settings = load_settings(sim.environ("openai"), enable_connection_warming=True, pool_size=1)
    async with UnifiedLLMService(settings) as service:
        async with llm_unified.lifespan(service=service)(object()) as state:
            assert state == {"llm_service": service}
            assert len(sim.openai.requests) == 1
        response = await service.generate_response_async([{"role": "user", "content": "Hi"}])
        assert (response.provider, sim.openai.connections) == ("openai", 1)


async def test_without_warming_nothing_is_sent(sim: Simulator) -> None:
    """LiteLLM is loaded, so that the first request does not stall, and that is all."""
    service = UnifiedLLMService(load_settings(sim.environ("openai")))
    async with service, llm_unified.lifespan(service=service)(object()):
        assert service.dispatcher_if_built is not None
        assert not sim.openai.connections


async def test_a_wrong_setting_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything that is wrong, before the first request."""
    monkeypatch.setenv("LLM_POOL_SIZE", "many")
    with pytest.raises(ConfigurationError, match="LLM_POOL_SIZE"):
        async with llm_unified.lifespan(object()):
            pytest.fail("started")
