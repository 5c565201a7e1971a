"""Another configuration without losing a request."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import structlog

from llm_unified import ConfigurationError, UnifiedLLMService, load_settings
from llm_unified.reload import reload_on_sighup, watch_config
from llm_unified.testing import Simulator, faults, replies
from tests.hang import HANG_SECONDS

HELLO = [{"role": "user", "content": "Hello"}]


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **overrides))


async def test_calls_go_to_the_new_primary(sim: Simulator) -> None:
    """The chain changes with the next call; statistics go on."""
    async with service_for(sim, "openai", "groq") as service:
        assert (await service.generate_response_async(HELLO)).provider == "openai"
        await service.reload(load_settings(sim.environ("groq", "anthropic")))
        assert (await service.generate_response_async(HELLO)).provider == "groq"
        stats = service.get_stats()
    assert (stats["primary_provider"], stats["fallback_providers"]) == ("groq", ["anthropic"])
    assert stats["stats"]["requests_by_provider"] == {"openai": 1, "groq": 1, "anthropic": 0}


async def test_sockets_of_what_did_not_change_survive(sim: Simulator) -> None:
    """Same connection before and after; those of what is gone are closed."""
    async with service_for(sim, "openai", "groq", pool_size=1) as service:
        await service.generate_response_async(HELLO)
        await service.generate_response_async(HELLO, provider="groq")
        await service.reload(load_settings(sim.environ("openai"), pool_size=1))
        await service.generate_response_async(HELLO)
        await sim.groq.wait_for_async(open_connections=0)
    assert len({r.client_port for r in sim.openai.requests}) == 1


async def test_a_replaced_key_is_used_and_starts_unburdened(sim: Simulator) -> None:
    """A leaked key is replaced: the next call carries the new one, and no old cooldown."""
    old, new = sim.openai.api_keys[:2]
    environ = sim.environ("openai", "groq") | {"OPENAI_API_KEY": old}
    sim.openai.script(faults.rate_limit(retry_after=600))
    async with UnifiedLLMService(load_settings(environ, pool_size=1)) as service:
        assert (await service.generate_response_async(HELLO)).provider == "groq"
        await service.reload(load_settings(environ | {"OPENAI_API_KEY": new}, pool_size=1))
        assert (await service.generate_response_async(HELLO)).provider == "openai"
    assert [r.api_key for r in sim.openai.requests] == [old, new]


async def test_cooldowns_of_what_did_not_change_are_kept(sim: Simulator) -> None:
    """A reload does not send traffic back to a provider that asked to be left alone."""
    sim.openai.script(faults.rate_limit(retry_after=600))
    async with service_for(sim, "openai", "groq") as service:
        await service.generate_response_async(HELLO)
        await service.reload(load_settings(sim.environ("openai", "groq", "anthropic")))
        assert (await service.generate_response_async(HELLO)).provider == "groq"
    assert len(sim.openai.requests) == 1


async def test_a_wrong_configuration_changes_nothing(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one goes on, and the error says everything that is wrong."""
    async with service_for(sim, "openai") as service:
        await service.generate_response_async(HELLO)
        monkeypatch.setenv("LLM_PRIMARY_PROVIDER", "nobody")
        monkeypatch.setenv("LLM_POOL_SIZE", "many")
        with structlog.testing.capture_logs() as logs, pytest.raises(ConfigurationError) as caught:
            await service.reload()
        assert len(caught.value.problems) >= 2
        assert [e["event"] for e in logs].count("reload_refused") == 1
        assert (await service.generate_response_async(HELLO)).provider == "openai"


