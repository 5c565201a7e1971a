"""The only door to LiteLLM.

LiteLLM's `Router` holds the model list, does the fallbacks, translates to each provider and speaks HTTP.
Through its own extension points it is given here what it gets wrong for an embedder: whose turn it is
(`async_get_available_deployment`), the client of each pool copy (`_get_client`), and a verdict on each
attempt (`_acompletion`), which comes from `dispatch`. Each fact about LiteLLM that this relies on is pinned
by a test in ``tests/test_litellm_contract.py``.

An `Engine` is one configuration, for good: a reload makes a new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx

from llm_unified.answer import usage_of
from llm_unified.call import CALL, Call, NextError
from llm_unified.coldstart.encoding import postpone
from llm_unified.errors import BadRequestError, ConfigurationError, LLMError
from llm_unified.formats import adapt
from llm_unified.pool.deployments import build_model_list, plan
from llm_unified.redaction import defuse
from llm_unified.wire.connections import PooledClient
from llm_unified.wire.transport import BURST_IDLE, PoolTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_unified.pool.deployments import Deployment
    from llm_unified.providers import Protocol
    from llm_unified.response import Usage
    from llm_unified.settings import Settings


@contextlib.contextmanager
def _switches() -> Iterator[None]:
    """LiteLLM's documented switches, set while it is imported: no network, no ``.env``, and no logging to
    stderr. The environment is as before afterwards.
    """
    wanted = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "CRITICAL",
        "REPEATED_STREAMING_CHUNK_LIMIT": str(10**9),  # else a long table's ruler breaks its stream
    }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


with _switches():
    import litellm
    from litellm._internal_context import is_internal_call
    from litellm.anthropic_beta_headers_manager import reload_beta_headers_config
    from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_ssl_configuration
    from litellm.router import Router
    from openai import AsyncAzureOpenAI, AsyncOpenAI

    reload_beta_headers_config()  # read now, from the package, or the first schema asks the network

litellm.disable_hf_tokenizer_download = (
    True  # else a llama stream blocks the loop for 23 s when offline
)
litellm.expose_router_debug_in_errors = False
litellm.suppress_debug_info = True  # no "Give Feedback / Get Help" on stderr
postpone()

__all__ = ["Engine", "abandon"]

KEEP_ALIVE: Final = 3600.0
"""Seconds that a copy's kept connection may idle; the server's limit is the one that counts."""
_CLIENT_TIMEOUT: Final = 6000.0  # never reached: attempts are bounded by their own limit


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

    # The turn: LiteLLM has no round robin. The dispatcher has already taken it.
    async def async_get_available_deployment(
        self,
        model: str,
        request_kwargs: dict[str, Any],
        messages: Any = None,
        input: Any = None,  # noqa: A002 - LiteLLM's name
        specific_deployment: bool | None = False,
    ) -> Any:
        call = _call()
        assert call.current is not None  # noqa: S101 - set before each attempt
        return self.engine.entry(call, call.current)

    # The client: LiteLLM gives all copies of a provider one and the same.
    def _get_client(self, deployment: Any, kwargs: Any, client_type: str | None = None) -> Any:
        call = CALL.get()
        if client_type != "async" or call is None or call.current is None or call.clients is None:
            return None
        pooled = self.engine.pooled(call.current, call.clients)
        return None if pooled is None else pooled.client

    # The verdict: LiteLLM swallows what a callback raises, and takes an empty answer for one.
    async def _acompletion(self, model: str, messages: Any, **kwargs: Any) -> Any:
        call = _call()
        # Translations mutate what they are given; the next provider needs it whole.
        kwargs |= _copy({n: v for n, v in call.params.items() if n != "metadata"})
        kwargs["messages"] = _copy(call.messages)
        adapt(model, self.engine.protocol(model), kwargs)
        assert call.attempt is not None  # noqa: S101 - set by the dispatcher
        return await call.attempt(model, lambda: super(_Router, self)._acompletion(model, **kwargs))

    async def _aembedding(self, input: Any, model: str, **kwargs: Any) -> Any:  # noqa: A002
        call = _call()
        assert call.attempt is not None  # noqa: S101 - as above
        return await call.attempt(
            model, lambda: super(_Router, self)._aembedding(list(call.messages), model, **kwargs)
        )

    # Streams: ours is primed, watched and closed; LiteLLM's would resume on another model.
    async def _acompletion_streaming_iterator(
        self, model_response: Any, messages: Any, initial_kwargs: Any, deployment_slot: Any = None
    ) -> Any:
        return model_response

    # Bookkeeping for rpm/tpm limits that nobody sets here: a quarter of the Router's CPU.
    async def increment_deployment_usage_for_response(
        self, response: Any, request_kwargs: Any
    ) -> None:
        return None

    async def _increment_deployment_usage(self, **kwargs: Any) -> None:
        return None

    async def set_response_headers(
        self, response: Any, model_group: str | None = None, request_kwargs: Any = None
    ) -> Any:
        return response


def _call() -> Call:
    call = CALL.get()
    if call is None:
        raise NextError("the Router is driven by the service only")
    return call


def _copy(value: Any) -> Any:
    """A copy of JSON-like data: containers are new, leaves are shared."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


