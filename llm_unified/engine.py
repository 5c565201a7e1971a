"""The only door to LiteLLM.

LiteLLM's `Router` holds the model list, does the fallbacks, translates to each provider and speaks HTTP.
Through its own extension points it is given here what it gets wrong for an embedder: whose turn it is
(`async_get_available_deployment`), the client of each pool copy (`_get_client`), and the verdict on an
attempt (`_acompletion`). Each fact about LiteLLM that this relies on is pinned by a test in
``tests/test_litellm_contract.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import time
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx

from llm_unified.answer import Assembly, NoAnswerError, from_completion, usage_of
from llm_unified.deployments import build_model_list, plan
from llm_unified.encoding import postpone
from llm_unified.errors import (
    AllProvidersFailedError,
    BadRequestError,
    DeadlineExceededError,
    LLMError,
    StreamInterruptedError,
)
from llm_unified.formats import adapt
from llm_unified.loops import PerLoop
from llm_unified.policy import TRANSIENT, Evidence, Verdict, attempt_budget, classify
from llm_unified.providers import provider_row
from llm_unified.redaction import defuse
from llm_unified.response import (
    Attempt,
    Embedding,
    FailureKind,
    LLMResponse,
    StreamChunk,
    Usage,
)
from llm_unified.rehearsal import RehearsalTransport
from llm_unified.rotation import Rotation
from llm_unified.telemetry import log
from llm_unified.transport import BURST_IDLE, WIRE, PoolTransport, Wire, socket_fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from llm_unified.deployments import Deployment
    from llm_unified.providers import Protocol, ProviderRow
    from llm_unified.settings import Settings


@contextlib.contextmanager
def _switches() -> Iterator[None]:
    """LiteLLM's documented switches, set while it is imported: no network, no ``.env``, no logging to
    stderr, and no garbage collection in the midst of 300,000 new objects (a fifth of the time).
    """
    wanted = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "CRITICAL",
    }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
        for name in added:
            os.environ.pop(name, None)


with _switches():
    import litellm
    from litellm import Router
    from litellm._internal_context import is_internal_call
    from litellm.anthropic_beta_headers_manager import reload_beta_headers_config
    from litellm.exceptions import MidStreamFallbackError
    from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_ssl_configuration
    from openai import AsyncAzureOpenAI, AsyncOpenAI

    reload_beta_headers_config()  # read now, from the package, or the first schema asks the network

litellm.disable_hf_tokenizer_download = True  # else a llama stream blocks the loop for 23 s when offline
litellm.expose_router_debug_in_errors = False
litellm.suppress_debug_info = True  # no "Give Feedback / Get Help" on stderr
postpone()

__all__ = ["Call", "Engine", "EngineStream"]

K = FailureKind
KEEP_ALIVE: Final = 3600.0
"""Seconds that a copy's kept connection may idle; the server's limit is the one that counts."""
_rehearsed: set[str] = set()  # protocols whose code this process has walked through
_TOOL: Final = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}
_CLIENT_TIMEOUT: Final = 6000.0  # never reached: attempts are bounded by their own limit


class _NextError(Exception):
    """This provider did not answer; the Router goes on to the next."""


class _StopError(BaseException):
    """Nobody else is to be asked. Not an `Exception`, so the Router's fallback does not catch it."""

    def __init__(self, error: BaseException, cause: BaseException | None = None) -> None:
        super().__init__()
        self.error, self.cause = error, cause


@dataclass(slots=True)
class Call:
    """One call of the service on its way: what is asked, and what happened so far."""

    chain: tuple[str, ...]
    """Providers in order; the first is asked first."""
    messages: Sequence[Any]
    params: dict[str, Any]
    deadline: float
    """Seconds for the whole call."""
    timeout: float | None = None
    """Seconds for one attempt; ``None``: as configured."""
    model: str | None = None
    """Overrides the first provider's model."""
    same_model: bool = False
    """``model`` is for all providers (embeddings)."""
    accept: Callable[[LLMResponse], Any] | None = None
    parser: Callable[[str], Any] | None = None
    stream: bool = False
    pinned: Deployment | None = None
    """Ask this copy and nobody else (a ping)."""
    empty_is_fine: bool = False
    counted: bool = True
    """Whether it is a user's request; pings are not."""
    rehearsal: bool = False
    """Nothing is sent: no trace in rests, statistics or log."""

    started: float = field(default_factory=time.monotonic)
    attempts: list[Attempt] = field(default_factory=list)
    answer: LLMResponse | None = None
    opened: EngineStream | None = None
    embedding: Embedding | None = None
    cause: BaseException | None = None
    order: tuple[str, ...] = ()
    waited: float = 0.0
    forced: str | None = None
    current: Deployment | None = None
    clients: dict[str, Any] | None = None

    @property
    def remaining(self) -> float:
        return self.started + self.deadline - time.monotonic()


_CALL: ContextVar[Call | None] = ContextVar("llm_unified_call", default=None)


