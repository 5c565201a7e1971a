"""The shape of a vendor as data and small functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_unified.providers import Protocol

__all__ = ["Access", "Vendor", "ask_in_words", "bearer", "keep"]


@dataclass(frozen=True, slots=True)
class Access:
    """Where a deployment is and how it is entered."""

    base: str
    key: str = field(repr=False)
    api_version: str = ""
    organization: str | None = None

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Access:
        """From LiteLLM's parameters of a deployment."""
        return cls(
            base=params["api_base"].rstrip("/"),
            key=params.get("api_key", ""),
            api_version=params.get("api_version", ""),
            organization=params.get("organization"),
        )


def keep(params: dict[str, Any]) -> None:
    """Nothing is to be adapted."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's API."""

    protocol: Protocol
    litellm_name: str
    """LiteLLM's name of the vendor."""
    chat_url: Callable[[Access, str], str]
    """``(access, model)`` → the address of chat completions."""
    models_url: Callable[[Access], str]
    headers: Callable[[Access], dict[str, str]]
    """What authorizes a request."""
    embeddings_url: Callable[[Access, str], str] | None = None
    """``None``: it has no embeddings."""
    end_marker: str = "[DONE]"
    """The value of the last event of a whole stream, or its type."""
    adapt: Callable[[dict[str, Any]], None] = keep
    """Change in place what this vendor would not take; gets ``messages`` and all parameters."""


def bearer(access: Access) -> dict[str, str]:
    """OpenAI's way, which most took over."""
    headers = {"Authorization": f"Bearer {access.key}"}
    if access.organization:
        headers["OpenAI-Organization"] = access.organization
    return headers


_JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no prose, no code fence."


def ask_in_words(params: dict[str, Any]) -> None:
    """Ask for JSON in words where the vendor has no JSON mode; a prefill stays the last turn."""
    del params["response_format"]
    messages = params["messages"]
    place = len(messages) - (messages[-1].get("role") == "assistant")
    messages.insert(place, {"role": "user", "content": _JSON_INSTRUCTION})
