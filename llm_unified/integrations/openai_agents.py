"""Models for the OpenAI Agents SDK, answered by a service.

    agent = Agent(name="Help desk", instructions="…", model=UnifiedModel())
    await Runner.run(agent, "…")

or, for all agents of a run that name no model object of their own::

    await Runner.run(agent, "…", run_config=RunConfig(model_provider=UnifiedModelProvider()))

It is the SDK's own `OpenAIChatCompletionsModel` over `llm_unified.integrations.openai.AsyncOpenAI`, so tools,
handoffs, streams, structured output, usage and tracing are the SDK's own.

Needs ``openai-agents``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelProvider, ModelSettings, OpenAIChatCompletionsModel

from llm_unified.integrations.openai import MODEL, AsyncOpenAI
from llm_unified.service import UnifiedLLMService

__all__ = ["UnifiedModel", "UnifiedModelProvider"]


class UnifiedModel(OpenAIChatCompletionsModel):
    """Whoever of the chain answers."""

    def __init__(
        self, model: str = MODEL, *, service: UnifiedLLMService | None = None, **options: Any
    ) -> None:
        """``model``: see `llm_unified.integrations.openai.MODEL`. ``service``: ``None`` is the process's.

        ``options``: those of `OpenAIChatCompletionsModel`.
        """
        super().__init__(model=model, openai_client=AsyncOpenAI(service=service), **options)

    def stream_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002 - the SDK's own name
        model_settings: ModelSettings,
        *more: Any,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """As there. The SDK asks for a stream's usage only where the server is OpenAI's own."""
        model_settings = ModelSettings(include_usage=True).resolve(model_settings)
        events: AsyncIterator[Any] = super().stream_response(
            system_instructions, input, model_settings, *more, **options
        )
        return events


class UnifiedModelProvider(ModelProvider):
    """Makes a `UnifiedModel` of the name that an agent has; of none, whoever of the chain answers."""

    def __init__(self, service: UnifiedLLMService | None = None) -> None:
        """``None``: the process's service."""
        self._service = service

    def get_model(self, model_name: str | None) -> Model:
        """See `llm_unified.integrations.openai.MODEL`."""
        return UnifiedModel(model_name or MODEL, service=self._service)