class _Once:
    """LiteLLM sets ``max_retries`` on the client that it is given, for embeddings to 2 at least."""

    @property
    def max_retries(self) -> int:
        return 0

    @max_retries.setter
    def max_retries(self, _: int) -> None:
        pass


class _OpenAIClient(_Once, AsyncOpenAI):
    """The SDK's client, which asks once."""


class _AzureClient(_Once, AsyncAzureOpenAI):
    """Azure's, likewise."""


class _Router(Router):
    """LiteLLM's Router with our turn, our clients and our verdict. Each override names its reason."""

    engine: Engine

    # The turn: LiteLLM has no round robin. `_attempt` has already taken it.
    async def async_get_available_deployment(
        self,
        model: str,
        request_kwargs: dict[str, Any],
        messages: Any = None,
        input: Any = None,  # noqa: A002 - LiteLLM's name
        specific_deployment: bool | None = False,
    ) -> Any:
        call = _CALL.get()
        if call is None or call.current is None:
            raise _NextError("the Router is driven by the service only")
        return self.engine.litellm_deployment(call, call.current)

    # The client: LiteLLM gives all copies of a provider one and the same.
    def _get_client(self, deployment: Any, kwargs: Any, client_type: str | None = None) -> Any:
        call = _CALL.get()
        if client_type != "async" or call is None or call.clients is None or call.current is None:
            return None
        return self.engine.client_of(call.current, call.clients)

    # The verdict: LiteLLM swallows what a callback raises, and takes an empty answer for one.
    async def _acompletion(self, model: str, messages: Any, **kwargs: Any) -> Any:
        call = _CALL.get()
        if call is None:
            raise _NextError("the Router is driven by the service only")
        # Translations mutate messages; the next provider needs them whole.
        kwargs["messages"] = _copy(call.messages)
        adapt(self.engine.protocol(model), kwargs)
        return await self.engine.attempt(
            call, model, lambda: super(_Router, self)._acompletion(model, **kwargs)
        )

    async def _aembedding(self, input: Any, model: str, **kwargs: Any) -> Any:  # noqa: A002
        call = _CALL.get()
        if call is None:
            raise _NextError("the Router is driven by the service only")
        return await self.engine.attempt(
            call, model, lambda: super(_Router, self)._aembedding(input, model, **kwargs)
        )

    # Streams: our own iterator primes, watches and closes; LiteLLM's would resume on another model.
    async def _acompletion_streaming_iterator(
        self, model_response: Any, messages: Any, initial_kwargs: Any, deployment_slot: Any = None
    ) -> Any:
        return model_response

    # Bookkeeping for rpm/tpm limits that nobody sets here: a quarter of the Router's CPU.
    async def increment_deployment_usage_for_response(self, response: Any, request_kwargs: Any) -> None:
        return None

    async def _increment_deployment_usage(self, **kwargs: Any) -> None:
        return None

    async def set_response_headers(
        self, response: Any, model_group: str | None = None, request_kwargs: Any = None
    ) -> Any:
        return response


