"""What we rely on in LiteLLM, one fact a test; run against the oldest and the newest release allowed.

A test that fails here after an upgrade names the assumption that broke, and the override it concerns. Facts
marked "why" are LiteLLM's own behaviour that makes an override necessary: when such a test fails, something
of ours can go.
"""

from __future__ import annotations

import asyncio
import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from llm_unified import LLMError, UnifiedLLMService, load_settings
from llm_unified import engine as door
from llm_unified.call import StopError
from llm_unified.pool.deployments import build_model_list
from llm_unified.testing import Simulator, faults, replies

litellm = door.litellm
HELLO = [{"role": "user", "content": "Hello"}]
ALL = ("openai", "azure_openai", "groq", "anthropic")


def stock(sim: Simulator, *names: str, **options: Any) -> Any:
    """LiteLLM's own Router over the same model list."""
    settings = load_settings(sim.environ(*names))
    first, *rest = settings.chain
    return litellm.Router(
        model_list=build_model_list(settings),
        num_retries=0,
        fallbacks=[{first: rest}] if rest else [],
        **options,
    )


@pytest.fixture
async def _tidy() -> Any:
    yield
    await litellm.close_litellm_async_clients()


def run_python(code: str, tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[1]
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path), "PYTHONPATH": str(root)} | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_importing_it_through_the_door_is_quiet(tmp_path: Path) -> None:
    """The switches work: no look-up, no ``.env``, nothing printed, and the environment is as before."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=from-dotenv\n")
    code = (
        "import os, sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda e, a: seen.append((e, a)) if e in "
        "('socket.getaddrinfo', 'socket.connect') else None)\n"
        "before = dict(os.environ)\n"
        "import llm_unified.engine\n"
        "after = {k: v for k, v in os.environ.items() if k != 'TIKTOKEN_CACHE_DIR'}\n"
        "assert not seen, seen\n"
        "assert after == before, set(after.items()) ^ set(before.items())\n"
    )
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_an_override_of_the_turn_is_asked_for_each_attempt(sim: Simulator) -> None:
    """`async_get_available_deployment` chooses, for the first provider and for each fallback."""
    sim.openai.script(faults.status(500))
    async with UnifiedLLMService(load_settings(sim.environ("openai", "groq"))) as service:
        response = await service.generate_response_async(HELLO)
    assert [a.deployment for a in response.attempts] == ["openai#0", "groq#0"]


@pytest.mark.parametrize("provider", ALL)
async def test_an_override_of_the_client_is_used(sim: Simulator, provider: str) -> None:
    """`_get_client` gives each copy its own sockets, streamed or not, for all four providers."""
    async with UnifiedLLMService(load_settings(sim.environ(provider), pool_size=2)) as service:
        for _ in range(2):
            await service.generate_response_async(HELLO)
            await service.generate_response_async(HELLO)
            for _ in range(2):
                async with service.stream_response_async(HELLO) as stream:
                    async for _ in stream:
                        pass
        ports = [request.client_port for request in sim[provider].requests]
    assert len(ports) == 8
    assert len(set(ports)) == 2
    assert ports[0::2] == [ports[0]] * 4


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.usefixtures("_tidy")
async def test_why_clients_are_injected(sim: Simulator, provider: str) -> None:
    """The stock Router gives all copies of a provider one client, so one socket."""
    router = stock(sim, provider)
    for _ in range(6):
        await router.acompletion(model=provider, messages=HELLO)
    assert len({request.client_port for request in sim[provider].requests}) == 1
    router.discard()


@pytest.mark.usefixtures("_tidy")
async def test_why_answers_are_judged(sim: Simulator) -> None:
    """The stock Router returns an empty answer as success."""
    sim.openai.script(faults.empty_content())
    router = stock(sim, "openai", "groq")
    response = await router.acompletion(model="openai", messages=HELLO)
    assert not response.choices[0].message.content
    assert not sim.groq.requests
    router.discard()


@pytest.mark.usefixtures("_tidy")
@pytest.mark.parametrize("provider", ALL)
async def test_why_streams_are_watched(sim: Simulator, provider: str) -> None:
    """The stock Router reports a stream without end marker as finished."""
    sim[provider].script(faults.end_stream_early(after=2))
    router = stock(sim, provider)
    stream = await router.acompletion(model=provider, messages=HELLO, stream=True)
    reasons = [c.choices[0].finish_reason async for c in stream if c.choices]
    assert reasons[-1] == "stop"
    router.discard()


@pytest.mark.usefixtures("_tidy")
async def test_why_a_caller_fault_is_a_base_exception(sim: Simulator) -> None:
    """The stock Router falls back on a plain 400; only what is no `Exception` passes its handlers."""
    sim.openai.script(faults.bad_request())
    router = stock(sim, "openai", "groq")
    await router.acompletion(model="openai", messages=HELLO)
    assert len(sim.groq.requests) == 1
    assert not issubclass(StopError, Exception)
    router.discard()


@pytest.mark.usefixtures("_tidy")
async def test_why_the_handler_must_not_see_a_connect_error(sim: Simulator) -> None:
    """LiteLLM's handler for Groq and Anthropic asks again after a lost connection."""
    sim.groq.script(faults.reset("before_headers"))
    router = stock(sim, "groq")
    await router.acompletion(model="groq", messages=HELLO)
    assert len(sim.groq.requests) == 2
    router.discard()


