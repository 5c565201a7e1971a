"""One configuration's door to LiteLLM, for good: a reload makes another `Engine`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from llm_unified.engine.catalog import Catalog
from llm_unified.engine.classic import application_listens, by_completion, close_clients
from llm_unified.engine.classic import embed as embed_by_litellm
from llm_unified.engine.imports import get_ssl_configuration
from llm_unified.engine.incoming import Incoming, PlannedAnswer, RenamedAnswer
from llm_unified.engine.names import Names
from llm_unified.engine.prepared import Prepared
from llm_unified.engine.quiet import quiet
from llm_unified.engine.router import FallbackRouter
from llm_unified.engine.translate import Plan
from llm_unified.engine.warmup import warm_up
from llm_unified.pool.deployments import Deployment, build_model_list, plan
from llm_unified.pool.upstream import Upstream
from llm_unified.response import Usage
from llm_unified.settings import Settings
from llm_unified.vendors import Adapted, Adapter, CannotAdaptError, taken, vendor_of
from llm_unified.wire.exchange import Exchange
from llm_unified.wire.transport import ConnectionPool

__all__ = ["Engine", "RefusedLocallyError"]


class RefusedLocallyError(Exception):
    """Nothing was sent: this vendor cannot be told this request. The message is a reason of ours."""


class Engine:
    """LiteLLM's Router and translations over one configuration."""

    def __init__(self, settings: Settings) -> None:
        """Build the Router and the plans.

        Blocks (it starts the embedded model if that is configured): use a thread.
        """
        self.settings = settings
        local = None
        if any(provider.name == "local" for provider in settings.providers):
            from llm_unified.local import serve

            served = serve()
            local = (served.base_url, served.api_key)
        self.deployments: dict[str, Deployment] = {d.id: d for d in plan(settings)}
        model_list = build_model_list(settings, local=local)
        self._catalog = Catalog(model_list)
        self._keys = {d.id: self._catalog.identity(d, settings) for d in self.deployments.values()}
        self.names = Names(self.deployments.values(), self._catalog)
        self._adapters: dict[tuple[str, str], Adapter | None] = {}
        self._ssl: Any = get_ssl_configuration()  # reads a bundle of certificates: not in the loop
        self._router = FallbackRouter(model_list)
        self._litellm_connects = False
        """LiteLLM has made clients of its own."""

    # -- who and how -----------------------------------------------------------------------------

    async def walk(self, order: Sequence[str], ask: Callable[[str], Awaitable[bool]]) -> bool:
        """Send the Router along ``order``; see `FallbackRouter.walk`."""
        return await self._router.walk(order, ask)

    def params_of(self, deployment: Deployment) -> dict[str, Any]:
        """LiteLLM's parameters of a deployment. The key is in clear in them."""
        return self._catalog.params(deployment, deployment.model)

    @property
    def connection_keys(self) -> frozenset[str]:
        """What the deployments of this configuration connect to."""
        return frozenset(self._keys.values())

    def connections(self) -> list[tuple[Upstream, str]]:
        """Each deployment, and what it connects to."""
        named = self.names.upstream
        return [(named(d, d.model), self._keys[d.id]) for d in self.deployments.values()]

    def changed(self, other: Engine) -> list[Deployment]:
        """Those that connect elsewhere, or with another key, than those of the same id in ``other``."""
        return [d for d in self.deployments.values() if self._keys[d.id] != other._keys.get(d.id)]

    def pool(
        self, deployment: Deployment, pools: MutableMapping[str, ConnectionPool]
    ) -> ConnectionPool | None:
        """This deployment's connections among this event loop's; ``None``: LiteLLM has its own."""
        if deployment.row.protocol == "other":
            return None
        key = self._keys[deployment.id]
        found = pools.get(key)
        if found is None:
            found = pools[key] = ConnectionPool(
                ssl=self._ssl, connect_timeout=self.settings.connect_timeout
            )
        return found

    def adapt(
        self, deployment: Deployment, model: str, messages: list[Any], params: dict[str, Any]
    ) -> Adapted:
        """Change a request, in place, into one that this model takes; ``messages`` get into ``params``.

        Raises:
            RefusedLocallyError: it would mean something else, or nothing may be changed (``LLM_ADAPT``).
        """
        params["messages"] = messages
        key = (deployment.id, model)
        if key not in self._adapters:
            self._adapters[key] = self._adapter(deployment, model)
        adapter = self._adapters[key]
        if adapter is None:  # only LiteLLM knows this vendor
            return Adapted()
        try:
            adapted = adapter(params)
        except CannotAdaptError as error:
            raise RefusedLocallyError(str(error)) from None
        except Exception as error:  # a value of the wrong type
            raise _untranslated(error) from error
        if adapted.notes and not self.settings.adapt:
            raise RefusedLocallyError(f"LLM_ADAPT is false: {'; '.join(adapted.notes)}")
        return adapted

    def _adapter(self, deployment: Deployment, model: str) -> Adapter | None:
        vendor = vendor_of(deployment.row)
        if vendor is None:
            return None
        own = model == deployment.model
        base = self._catalog.base_model(deployment) if own else None
        return Adapter(taken(vendor.rows, base or model))

    # -- one attempt -----------------------------------------------------------------------------

    async def open(
        self,
        deployment: Deployment,
        model: str,
        messages: list[Any],
        params: dict[str, Any],
        *,
        stream: bool,
        exchange: Exchange,
        pool: ConnectionPool | None,
        fresh: bool = False,
        notes: list[str] | None = None,
    ) -> Incoming:
        """Send one request; the answer, once its headers came. ``messages`` and ``params`` are changed.

        ``notes``: gets what was changed for this vendor.

        Raises:
            RefusedLocallyError: this vendor cannot be told it; nothing was sent.
            WireError: refused or broken; ``exchange`` says how.
        """
        adapted = self.adapt(deployment, model, messages, params)
        messages = params.pop("messages")
        if notes is not None:
            notes += adapted.notes
        planned = self._catalog.plan(deployment, model)
        incoming: Incoming
        bridged = planned is not None and not planned.serves(params)
        if planned is None or pool is None or bridged or application_listens():
            self._litellm_connects |= bridged or pool is None
            incoming = await by_completion(
                vendor_of(deployment.row),
                self._catalog.params(deployment, model),
                messages,
                params,
                stream=stream,
                exchange=exchange,
                pool=None if bridged else pool,
            )
        else:
            prepared = await _prepare(planned, messages, params, stream=stream)
            if prepared.lost:
                self._lost(prepared, notes)
            reply = await pool.send(prepared.request, exchange, fresh=fresh, stream=prepared.stream)
            sends_end = deployment.row.end_marker is not None
            incoming = PlannedAnswer(prepared, reply, exchange, sends_end=sends_end)
        return RenamedAnswer(incoming, adapted.names) if adapted.names else incoming

    def _lost(self, prepared: Prepared, notes: list[str] | None) -> None:
        lost = [f"{name} dropped" for name in prepared.lost]
        if not self.settings.adapt:
            raise RefusedLocallyError(f"LLM_ADAPT is false: {'; '.join(lost)}")
        if notes is not None:
            notes += lost

    async def embed(
        self,
        deployment: Deployment,
        model: str,
        texts: list[str],
        params: dict[str, Any],
        *,
        exchange: Exchange,
        pool: ConnectionPool | None,
        fresh: bool = False,
    ) -> Any:
        """The vectors of ``texts`` as the vendor's (OpenAI's) JSON object.

        Raises:
            RefusedLocallyError, WireError: as `open`.
        """
        planned = self._catalog.plan(deployment, model)
        if planned is None or pool is None or application_listens():
            self._litellm_connects = True
            return await embed_by_litellm(
                self._catalog.params(deployment, model), texts, params, exchange
            )
        try:
            request = planned.embedding(texts, params)
        except Exception as error:
            raise _untranslated(error) from error
        reply = await pool.send(request, exchange, fresh=fresh)
        try:
            return await reply.json()
        finally:
            await reply.aclose()

    # -- prices ----------------------------------------------------------------------------------

    def price(self, deployment: Deployment, model: str, usage: Usage | None) -> float | None:
        """US dollars of these tokens; ``None`` when nobody knows the price."""
        return self._catalog.price(deployment, model, usage)

    def reasons(self, provider: str, model: str | None) -> bool:
        """Whether this provider thinks before it answers, without being asked to.

        ``model``: ``None`` is what is configured.
        """
        own = [d for d in self.deployments.values() if d.provider == provider]
        return any(self._catalog.reasons(d, model or d.model) for d in own)

    # -- life ------------------------------------------------------------------------------------

    async def warm_up(self) -> None:
        """Go the code path of every plan once, without sending anything: what is imported late is there."""
        providers = list(dict.fromkeys(d.provider for d in self.deployments.values()))
        with quiet():
            await self._router.walk(providers, _nobody)
            for deployment in self.deployments.values():
                planned = self._catalog.plan(deployment, deployment.model)
                if planned is not None:
                    await warm_up(planned)
                self.price(deployment, deployment.model, Usage(1, 1, 2))

    async def aclose(self) -> None:
        """Close the clients that LiteLLM made by itself, if it did."""
        if self._litellm_connects:
            await close_clients()


async def _prepare(
    planned: Plan, messages: list[Any], params: dict[str, Any], *, stream: bool
) -> Prepared:
    try:
        with quiet():
            return await planned.prepare(messages, params, stream=stream)
    except Exception as error:
        raise _untranslated(error) from error


def _untranslated(error: Exception) -> RefusedLocallyError:
    return RefusedLocallyError(f"{type(error).__name__} before it was sent")


async def _nobody(_: str) -> bool:
    """Asks no one: the Router imports a good deal when it first goes on to a fallback."""
    return False
