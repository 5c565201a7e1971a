"""What we rely on in LiteLLM, one fact a test; run against the oldest and the newest release allowed.

A test that fails here after an upgrade names the assumption that broke. Facts marked "why" are LiteLLM's own
behaviour that makes something of ours necessary: when such a test fails, that can go. Bodies and answers are
compared case by case in ``test_contract_matrix.py``.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llm_unified import LLMError, UnifiedLLMService, load_settings
from llm_unified.engine import imports as door
from llm_unified.engine.classic import application_listens
from llm_unified.engine.pieces import HELPER_TOOL
from llm_unified.engine.router import FallbackRouter
from llm_unified.pool.deployments import build_model_list
from llm_unified.testing import Simulator, faults, replies
from tests.hang import HANG_SECONDS

litellm = door.litellm
HELLO = [{"role": "user", "content": "Hello"}]
ALL = ("openai", "azure_openai", "groq", "anthropic")
VENDORS = {
    "openai": "gpt-4.1-mini",
    "azure": "gpt-4.1-mini",
    "groq": "openai/gpt-oss-20b",
    "anthropic": "claude-haiku-4-5",
}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object"}},
}


def config_of(vendor: str) -> Any:
    return door.ProviderConfigManager.get_provider_chat_config(
        model=VENDORS[vendor], provider=door.LlmProviders(vendor), base_model=None
    )


def run_python(code: str, tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[1]
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path), "PYTHONPATH": str(root)} | environ,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


# -- loading it ------------------------------------------------------------------------------------


@pytest.mark.full
def test_importing_it_through_the_door_is_quiet(tmp_path: Path) -> None:
    """The switches work: no look-up, no ``.env``, nothing printed, and the environment is as before."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=from-dotenv\n")
    code = (
        "import os, sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda e, a: seen.append((e, a)) if e in "
        "('socket.getaddrinfo', 'socket.connect') else None)\n"
        "before = dict(os.environ)\n"
        "import llm_unified.engine.engine\n"
        "after = {k: v for k, v in os.environ.items() if k != 'TIKTOKEN_CACHE_DIR'}\n"
        "assert not seen, seen\n"
        "assert after == before, set(after.items()) ^ set(before.items())\n"
    )
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.full
def test_its_switches_exist(tmp_path: Path) -> None:
    """A switch that LiteLLM no longer reads would be set in vain."""
    switches = (
        "disable_hf_tokenizer_download",
        "expose_router_debug_in_errors",
        "suppress_debug_info",
    )
    code = f"import litellm; assert all(hasattr(litellm, s) for s in {switches})"
    done = run_python(code, tmp_path, LITELLM_LOCAL_MODEL_COST_MAP="True")
    assert done.returncode == 0, done.stderr


# -- its translations ------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_configuration_has_the_methods_that_a_plan_calls(vendor: str) -> None:
    """By these names and with these arguments."""
    config = config_of(vendor)
    wanted = {
        "translate_developer_role_to_system_role": {"messages"},
        "transform_request": {"model", "messages", "optional_params", "litellm_params", "headers"},
        "should_fake_stream": {"model", "stream", "custom_llm_provider"},
    }
    if vendor == "anthropic":
        wanted["transform_response"] = {
            *("model", "raw_response", "model_response", "logging_obj", "request_data", "messages"),
            *("optional_params", "litellm_params", "encoding", "api_key", "json_mode"),
        }
        wanted["validate_environment"] = {
            *("headers", "model", "messages", "optional_params", "litellm_params"),
            *("api_key", "api_base"),
        }
        wanted["get_config"] = {"model"}
    for name, arguments in wanted.items():
        assert arguments <= inspect.signature(getattr(config, name)).parameters.keys(), name


def test_parameters_are_translated_and_those_that_a_vendor_lacks_are_dropped() -> None:
    """`get_optional_params`: the vendor's names; ``seed`` is none of Anthropic's."""
    given = {"stop": ["END"], "max_completion_tokens": 9, "seed": 7, "messages": HELLO}
    made = door.get_optional_params(
        model="claude-haiku-4-5",
        custom_llm_provider="anthropic",
        drop_params=True,
        max_retries=0,
        **given,
    )
    assert made["stop_sequences"] == ["END"]
    assert made["max_tokens"] == 9
    assert "seed" not in made


def test_arguments_are_checked_as_completion_checks_them() -> None:
    """Each of the five gives back what it accepts."""
    assert door.validate_and_fix_openai_messages(messages=copy.deepcopy(HELLO)) == HELLO
    assert door.validate_and_fix_openai_tools(tools=[TOOL]) == [TOOL]
    assert door.validate_chat_completion_tool_choice(tool_choice="auto") == "auto"
    assert door.validate_openai_optional_params(stop=["END"]) == ["END"]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert door.validate_and_fix_thinking_param(thinking=dict(thinking)) == thinking
    with pytest.raises(Exception, match="tool_choice"):
        door.validate_chat_completion_tool_choice(tool_choice=7)


