"""The client that older code calls: dict in, dict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from llm_unified.options import ChatOptions
from llm_unified.response import Usage
from llm_unified.service import UnifiedLLMService, get_llm_service

if TYPE_CHECKING:
    from llm_unified.observe.figures import ServiceStats

__all__ = ["UnifiedLLMClient"]


class UnifiedLLMClient:
    """Asks the process's service (or the one given) and answers with plain dicts."""

    def __init__(self, service: UnifiedLLMService | None = None) -> None:
        self._given = service

    @property
    def service(self) -> UnifiedLLMService:
        return self._given or get_llm_service()

    async def generate_response(
        self,
        messages: Sequence[Mapping[str, Any]],
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[ChatOptions],
    ) -> dict[str, Any]:
        """``{"content", "provider", "model", "usage", "finish_reason"}`` and, if any, ``"tool_calls"``.

        Raises:
            LLMError: as `UnifiedLLMService.generate_response_async`, which also explains the options.
        """
        response = await self.service.generate_response_async(
            messages, temperature, max_tokens, tools, **options
        )
        answer: dict[str, Any] = {
            "content": response.content,
            "provider": response.provider,
            "model": response.model,
            "usage": (response.usage or Usage()).as_dict(),
            "finish_reason": response.finish_reason,
        }
        if response.tool_calls:
            answer["tool_calls"] = response.raw_response["tool_calls"]
        return answer

    def get_stats(self) -> ServiceStats:
        """As `UnifiedLLMService.get_stats`."""
        return self.service.get_stats()

    async def warm_connections(self) -> dict[str, bool]:
        """As `UnifiedLLMService.warm_connections`."""
        return await self.service.warm_connections()
