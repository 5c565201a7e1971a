"""What LiteLLM leaves out of a request in silence (its ``drop_params``)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["lost"]

_TRANSLATED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "max_tokens": ("max_completion_tokens",),
        "max_completion_tokens": ("max_tokens",),
        "stop": ("stop_sequences",),
        "user": ("metadata",),
        "functions": ("tools",),
        "function_call": ("tool_choice",),
        "web_search_options": ("tools",),
        "parallel_tool_calls": ("tool_choice",),
        "reasoning_effort": ("thinking", "output_config"),
        "response_format": ("output_format", "output_config", "json_mode"),
    }
)
"""Where LiteLLM puts a parameter that a vendor knows by another name."""
_SAYS_NOTHING: Final[tuple[Any, ...]] = ({"type": "text"}, "none", "auto")
"""Values that are not missed."""


def lost(params: Mapping[str, Any], optional: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the parameters that did not get into LiteLLM's ``optional_params``."""
    more = optional.get("extra_body") or {}
    return tuple(
        name
        for name, value in params.items()
        if name not in optional
        and name not in more
        and value not in _SAYS_NOTHING
        and not any(other in optional for other in _TRANSLATED.get(name, ()))
    )
