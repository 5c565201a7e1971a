"""The four providers on loopback, each with a port, a script and a journal of its own."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from llm_unified.testing import replies
from llm_unified.testing.background import BackgroundLoop
from llm_unified.testing.exchange import Exchange, Outcome
from llm_unified.testing.protocols import WIRES, AzureWire
from llm_unified.testing.server import HOST, Connection, Listener, arm_reset
from llm_unified.testing.traps import Traps
from llm_unified.testing.wire import Problem

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from llm_unified.testing.journal import Request, State
    from llm_unified.testing.wire import Wire

__all__ = ["SimulatedProvider", "Simulator"]

DeadEnd = Literal["dns", "tls", "refused", "blackhole", "connect_timeout"]


class SimulatedProvider:
    """One provider: what it answers (``script``, ``always``, ``handler``) and what it saw.

    For each request the first of these that has something to say decides: ``handler``, the script,
    ``always``, the default answer. All methods may be called from any thread.
    """

    def __init__(self, simulator: Simulator, wire: Wire, *, accept_keys: int = 3) -> None:
        self.simulator = simulator
        self.wire = wire
        self.name = wire.provider
        self.model = wire.model
        """The model (Azure: deployment) that ``environ()`` names."""
        self.api_keys: tuple[str, ...] = tuple(
            f"{wire.key_prefix}-{i:012d}" for i in range(1, accept_keys + 1)
        )
        """The keys that are accepted. Assign others to revoke them."""
        self.models: tuple[str, ...] | None = None
        """The models (Azure: deployments) that exist; ``None``: any."""
        self.latency = simulator.latency
        """Seconds before anything is answered."""
        self.token_delay = simulator.token_delay
        """Seconds before each content chunk of a stream."""
        self.handler: Callable[[Request], Outcome | None] | None = None
        """Called in the simulator's thread with each request; ``None`` leaves it to the script."""
        self.connections = 0
        """TCP connections accepted since the start or the last ``reset()``."""
        self._script: deque[Outcome] = deque()
        self._always: Outcome | None = None
        self._journal: list[Request] = []
        self._open: set[Connection] = set()
        self._serials = itertools.count(1)
        self._waiters: list[tuple[Callable[[SimulatedProvider], bool], Callable[[], None]]] = []
        self.listener = Listener(
            simulator.background, lambda: Connection(self), tls=simulator.tls_context
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} on port {self.port}>"

    # -- where ------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self.listener.port

    @property
    def api_key(self) -> str:
        """The first of the accepted keys."""
        return self.api_keys[0]

    @property
    def base_url(self) -> str:
        """What the vendor's SDK takes as its base URL; for Azure, the endpoint."""
        scheme = "https" if self.simulator.tls_context else "http"
        return self._url(f"{scheme}://{HOST}:{self.port}")

    def base_url_for(self, dead_end: DeadEnd) -> str:
        """A base URL behind which nobody can answer.

        ``dns``: no such host. ``tls``: https to a port that talks no TLS. ``refused``: nobody
        listens. ``blackhole``: accepts and stays silent. ``connect_timeout``: never accepts.
        """
        return self._url(self.simulator.traps.origin(dead_end))

    def _url(self, origin: str) -> str:
        return origin + self.simulator.prefix + self.wire.base_path()

    # -- what it answers --------------------------------------------------------------------------

    def script(self, *outcomes: Outcome | Iterable[Outcome]) -> Self:
        """Add outcomes, played in order, one per request; afterwards the default answers again."""
        for item in outcomes:
            self._script.extend([item] if isinstance(item, Outcome) else item)
        return self

    def always(self, outcome: Outcome | None) -> Self:
        """Play this for every request that the script does not cover, until ``reset()``."""
        self._always = outcome
        return self

    @property
    def remaining(self) -> int:
        """Outcomes of the script that were not played yet."""
        return len(self._script)

    def refuse(self, *, drop: bool = True) -> None:
        """Refuse connections from now on; ``drop`` also resets those that are open."""
        self.listener.refuse()
        if drop:
            self.drop_connections(reset=True)

    def listen(self) -> None:
        """Accept connections again."""
        self.listener.listen()

    def drop_connections(self, *, reset: bool = False) -> None:
        """Close all open connections, with FIN or RST, as servers do with idle ones."""

        def drop() -> None:
            for connection in tuple(self._open):
                if reset:
                    arm_reset(connection.transport)
                    connection.transport.abort()
                else:
                    connection.transport.close()

        self.simulator.background.call(drop)

    def reset(self) -> None:
        """Forget script, ``always``, handler and journal, and listen. Open connections stay."""
        self._script.clear()
        self._always = self.handler = None
        self._journal = []
        self.connections = len(self._open)
        self.listen()

    # -- what it saw ------------------------------------------------------------------------------

    @property
    def requests(self) -> tuple[Request, ...]:
        """The journal: every HTTP request in order of arrival."""
        return tuple(self._journal)

    @property
    def open_connections(self) -> int:
        """TCP connections open now."""
        return len(self._open)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered now."""
        return sum(c.exchange is not None for c in tuple(self._open))

    def _condition(
        self,
        predicate: Callable[[SimulatedProvider], bool] | None,
        requests: int | None,
        finished: int | None,
        client_gone: int | None,
        open_connections: int | None,
    ) -> Callable[[SimulatedProvider], bool]:
        def reached(_: SimulatedProvider) -> bool:
            seen = self.requests
            return (
                (predicate is None or predicate(self))
                and (requests is None or len(seen) >= requests)
                and (finished is None or sum(r.finished for r in seen) >= finished)
                and (client_gone is None or sum(r.client_gone for r in seen) >= client_gone)
                and (open_connections is None or self.open_connections == open_connections)
            )

        return reached

    def wait_for(
        self,
        predicate: Callable[[SimulatedProvider], bool] | None = None,
        *,
        requests: int | None = None,
        finished: int | None = None,
        client_gone: int | None = None,
        open_connections: int | None = None,
        timeout: float = 30.0,
    ) -> None:
        """Block until all that is given holds: at least so many requests arrived, were answered
        or lost their client, exactly so many connections are open, ``predicate(provider)`` is true.

        Raises :class:`TimeoutError` after ``timeout`` seconds. In async tests use
        :meth:`wait_for_async`: this one would block the loop that the client needs.
        """
        condition = self._condition(predicate, requests, finished, client_gone, open_connections)
        event = threading.Event()
        waiter = (condition, event.set)
        self._waiters.append(waiter)
        try:
            if not condition(self) and not event.wait(timeout):
                raise TimeoutError(self._describe(timeout))
        finally:
            self._waiters.remove(waiter)

    async def wait_for_async(
        self,
        predicate: Callable[[SimulatedProvider], bool] | None = None,
        *,
        requests: int | None = None,
        finished: int | None = None,
        client_gone: int | None = None,
        open_connections: int | None = None,
        timeout: float = 30.0,  # noqa: ASYNC109 (the same signature as wait_for)
    ) -> None:
        """As :meth:`wait_for`, without blocking the running loop."""
        condition = self._condition(predicate, requests, finished, client_gone, open_connections)
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        waiter = (condition, lambda: _tell(loop, event))
        self._waiters.append(waiter)
        try:
            if not condition(self):
                async with asyncio.timeout(timeout):
                    await event.wait()
        except TimeoutError:
            raise TimeoutError(self._describe(timeout)) from None
        finally:
            self._waiters.remove(waiter)

    def wait_idle(self, timeout: float = 30.0) -> None:
        """Block until no request is being answered."""
        self.wait_for(lambda p: p.in_flight == 0, timeout=timeout)

    async def wait_idle_async(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109
        """As :meth:`wait_idle`, without blocking the running loop."""
        await self.wait_for_async(lambda p: p.in_flight == 0, timeout=timeout)

    def _describe(self, timeout: float) -> str:
        states = [f"{r.outcome}: {r.state}" for r in self.requests[-10:]]
        return (
            f"{self.name} did not get there in {timeout} s: {len(self._journal)} requests, the last "
            f"{states}; {self.open_connections} connections open, {self.in_flight} in flight"
        )

    # -- called by its connections, in the simulator's thread -------------------------------------

    def opened(self, connection: Connection) -> int:
        """Count a connection; returns its serial number."""
        self._open.add(connection)
        self.connections += 1
        self._changed()
        return next(self._serials)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        self._changed()

    def exchange(self, connection: Connection, request: Request) -> Exchange:
        """Enter a request into the journal."""
        limit = self.simulator.journal_limit
        if limit is not None and len(self._journal) >= limit:
            self._journal = self._journal[-(limit // 2) :]
        self._journal.append(request)
        return Exchange(connection, self, request, next(self.simulator.serials))

    def answer(self, x: Exchange) -> Coroutine[Any, Any, None] | None:
        """Decide on an outcome and play it."""
        request = x.request
        prefix = self.simulator.prefix
        if request.path.startswith(f"{prefix}/"):
            request.path = request.path.removeprefix(prefix)
        else:
            x.refusal = Problem(404, "unknown_url")
        outcome = self._decide(request).resolve(request)
        request.outcome = outcome.name
        self._changed()
        if self.latency:
            return self._later(outcome, x)
        return outcome.play(x)

    def _decide(self, request: Request) -> Outcome:
        if "redirected" in request.query:  # where faults.redirect() sends to
            return DEFAULT
        if self.handler is not None and (chosen := self.handler(request)) is not None:
            return chosen
        if self._script:
            return self._script.popleft()
        return self._always or DEFAULT

    async def _later(self, outcome: Outcome, x: Exchange) -> None:
        await asyncio.sleep(self.latency)
        work = outcome.play(x)
        if work is not None:
            await work

    def finish(self, request: Request, state: State) -> None:
        """Enter into the journal how a request ended; the first word counts."""
        if request.finished_at is None:
            request.finish(state)
            self._changed()

    def _changed(self) -> None:
        for condition, tell in tuple(self._waiters):
            if condition(self):
                tell()


class Stranger(SimulatedProvider):
    """The other host of ``faults.redirect(same_host=False)``: would answer anybody anything."""

    def answer(self, x: Exchange) -> Coroutine[Any, Any, None] | None:
        _, name, *rest = x.request.path.split("/")
        x.request.path = "/" + "/".join(rest)
        x.wire = self.simulator.wires.get(name, self.wire)
        x.request.outcome = "stranger"
        x.refusal, x.endpoint = None, "chat"
        return DEFAULT.play(x)


class Simulator:
    """Real HTTP servers on 127.0.0.1 that speak the protocols of the four vendors.

    ``tls``: HTTPS with a throw-away CA, see ``ca_file`` (needs ``trustme``). ``prefix``: a path in
    front of all base URLs. ``latency`` and ``token_delay``: seconds before an answer and before
    each content chunk. ``journal_limit``: requests that each journal keeps, ``None`` for all.
    ``strict``: refuse what the vendor's current API refuses, unknown members and parameters included.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        prefix: str = "",
        latency: float = 0.0,
        token_delay: float = 0.0,
        journal_limit: int | None = None,
        strict: bool = False,
    ) -> None:
        self.strict = strict
        self.prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        self.latency = latency
        self.token_delay = token_delay
        self.journal_limit = journal_limit
        self.serials = itertools.count(1)
        self.tls_context: ssl.SSLContext | None = None
        self.ca_file: str | None = None
        """PEM file of the CA to trust; ``None`` without TLS."""
        self._folder = tempfile.TemporaryDirectory(prefix="llm-simulator-") if tls else None
        if self._folder is not None:
            self._make_certificate(Path(self._folder.name))
        self.background = BackgroundLoop("llm-simulator")
        self.traps = Traps(self.background)
        self.wires: dict[str, Wire] = {name: wire() for name, wire in WIRES.items()}
        self._providers = {n: SimulatedProvider(self, w) for n, w in self.wires.items()}
        self.stranger = Stranger(self, self.wires["openai"])
        """Another host. Its journal shows whoever followed a redirect away from a provider."""
        self.openai = self._providers["openai"]
        self.azure_openai = self._providers["azure_openai"]
        self.groq = self._providers["groq"]
        self.anthropic = self._providers["anthropic"]
        for provider in (*self, self.stranger):
            provider.listen()

    def _make_certificate(self, folder: Path) -> None:
        import ssl

        import trustme

        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.ca_file = str(folder / "ca.pem")
        self.tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", HOST).configure_cert(self.tls_context)

    @property
    def providers(self) -> tuple[SimulatedProvider, ...]:
        """The four, in the order of the default fallback chain."""
        return tuple(self._providers.values())

    def __iter__(self) -> Iterator[SimulatedProvider]:
        return iter(self._providers.values())

    def __getitem__(self, name: str) -> SimulatedProvider:
        return self._providers[name]

    def environ(self, *names: str, all_keys: bool = False) -> dict[str, str]:
        """The environment that configures these providers (none given: all), the first as primary.

        ``all_keys``: also ``{PROVIDER}_API_KEYS`` with every accepted key.
        """
        chosen = names or tuple(self._providers)
        found = {
            "LLM_PRIMARY_PROVIDER": chosen[0],
            "LLM_FALLBACK_PROVIDERS": ",".join(chosen[1:]),
            "LLM_ENABLE_FALLBACK": "true" if chosen[1:] else "false",
        }
        for name in chosen:
            provider, upper = self[name], name.upper()
            found[f"{upper}_ENABLED"] = "true"
            found[f"{upper}_API_KEY"] = provider.api_key
            if all_keys:
                found[f"{upper}_API_KEYS"] = ",".join(provider.api_keys)
            if name == "azure_openai":
                found["AZURE_OPENAI_ENDPOINT"] = provider.base_url
                found["AZURE_OPENAI_API_VERSION"] = AzureWire.api_version
                found["AZURE_OPENAI_DEPLOYMENT"] = provider.model
            else:
                found[f"{upper}_BASE_URL"] = provider.base_url
                found[f"{upper}_MODEL"] = provider.model
        if self.ca_file:
            found["SSL_CERT_FILE"] = self.ca_file
        return found

    def reset(self) -> None:
        """``reset()`` of all providers."""
        for provider in (*self, self.stranger):
            provider.reset()

    def close(self) -> None:
        """Stop listening, drop all connections, end the thread. Safe to call twice."""
        if self.background.loop.is_closed():
            return
        for provider in (*self, self.stranger):
            provider.listener.close()
            provider.drop_connections(reset=True)
        self.traps.close()
        self.background.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


DEFAULT = replies.text()


def _tell(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)