class Engine:
    """LiteLLM's Router over one configuration, and what only LiteLLM knows about it."""

    def __init__(self, settings: Settings) -> None:
        """Build the Router. Blocks (it starts the embedded model if that is configured): use a thread."""
        self.settings = settings
        local = None
        if any(provider.name == "local" for provider in settings.providers):
            from llm_unified.local import serve

            served = serve()
            local = (served.base_url, served.api_key)
        self.deployments: dict[str, Deployment] = {d.id: d for d in plan(settings)}
        model_list = build_model_list(settings, local=local)
        self._entries: dict[str, dict[str, Any]] = {e["model_info"]["id"]: e for e in model_list}
        self._keys = {id_: _identity(e, settings) for id_, e in self._entries.items()}
        self._protocols = {d.provider: d.row.protocol for d in self.deployments.values()}
        self._ssl: Any = get_ssl_configuration()  # reads a bundle of certificates: not in the loop
        self._router = _Router(
            model_list=model_list,
            num_retries=0,
            max_fallbacks=len(settings.providers) + 1,
            disable_cooldowns=True,  # ours rest by our rule
            timeout=_CLIENT_TIMEOUT,
            default_litellm_params={"max_retries": 0, "drop_params": True},
            redis_url=_redis_url(settings),
        )
        self._router.engine = self
        # It needs no global callbacks; so other Routers of the process are not disturbed either.
        self._router.discard()  # type: ignore[no-untyped-call]

    # -- what the Router asks for ----------------------------------------------------------------

    def entry(self, call: Call, deployment: Deployment) -> dict[str, Any]:
        """LiteLLM's own entry of a copy, with the call's model if it names one."""
        entry = self._entries[deployment.id]
        model = call.model_for(deployment)
        if model == deployment.model:
            return entry
        name = deployment.row.litellm_model(model)
        return {**entry, "litellm_params": {**entry["litellm_params"], "model": name}}

    def protocol(self, provider: str) -> Protocol:
        """What goes over this provider's wire."""
        return self._protocols[provider]

    def pooled(
        self, deployment: Deployment, clients: dict[str, PooledClient]
    ) -> PooledClient | None:
        """This copy's client in this loop; ``None`` lets LiteLLM use one of its own."""
        if deployment.row.protocol == "other":
            return None
        key = self._keys[deployment.id]
        found = clients.get(key)
        if found is None:
            transport = PoolTransport(
                _aiohttp_transport(self._ssl, keep_alive=KEEP_ALIVE, limit=1),
                _aiohttp_transport(self._ssl, keep_alive=BURST_IDLE, limit=0),
                connect_timeout=self.settings.connect_timeout,
            )
            client = self.client_over(transport, deployment)
            found = clients[key] = PooledClient(client, transport)
        return found

    def client_over(self, transport: httpx.AsyncBaseTransport, deployment: Deployment) -> Any:
        """The kind of client that LiteLLM wants for this provider (it ignores any other)."""
        protocol, params = self.address_of(deployment)
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
            api_key=params["api_key"],
            base_url=params["api_base"],
            organization=params.get("organization"),
            http_client=http,
        )

    def address_of(self, deployment: Deployment) -> tuple[Protocol, dict[str, Any]]:
        """The protocol and LiteLLM's parameters of a copy. The key is in clear in them."""
        return deployment.row.protocol, self._entries[deployment.id]["litellm_params"]

    @property
    def cooldowns(self) -> Any:
        """The Router's cooldown entries, shared over Redis; ``None`` without it."""
        return None if self.settings.redis_url is None else self._router.cooldown_cache

    def key_of(self, deployment: Deployment) -> str:
        """What this copy connects to, and as whom."""
        return self._keys[deployment.id]

    @property
    def connection_keys(self) -> frozenset[str]:
        """What the copies of this configuration connect to."""
        return frozenset(self._keys.values())

    def same_or_first(self, provider: str, wanted: Deployment | None) -> Deployment:
        """This configuration's own copy instead of a newer configuration's."""
        own = [d for d in self.deployments.values() if d.provider == provider]
        return next((d for d in own if wanted is not None and d.id == wanted.id), own[0])

    def changed(self, other: Engine) -> list[Deployment]:
        """Copies that connect elsewhere, or with another key, than those of the same id in ``other``."""
        return [d for d in self.deployments.values() if self._keys[d.id] != other._keys.get(d.id)]

    # -- one walk --------------------------------------------------------------------------------

    async def walk(self, call: Call) -> bool:
        """Send the Router along ``call.order``; whether somebody answered."""
        first, *rest = call.order
        params = {
            **_copy(call.params),
            "fallbacks": [{first: rest}] if rest else None,
            "disable_fallbacks": not rest,
        }
        token = CALL.set(call)
        internal = is_internal_call.set(call.rehearsal or not _application_callbacks())
        router: Any = self._router
        try:
            if call.embeds:
                await router.aembedding(model=first, input=list(call.messages), **params)
            else:
                await router.acompletion(
                    model=first,
                    messages=list(call.messages),
                    stream=call.stream,
                    _skip_mcp_handler=True,  # else `tools=` needs the mcp package
                    **params,
                )
        except NextError:
            return False
        except LLMError:
            raise
        except Exception as error:  # noqa: BLE001 - LiteLLM raises anything
            raise BadRequestError(
                f"the request could not be prepared ({type(error).__name__}); check its parameters",
                attempts=call.attempts,
            ) from defuse(error)
        finally:
            CALL.reset(token)
            is_internal_call.reset(internal)
        return True

    async def aclose(self) -> None:
        """Close the clients that LiteLLM made by itself, if a provider needed them."""
        if "other" in self._protocols.values():
            close: Any = getattr(litellm, "close_litellm_async_clients")  # noqa: B009 - no stub has it
            await close()

    # -- prices ----------------------------------------------------------------------------------

    def cost(self, deployment: Deployment, result: Any) -> float | None:
        """US dollars of a whole answer: by the configured prices, else as LiteLLM reckoned."""
        if deployment.priced:
            return deployment.cost(usage_of(getattr(result, "usage", None)))
        hidden = getattr(result, "_hidden_params", None) or {}
        # 0.0 is LiteLLM's answer for a model that it does not know
        return hidden.get("response_cost") or None

    def price(self, deployment: Deployment, usage: Usage | None, model: str) -> float | None:
        """US dollars of these tokens; ``None`` when nobody knows the price."""
        if usage is None:
            return None
        if deployment.priced:
            return deployment.cost(usage)
        base = self._entries[deployment.id]["model_info"].get("base_model")
        try:
            cost = litellm.cost_per_token(
                model=(base if model == deployment.model else None)
                or deployment.row.litellm_model(model),
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
            )
        except Exception:  # noqa: BLE001 - LiteLLM raises a bare Exception for an unknown model
            return None
        return sum(cost) or None


def _redis_url(settings: Settings) -> str | None:
    if settings.redis_url is None:
        return None
    if importlib.util.find_spec("redis") is None:
        raise ConfigurationError(
            "LLM_REDIS_URL needs the redis package: pip install 'llm-unified[redis]', or unset it"
        )
    return settings.redis_url.get_secret_value()


def _identity(entry: dict[str, Any], settings: Settings) -> str:
    """What a copy connects to, and as whom; a digest, since the key is part of it."""
    params = entry["litellm_params"]
    parts = [entry["model_info"]["id"], str(settings.connect_timeout)]
    parts += [str(params.get(n)) for n in ("api_base", "api_key", "api_version", "organization")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


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


def _aiohttp_transport(
    ssl_context: Any, *, keep_alive: float, limit: int
) -> LiteLLMAiohttpTransport:
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


def abandon(transport: PoolTransport) -> None:
    """Drop the sockets of an event loop that is gone."""
    for inner in transport.inner:
        session = getattr(inner, "client", None)
        if isinstance(session, aiohttp.ClientSession):
            LiteLLMAiohttpTransport._mark_connector_closed(session)  # noqa: SLF001 - no public name
