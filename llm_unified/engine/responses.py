"""When LiteLLM asks OpenAI's Responses API in place of chat completions; such requests go the way of `classic`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llm_unified.engine.imports import responses_api_bridge_check
from llm_unified.vendors import Access, Vendor

__all__ = ["ResponsesRule"]

_SUMMARIES: Final = ("reasoning_summary", "reasoningSummary")
"""Names of a parameter that only the Responses API takes."""
_BRIDGED_WITH: Final[tuple[Mapping[str, Any], ...]] = (
    {"reasoning_effort": "low", "tools": [{"type": "function", "function": {"name": "x"}}]},
    {"reasoning_effort": "low", "reasoning_summary": "auto"},
)
"""What makes LiteLLM ask it for some models that are otherwise asked for chat completions."""


class ResponsesRule:
    """LiteLLM's rule for one model."""

    def __init__(self, vendor: Vendor, model: str, access: Access) -> None:
        self._vendor, self._model, self._access = vendor, model, access
        self._always = self._by_litellm({})
        self._sometimes = any(self._by_litellm(params) for params in _BRIDGED_WITH)

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Whether a request with these parameters goes there."""
        return self._always or (self._sometimes and self._by_litellm(params))

    def strip(self, *places: dict[str, Any]) -> None:
        """Take out what only the Responses API takes, where this model's chat completions refuse it."""
        if self._sometimes:
            for place in places:
                for name in _SUMMARIES:
                    place.pop(name, None)

    def _by_litellm(self, params: Mapping[str, Any]) -> bool:
        if self._vendor.protocol == "anthropic":
            return False
        info, _ = responses_api_bridge_check(
            model=self._model,
            custom_llm_provider=self._vendor.litellm_name,
            tools=params.get("tools"),
            reasoning_effort=params.get("reasoning_effort"),
            reasoning_summary=_summary_of(params),
            api_base=self._access.base,
        )
        return info.get("mode") == "responses"


def _summary_of(params: Mapping[str, Any]) -> Any:
    """The wish for a summary of the reasoning, wherever it stands."""
    for place in (params, params.get("extra_body") or {}):
        for name in _SUMMARIES:
            if place.get(name) is not None:
                return place[name]
    return None
