"""Who is measured. One more: a module beside this one with `make`, and a row in `CLIENTS`.

Each client gets two endpoints that speak OpenAI's wire: the first below ``/flaky``, the second for when the first
is down. Each is set up as its documentation says, with its own connections, for 300 seconds of patience.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

MODEL: Final = "gpt-4.1-mini"
KEY: Final = "sk-benchmark"
MESSAGES: Final[list[dict[str, Any]]] = [{"role": "user", "content": "Say hello."}]
OPTIONS: Final[dict[str, Any]] = {"temperature": 0.5, "max_tokens": 50}
PATIENCE: Final = 300.0
"""Seconds: a loop that is busy with 256 calls answers late, and no client is to lose by its timeout."""
CONNECTIONS: Final = 256


class Peer(Protocol):
    """A client that is ready to be asked."""

    async def call(self) -> str | None:
        """The whole answer's text."""

    def stream(self) -> AsyncIterator[str | None]:
        """The text of an answer, piece by piece."""

    async def close(self) -> None:
        """Gives everything back."""


@runtime_checkable
class Warming(Protocol):
    """A client that can get ready before its first call."""

    async def warm(self) -> None:
        """Does now what the first call would do."""


@dataclass(frozen=True)
class Client:
    """A row of the tables."""

    label: str
    module: str
    variant: str = ""
    packages: tuple[str, ...] = ()
    """Distributions whose versions are told."""
    imports: str = ""
    """What must be there for it to run."""
    fails_over: bool = True
    wheels_only: bool = False
    """Lives in an environment of its own, which some machines cannot have."""

    def make(self, root: str) -> Peer:
        """The client, asking the upstream at ``root``; imports what it needs."""
        module = importlib.import_module(f"peers.clients.{self.module}")
        peer: Peer = module.make(root, self.variant)
        return peer


OURS: Final = "llm_unified"
CLIENTS: Final[dict[str, Client]] = {
    OURS: Client("llm_unified", "unified", packages=("llm-unified", "litellm"), imports=OURS),
    "aiohttp": Client(
        "raw aiohttp", "raw", "aiohttp", packages=("aiohttp",), imports="aiohttp", fails_over=False
    ),
    "httpx": Client(
        "raw httpx", "raw", "httpx", packages=("httpx",), imports="httpx", fails_over=False
    ),
    "tensorzero": Client(
        "TensorZero embedded",
        "tensorzero_gateway",
        packages=("tensorzero",),
        imports="tensorzero",
        wheels_only=True,
    ),
    "openai_aiohttp": Client(
        "openai SDK, aiohttp",
        "openai_sdk",
        "aiohttp",
        packages=("openai", "aiohttp"),
        imports="openai",
        fails_over=False,
    ),
    "openai": Client(
        "openai SDK", "openai_sdk", packages=("openai",), imports="openai", fails_over=False
    ),
    "langchain": Client(
        "LangChain with_fallbacks",
        "langchain_fallbacks",
        packages=("langchain-core", "langchain-openai"),
        imports="langchain_openai",
    ),
    "pydantic_ai": Client(
        "pydantic-ai FallbackModel",
        "pydantic_ai_fallback",
        packages=("pydantic-ai-slim",),
        imports="pydantic_ai",
    ),
    "acompletion": Client(
        "litellm.acompletion", "litellm_", "acompletion", packages=("litellm",), imports="litellm"
    ),
    "router": Client(
        "LiteLLM Router, bare",
        "litellm_",
        "router",
        packages=("litellm",),
        imports="litellm",
    ),
    "router_documented": Client(
        "LiteLLM Router, defaults",
        "litellm_",
        "documented",
        packages=("litellm",),
        imports="litellm",
    ),
}