def test_the_helper_tool_for_json_is_called_as_we_call_it() -> None:
    """LiteLLM's constant, which `without_helper` looks for."""
    from litellm.constants import RESPONSE_FORMAT_TOOL_NAME

    assert RESPONSE_FORMAT_TOOL_NAME == HELPER_TOOL


@pytest.mark.parametrize(
    ("model", "mode"),
    [("gpt-5-codex", "responses"), ("responses/x", "responses"), ("gpt-4.1", "chat")],
)
def test_which_models_are_asked_over_another_api(model: str, mode: str) -> None:
    """`responses_api_bridge_check` says so by name."""
    info, _ = door.responses_api_bridge_check(
        model=model, custom_llm_provider="openai", tools=None, reasoning_effort=None, api_base=None
    )
    assert info.get("mode") == mode


def test_beta_headers_are_filtered_without_network() -> None:
    """Anthropic's known ones pass, others do not; the list is the package's (the guard would notice)."""
    headers = {"anthropic-beta": "no-such-beta-2020-01-01"}
    left, body = door.update_request_with_filtered_beta(
        headers=headers, request_data={"model": "x"}, provider="anthropic"
    )
    assert "no-such-beta" not in left.get("anthropic-beta", "")
    assert body == {"model": "x"}


def test_anthropics_events_are_read_one_by_one() -> None:
    """`ModelResponseIterator` takes parsed events without a stream behind it, and gives names back."""
    read = door.AnthropicEvents(
        None,
        sync_stream=False,
        json_mode=False,
        tool_name_reverse_map={"short": "a name that is long"},
    )
    block = {"type": "tool_use", "id": "t", "name": "short", "input": {}}
    read.chunk_parser(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    )
    text = read.chunk_parser(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}
    )
    tool = read.chunk_parser({"type": "content_block_start", "index": 1, "content_block": block})
    assert text.choices[0].delta.content == "hi"
    assert tool.choices[0].delta.tool_calls[0]["function"]["name"] == "a name that is long"


