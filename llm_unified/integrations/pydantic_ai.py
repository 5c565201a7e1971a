"""pydantic-ai: `UnifiedModel` goes where a ``Model`` does.

::

    from llm_unified.integrations.pydantic_ai import UnifiedModel

    agent = Agent(UnifiedModel(), tools=[...])  # failover included

Needs ``pydantic-ai-slim`` 2.0 or newer. Errors are pydantic-ai's, with this library's as ``__cause__``; all
durations are seconds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, cast

from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import (
    Model,
    ModelRequestParameters,
    StreamedResponse,
    check_allow_model_requests,
)
from pydantic_ai.models._tool_choice import resolve_tool_choice
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext, ToolDefinition

from llm_unified.integrations.pydantic_ai_errors import pydantic_errors
from llm_unified.integrations.pydantic_ai_messages import (
    details_of,
    finish_of,
    provider_of,
    response_of,
    thinking_deltas,
    usage_of,
    wire_messages,
)
from llm_unified.options import ChatOptions
from llm_unified.response import StreamChunk
from llm_unified.service import UnifiedLLMService, get_llm_service
from llm_unified.streaming import LLMStream

__all__ = ["UnifiedModel", "UnifiedModelSettings"]

_SAME: Final = (
    *("max_tokens", "temperature", "top_p", "top_k", "seed", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "parallel_tool_calls", "service_tier"),
    *("extra_headers", "extra_body"),
)
"""Settings of pydantic-ai that are the service's options under the same name."""
_UNSIGNED: Final = frozenset({"openai", "azure", "groq"})
"""Whose thinking parts, in a history that other models of pydantic-ai made, hold signatures of another kind."""


class UnifiedModelSettings(ModelSettings, total=False):
    """pydantic-ai's settings, and the service's own options."""

    unified_options: ChatOptions
    """E.g. ``{"deadline": 8.0, "provider": "groq", "accept": is_polite}``."""