async def test_under_load_no_request_is_lost(sim: Simulator) -> None:
    """Three hundred calls, whole and streamed, while the configuration changes twenty times."""
    sim.openai.always(replies.text("one two three four", chunks=4))
    sim.openai.token_delay = 0.001
    shapes = [
        (sim.environ("openai", "groq"), 2),
        (sim.environ("groq", "openai"), 3),
        (sim.environ("openai"), 1),
        (sim.environ("anthropic", "openai", "groq"), 4),
    ]
    async with service_for(sim, "openai", "groq") as service:
        await service.generate_response_async(HELLO)
        done = asyncio.Event()

        async def ask(number: int) -> None:
            if number % 3:
                assert (await service.generate_response_async(HELLO)).content
            else:
                async with service.stream_response_async(HELLO) as stream:
                    assert [c async for c in stream]

        async def load() -> None:
            gate = asyncio.Semaphore(12)

            async def one(number: int) -> None:
                async with gate:
                    await ask(number)

            await asyncio.gather(*(one(number) for number in range(300)))
            done.set()

        async def change() -> int:
            times = 0
            while not done.is_set() or times < 20:
                environ, pool = shapes[times % len(shapes)]
                await service.reload(load_settings(environ, pool_size=pool))
                times += 1
            return times

        _, times = await asyncio.gather(load(), change())
        stats = service.get_stats()["stats"]
    assert times >= 20
    assert stats["failed_requests"] == 0
    assert stats["total_requests"] == 301
    assert sum(stats["errors_by_provider"].values()) == 0


def _noted(service: UnifiedLLMService) -> asyncio.Event:
    """Set when the service has reloaded, in whatever loop."""
    loop, done, reload = asyncio.get_running_loop(), asyncio.Event(), service.reload

    async def noting() -> Any:
        try:
            return await reload()
        finally:
            loop.call_soon_threadsafe(done.set)

    service.reload = noting  # type: ignore[method-assign, assignment]
    return done


def _write(path: Path, primary: str, *others: str) -> None:
    path.write_text(f"primary_provider: {primary}\nfallback_providers: [{', '.join(others)}]\n")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
async def test_sighup_reloads(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill -HUP`, as operators do; until it is switched off again."""
    config = tmp_path / "llm.yaml"
    _write(config, "openai", "groq")
    for name, value in sim.environ("openai", "groq").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LLM_PRIMARY_PROVIDER")
    monkeypatch.delenv("LLM_FALLBACK_PROVIDERS")
    monkeypatch.setenv("LLM_CONFIG_FILE", str(config))
    async with UnifiedLLMService() as service:
        assert (await service.generate_response_async(HELLO)).provider == "openai"
        before, done = signal.getsignal(signal.SIGHUP), _noted(service)
        stop = reload_on_sighup(service)
        _write(config, "groq", "openai")
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(done.wait(), HANG_SECONDS)
        assert (await service.generate_response_async(HELLO)).provider == "groq"
        stop()
        assert signal.getsignal(signal.SIGHUP) == before


async def test_a_changed_file_reloads(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when an editor replaces the file; a broken one leaves the old configuration running."""
    config = tmp_path / "llm.yaml"
    _write(config, "openai", "groq")
    for name, value in sim.environ("openai", "groq").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LLM_PRIMARY_PROVIDER")
    monkeypatch.delenv("LLM_FALLBACK_PROVIDERS")
    monkeypatch.setenv("LLM_CONFIG_FILE", str(config))
    async with UnifiedLLMService() as service:
        await service.generate_response_async(HELLO)
        done = _noted(service)
        stop = watch_config(service)
        again = tmp_path / "new.yaml"
        _write(again, "groq", "openai")
        again.replace(config)
        await asyncio.wait_for(done.wait(), HANG_SECONDS)
        assert (await service.generate_response_async(HELLO)).provider == "groq"
        done.clear()
        config.write_text("primary_provider: [")
        await asyncio.wait_for(done.wait(), HANG_SECONDS)
        assert (await service.generate_response_async(HELLO)).provider == "groq"
        stop()


async def test_a_file_that_is_not_there_is_named(sim: Simulator) -> None:
    """The error says which one, and what to set."""
    async with service_for(sim, "openai") as service:
        with pytest.raises(ConfigurationError, match=r"nowhere\.yaml.*LLM_CONFIG_FILE"):
            watch_config(service, "nowhere.yaml")