def _copy(value: Any) -> Any:
    """A copy of JSON-like data: containers are new, leaves are shared."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


class Engine:
    """The Router of one service: its deployments, clients and rests."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_attempt: Callable[[Attempt, bool], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Build the Router. Blocks (it starts the embedded model if that is configured): use a thread.

        ``on_attempt`` is called inline with each attempt and whether it was a user's.
        """
        self._settings = settings
        self._on_attempt = on_attempt
        self._sleep = sleep
        local = None
        if "local" in settings.chain:
            from llm_unified.local import serve

            served = serve()
            local = (served.base_url, served.api_key)
        self.deployments: dict[str, Deployment] = {d.id: d for d in plan(settings)}
        model_list = build_model_list(settings, local=local)
        self._by_id = {entry["model_info"]["id"]: entry for entry in model_list}
        self.rotation = Rotation(
            self.deployments.values(),
            threshold=settings.failure_threshold,
            cooldown=settings.cooldown,
            clock=clock,
        )
        self._clients: PerLoop[dict[str, Any]] = PerLoop(dict, _close_clients, _abandon_clients)
        self._reaping: set[asyncio.Task[None]] = set()
        self._ssl: Any = get_ssl_configuration()  # reads a bundle of certificates: not in the loop
        self.enough_tokens: dict[str, int] = {}
        """Endpoints that refused a ping for one token, and what they get instead (`probe`)."""
        self._router = _Router(
            model_list=model_list,
            num_retries=0,
            max_fallbacks=len(settings.chain) + 1,
            disable_cooldowns=True,  # ours rest by our rule
            timeout=_CLIENT_TIMEOUT,
            default_litellm_params={"max_retries": 0, "drop_params": True},
        )
        self._router.engine = self
        self._router.discard()  # it needs no global callbacks; so other Routers are not disturbed either
        asyncio.run(self._rehearse())

    async def _rehearse(self) -> None:
        """Walk the code path once for each protocol of the chain: an answer, a stream, a failure."""
        protocols = {self._row(d).protocol: d for d in self.deployments.values()}
        token = is_internal_call.set(True)
        for protocol, deployment in protocols.items():
            if protocol == "other" or protocol in _rehearsed:
                continue
            for stream, fail in ((False, False), (True, False), (False, True)):
                transport = RehearsalTransport(protocol, stream=stream, fail=fail)
                call = Call(
                    chain=(deployment.provider,),
                    messages=[{"role": "user", "content": "rehearsal"}],
                    params={"max_tokens": 1, "tools": [_TOOL]},
                    deadline=60.0,
                    pinned=deployment,
                    clients={deployment.id: self._client_over(transport, deployment)},
                    rehearsal=True,
                )
                with contextlib.suppress(Exception):
                    if stream:
                        async for _ in await self.stream(call):
                            pass
                    else:
                        await self.complete(call)
            _rehearsed.add(protocol)
        is_internal_call.reset(token)

    # -- what the Router asks for ----------------------------------------------------------------

    def litellm_deployment(self, call: Call, deployment: Deployment) -> dict[str, Any]:
        """LiteLLM's own entry of a copy, with the call's model if it names one."""
        entry: dict[str, Any] = self._by_id[deployment.id]
        model = self._model(call, deployment)
        if model == deployment.model:
            return entry
        prefix = self._row(deployment).litellm_model(model)
        return {**entry, "litellm_params": {**entry["litellm_params"], "model": prefix}}

    def protocol(self, provider: str) -> Protocol:
        """What goes over this provider's wire."""
        return self._row(next(d for d in self.deployments.values() if d.provider == provider)).protocol

    def client_of(self, deployment: Deployment, clients: dict[str, Any]) -> Any:
        """The client of this copy in this loop; ``None`` lets LiteLLM use one of its own."""
        client = clients.get(deployment.id)
        if client is None:
            client = clients[deployment.id] = self._new_client(deployment)
        return client

    def _new_client(self, deployment: Deployment) -> Any:
        if self._row(deployment).protocol == "other":
            return None
        transport = PoolTransport(
            _aiohttp_transport(self._ssl, keep_alive=KEEP_ALIVE, limit=1),
            _aiohttp_transport(self._ssl, keep_alive=BURST_IDLE, limit=0),
            connect_timeout=self._settings.connect_timeout,
        )
        return self._client_over(transport, deployment)

    def _client_over(self, transport: httpx.AsyncBaseTransport, deployment: Deployment) -> Any:
        """The kind of client that LiteLLM wants for this provider (it ignores any other)."""
        params = self._by_id[deployment.id]["litellm_params"]
        protocol = self._row(deployment).protocol
        if protocol in ("groq", "anthropic"):
            handler = AsyncHTTPHandler(timeout=_CLIENT_TIMEOUT, transport=transport)
            handler.client = handler.client  # ours now: its finaliser would close it in any loop
            return handler
        http = httpx.AsyncClient(
            transport=transport, follow_redirects=True, timeout=_CLIENT_TIMEOUT, trust_env=False
        )
        if protocol == "azure":
            return _AzureClient(
                api_key=params["api_key"],
                azure_endpoint=params["api_base"],
                api_version=params["api_version"],
                http_client=http,
            )
        return _OpenAIClient(
            api_key=params["api_key"], base_url=params["api_base"], http_client=http
        )

    # -- one call --------------------------------------------------------------------------------

    async def complete(self, call: Call) -> LLMResponse:
        """Ask the chain.

        Raises:
            LLMError: see the failure table.
        """
        await self._run(call)
        assert call.answer is not None  # noqa: S101 - the Router returned, so an attempt was accepted
        return call.answer

    async def stream(self, call: Call) -> EngineStream:
        """The same, up to the first content; from there on it is the stream's own business."""
        call.stream = True
        await self._run(call)
        assert call.opened is not None  # noqa: S101 - as above
        return call.opened

    async def embed(self, call: Call) -> Embedding:
        """The same for embeddings; the chain must hold deployments of one model only."""
        await self._run(call, embedding=True)
        assert call.embedding is not None  # noqa: S101 - as above
        return call.embedding

    async def _run(self, call: Call, *, embedding: bool = False) -> None:
        if call.clients is None:
            call.clients = await self._clients.here()
        token = _CALL.set(call)
        internal = is_internal_call.set(not _application_callbacks())
        try:
            call.order = await self._order(call)
            for round_ in range(self._settings.retries + 1):
                if round_:
                    again = self._worth_again(call)
                    pause = random.uniform(0.0, min(2.0, 0.1 * 2.0**round_))  # noqa: S311 - full jitter
                    if not again or pause >= call.remaining:
                        break
                    await self._sleep(pause)
                    call.order = again
                if await self._walk(call, embedding=embedding):
                    return
            raise self._nobody(call)
        except _StopError as stop:
            raise stop.error from defuse(stop.cause)
        finally:
            _CALL.reset(token)
            is_internal_call.reset(internal)

    async def _walk(self, call: Call, *, embedding: bool) -> bool:
        """One pass of the Router over ``call.order``; whether somebody answered."""
        first, *rest = call.order
        params = {
            **call.params,
            "fallbacks": [{first: rest}] if rest else None,
            "disable_fallbacks": not rest,
        }
        try:
            if embedding:
                await self._router.aembedding(model=first, input=call.messages, **params)
            else:
                await self._router.acompletion(
                    model=first,
                    messages=call.messages,
                    stream=call.stream,
                    _skip_mcp_handler=True,  # else `tools=` needs the mcp package
                    **params,
                )
        except _NextError:
            return False
        except LLMError:
            raise
        except Exception as error:
            raise BadRequestError(
                f"the request could not be prepared ({type(error).__name__}); check its parameters",
                attempts=call.attempts,
            ) from defuse(error)
        return True

    async def _order(self, call: Call) -> tuple[str, ...]:
        """Those of the chain that are not resting; if all are, the one that reopens soonest."""
        if call.pinned is not None:
            return (call.pinned.provider,)
        awake = tuple(name for name in call.chain if self.rotation.available(name))
        if awake:
            return awake
        soonest = self.rotation.soonest(call.chain)
        if soonest is None:  # pragma: no cover - settings always give every provider a deployment
            raise _StopError(LLMError("no deployment is configured"))
        name, wait, asked_for = soonest
        if asked_for and wait > 0:
            if wait >= call.remaining:
                raise _StopError(
                    AllProvidersFailedError(
                        f"every provider asked to be left alone; the first is back in {wait:.1f} s, "
                        f"after this call's deadline of {call.deadline:g} s",
                        retry_after=wait,
                    )
                )
            call.waited = wait
            await self._sleep(wait)
        call.forced = name
        return (name, *(other for other in call.chain if other != name and self.rotation.available(other)))

    def _worth_again(self, call: Call) -> tuple[str, ...]:
        last = {a.provider: a.kind for a in call.attempts}
        return tuple(name for name in call.chain if last.get(name) in TRANSIENT)

    def _nobody(self, call: Call) -> _StopError:
        trail = "; ".join(str(a) for a in call.attempts) or "nobody could be asked"
        soonest = self.rotation.soonest(call.chain)
        wait = soonest[1] if soonest is not None and soonest[1] > 0 else None
        if wait is None:
            wait = min((a.retry_after for a in call.attempts if a.retry_after is not None), default=None)
        spent = time.monotonic() - call.started
        if call.remaining <= 0.0:
            error: LLMError = DeadlineExceededError(
                f"no answer within the deadline of {call.deadline:g} s; the time went to: {trail}",
                attempts=call.attempts,
                retry_after=wait,
            )
        else:
            error = AllProvidersFailedError(
                f"no provider answered (after {spent:.2f} s): {trail}",
                attempts=call.attempts,
                retry_after=wait,
            )
        return _StopError(error, call.cause)

    # -- one attempt -----------------------------------------------------------------------------

    async def attempt(self, call: Call, group: str, send: Callable[[], Awaitable[Any]]) -> Any:
        """Ask one copy of ``group`` and judge what comes.

        Raises:
            _NextError: it failed, and the Router is to go on.
            _StopError: it failed, and nobody else is to be asked.
        """
        deployment = call.pinned or self.rotation.pick(group, even_resting=group == call.forced)
        if deployment is None:  # it began to rest after the order was made
            raise _NextError("resting")
        later = len(call.order) - 1 - call.order.index(group) if group in call.order else 0
        timeout = call.timeout or self._timeout(deployment.provider)
        budget = attempt_budget(timeout=timeout, remaining=call.remaining, later=later)
        if call.stream:
            budget = min(budget, self._settings.first_token_timeout)
        if budget <= 0.0:
            self.rotation.released(deployment)
            raise self._nobody(call)
        call.current = deployment
        row = self._row(deployment)
        wire = Wire(end_marker=row.end_marker if call.stream else None, ours=row.protocol != "other")
        token = WIRE.set(wire)
        began = time.monotonic()
        usage: Usage | None = None
        cause: BaseException | None = None
        try:
            result = await self._bounded(send(), budget, wire)
            return await self._accept(call, deployment, wire, result, began, budget)
        except asyncio.CancelledError:
            await _quietly(wire.aclose())
            self.rotation.released(deployment)
            self.record(call, deployment, Verdict(K.CANCELLED, "caller went away"), wire, began)
            raise
        except NoAnswerError as error:
            verdict, usage = Verdict(error.kind, error.reason, wire.status), error.usage
        except TimeoutError:
            missing = "first token" if call.stream else "whole answer" if wire.status else "answer"
            verdict = Verdict(K.TIMEOUT, f"no {missing} within {budget:.2f} s", wire.status)
        except Exception as error:  # noqa: BLE001 - LiteLLM raises anything; the wire knows better
            verdict, cause = _judge(error, wire), error
        finally:
            WIRE.reset(token)
        await _quietly(wire.aclose())
        self.failed(call, deployment, verdict, wire, began, usage)
        call.cause = cause
        if call.rehearsal:
            raise _NextError
        if verdict.kind in self._settings.fallback_on:
            raise _NextError(str(call.attempts[-1]))
        raise self._refused(call, verdict, cause)

    def _refused(
        self, call: Call, verdict: Verdict, cause: BaseException | None
    ) -> _StopError:
        last = call.attempts[-1]
        if verdict.kind in (K.BAD_REQUEST, K.CONTEXT_LENGTH, K.CONTENT_POLICY):
            error: LLMError = BadRequestError(
                f"{last.provider} refused the request: {last}",
                attempts=call.attempts,
                kind=verdict.kind,
                status=verdict.status,
            )
            return _StopError(error, cause)
        stop = self._nobody(call)
        stop.cause = cause
        return stop

    async def _accept(  # noqa: PLR0913 - all of one attempt
        self,
        call: Call,
        deployment: Deployment,
        wire: Wire,
        result: Any,
        began: float,
        budget: float,
    ) -> Any:
        """Turn LiteLLM's result into ours, or raise `NoAnswerError`."""
        model = self._model(call, deployment)
        if call.stream:
            stream = EngineStream(self, call, deployment, wire, result, Assembly(deployment.provider, model))
            await stream.prime(began, budget)
            call.opened = stream
            return result
        if not isinstance(result, litellm.ModelResponse):
            call.embedding = _embedding(result, deployment, model, self._cost(deployment, result))
            usage, cost = call.embedding.usage, call.embedding.cost_usd
        else:
            response = from_completion(
                result,
                provider=deployment.provider,
                model=model,
                cost_usd=self._cost(deployment, result),
                parser=call.parser,
                empty_is_fine=call.empty_is_fine,
            )
            await self.judge(call, response)
            call.answer = response
            usage, cost = response.usage, response.cost_usd
        self.rotation.succeeded(deployment)
        self.record(call, deployment, None, wire, began, usage=usage, cost=cost)
        return result

    async def judge(self, call: Call, response: LLMResponse) -> None:
        """Ask the caller's ``accept``; an exception of its own goes to the caller."""
        if call.accept is None:
            return
        try:
            verdict = call.accept(response)
            if asyncio.iscoroutine(verdict):
                verdict = await verdict
        except Exception as error:
            raise _StopError(error, error.__cause__) from None
        if not verdict:
            raise NoAnswerError("accept() said no", usage=response.usage)

    async def _bounded(self, work: Any, seconds: float, wire: Wire) -> Any:
        """``await work`` for at most ``seconds``, then `TimeoutError`.

        LiteLLM hops through a thread before it sends, and loses a coroutine with a warning if it is
        cancelled on that hop. So the work is a task of its own, cancelled only once something was sent.
        """
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            await self._abandon(task, wire)
            raise
        if not done:
            await self._abandon(task, wire)
            raise TimeoutError
        return task.result()

    async def _abandon(self, task: asyncio.Future[Any], wire: Wire) -> None:
        reaper = asyncio.create_task(_reap(task, wire))
        self._reaping.add(reaper)
        reaper.add_done_callback(self._reaping.discard)
        await asyncio.wait({reaper}, timeout=0.05)

    def failed(  # noqa: PLR0913 - all of one attempt
        self,
        call: Call,
        deployment: Deployment,
        verdict: Verdict,
        wire: Wire,
        began: float,
        usage: Usage | None = None,
        first_token: float | None = None,
    ) -> None:
        """Everything that follows from a failed attempt: rest, trail, statistics, log."""
        if call.rehearsal:
            return
        rest = self.rotation.failed(
            deployment,
            verdict.kind,
            retry_after=verdict.retry_after,
            overridden=self._model(call, deployment) != deployment.model,
        )
        attempt = self.record(
            call, deployment, verdict, wire, began, usage=usage, first_token=first_token
        )
        loud = verdict.kind in (K.AUTH, K.NOT_FOUND)
        log(
            "error" if loud else "warning",
            "provider_misconfigured" if loud else "attempt_failed",
            provider=attempt.provider,
            deployment=attempt.deployment,
            model=attempt.model,
            kind=str(attempt.kind),
            status=attempt.status,
            reason=attempt.reason,
            seconds=round(attempt.seconds, 4),
            rests_for=round(rest, 3),
        )

    def record(  # noqa: PLR0913 - all of one attempt
        self,
        call: Call,
        deployment: Deployment,
        verdict: Verdict | None,
        wire: Wire,
        began: float,
        *,
        usage: Usage | None = None,
        cost: float | None = None,
        first_token: float | None = None,
    ) -> Attempt:
        attempt = Attempt(
            provider=deployment.provider,
            model=self._model(call, deployment),
            deployment=deployment.id,
            outcome="answered"
            if verdict is None
            else "cancelled"
            if verdict.kind is K.CANCELLED
            else "failed",
            kind=None if verdict is None else verdict.kind,
            status=wire.status if verdict is None or verdict.status is None else verdict.status,
            seconds=time.monotonic() - began,
            first_token_seconds=first_token,
            request_id=wire.request_id,
            retry_after=None if verdict is None else verdict.retry_after,
            reason="" if verdict is None else verdict.reason,
            usage=usage,
            cost_usd=cost,
        )
        call.attempts.append(attempt)
        if not call.rehearsal:
            self._on_attempt(attempt, call.counted)
        return attempt

    def _model(self, call: Call, deployment: Deployment) -> str:
        if call.model is not None and (call.same_model or deployment.provider == call.chain[0]):
            return call.model
        return deployment.model

    def _row(self, deployment: Deployment) -> ProviderRow:
        return provider_row(deployment.provider, deployment.litellm_model)

    # -- what `probe` asks for -------------------------------------------------------------------

    async def transport_of(self, deployment: Deployment) -> PoolTransport | None:
        """This copy's sockets in this loop; ``None`` where LiteLLM uses its own."""
        return _transport_of(self.client_of(deployment, await self._clients.here()))

    def address_of(self, deployment: Deployment) -> tuple[Protocol, dict[str, Any]]:
        """The protocol and LiteLLM's parameters of a copy. The key is in clear in them."""
        return self._row(deployment).protocol, self._by_id[deployment.id]["litellm_params"]

    def timeout_of(self, provider: str) -> float:
        """Seconds for one attempt."""
        return self._timeout(provider)

    def _timeout(self, provider: str) -> float:
        return self._settings.provider(provider).timeout or self._settings.timeout

    def _cost(self, deployment: Deployment, completion: Any) -> float | None:
        """US dollars of a whole answer: by the configured prices, else as LiteLLM reckoned."""
        if deployment.priced:
            usage = usage_of(getattr(completion, "usage", None))
            return self.price(deployment, usage, deployment.model)
        hidden = getattr(completion, "_hidden_params", None) or {}
        # 0.0 is LiteLLM's answer for a model that it does not know
        return hidden.get("response_cost") or None

    def price(self, deployment: Deployment, usage: Usage | None, model: str) -> float | None:
        """US dollars of these tokens; ``None`` when nobody knows the price.

        Prices of the configuration are not given to LiteLLM: that makes every call half as dear again.
        """
        if usage is None:
            return None
        if deployment.priced:
            return (
                usage.prompt_tokens * (deployment.input_cost_per_token or 0.0)
                + usage.completion_tokens * (deployment.output_cost_per_token or 0.0)
            )
        row = self._row(deployment)
        name = self._by_id[deployment.id]["model_info"].get("base_model")
        try:
            cost = litellm.cost_per_token(
                model=(name if model == deployment.model else None) or row.litellm_model(model),
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
            )
        except Exception:  # noqa: BLE001 - LiteLLM raises a bare Exception for an unknown model
            return None
        return sum(cost) or None

    async def aclose(self) -> None:
        """Close all sockets, in whatever loops they are."""
        await self._clients.aclose()
        for reaper in list(self._reaping):
            await asyncio.wait({reaper}, timeout=1.0)

    @property
    def settings(self) -> Settings:
        return self._settings