class UnifiedModel(Model[UnifiedLLMService]):
    """The service as a model of pydantic-ai: whoever of the chain can, answers.

    ``ModelResponse.provider_name`` and ``.model_name`` say who did, ``.provider_details`` has ``attempts`` (one
    line each) and ``cost_usd``.
    """

    unsupported_settings: ClassVar[frozenset[Any]] = frozenset({"max_retries"})
    _unsupported_file_inputs: ClassVar[frozenset[Any]] = frozenset({"video"})
    _relocates_tool_files: ClassVar[bool] = True

    def __init__(
        self,
        service: UnifiedLLMService | None = None,
        *,
        settings: UnifiedModelSettings | None = None,
        profile: ModelProfile | None = None,
        **options: Any,
    ) -> None:
        """Cheap; nothing is connected.

        ``service``: who is asked; ``None``: the process's own, configured by the environment
        (`get_llm_service`). ``settings``, ``profile``: as at every model. ``options``: of
        `llm_unified.options.ChatOptions`, for all requests, e.g. ``deadline=20``, ``model="gpt-4o"``.
        """
        # The profile describes what the service makes work at whichever provider answers.
        able = ModelProfile(
            supports_json_schema_output=True,
            supports_json_object_output=True,
            supports_thinking=True,
        )
        given = cast("dict[str, Any]", settings or {})
        if options:
            given = {**given, "unified_options": options | self._options(settings)}
        super().__init__(
            settings=cast("ModelSettings", given) or None, profile={**able, **(profile or {})}
        )
        self._given = service

    @property
    def service(self) -> UnifiedLLMService:
        """Who is asked.

        Raises:
            UserError: the environment does not configure it.
        """
        with pydantic_errors("llm-unified"):
            return get_llm_service() if self._given is None else self._given

    @property
    def model_name(self) -> str:
        """The model that is asked first."""
        options = self._options(self.settings)
        settings = self.service.settings
        first = options.get("provider") or settings.chain[0]
        models = {each.name: each.deployments[0].model for each in settings.providers}
        return str(options.get("model") or models.get(first, first))

    @property
    def system(self) -> str:
        """``"llm-unified"``; who answered is in each response."""
        return "llm-unified"

    # -- asking ----------------------------------------------------------------------------------

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the chain and return the first real answer.

        Raises:
            ModelHTTPError: nobody answered, and the last asked gave an HTTP status.
            ModelAPIError: nobody answered, for another reason.
            UserError: nothing was asked: the request or the configuration is wrong.
        """
        check_allow_model_requests()
        wire, arguments, _ = await self._asked(messages, model_settings, model_request_parameters)
        with pydantic_errors(self.model_name):
            return response_of(await self.service.generate_response_async(wire, **arguments))

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """The same as a stream, which begins when somebody's first content has arrived.

        Raises:
            ModelAPIError: as `request`; while iterating also where a stream broke after its first content.
        """
        check_allow_model_requests()
        wire, arguments, params = await self._asked(
            messages, model_settings, model_request_parameters
        )
        async with self.service.stream_response_async(wire, **arguments) as stream:
            with pydantic_errors(self.model_name):
                first = await anext(stream)
            yield UnifiedStreamedResponse(params, stream, first)

    async def _asked(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> tuple[list[dict[str, Any]], dict[str, Any], ModelRequestParameters]:
        settings, params = self.prepare_request(model_settings, model_request_parameters)
        instructions = [p.content for p in self._get_instruction_parts(messages, params) or ()]
        signers = {provider_of(each.name) for each in self.service.settings.providers}
        wire = await wire_messages(messages, instructions, (signers | {"anthropic"}) - _UNSIGNED)
        return wire, self._arguments(settings or {}, params), params

    @staticmethod
    def _options(settings: ModelSettings | None) -> dict[str, Any]:
        return dict(cast("dict[str, Any]", settings or {}).get("unified_options") or {})

    def _arguments(self, settings: ModelSettings, params: ModelRequestParameters) -> dict[str, Any]:
        given = cast("dict[str, Any]", settings)
        found: dict[str, Any] = {name: given[name] for name in _SAME if name in given}
        if "stop_sequences" in given:
            found["stop"] = given["stop_sequences"]
        if (timeout := given.get("timeout")) is not None:
            found["timeout"] = getattr(timeout, "read", timeout)  # httpx.Timeout
        if params.thinking is not None:
            levels: dict[Any, str] = {True: "medium", False: "none"}
            found["reasoning_effort"] = levels.get(params.thinking, params.thinking)
        found |= _tools(settings, params)
        if not found.get("tools"):
            found.pop("parallel_tool_calls", None)
        if params.output_mode == "native" and (wanted := params.output_object) is not None:
            more = {"description": wanted.description, "strict": wanted.strict}
            schema: dict[str, Any] = {
                name: value for name, value in more.items() if value is not None
            }
            schema |= {"name": wanted.name or "final_result", "schema": wanted.json_schema}
            found["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif params.output_mode == "prompted" and not found.get("tools"):
            found["response_format"] = {"type": "json_object"}
        # Of the model's and of the request's: pydantic-ai merges top-level settings only.
        return found | self._options(self.settings) | self._options(settings)


def _tools(settings: ModelSettings, params: ModelRequestParameters) -> dict[str, Any]:
    declared: dict[str, ToolDefinition] = getattr(params, "declared_tool_defs", params.tool_defs)
    if not declared:
        return {}
    choice: Any = resolve_tool_choice(settings, params)
    if isinstance(choice, tuple):
        choice, names = choice
        if choice == "required" and len(names) == 1:
            choice = {"type": "function", "function": {"name": next(iter(names))}}
        else:
            declared = {name: tool for name, tool in declared.items() if name in names}
    return {"tools": [_tool(each) for each in declared.values()], "tool_choice": choice}


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters_json_schema}
    more = {"description": tool.description, "strict": tool.strict}
    function |= {name: value for name, value in more.items() if value is not None}
    return {"type": "function", "function": function}


@dataclass
class UnifiedStreamedResponse(StreamedResponse):
    """An answer as it arrives."""

    _stream: LLMStream
    _first: StreamChunk
    _timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        with pydantic_errors(self.model_name):
            for event in self._events(self._first):
                yield event
            async for chunk in self._stream:
                for event in self._events(chunk):
                    yield event

    def _events(self, chunk: StreamChunk) -> Generator[ModelResponseStreamEvent]:
        parts = self._parts_manager
        if chunk.reasoning:
            yield from parts.handle_thinking_delta(
                vendor_part_id="reasoning",
                content=chunk.reasoning,
                provider_name=self.provider_name,
            )
        if chunk.content:
            yield from parts.handle_text_delta(vendor_part_id="content", content=chunk.content)
        for call in chunk.tool_calls:
            event = parts.handle_tool_call_delta(
                vendor_part_id=call.index,
                tool_name=call.name,
                args=call.arguments or None,
                tool_call_id=call.id,
            )
            if event is not None:
                yield event
        if (whole := self._stream.response) is not None and chunk.finish_reason is not None:
            for more in thinking_deltas(whole):
                yield from parts.handle_thinking_delta(vendor_part_id="reasoning", **more)
            self._usage = usage_of(whole.usage)
            self.finish_reason = finish_of(whole.finish_reason)
            self.provider_response_id = whole.raw_response.get("id")
            self.provider_details = details_of(whole)

    async def close_stream(self) -> None:
        """Stop; the connection is closed when this returns."""
        await self._stream.aclose()

    @property
    def model_name(self) -> str:
        """The model that answers."""
        return self._first.model

    @property
    def provider_name(self) -> str:
        """Who answers."""
        return provider_of(self._first.provider)

    @property
    def provider_url(self) -> None:
        """The service does not tell."""
        return

    @property
    def timestamp(self) -> datetime:
        """When the first content had arrived."""
        return self._timestamp