async def test_a_tools_name_that_anthropic_refuses_comes_back_as_it_was(sim: Simulator) -> None:
    """LiteLLM leaves the map of names in ``litellm_params``; whole and streamed."""
    name = "weather.of:rome"
    tool = {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    async with UnifiedLLMService(load_settings(sim.environ("anthropic"))) as service:
        sim.anthropic.handler = lambda request: replies.tool_call(
            request.body["tools"][0]["name"], {"city": "Rome"}
        )
        whole = await service.generate_response_async(HELLO, tools=[tool])
        async with service.stream_response_async(HELLO, tools=[tool]) as stream:
            async for _ in stream:
                pass
    sent = sim.anthropic.requests[0].body["tools"][0]["name"]
    assert sent != name
    assert whole.tool_calls[0].name == name
    assert stream.response is not None
    assert stream.response.tool_calls[0].name == name


async def test_messages_reach_every_provider_whole(sim: Simulator) -> None:
    """Translations change what they are given; the next provider gets its own, the caller's stay."""
    sim.anthropic.script(faults.status(500))
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    before = copy.deepcopy((messages, TOOL))
    metadata = {"mine": "x"}
    async with UnifiedLLMService(load_settings(sim.environ("anthropic", "openai"))) as service:
        await service.generate_response_async(messages, tools=[TOOL], metadata=metadata)
    body = sim.openai.requests[0].body
    assert (body["messages"], body["tools"]) == (messages, [TOOL])
    assert (messages, TOOL) == before
    assert metadata == {"mine": "x"}


# -- its Router ------------------------------------------------------------------------------------


def router_of(sim: Simulator, *names: str) -> FallbackRouter:
    return FallbackRouter(build_model_list(load_settings(sim.environ(*names))))


async def test_the_router_walks_our_function_along_the_fallbacks(sim: Simulator) -> None:
    """In order, each once, until one says that it is done."""
    asked: list[str] = []

    async def ask(provider: str) -> bool:
        asked.append(provider)
        return provider == "groq"

    router = router_of(sim, *ALL)
    assert await router.walk(ALL, ask)
    assert asked == ["openai", "azure_openai", "groq"]
    asked.clear()
    assert not await router.walk(("anthropic", "openai"), ask)
    assert asked == ["anthropic", "openai"]


@pytest.mark.parametrize(
    "error", [ValueError("mine"), asyncio.CancelledError(), KeyboardInterrupt()]
)
async def test_what_our_function_raises_ends_the_walk(sim: Simulator, error: BaseException) -> None:
    """The same object, whatever its class, and nobody else is asked."""
    asked: list[str] = []

    async def ask(provider: str) -> bool:
        asked.append(provider)
        raise error

    with pytest.raises(type(error)) as raised:
        await router_of(sim, *ALL).walk(ALL, ask)
    assert raised.value is error
    assert asked == ["openai"]


async def test_a_router_of_ours_is_on_no_global_list(sim: Simulator) -> None:
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


async def test_two_services_do_not_cool_each_other(sim: Simulator) -> None:
    """Equal deployment ids in two Routers of one process are apart."""
    sim.openai.script(faults.rate_limit(retry_after=60))
    first = UnifiedLLMService(load_settings(sim.environ("openai", "groq")))
    second = UnifiedLLMService(load_settings(sim.environ("openai", "groq")))
    async with first, second:
        assert (await first.generate_response_async(HELLO)).provider == "groq"
        assert (await second.generate_response_async(HELLO)).provider == "openai"
        assert (await first.generate_response_async(HELLO)).provider == "groq"


# -- the way through completion() ------------------------------------------------------------------


class Seen:
    """What an application's own LiteLLM callback saw."""

    def __init__(self) -> None:
        from litellm.integrations.custom_logger import CustomLogger

        seen = self
        self.succeeded, self.failed = asyncio.Event(), asyncio.Event()

        class Mine(CustomLogger):  # type: ignore[misc]
            async def async_log_success_event(self, *_: Any, **__: Any) -> None:
                seen.succeeded.set()

            async def async_log_failure_event(self, *_: Any, **__: Any) -> None:
                seen.failed.set()

        self.logger = Mine()


@pytest.fixture
def listening() -> Iterator[Seen]:
    """The application has a callback registered, so every call goes through `completion()`."""
    seen = Seen()
    litellm.callbacks.append(seen.logger)
    assert application_listens()
    yield seen
    litellm.logging_callback_manager.remove_callback_from_all_lists(seen.logger)
    litellm.input_callback[:] = [cb for cb in litellm.input_callback if cb is not seen.logger]
    assert not application_listens()


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_callbacks_of_the_application_see_every_call(
    sim: Simulator, listening: Seen, provider: str, stream: bool
) -> None:
    """And the answer is what it is without them."""
    sim[provider].always(replies.text("one two three", chunks=3))
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        if stream:
            async with service.stream_response_async(HELLO) as answer:
                text = "".join([chunk.content async for chunk in answer])
            assert answer.response is not None
            assert answer.response.usage.completion_tokens > 0
        else:
            text = (await service.generate_response_async(HELLO)).content
        async with asyncio.timeout(HANG_SECONDS):
            await listening.succeeded.wait()
    assert text == "one two three"
    assert len(sim[provider].requests) == 1


FAULTS = (
    *("status_500", "status_401", "status_404", "rate_limit_seconds", "empty_content", "html"),
    *("reset_before_headers", "reset_mid_body", "bad_request", "context_length", "content_policy"),
    *("gzip_garbage", "null", "quota", "overloaded", "redirect_other_host"),
)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("fault", FAULTS)
async def test_verdicts_are_the_same_on_both_ways(
    sim: Simulator, provider: str, fault: str, request: pytest.FixtureRequest
) -> None:
    """What a failure is called does not depend on who translated; each is asked for once."""

    async def verdict() -> tuple[Any, ...]:
        sim.reset()
        sim[provider].always(faults.ALL[fault]())
        async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
            with pytest.raises(LLMError) as raised:
                await service.generate_response_async(HELLO)
        attempt = raised.value.attempts[-1]
        return attempt.kind, attempt.status, attempt.retry_after, len(sim[provider].requests)

    planned = await verdict()
    request.getfixturevalue("listening")
    assert await verdict() == planned


@pytest.mark.parametrize("provider", ALL)
async def test_tools_need_no_mcp_package(sim: Simulator, listening: Seen, provider: str) -> None:
    """`_skip_mcp_handler` lets ``tools=`` work in an installation without the mcp package."""
    sim[provider].script(replies.tool_call("get_weather", {"city": "Rome"}))
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        response = await service.generate_response_async(HELLO, tools=[TOOL])
    assert response.tool_calls[0].arguments == {"city": "Rome"}
    assert "_skip_mcp_handler" not in sim[provider].requests[0].body


@pytest.mark.parametrize("provider", ALL)
async def test_equal_chunks_do_not_break_a_stream(
    sim: Simulator, listening: Seen, provider: str
) -> None:
    """LiteLLM takes a hundred equal chunks for a model gone mad; its switch was set before the import."""
    sim[provider].script(replies.text("---- " * 300, chunks=300))
    async with UnifiedLLMService(load_settings(sim.environ(provider))) as service:
        stream = service.stream_response_async(HELLO)
        text = "".join([chunk.content async for chunk in stream])
    assert text == "---- " * 300


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


# -- why we are there ------------------------------------------------------------------------------


@pytest.fixture
async def stock(sim: Simulator) -> Any:
    """LiteLLM's own Router over the same model list."""
    made: list[Any] = []

    def make(*names: str) -> Any:
        settings = load_settings(sim.environ(*names))
        first, *others = settings.chain
        made.append(
            litellm.Router(
                model_list=build_model_list(settings),
                num_retries=0,
                fallbacks=[{first: others}] if others else [],
            )
        )
        return made[-1]

    yield make
    for router in made:
        (getattr(router, "retire", None) or router.discard)()
    await litellm.close_litellm_async_clients()


async def test_why_answers_are_checked(sim: Simulator, stock: Any) -> None:
    """The stock Router returns an empty answer as success."""
    sim.openai.script(faults.empty_content())
    response = await stock("openai", "groq").acompletion(model="openai", messages=HELLO)
    assert not response.choices[0].message.content
    assert not sim.groq.requests
