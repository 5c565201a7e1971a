"""The shape of a vendor as data and small functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_unified.providers import Protocol
from llm_unified.vendors.takes import Row

__all__ = ["Access", "Vendor", "bearer", "keep"]


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
    """Nothing is to be added."""


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
    rows: tuple[Row, ...] = ()
    """What its models take."""
    embeddings_url: Callable[[Access, str], str] | None = None
    """``None``: it has no embeddings."""
    end_marker: str = "[DONE]"
    """The value of the last event of a whole stream, or its type."""
    nudge: Callable[[dict[str, Any]], None] = keep
    """Add in place what its models need; gets ``messages`` and all parameters."""


def bearer(access: Access) -> dict[str, str]:
    """OpenAI's way, which most took over."""
    headers = {"Authorization": f"Bearer {access.key}"}
    if access.organization:
        headers["OpenAI-Organization"] = access.organization
    return headers