class EngineStream:
    """A stream after its first content: watched, bounded, closed."""

    def __init__(  # noqa: PLR0913 - all of one attempt
        self,
        engine: Engine,
        call: Call,
        deployment: Deployment,
        wire: Wire,
        inner: Any,
        assembly: Assembly,
    ) -> None:
        self._engine, self._call, self._deployment = engine, call, deployment
        self._wire, self._inner, self.assembly = wire, inner, assembly
        self._ready: deque[StreamChunk] = deque()
        self._began = 0.0
        self._first_token: float | None = None
        self._over = False
        self.response: LLMResponse | None = None

    async def prime(self, began: float, budget: float) -> None:
        """Read until the first content or tool delta.

        Raises:
            NoAnswerError: the stream ended without any.
        """
        self._began = began
        settings = self._engine.settings
        limit = began + budget
        loop = asyncio.get_running_loop()
        ends = loop.time() + max(0.0, limit - time.monotonic())
        async with asyncio.timeout_at(ends) as timer:
            while True:
                chunk = await self._pull()
                if chunk is None:
                    raise self._emptiness()
                shown = self.assembly.add(chunk)
                if shown is not None:
                    self._ready.append(shown)
                    if shown.content or shown.tool_calls:
                        break
                elif _thinking(chunk):  # it lives: from here the idle limit counts
                    timer.reschedule(loop.time() + settings.stream_idle_timeout)
        self._first_token = time.monotonic() - began

    def _emptiness(self) -> NoAnswerError:
        assembly = self.assembly
        if assembly.refusal or assembly.finish_reason == "content_filter":
            return NoAnswerError("refused by the content filter", K.CONTENT_POLICY, assembly.usage)
        verdict = _inside(self._wire, "stream ended without content")
        return NoAnswerError(verdict.reason, verdict.kind, assembly.usage)

    async def _pull(self) -> Any:
        """LiteLLM's next chunk, or ``None`` at the end of the stream."""
        try:
            return await self._inner.__anext__()
        except StopAsyncIteration:
            return None

    def __aiter__(self) -> EngineStream:
        return self

    async def __anext__(self) -> StreamChunk:
        if self._ready:
            return self._ready.popleft()
        if self._over:
            raise StopAsyncIteration
        call = self._call
        idle = self._engine.settings.stream_idle_timeout
        limit = min(idle, call.remaining)
        cause: BaseException | None = None
        try:
            async with asyncio.timeout(max(0.0, limit)):
                while (chunk := await self._pull()) is not None:
                    shown = self.assembly.add(chunk)
                    if shown is not None:
                        return shown
            return await self._finish()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        except NoAnswerError as error:
            verdict = Verdict(error.kind, error.reason, self._wire.status)
        except TimeoutError:
            words = f"nothing came for {idle:g} s" if limit == idle else "the deadline passed"
            verdict = Verdict(K.TIMEOUT, words, self._wire.status)
        except Exception as error:  # noqa: BLE001 - as in `Engine.attempt`
            verdict, cause = _judge(error, self._wire), error
        raise await self._interrupted(verdict) from defuse(cause)

    async def _finish(self) -> StreamChunk:
        """The stream ended. Whole? Then the answer is complete.

        Raises:
            NoAnswerError: it was cut, which LiteLLM reports as ``finish_reason="stop"``.
        """
        call, wire, assembly = self._call, self._wire, self.assembly
        finished = any(
            getattr(self._inner, name, None) is not None
            for name in ("received_finish_reason", "intermittent_finish_reason")
        )
        if not finished or (wire.is_stream and wire.end_marker is not None and not wire.marked):
            if wire.fault is not None:
                raise NoAnswerError(wire.reason, wire.fault)
            verdict = _inside(wire, "stream ended without its end marker")
            raise NoAnswerError(verdict.reason, verdict.kind)
        cost = self._engine.price(self._deployment, assembly.usage, assembly.model)
        response = assembly.finish(cost_usd=cost, parser=call.parser)
        await self._engine.judge(call, response)
        self._over = True
        await self._close()
        self._engine.rotation.succeeded(self._deployment)
        self._record(None, usage=response.usage, cost=cost)
        self.response = replace(response, attempts=tuple(call.attempts))
        return StreamChunk("", assembly.provider, assembly.model, (), assembly.finish_reason)

    async def _interrupted(self, verdict: Verdict) -> StreamInterruptedError:
        self._over = True
        await self._close()
        call, assembly = self._call, self.assembly
        self._engine.failed(
            call, self._deployment, verdict, self._wire, self._began, assembly.usage, self._first_token
        )
        return StreamInterruptedError(
            f"the stream broke after its first content: {call.attempts[-1]}",
            kind=verdict.kind,
            partial_text=assembly.content,
            tool_calls=assembly.deltas(),
            usage=assembly.usage,
            attempts=call.attempts,
        )

    async def aclose(self) -> None:
        """Stop reading; the socket is free when this returns. An unfinished stream counts as cancelled."""
        if not self._over:
            self._over = True
            self._ready.clear()
            self._engine.rotation.succeeded(self._deployment)  # it was answering
            self._record(Verdict(K.CANCELLED, "caller stopped reading"), usage=self.assembly.usage)
        await self._close()

    async def _close(self) -> None:
        await _quietly(self._inner.aclose())
        await _quietly(self._wire.aclose())  # Anthropic's iterator leaves the socket open

    def _record(
        self, verdict: Verdict | None, *, usage: Usage | None = None, cost: float | None = None
    ) -> None:
        self._engine.record(
            self._call,
            self._deployment,
            verdict,
            self._wire,
            self._began,
            usage=usage,
            cost=cost,
            first_token=self._first_token,
        )


