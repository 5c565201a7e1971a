"""The façade: one way in, one way out."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from llm_unified.coldstart.collector import set_aside
from llm_unified.errors import BadRequestError, ConfigurationError, LLMError, ServiceClosedError
from llm_unified.formats import response_parser
from llm_unified.health import CopyState, Health
from llm_unified.many import ask_many
from llm_unified.providers import provider_row
from llm_unified.settings import Settings, load_settings
from llm_unified.stats import Stats
from llm_unified.streaming import LLMStream, SyncStream
from llm_unified.telemetry import log
from llm_unified.wire.background import BackgroundLoop, refuse_inside_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llm_unified.call import Call
    from llm_unified.dispatch import Dispatcher
    from llm_unified.response import Attempt, Embedding, LLMResponse

__all__ = ["UnifiedLLMService", "get_llm_service"]


class UnifiedLLMService:
    """Answers chat requests from some provider: the primary if it can, the next one if not.

    Several services may live in one process, fully apart. One service may be used from any thread and any
    number of event loops, one after the other or at once.

    Use it as a context manager (``with`` or ``async with``), or call `close` / `aclose` when done.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """``settings``: as from `load_settings`, which is called when it is ``None``.

        Cheap: LiteLLM is loaded with the first call (or by `warm_connections`).

        Raises:
            ConfigurationError: with every problem at once.
        """
        self.settings = load_settings() if settings is None else settings
        self._stats = Stats(self.settings.chain)
        self.health = Health(self.settings.chain)
        self._listeners: list[Callable[[Attempt, bool], None]] = []
        self._lock = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        self.background = BackgroundLoop()
        self._closed = False

    # -- asking ----------------------------------------------------------------------------------

    async def generate_response_async(
        self,
        messages: Sequence[Mapping[str, Any]],
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        provider: str | None = None,
        model: str | None = None,
        fallback: bool = True,
        deadline: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of one attempt, not of this coroutine
        accept: Callable[[LLMResponse], Any] | None = None,
        response_format: Any = None,
        **extra: Any,
    ) -> LLMResponse:
        """Ask the chain and return the first real answer.

        Args:
            messages: OpenAI-style, also for Anthropic: ``{"role", "content", …}``.
            temperature: passed on where the provider has it, like everything optional.
            max_tokens: likewise.
            tools: OpenAI-style function tools.
            provider: start the chain at this provider; the others follow, unless ``fallback=False``.
            model: ask the first provider of the chain for this model instead of its configured one.
            fallback: ``False``: ask the first provider only.
            deadline: seconds for the whole call (default: ``LLM_DEADLINE``).
            timeout: seconds for one attempt (default: ``LLM_TIMEOUT``).
            accept: called with the `LLMResponse` (may be ``async``); if it returns something false, the
                answer is an invalid response and the next provider is asked.
            response_format: a pydantic model, a JSON schema, or OpenAI's ``{"type": …}``; the validated
                object is ``response.parsed``.
            **extra: passed on (``stop``, ``seed``, ``tool_choice``, ``top_p``, anything unknown too).

        Raises:
            BadRequestError: the request is wrong; exactly one provider was asked.
            AllProvidersFailedError: nobody answered; ``.attempts`` says why.
            DeadlineExceededError: nobody answered in time.
            ServiceClosedError: after `close`.
        """
        call = await self._chat(
            messages,
            _given(temperature=temperature, max_tokens=max_tokens, tools=tools) | extra,
            provider=provider,
            model=model,
            fallback=fallback,
            deadline=deadline,
            timeout=timeout,
            accept=accept,
            response_format=response_format,
        )
        dispatcher = await self._ready()
        self._stats.started()
        try:
            response = await dispatcher.complete(call)
        except BaseException as error:
            self._ended(call, error)
            raise
        self._ended(call, None)
        return replace(response, attempts=tuple(call.attempts))

    def generate_response(
        self,
        messages: Sequence[Mapping[str, Any]],
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> LLMResponse:
        """`generate_response_async`, synchronous, safe from any thread.

        Raises:
            RuntimeError: called where an event loop runs; it would block that loop.
        """
        refuse_inside_loop("generate_response", "generate_response_async")
        return self.background.run(
            self.generate_response_async(messages, temperature, max_tokens, tools, **options)
        )

    def stream_response_async(
        self,
        messages: Sequence[Mapping[str, Any]],
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        provider: str | None = None,
        model: str | None = None,
        fallback: bool = True,
        deadline: float | None = None,
        timeout: float | None = None,
        accept: Callable[[LLMResponse], Any] | None = None,
        response_format: Any = None,
        **extra: Any,
    ) -> LLMStream:
        """The same as a stream: ``async for chunk in …``, then the whole answer at ``stream.response``.

        Providers are switched until the first content or tool delta. ``accept`` and
        ``response_format`` are applied at the end.

        Raises:
            StreamInterruptedError: while iterating, after the first content.
        """

        async def start() -> tuple[Dispatcher, Call]:
            call = await self._chat(
                messages,
                {"stream_options": {"include_usage": True}}
                | _given(temperature=temperature, max_tokens=max_tokens, tools=tools)
                | extra,
                provider=provider,
                model=model,
                fallback=fallback,
                deadline=deadline,
                timeout=timeout,
                accept=accept,
                response_format=response_format,
            )
            dispatcher = await self._ready()
            self._stats.started()
            return dispatcher, call

        return LLMStream(start, self._ended)

    def stream_response(
        self,
        messages: Sequence[Mapping[str, Any]],
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> SyncStream:
        """`stream_response_async`, synchronous: ``for chunk in …``.

        Raises:
            RuntimeError: called where an event loop runs; it would block that loop.
        """
        refuse_inside_loop("stream_response", "stream_response_async")
        stream = self.stream_response_async(messages, temperature, max_tokens, tools, **options)
        return SyncStream(stream, self.background)

    # -- many, and vectors -----------------------------------------------------------------------

    async def generate_many_async(
        self,
        conversations: Sequence[Sequence[Mapping[str, Any]]],
        *,
        concurrency: int = 8,
        progress: bool = False,
        **options: Any,
    ) -> list[LLMResponse | LLMError]:
        """Ask many conversations, at most ``concurrency`` at a time.

        The result has the order of ``conversations``; one that failed is there as its `LLMError` (a
        value, not raised). ``options`` are those of `generate_response_async` and hold for each item, the
        deadline too. ``progress``: a bar on stderr, if that is a terminal.
        """
        if concurrency < 1:
            raise BadRequestError(f"concurrency must be at least 1, not {concurrency!r}")

        async def ask(messages: Sequence[Mapping[str, Any]]) -> LLMResponse:
            return await self.generate_response_async(messages, **options)

        return await ask_many(ask, conversations, concurrency=concurrency, progress=progress)

    def generate_many(
        self, conversations: Sequence[Sequence[Mapping[str, Any]]], **options: Any
    ) -> list[LLMResponse | LLMError]:
        """`generate_many_async`, synchronous."""
        refuse_inside_loop("generate_many", "generate_many_async")
        return self.background.run(self.generate_many_async(conversations, **options))

    async def embed_async(
        self,
        inputs: str | Sequence[str],
        *,
        model: str,
        provider: str | None = None,
        fallback: bool = True,
        deadline: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of one attempt
        **extra: Any,
    ) -> Embedding:
        """Vectors of ``inputs``, in their order, from one embedding model.

        Vectors of different models cannot be compared, so every provider of the chain is asked for this
        very ``model`` (Azure: a deployment of that name) or not at all.

        Raises:
            BadRequestError: there is nothing to embed.
            ConfigurationError: no provider of the chain offers embeddings.
            AllProvidersFailedError: nobody answered.
        """
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise BadRequestError("inputs must be a text or a list of texts, and not empty")
        chain = self._chain(provider, fallback=fallback)
        able = tuple(name for name in chain if provider_row(name).embeds)
        if not able:
            raise ConfigurationError(
                f"none of {', '.join(chain)} offers embeddings; add openai or azure_openai to the chain"
            )
        call = await self._call(
            texts, dict(extra), able, model=model, deadline=deadline, timeout=timeout
        )
        call.embeds = True
        dispatcher = await self._ready()
        self._stats.started()
        try:
            embedding = await dispatcher.embed(call)
        except BaseException as error:
            self._ended(call, error)
            raise
        self._ended(call, None)
        return replace(embedding, attempts=tuple(call.attempts))

    def embed(self, inputs: str | Sequence[str], **options: Any) -> Embedding:
        """`embed_async`, synchronous."""
        refuse_inside_loop("embed", "embed_async")
        return self.background.run(self.embed_async(inputs, **options))

    # -- what happened ---------------------------------------------------------------------------

    def get_stats(self) -> dict[str, Any]:
        """Counters, exact at the moment a call returned; durations in seconds, costs in US dollars."""
        chain = self.settings.chain
        return {
            "primary_provider": chain[0],
            "fallback_providers": list(chain[1:]),
            "pool_size": self.settings.pool_size,
            "stats": self._stats.as_dict(),
        }

    def get_health(self) -> dict[str, dict[str, Any]]:
        """How each provider of the chain is, from users' requests and pings together; plain data.

        ``{"openai": {"status", "breaker", "rests_for", "last_failure", "seconds_since_failure",
        "p50_seconds", "p95_seconds", "pings": {…}, "copies": {"openai#0": {…}}}}``, durations in
        seconds. ``status`` is ``"healthy"``, ``"degraded"``, ``"unhealthy"``, ``"misconfigured"`` or
        ``"unknown"`` (see `llm_unified.health`); ``breaker`` is that of the copy that is best off.
        """
        times = self._stats.as_dict()["latency_by_provider"]
        return {
            name: self.health.report(name, self.copy_states(name), times.get(name, {}))
            for name in self.settings.chain
        }

    def copy_states(self, provider: str) -> list[CopyState]:
        """What rests of this provider, copy by copy; nothing before the first call."""
        if self._dispatcher is None:
            return []
        states = []
        for copy, endpoint, credential, seconds in self._dispatcher.rotation.state(provider):
            later = max(
                (endpoint, credential), key=lambda rest: (rest.kind is not None, rest.until)
            )
            trial = endpoint.trial or credential.trial
            states.append(CopyState(copy.id, seconds, later.kind, trial=trial))
        return states

    def _ended(self, call: Call, error: BaseException | None) -> None:
        """One call is over: count it, and say so where somebody else than the first had to answer."""
        if error is None:
            answered = call.attempts[-1]
            by_fallback = answered.provider != call.chain[0]
            self._stats.answered(by_fallback=by_fallback)
            if by_fallback:
                log(
                    "warning",
                    "fallback",
                    wanted=call.chain[0],
                    answered=answered.provider,
                    attempts=len(call.attempts),
                    seconds=round(sum(a.seconds for a in call.attempts), 4),
                )
            return
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        self._stats.failed(cancelled=cancelled)
        if isinstance(error, LLMError) and not cancelled:
            log(
                "error",
                "call_failed",
                error=type(error).__name__,
                attempts=[f"{a.deployment} {a.kind or a.outcome}" for a in call.attempts],
                seconds=round(sum(a.seconds for a in call.attempts), 4),
            )

    # -- from arguments to a call ----------------------------------------------------------------

    async def _call(
        self,
        messages: Sequence[Any],
        params: dict[str, Any],
        chain: tuple[str, ...],
        *,
        deadline: float | None,
        timeout: float | None,  # noqa: ASYNC109 - of one attempt
        **rest: Any,
    ) -> Call:
        for name, value in (("deadline", deadline), ("timeout", timeout)):
            if value is not None and not value > 0:
                raise BadRequestError(f"{name} must be more than 0 seconds, not {value!r}")
        await self._ready()
        from llm_unified.call import Call

        return Call(
            chain=chain,
            messages=messages,
            params=params,
            deadline=self.settings.deadline if deadline is None else deadline,
            timeout=timeout,
            **rest,
        )

    async def _chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: dict[str, Any],
        *,
        provider: str | None,
        fallback: bool,
        response_format: Any,
        **rest: Any,
    ) -> Call:
        if isinstance(messages, str | bytes) or not all(isinstance(m, dict) for m in messages):
            raise BadRequestError(
                'messages must be a list of dicts like {"role": "user", "content": "Hi"}'
            )
        parser = None
        if response_format is not None:
            params["response_format"], parser = response_parser(response_format)
        chain = self._chain(provider, fallback=fallback)
        return await self._call(messages, params, chain, parser=parser, **rest)

    def _chain(self, provider: str | None, *, fallback: bool) -> tuple[str, ...]:
        chain = self.settings.chain
        if provider is not None:
            known = [p.name for p in self.settings.providers]
            if provider not in known:
                raise ConfigurationError(
                    f"provider={provider!r} is not configured; configured are: {', '.join(known)}"
                )
            chain = (provider, *(name for name in chain if name != provider))
        return chain if fallback and self.settings.enable_fallback else chain[:1]

    # -- warmth ----------------------------------------------------------------------------------

    async def warm_connections(
        self,
        timeout: float = 20.0,  # noqa: ASYNC109 - the caller's limit, kept inside
    ) -> dict[str, bool]:
        """Make the next request of every pool copy as fast as the thousandth: ``{provider: alive}``.

        Loads LiteLLM in a thread, then pings all copies of all providers of the chain at once, over the
        connections that requests in this event loop will take. ``False``: no copy gave a sign of life
        within ``timeout`` seconds, loading included, or all of them rest. Never raises.
        """
        found = dict.fromkeys(self.settings.chain, False)
        try:
            async with asyncio.timeout(timeout) as limit:
                dispatcher = await self._ready()
                from llm_unified.probe import warm

                left = (limit.when() or 0.0) - asyncio.get_running_loop().time()
                await warm(
                    dispatcher,
                    self.settings.chain,
                    found,
                    probe=self.settings.warm_probe,
                    seconds=left - 0.1,
                )
        except Exception as error:  # noqa: BLE001 - a cold start is slow, not wrong
            log("warning", "warm_up_incomplete", error=type(error).__name__, **found)
        return found

    def warm_connections_sync(self, timeout: float = 20.0) -> dict[str, bool]:
        """`warm_connections` for the synchronous methods, which have connections of their own."""
        refuse_inside_loop("warm_connections_sync", "warm_connections")
        return self.background.run(self.warm_connections(timeout))

    # -- another configuration -------------------------------------------------------------------

    async def reload(self, settings: Settings | None = None) -> Settings:
        """Swap the configuration without losing a request; the settings now in force.

        ``settings``: as from `load_settings`, which is called when it is ``None``. Requests in flight end
        on the old configuration; sockets, rests and statistics of what did not change are kept. A wrong
        configuration changes nothing.

        Raises:
            ConfigurationError: with every problem; the old configuration goes on.
        """
        try:
            new = await asyncio.to_thread(load_settings) if settings is None else settings
            if self._dispatcher is not None:
                await asyncio.to_thread(self._swap, new)
        except ConfigurationError as error:
            log("error", "reload_refused", problems=list(error.problems))
            raise
        self.settings = new
        self._stats.keep(new.chain)
        self.health.keep(new.chain)
        log("info", "reloaded", chain=list(new.chain), pool_size=new.pool_size)
        return new

    def _swap(self, settings: Settings) -> None:
        from llm_unified.engine import Engine

        with self._lock:
            if self._dispatcher is not None:
                self._dispatcher.replace(Engine(settings))

    # -- life ------------------------------------------------------------------------------------

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

    async def _ready(self) -> Dispatcher:
        """The first caller has it built in a thread, so that no event loop stalls."""
        if self._closed:
            raise ServiceClosedError("this service was closed; build a new UnifiedLLMService")
        built = self._dispatcher
        return await asyncio.to_thread(self._build) if built is None else built

    def _build(self) -> Dispatcher:
        with self._lock:
            built = self._dispatcher
            if built is None:
                with set_aside():
                    from llm_unified.coldstart.rehearsal import rehearse
                    from llm_unified.dispatch import Dispatcher
                    from llm_unified.engine import Engine
                    from llm_unified.wire.connections import Connections

                    built = Dispatcher(
                        Engine(self.settings), Connections(), on_attempt=self._count
                    )
                    asyncio.run(rehearse(built))
                    self._dispatcher = built
            return built

    def _count(self, attempt: Attempt, counted: bool) -> None:
        if counted:
            self._stats.attempt(attempt)
        self.health.note(attempt, ping=not counted)
        for listener in tuple(self._listeners):
            listener(attempt, counted)

    def subscribe(self, listener: Callable[[Attempt, bool], None]) -> Callable[[], None]:
        """Call ``listener(attempt, is_a_users_request)`` inline with every attempt, pings included.

        It must be quick and must not raise. Returns what ends the subscription (safe to call twice).
        """
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    async def aclose(self) -> None:
        """Close all sockets and the background loop; calls after this raise `ServiceClosedError`."""
        self._closed = True
        if self._dispatcher is not None:
            await self._dispatcher.aclose()
        await asyncio.to_thread(self.background.close)

    def close(self) -> None:
        """`aclose`, synchronous."""
        refuse_inside_loop("close", "aclose")
        self._closed = True
        if self._dispatcher is not None:
            self.background.run(self._dispatcher.aclose())
        self.background.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"UnifiedLLMService({' → '.join(self.settings.chain)}{state})"


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


_service: UnifiedLLMService | None = None
_service_lock = threading.Lock()


def get_llm_service() -> UnifiedLLMService:
    """The process's service, built on first use from the environment; rebuilt after it was closed.

    Raises:
        ConfigurationError: with every problem at once.
    """
    global _service  # noqa: PLW0603 - one per process is the contract
    with _service_lock:
        if _service is None or _service._closed:  # noqa: SLF001 - same module
            _service = UnifiedLLMService()
        return _service
