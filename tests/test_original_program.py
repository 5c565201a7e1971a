"""The original API, as one program, word for word: from the environment alone, for each provider."""

from __future__ import annotations

import ast
import asyncio
import inspect

import pytest

from llm_unified.testing import Simulator, replies

PROGRAM = """
from llm_unified import get_llm_service                  # old path: services.llm.unified_llm_service
service = get_llm_service()                              # one per process, lazily built from env/YAML
response = await service.generate_response_async(
    messages=MESSAGES, temperature=0.7, max_tokens=100, tools=TOOLS)
response.content, response.provider, response.model      # str ("" if only tools), "azure_openai", "gpt-4"
response.raw_response["tool_calls"]                      # present only when there are tool calls
service.get_stats()   # {"primary_provider", "fallback_providers", "pool_size",
                      #  "stats": {"total_requests", "requests_by_provider", "errors_by_provider",
                      #            "fallback_count", ...}}
warmed = await service.warm_connections()                # {provider: bool}

from llm_unified import UnifiedLLMClient                 # old path: services.llm.unified_llm_client
content = (await UnifiedLLMClient().generate_response(messages=MESSAGES))["content"]      # a plain dict

from llm_unified import get_llm_warmer                   # old path: services.llm.connection_warmer
warmer = await get_llm_warmer(); await warmer.start(); stats = warmer.get_stats()
health = warmer.get_provider_health()   # {"azure_openai": {"status": "healthy", "last_ping": …, …}}
await warmer.stop()
"""  # fmt: skip
MESSAGES = [{"role": "user", "content": "What is the weather in Rome?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.mark.parametrize("provider", ["openai", "azure_openai", "groq", "anthropic"])
@pytest.mark.parametrize("warming", ["false", "true"])
def test_the_original_program_runs(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, provider: str, warming: str
) -> None:
    """Every line does what its comment says."""
    for name, value in sim.environ(provider).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LLM_ENABLE_CONNECTION_WARMING", warming)
    sim[provider].script(replies.tool_call("get_weather", {"city": "Rome"}))
    names = {"MESSAGES": MESSAGES, "TOOLS": TOOLS}

    async def run() -> None:
        code = compile(PROGRAM, "program.py", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, names)
        assert inspect.isawaitable(running)
        await running
        await names["service"].aclose()  # type: ignore[attr-defined]

    asyncio.run(run())
    response, health = names["response"], names["health"]
    assert (response.content, response.provider) == ("", provider)  # type: ignore[attr-defined]
    (call,) = response.raw_response["tool_calls"]  # type: ignore[attr-defined]
    assert set(call) == {"id", "type", "name", "arguments", "function"}
    assert names["warmed"] == {provider: True}
    assert isinstance(names["content"], str)
    assert set(health[provider]) >= {  # type: ignore[index]
        "status",
        "last_ping",
        "seconds_since_ping",
        "total_pings",
        "failures",
        "failure_rate",
    }
    assert health[provider]["status"] == "healthy"  # type: ignore[index]