def _judge(error: BaseException, wire: Wire) -> Verdict:
    """The verdict on an exception of LiteLLM's, by what the wire saw."""
    if isinstance(error, MidStreamFallbackError):
        error = error.original_exception or error
    if wire.fault is not None:
        return classify(Evidence(wire.status, wire.headers, fault=wire.fault, reason=wire.reason))
    if wire.requests and wire.status is not None:
        if wire.status < 300:  # noqa: PLR2004
            return _inside(wire, "answer could not be read")
        return classify(Evidence(wire.status, wire.headers, wire.body))
    if wire.requests:
        return Verdict(K.CONNECTION, "no answer")
    if wire.ours:
        return classify(Evidence(sent=False, reason=f"{type(error).__name__} before it was sent"))
    return _judge_foreign(error)


def _inside(wire: Wire, reason: str) -> Verdict:
    """The verdict on a 2xx that is no answer; an error event in its last bytes names the kind."""
    return classify(
        Evidence(wire.status or 200, wire.headers, wire.tail, error_in_stream=True, reason=reason)
    )


def _judge_foreign(error: BaseException) -> Verdict:
    """The same where LiteLLM used a client of its own: by its exception and that one's causes."""
    current: BaseException | None = error
    while current is not None:
        if (fault := socket_fault(current)) is not None:
            return classify(Evidence(fault=fault[0], reason=fault[1]))
        current = current.__cause__ or current.__context__
    if isinstance(error, litellm.Timeout):
        return classify(Evidence(fault=K.TIMEOUT, reason="timed out"))
    if isinstance(error, litellm.ContextWindowExceededError):
        return Verdict(K.CONTEXT_LENGTH, status=error.status_code)
    if isinstance(error, litellm.ContentPolicyViolationError):
        return Verdict(K.CONTENT_POLICY, status=error.status_code)
    response = getattr(error, "response", None)
    headers = {k.lower(): v for k, v in (getattr(response, "headers", None) or {}).items()}
    return classify(Evidence(headers=headers, hint=getattr(error, "status_code", None)))


