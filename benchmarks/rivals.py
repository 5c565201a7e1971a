"""The same requests by others than us, for `ratios`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the others are not to go to the network
os.environ["LITELLM_LOG"] = "CRITICAL"

import httpx

from llm_unified import load_settings

HELLO = [{"role": "user", "content": "Say hello."}]
LONG = [
    {"role": "assistant" if i % 2 else "user", "content": f"Short message {i}."} for i in range(201)
]
OPTIONS: dict[str, Any] = {"temperature": 0.5, "max_tokens": 50}
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
PROVIDERS = ("openai", "azure_openai", "groq", "anthropic")
PATIENT_SECONDS = 300.0
"""A loop that is busy with 256 calls connects late."""

Ask = Callable[[], Awaitable[Any]]


def environ(upstream: str, primary: str, *, down: str | None = None) -> dict[str, str]:
    """All four providers, ``primary`` first; the one that is ``down`` refuses."""
    root = {name: upstream + ("/down" if name == down else "") for name in PROVIDERS}
    return {
        "LLM_PRIMARY_PROVIDER": primary,
        "LLM_FALLBACK_PROVIDERS": ",".join(name for name in PROVIDERS if name != primary),
        "OPENAI_API_KEY": "sk-benchmark",
        "OPENAI_BASE_URL": root["openai"] + "/v1",
        "OPENAI_MODEL": "gpt-4.1-mini",
        "AZURE_OPENAI_API_KEY": "benchmark",
        "AZURE_OPENAI_ENDPOINT": root["azure_openai"],
        "AZURE_OPENAI_DEPLOYMENT": "gpt-4.1-mini",
        "GROQ_API_KEY": "gsk-benchmark",
        "GROQ_BASE_URL": root["groq"] + "/openai/v1",
        "ANTHROPIC_API_KEY": "sk-ant-benchmark",
        "ANTHROPIC_BASE_URL": root["anthropic"],
    }


class Rivals:
    """The same requests by others: the bare Router over the same model list, and without a Router."""

    def __init__(self, upstream: str, provider: str) -> None:
        import litellm
        import openai
        from litellm.router import Router

        from llm_unified.pool.deployments import build_model_list

        model_list = build_model_list(load_settings(environ(upstream, provider)))
        others = [name for name in PROVIDERS if name != provider]
        self.provider = provider
        self.router = Router(
            model_list=model_list,
            num_retries=0,
            fallbacks=[{provider: others}],
            timeout=PATIENT_SECONDS,
        )
        self.params = next(e["litellm_params"] for e in model_list if e["model_name"] == provider)
        self.acompletion = litellm.acompletion
        root = f"{upstream}/v1"
        self.sdk = openai.AsyncOpenAI(
            api_key="sk-benchmark", base_url=root, max_retries=0, timeout=PATIENT_SECONDS
        )
        limits = httpx.Limits()
        self.http = httpx.AsyncClient(trust_env=False, timeout=PATIENT_SECONDS, limits=limits)
        self.url = f"{root}/{'messages' if provider == 'anthropic' else 'chat/completions'}"

    def clients(self, messages: list[Any], *, stream: bool = False) -> dict[str, Ask]:
        more: dict[str, Any] = {**OPTIONS, "messages": messages, **(STREAM if stream else {})}

        async def finish(opening: Awaitable[Any]) -> None:
            answer = await opening
            if stream:
                async for _ in answer:
                    pass

        async def raw() -> None:
            async with self.http.stream("POST", self.url, json={"model": "m", **more}) as answer:
                if not stream:
                    await answer.aread()
                    answer.json()
                    return
                async for _ in answer.aiter_lines():
                    pass

        made: dict[str, Ask] = {
            "bare Router": lambda: finish(self.router.acompletion(model=self.provider, **more)),
            "litellm.acompletion": lambda: finish(self.acompletion(**self.params, **more)),
        }
        if self.provider == "openai":
            made["openai SDK"] = lambda: finish(
                self.sdk.chat.completions.create(model="gpt-4.1-mini", **more)
            )
        made["httpx"] = raw
        return made

    async def aclose(self) -> None:
        await self.http.aclose()
        await self.sdk.close()