async def test_a_handler_takes_our_transport() -> None:
    """`AsyncHTTPHandler(transport=…)` sends through it and does not replace it."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json={})

    handler = door.AsyncHTTPHandler(timeout=5.0, transport=httpx.MockTransport(answer))
    await handler.post("http://simulated.invalid/x", json={})
    assert seen == ["http://simulated.invalid/x"]
    await handler.client.aclose()


async def test_discard_takes_a_router_off_the_global_lists(sim: Simulator) -> None:
    """A service leaves LiteLLM's global callback lists as they were."""

    def registered() -> list[int]:
        lists = (litellm.callbacks, litellm.success_callback, litellm.failure_callback)
        lists += (litellm._async_success_callback, litellm._async_failure_callback)
        return [len(each) for each in (*lists, litellm.input_callback, litellm.service_callback)]

    before = registered()
    async with UnifiedLLMService(load_settings(sim.environ())) as service:
        await service.generate_response_async(HELLO)
        assert registered() == before
    assert registered() == before


async def test_callbacks_of_the_application_keep_working(sim: Simulator) -> None:
    """A `CustomLogger` that the application registered sees the calls; without one the pipeline is off."""
    from litellm.integrations.custom_logger import CustomLogger

    seen = asyncio.Event()

    class Mine(CustomLogger):  # type: ignore[misc]
        async def async_log_success_event(self, *_: Any, **__: Any) -> None:
            seen.set()

    mine = Mine()
    litellm.callbacks.append(mine)
    try:
        async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
            await service.generate_response_async(HELLO)
            await asyncio.wait_for(seen.wait(), 10)
    finally:
        litellm.logging_callback_manager.remove_callback_from_all_lists(mine)
        litellm.input_callback[:] = [cb for cb in litellm.input_callback if cb is not mine]
    assert not door._application_callbacks()


@pytest.mark.parametrize("provider", ALL)
async def test_tools_need_no_mcp_package(sim: Simulator, provider: str) -> None:
    """`_skip_mcp_handler` lets ``tools=`` work in an installation without the mcp package."""
    sim[provider].script(replies.tool_call("get_weather", {"city": "Rome"}))
    tool = {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object"}},
    }
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        response = await service.generate_response_async(HELLO, tools=[tool])
    assert response.tool_calls[0].arguments == {"city": "Rome"}
    assert "_skip_mcp_handler" not in sim[provider].requests[0].body


@pytest.mark.parametrize("provider", ALL)
async def test_unknown_parameters_are_passed_on(sim: Simulator, provider: str) -> None:
    """What nobody knows goes into the body; what this provider lacks (``seed`` at Anthropic) does not."""
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        await service.generate_response_async(HELLO, seed=7, stop=["END"], brand_new_option="x")
    body = sim[provider].requests[0].body
    assert body["brand_new_option"] == "x"
    assert body.get("seed") == (None if provider == "anthropic" else 7)
    assert body.get("stop", body.get("stop_sequences")) == ["END"]
    known = {"model", "messages", "max_tokens", "seed", "stop", "stop_sequences", "stream"}
    assert set(body) - known == {"brand_new_option"}