def _thinking(chunk: Any) -> bool:
    return bool(chunk.choices and getattr(chunk.choices[0].delta, "reasoning_content", None))


def _embedding(result: Any, deployment: Deployment, model: str, cost: float | None) -> Embedding:
    data = getattr(result, "data", None)
    if not data:
        raise NoAnswerError("no embeddings")
    rows = sorted(
        (item if isinstance(item, dict) else item.model_dump() for item in data),
        key=lambda item: item.get("index") or 0,
    )
    return Embedding(
        vectors=tuple(tuple(item["embedding"]) for item in rows),
        provider=deployment.provider,
        model=model,
        usage=usage_of(getattr(result, "usage", None)),
        cost_usd=cost,
    )


def _application_callbacks() -> bool:
    """Whether the application registered LiteLLM callbacks of its own (Langfuse, …).

    If not, LiteLLM's logging pipeline is skipped: it would run after the answer, in a background queue
    bound to one event loop, for nobody.
    """
    lists = (
        litellm.callbacks,
        litellm.success_callback,
        litellm.failure_callback,
        litellm._async_success_callback,  # noqa: SLF001 - there is no public name
        litellm._async_failure_callback,  # noqa: SLF001
        litellm.input_callback,
    )
    return any(not isinstance(getattr(cb, "__self__", cb), Router) for each in lists for cb in each)


