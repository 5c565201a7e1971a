"""The official SDKs' request types, unknown members refused."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter

TYPES = {
    "openai": "openai.types.chat.completion_create_params:CompletionCreateParams",
    "azure_openai": "openai.types.chat.completion_create_params:CompletionCreateParams",
    "groq": "groq.types.chat.completion_create_params:CompletionCreateParams",
    "anthropic": "anthropic.types.message_create_params:MessageCreateParams",
}


@cache
def adapter(provider: str) -> TypeAdapter[Any] | None:
    """``None``: the SDK is not installed."""
    module, _, name = TYPES[provider].partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError:
        return None
    # A list takes a configuration, which holds for the SDK's TypedDicts inside.
    return TypeAdapter(list[found], config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))


def check(provider: str, body: dict[str, Any]) -> None:
    """Raise pydantic's ValidationError where the SDK's type does not know what is sent."""
    known = adapter(provider)
    if known is None:
        return
    if provider == "azure_openai":  # the deployment is in the path
        body = {"model": "deployment", **body}
    missing = {
        "groq": ("stream_options",),  # documented with its ChatCompletionChunk.usage alone
        "anthropic": ("temperature", "top_p", "top_k"),  # only models up to 4.6 take them
    }
    body = {name: value for name, value in body.items() if name not in missing.get(provider, ())}
    _exhaust(known.validate_python([body]))


def _exhaust(value: Any) -> None:
    """Iterables are validated while they are read."""
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return
    for item in value:
        _exhaust(item)