async def test_a_model_without_price_costs_nothing_known(sim: Simulator) -> None:
    """LiteLLM says 0.0 for an unknown model; we say ``None``."""
    environ = sim.environ("openai") | {"OPENAI_MODEL": "nobody-knows-this-one"}
    async with UnifiedLLMService(load_settings(environ)) as service:
        response = await service.generate_response_async(HELLO)
    assert response.cost_usd is None


@pytest.mark.parametrize("provider", ALL)
async def test_a_finished_stream_leaves_its_socket_usable(sim: Simulator, provider: str) -> None:
    """The aiohttp transport keeps the socket after ``[DONE]``; httpx's would drop it."""
    async with UnifiedLLMService(load_settings(sim.environ(provider), pool_size=1)) as service:
        for _ in range(4):
            async with service.stream_response_async(HELLO) as stream:
                async for _ in stream:
                    pass
    assert len({request.client_port for request in sim[provider].requests}) == 1


@pytest.mark.parametrize("provider", ALL)
async def test_an_abandoned_stream_closes_its_socket(sim: Simulator, provider: str) -> None:
    """Also Anthropic's, whose iterator has no ``aclose`` in LiteLLM."""
    sim[provider].script(faults.stall(after=2))
    async with UnifiedLLMService(load_settings(sim.environ(provider), pool_size=1)) as service:
        async with service.stream_response_async(HELLO) as stream:
            async for _ in stream:
                break
        await sim[provider].wait_for_async(open_connections=0)


async def test_messages_reach_every_provider_whole(sim: Simulator) -> None:
    """Translations mutate what they are given; the next provider gets its own copy."""
    sim.anthropic.script(faults.status(500))
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    before = copy.deepcopy((messages, tool))
    metadata = {"mine": "x"}
    async with UnifiedLLMService(load_settings(sim.environ("anthropic", "openai"))) as service:
        await service.generate_response_async(messages, tools=[tool], metadata=metadata)
    body = sim.openai.requests[0].body
    assert (body["messages"], body["tools"]) == (messages, [tool])
    assert (messages, tool) == before
    assert metadata == {"mine": "x"}


@pytest.mark.parametrize("provider", ALL)
async def test_equal_chunks_do_not_break_a_stream(sim: Simulator, provider: str) -> None:
    """LiteLLM takes a hundred equal chunks for a model gone mad; its switch was set before the import."""
    sim[provider].script(replies.text("---- " * 300, chunks=300))
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        stream = service.stream_response_async(HELLO)
        text = "".join([chunk.content async for chunk in stream])
    assert text == "---- " * 300


async def test_why_groq_gets_a_service_tier(sim: Simulator) -> None:
    """LiteLLM fails on a Groq-compatible answer without that member; we put one in front."""
    body = b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    body += b'{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,'
    body += b'"completion_tokens":1,"total_tokens":2}}'
    bare = faults.Fault("bare", lambda x: x.respond(200, body), None)
    sim.groq.script(bare)
    async with UnifiedLLMService(load_settings(sim.environ("groq"))) as service:
        assert (await service.generate_response_async(HELLO)).content == "hello"


async def test_why_clients_ask_once(sim: Simulator) -> None:
    """LiteLLM raises ``max_retries`` on the client for embeddings; ours does not budge."""
    sim.openai.script(faults.status(500))
    async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        with pytest.raises(LLMError):
            await service.embed_async("x", model="text-embedding-3-small")
    assert len(sim.openai.requests) == 1


async def test_structured_answers_of_anthropic_need_no_network(sim: Simulator) -> None:
    """LiteLLM looks up a list of beta headers; it was read from the package (the guard would notice)."""
    sim.anthropic.script(replies.json({"x": 1}))
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    async with UnifiedLLMService(load_settings(sim.environ("anthropic"))) as service:
        response = await service.generate_response_async(HELLO, response_format=schema)
    assert response.parsed == {"x": 1}


async def test_two_services_do_not_cool_each_other(sim: Simulator) -> None:
    """Equal deployment ids in two Routers of one process are apart."""
    sim.openai.script(faults.rate_limit(retry_after=60))
    first = UnifiedLLMService(load_settings(sim.environ("openai", "groq")))
    second = UnifiedLLMService(load_settings(sim.environ("openai", "groq")))
    async with first, second:
        assert (await first.generate_response_async(HELLO)).provider == "groq"
        assert (await second.generate_response_async(HELLO)).provider == "openai"
        assert (await first.generate_response_async(HELLO)).provider == "groq"
