"""The fleet: the real LiteLLM Proxy, started with our exported configuration, in front of the simulator.

`python3 dev.py proxy` makes the environment that this needs and runs it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading

import pytest

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.cli import main
from llm_unified.testing import Simulator, faults, replies

# Read at once: the fixtures clean the environment.
PYTHON = os.environ.get("LLM_UNIFIED_PROXY_PYTHON")
START = "from litellm import run_server; run_server()"
MASTER_KEY = "sk-master-of-the-proxy"
MESSAGES = [{"role": "user", "content": "Hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]

pytestmark = pytest.mark.skipif(
    PYTHON is None,
    reason="LLM_UNIFIED_PROXY_PYTHON names no interpreter with litellm[proxy]: `python3 dev.py proxy`",
)


@pytest.fixture(scope="module")
def simulator():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def proxy(simulator, tmp_path_factory):
    """The proxy's address, once it serves; its output, should it not."""
    config = tmp_path_factory.mktemp("proxy") / "config.yaml"
    environ = simulator.environ()
    with pytest.MonkeyPatch.context() as patch, config.open("w", encoding="utf-8") as file:
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.setattr("sys.stdout", file)
        assert main(["export", "litellm-proxy"]) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    with subprocess.Popen(
        [PYTHON, "-c", START, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)],
        env={
            **kept,
            **environ,
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "PYTHONUNBUFFERED": "1",
        },
        cwd=config.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if "Uvicorn running" in line:
                break
        else:
            pytest.fail(f"the proxy did not start:\n{''.join(said[-40:])}")
        drain = threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True)
        drain.start()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(30)
        drain.join(10)


@pytest.fixture
async def services(simulator, proxy):
    """The same service twice: asking the providers itself, and asking the proxy."""
    simulator.reset()
    pointed = {
        "LLM_PRIMARY_PROVIDER": "openai",
        "LLM_FALLBACK_PROVIDERS": "none",
        "OPENAI_BASE_URL": proxy,
        "OPENAI_API_KEY": MASTER_KEY,
        "OPENAI_MODEL": simulator.openai.model,
    }
    async with (
        UnifiedLLMService(load_settings(simulator.environ())) as direct,
        UnifiedLLMService(load_settings(pointed)) as through_proxy,
    ):
        yield direct, through_proxy


async def test_same_answers(simulator, services):
    """Text, tokens and tool calls are what they are without the proxy; OPENAI_MODEL stays as it was."""
    simulator.openai.always(replies.auto())
    for options in ({}, {"tools": TOOLS}):
        direct, proxied = [await s.generate_response_async(MESSAGES, **options) for s in services]
        assert (proxied.content, proxied.finish_reason) == (direct.content, direct.finish_reason)
        assert [(c.name, c.arguments) for c in proxied.tool_calls] == [
            (c.name, c.arguments) for c in direct.tool_calls
        ]
        assert proxied.usage.total_tokens == direct.usage.total_tokens
        assert (proxied.provider, proxied.model) == ("openai", direct.model)


async def test_same_stream(services):
    """Streaming goes through the proxy, too."""
    texts = []
    for service in services:
        async with service.stream_response_async(MESSAGES) as stream:
            texts.append("".join([chunk.content async for chunk in stream]))
    assert texts[0] == texts[1] == "Hello, this is the simulated openai speaking."


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ("openai", faults.status(500)),
        ("azure_openai", faults.rate_limit(retry_after=1)),
        ("groq", faults.reset("before_headers")),
        ("anthropic", faults.status(401)),
    ],
    ids=lambda value: getattr(value, "name", value),
)
async def test_same_failover(simulator, services, broken, fault):
    """Whichever provider fails, in whichever way: the proxy's next one is the service's next one."""
    direct, through_proxy = services
    simulator[broken].always(fault)
    expected = await direct.generate_response_async(MESSAGES, provider=broken)
    assert expected.provider == ("azure_openai" if broken == "openai" else "openai")
    proxied = await through_proxy.generate_response_async(MESSAGES, model=broken)
    assert proxied.content == expected.content
    assert len(through_proxy.settings.chain) == 1


async def test_a_failing_provider_rests(simulator, services):
    """After the threshold the proxy leaves it alone, though it is the only one of its group."""
    _, through_proxy = services
    simulator.groq.always(faults.status(503))
    asked = 12
    for _ in range(asked):
        answer = await through_proxy.generate_response_async(MESSAGES, model="groq")
        assert answer.content == "Hello, this is the simulated openai speaking."
    assert 1 <= len(simulator.groq.requests) < asked
