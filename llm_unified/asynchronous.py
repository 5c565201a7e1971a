"""The asynchronous methods of the façade; `service` adds the synchronous ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

from llm_unified.calls.arguments import chat_request, embedding_request
from llm_unified.errors import BadRequestError, LLMError
from llm_unified.many import ask_many
from llm_unified.options import ChatOptions, EmbedOptions
from llm_unified.response import Embedding, LLMResponse
from llm_unified.runtime import Runtime
from llm_unified.settings import Settings, load_settings
from llm_unified.streaming import LLMStream
from llm_unified.watched import WatchedMethods
from llm_unified.wire.background import BackgroundLoop

if TYPE_CHECKING:  # the service is built without LiteLLM and aiohttp; the first call loads them
    from contextlib import AbstractAsyncContextManager

    from llm_unified.calls.chain import Chain
    from llm_unified.calls.dispatcher import Dispatcher
    from llm_unified.calls.request import Asked, Request

__all__ = ["AsyncMethods", "Messages", "Tools"]

Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any]]


class AsyncMethods(WatchedMethods):
    """The asynchronous half of `UnifiedLLMService`, and what happened."""

    def __init__(self, settings: Settings | None = None) -> None:
        """``settings``: as from `load_settings`, which is called when it is ``None``.

        Cheap: LiteLLM is loaded with the first call (or by `warm_connections`).

        Raises:
            ConfigurationError: with every problem at once.
        """
        self._runtime = Runtime(load_settings() if settings is None else settings)

    @property
    def background(self) -> BackgroundLoop:
        """The event loop of the synchronous methods."""
        return self._runtime.background

    # -- asking ----------------------------------------------------------------------------------

    async def generate_response_async(
        self,
        messages: Messages,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Tools | None = None,
        **options: Unpack[ChatOptions],
    ) -> LLMResponse:
        """Ask the chain and return the first real answer.

        Args:
            messages: OpenAI-style, also for Anthropic: ``{"role", "content", …}``.
            temperature: passed on where the provider has it, like everything optional.
            max_tokens: likewise.
            tools: OpenAI-style function tools.
            **options: see `ChatOptions`; parameters that only some vendor knows are passed on, too.

        Raises:
            BadRequestError: the request is wrong; exactly one provider was asked, or none.
            AllProvidersFailedError: nobody answered; ``.attempts`` says why.
            DeadlineExceededError: nobody answered in time.
            ServiceClosedError: after `close`.
        """
        params = {"temperature": temperature, "max_tokens": max_tokens, "tools": tools}
        asked = chat_request(messages, params, options)
        dispatcher = await self._ready()
        from llm_unified.calls.chat import complete

        response: LLMResponse = await self._carry_out(dispatcher, asked, complete)
        return response

    def stream_response_async(
        self,
        messages: Messages,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Tools | None = None,
        **options: Unpack[ChatOptions],
    ) -> LLMStream:
        """The same as a stream: ``async for chunk in …``, then the whole answer at ``stream.response``.

        Providers are switched until the first content, tool or reasoning delta. ``accept`` and
        ``response_format`` are applied at the end.

        Raises:
            StreamInterruptedError: while iterating, after the first content.
        """
        params = {"temperature": temperature, "max_tokens": max_tokens, "tools": tools}

        try:
            asked = chat_request(messages, params, options, stream=True)
        except BadRequestError as error:
            asked = _raising(error)

        async def start() -> AbstractAsyncContextManager[Chain]:
            return (await self._ready()).chain(asked)

        return LLMStream(start)

    # -- many, and vectors -----------------------------------------------------------------------

    async def generate_many_async(
        self,
        conversations: Sequence[Messages],
        *,
        concurrency: int = 8,
        progress: bool = False,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Tools | None = None,
        **options: Unpack[ChatOptions],
    ) -> list[LLMResponse | LLMError]:
        """Ask many conversations, at most ``concurrency`` at a time.

        The result has the order of ``conversations``; one that failed is there as its `LLMError` (a
        value, not raised). The options are those of `generate_response_async` and hold for each item, the
        deadline too. ``progress``: a bar on stderr, if that is a terminal and rich is installed (extra ``cli``).

        An exception of the caller's own code (``accept``) ends the whole: the calls under way are cancelled,
        and it is raised as it is.

        Raises:
            BadRequestError: ``concurrency`` or ``conversations`` are of no use.
        """

        async def ask(messages: Messages) -> LLMResponse:
            return await self.generate_response_async(
                messages, temperature, max_tokens, tools, **options
            )

        return await ask_many(ask, conversations, concurrency=concurrency, progress=progress)

    async def embed_async(
        self, inputs: str | Sequence[str], *, model: str, **options: Unpack[EmbedOptions]
    ) -> Embedding:
        """Vectors of ``inputs``, in their order, from one embedding model.

        Vectors of different models cannot be compared, so every provider of the chain is asked for this
        very ``model`` (Azure: a deployment of that name) or not at all.

        Raises:
            BadRequestError: there is nothing to embed.
            ConfigurationError: no provider of the chain offers embeddings.
            AllProvidersFailedError: nobody answered.
        """
        asked = embedding_request(inputs, {**options, "model": model})
        dispatcher = await self._ready()
        from llm_unified.calls.chat import embed

        found: Embedding = await self._carry_out(dispatcher, asked, embed)
        return found

    async def _carry_out(self, dispatcher: Dispatcher, asked: Asked, work: Any) -> Any:
        from llm_unified.calls.telling import call_ended, call_started

        async with dispatcher.chain(asked) as chain:
            call_started(chain)
            try:
                result = await work(chain)
            except BaseException as error:
                call_ended(chain, error)
                raise
            call_ended(chain, None, result)
            return result

    # -- warmth ----------------------------------------------------------------------------------

    async def warm_connections(
        self,
        timeout: float = 20.0,  # noqa: ASYNC109 - the caller's limit, kept inside
    ) -> dict[str, bool]:
        """Make the next request of every deployment as fast as the thousandth: ``{provider: alive}``.

        Loads LiteLLM in a thread, then pings all deployments of all providers of the chain at once, over the
        connections that requests in this event loop will take. ``False``: none gave a sign of life within
        ``timeout`` seconds, loading included, or all of them cool down. Never raises.
        """
        return await self._runtime.warm(timeout)

    # -- life ------------------------------------------------------------------------------------

    async def reload(self, settings: Settings | None = None) -> Settings:
        """Swap the configuration without losing a request; the settings now in force.

        ``settings``: as from `load_settings`, which is called when it is ``None``. Requests in flight end
        on the old configuration; sockets, cooldowns and statistics of what did not change are kept. A wrong
        configuration changes nothing.

        Raises:
            ConfigurationError: with every problem; the old configuration goes on.
        """
        return await self._runtime.reload(settings)

    async def dispatcher(self) -> Dispatcher:
        """What carries out the calls, built if need be; for the warmer.

        Raises:
            ServiceClosedError: after `close`.
        """
        return await self._ready()

    @property
    def dispatcher_if_built(self) -> Dispatcher | None:
        """The same, once a first call was made."""
        return self._dispatcher

    @property
    def _dispatcher(self) -> Dispatcher | None:
        return self._runtime.dispatcher

    async def _ready(self) -> Dispatcher:
        return await self._runtime.ready()

    async def aclose(self) -> None:
        """Close all sockets and the background loop; calls after this raise `ServiceClosedError`."""
        await self._runtime.aclose()

    @property
    def closed(self) -> bool:
        """Whether it was closed, for good."""
        return self._runtime.closed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"UnifiedLLMService({' → '.join(self.settings.chain)}{state})"


def _raising(error: BadRequestError) -> Asked:
    """A stream's arguments are copied when it is asked for; what is wrong with them is said when it is read."""

    def asked(_: Settings) -> Request:
        raise error

    return asked
