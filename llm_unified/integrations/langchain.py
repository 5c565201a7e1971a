"""LangChain: `ChatUnified` goes where a ``BaseChatModel`` does, `UnifiedEmbeddings` where ``Embeddings`` do.

::

    from llm_unified.integrations.langchain import ChatUnified

    agent = create_agent(ChatUnified(temperature=0), tools=[...])  # failover included

Needs ``langchain-core``. Errors are this library's own (`llm_unified.errors`); all durations are seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ConfigDict, Field

from llm_unified.integrations.langchain_messages import (
    last_chunk,
    message_of,
    piece_of,
    wire_messages,
)
from llm_unified.service import UnifiedLLMService, get_llm_service
from llm_unified.streaming import SyncStream

__all__ = ["ChatUnified", "UnifiedEmbeddings"]

_OPTIONS: Final = (
    *("provider", "model", "fallback", "timeout", "deadline"),
    *("temperature", "max_tokens", "top_p", "seed", "stop", "reasoning_effort"),
)


class ChatUnified(BaseChatModel):
    """The service as a LangChain chat model: whoever of the chain can, answers.

    ``response_metadata`` says who did: ``provider``, ``model_name``, ``finish_reason``, ``cost_usd`` and
    ``attempts`` (one line each). Reasoning is in ``additional_kwargs["reasoning_content"]`` and thus in
    ``content_blocks``; Anthropic's signed ``thinking_blocks`` beside it go back with the message.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    service: UnifiedLLMService | None = Field(default=None, exclude=True, repr=False)
    """Who is asked; ``None``: the process's own, configured by the environment (`get_llm_service`)."""
    provider: str | None = None
    """Start the chain at this provider."""
    model: str | None = None
    """Ask the first provider of the chain for this model instead of its configured one."""
    fallback: bool = True
    """``False``: ask the first provider only."""
    timeout: float | None = None
    """Seconds for one attempt."""
    deadline: float | None = None
    """Seconds for the whole call."""
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | None = None
    reasoning_effort: str | None = None
    streaming: bool | None = None
    """``True``: ``invoke`` streams, too, for callbacks that want tokens."""
    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Further options of `llm_unified.options.ChatOptions`."""

    @property
    def _service(self) -> UnifiedLLMService:
        return get_llm_service() if self.service is None else self.service

    @property
    def _llm_type(self) -> str:
        return "llm-unified"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        # LangChain's caches and traces tell models apart by these; headers may hold secrets.
        arguments = self._arguments(None, {})
        arguments.pop("extra_headers", None)
        return {"chain": list(self._service.settings.chain), **arguments}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        found = super()._get_ls_params(stop=stop, **kwargs)
        found["ls_provider"] = "llm-unified"
        if not found.get("ls_model_name"):
            settings = self._service.settings
            first = self.provider or settings.chain[0]
            models = {each.name: each.deployments[0].model for each in settings.providers}
            found["ls_model_name"] = models.get(first, first)
        return found

    # -- asking ----------------------------------------------------------------------------------

    def _arguments(self, stop: list[str] | None, more: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in _OPTIONS} | self.options | dict(more)
        if stop is not None:
            given["stop"] = stop
        given["stop"] = given["stop"] or None
        given.pop("stream", None)  # LangChain's way to choose between `_generate` and `_stream`
        return {name: value for name, value in given.items() if value is not None}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # Not `generate_response`, which refuses to block a running event loop: who calls LangChain's
        # synchronous methods in a notebook means to.
        service = self._service
        return service.background.run(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        arguments = self._arguments(stop, kwargs)
        response = await self._service.generate_response_async(wire_messages(messages), **arguments)
        return ChatResult(generations=[ChatGeneration(message=message_of(response))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        service, arguments = self._service, self._arguments(stop, kwargs)
        begun = service.stream_response_async(wire_messages(messages), **arguments)
        with SyncStream(begun, service.background) as stream:
            for chunk in stream:
                if chunk.finish_reason is None:
                    yield ChatGenerationChunk(message=piece_of(chunk, self.output_version))
            if stream.response is not None:
                yield ChatGenerationChunk(message=last_chunk(stream.response))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        arguments = self._arguments(stop, kwargs)
        async with self._service.stream_response_async(
            wire_messages(messages), **arguments
        ) as stream:
            async for chunk in stream:
                if chunk.finish_reason is None:
                    yield ChatGenerationChunk(message=piece_of(chunk, self.output_version))
            if stream.response is not None:
                yield ChatGenerationChunk(message=last_chunk(stream.response))

    # -- tools, structured output ----------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools.

        ``tool_choice``: ``"auto"``, ``"none"``, ``"any"`` / ``"required"`` / ``True``, a tool's name, or
        OpenAI's form. ``kwargs``: options of the call, e.g. ``parallel_tool_calls=False``.
        """
        offered = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if tool_choice is True or tool_choice == "any":
            tool_choice = "required"
        elif tool_choice in {tool.get("function", {}).get("name") for tool in offered}:
            tool_choice = {"type": "function", "function": {"name": tool_choice}}
        if tool_choice:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=offered, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """The model answering by ``schema``.

        With ``"json_schema"`` an answer that is not valid by the schema is turned down and the next provider
        asked; ``"json_mode"`` does so for one that is no JSON object. ``strict`` as at OpenAI.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        if kwargs:
            raise ValueError(f"unknown arguments: {', '.join(kwargs)}")
        llm = self.bind(
            response_format=_format(schema, method, strict=strict),
            ls_structured_output_format={
                "kwargs": {"method": method, "strict": strict},
                "schema": schema,
            },
        )
        parser: PydanticOutputParser[Any] | JsonOutputParser = JsonOutputParser()
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            parser = PydanticOutputParser(pydantic_object=schema)
        if not include_raw:
            return llm | parser
        good = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
        )
        bad = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=llm) | good.with_fallbacks([bad], exception_key="parsing_error")


class UnifiedEmbeddings(Embeddings):
    """The service as LangChain's embeddings: all vectors from ``model``, whichever provider serves it."""

    def __init__(
        self, model: str, *, service: UnifiedLLMService | None = None, **options: Any
    ) -> None:
        """``options``: of `llm_unified.options.EmbedOptions`, e.g. ``dimensions=256``."""
        self.model, self.service, self.options = model, service, options

    @property
    def _service(self) -> UnifiedLLMService:
        return get_llm_service() if self.service is None else self.service

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector per text."""
        return self._service.background.run(self.aembed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """The vector of one text."""
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector per text."""
        if not texts:  # a loader that found nothing
            return []
        found = await self._service.embed_async(texts, model=self.model, **self.options)
        return [list(vector) for vector in found.vectors]

    async def aembed_query(self, text: str) -> list[float]:
        """The vector of one text."""
        return (await self.aembed_documents([text]))[0]


def _format(schema: dict[str, Any] | type, method: str, *, strict: bool | None) -> Any:
    if method == "json_mode":
        return {"type": "json_object"}
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema  # its own validators decide, too
    plain = convert_to_json_schema(schema, strict=strict)
    named = {"name": plain.get("title", "answer"), "schema": plain}
    return {
        "type": "json_schema",
        "json_schema": named if strict is None else {**named, "strict": strict},
    }