def _aiohttp_transport(ssl_context: Any, *, keep_alive: float, limit: int) -> LiteLLMAiohttpTransport:
    """LiteLLM's own aiohttp transport over a pool of ``limit`` connections (0: no limit).

    httpx's pool handles 94 requests/s at 64 concurrent where aiohttp's handles 4,116, and it drops the
    socket after each finished OpenAI stream.
    """

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limit, keepalive_timeout=keep_alive, ssl=ssl_context, ttl_dns_cache=60
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    return LiteLLMAiohttpTransport(client=session)


def _transport_of(client: Any) -> PoolTransport | None:
    http = client.client if isinstance(client, AsyncHTTPHandler) else getattr(client, "_client", None)
    transport = getattr(http, "_transport", None)
    return transport if isinstance(transport, PoolTransport) else None


async def _close_clients(clients: dict[str, Any]) -> None:
    for client in clients.values():
        http = client.client if isinstance(client, AsyncHTTPHandler) else client
        if http is not None:
            await _quietly(http.aclose() if isinstance(http, httpx.AsyncClient) else http.close())
    clients.clear()


def _abandon_clients(clients: dict[str, Any]) -> None:
    for client in clients.values():
        if (transport := _transport_of(client)) is not None:
            for inner in transport.inner:
                session = inner.client
                if isinstance(session, aiohttp.ClientSession):
                    LiteLLMAiohttpTransport._mark_connector_closed(session)  # noqa: SLF001
    clients.clear()


async def _quietly(work: Awaitable[Any]) -> None:
    """Await a clean-up whose failure changes nothing."""
    with contextlib.suppress(Exception):
        await work


async def _reap(task: asyncio.Future[Any], wire: Wire) -> None:
    """Cancel an attempt, but not before it has sent something (see `Engine._bounded`)."""
    if wire.ours and wire.requests == 0 and not task.done():
        departed = asyncio.get_running_loop().create_future()
        wire.on_request = lambda: departed.done() or departed.set_result(None)
        await asyncio.wait({task, departed}, timeout=30.0)
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen: asyncio need not complain
    await _quietly(wire.aclose())
