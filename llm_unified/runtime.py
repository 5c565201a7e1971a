"""The life of a service: built with the first call, reloaded, closed."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final

from llm_unified.calls.build import build_dispatcher, build_engine, importing
from llm_unified.errors import ConfigurationError, ServiceClosedError
from llm_unified.logs import log
from llm_unified.observe.events import AttemptEnded, Reloaded
from llm_unified.observe.health import Health
from llm_unified.observe.logged import log_events
from llm_unified.observe.publisher import Publisher
from llm_unified.observe.stats import Statistics
from llm_unified.settings import Settings, load_settings
from llm_unified.wire.background import BackgroundLoop
from llm_unified.wire.threads import in_thread

if TYPE_CHECKING:  # loaded with the first call
    from llm_unified.calls.dispatcher import Dispatcher
    from llm_unified.pool.standing import DeploymentState

__all__ = ["Runtime"]

_MARGIN_SECONDS: Final = 0.1
"""So that a ping's own limit passes before that of the whole round."""


class Runtime:
    """What a service is made of, and its condition. Safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError: these are no settings."""
        _check(settings)
        self.settings = settings
        self.publisher = Publisher()
        self.statistics = Statistics(settings.chain)
        self.health = Health(settings.chain)
        self.statistics.subscribe_to(self.publisher)
        self.publisher.subscribe(self.health.take, only=(AttemptEnded,), inline=True)
        log_events(self.publisher)
        self.background = BackgroundLoop()
        self.dispatcher: Dispatcher | None = None
        self.closed = False

    async def ready(self) -> Dispatcher:
        """What carries out the calls. The first caller has it built, in a thread of its own, so that no
        event loop stalls and no executor of the application is waited for.

        Raises:
            ServiceClosedError: after `close`.
            ConfigurationError: the embedded model cannot run, or a package is missing.
        """
        self._check_open()
        built = self.dispatcher
        return await in_thread(self._build) if built is None else built

    def _check_open(self) -> None:
        if self.closed:
            raise ServiceClosedError("this service was closed; build a new UnifiedLLMService")

    def _build(self) -> Dispatcher:
        with importing():
            self._check_open()
            if self.dispatcher is None:
                try:
                    self.dispatcher = build_dispatcher(self.settings, self.publisher)
                except RuntimeError as error:
                    if threading.main_thread().is_alive():
                        raise
                    raise ServiceClosedError(
                        "the process ends, and nothing more is loaded"
                    ) from error
            self._check_open()  # `close` sees the dispatcher, or this sees that it was closed
            return self.dispatcher

    async def warm(self, seconds: float) -> dict[str, bool]:
        """Ping all deployments of the chain within so many seconds, loading included; never raises."""
        found = dict.fromkeys(self.settings.chain, False)
        try:
            async with asyncio.timeout(seconds) as limit:
                dispatcher = await self.ready()
                from llm_unified.calls.ping import warm

                left = (limit.when() or 0.0) - asyncio.get_running_loop().time()
                await warm(
                    dispatcher,
                    self.settings.chain,
                    found,
                    probe=self.settings.warm_probe,
                    seconds=left - _MARGIN_SECONDS,
                )
        except Exception as error:  # noqa: BLE001 - a cold start is slow, not wrong
            log("warning", "warm_up_incomplete", error=type(error).__name__, **found)
        return found

    def states(self, provider: str) -> list[DeploymentState]:
        """How each deployment of this provider stands; nothing before the first call."""
        return [] if self.dispatcher is None else self.dispatcher.rotation.state(provider)

    async def reload(self, settings: Settings | None) -> Settings:
        """Swap the configuration; the settings now in force.

        Raises:
            ConfigurationError: with every problem; the old configuration goes on.
            ServiceClosedError: after `close`.
        """
        self._check_open()
        try:
            new = await in_thread(self._swap, settings)
        except ConfigurationError as error:
            log("error", "reload_refused", problems=list(error.problems))
            raise
        self.publisher.publish(Reloaded(new.chain, new.pool_size))
        return new

    def _swap(self, settings: Settings | None) -> Settings:
        with (
            importing()
        ):  # read inside: of two reloads at once, the later one's configuration stays
            new = load_settings() if settings is None else settings
            _check(new)
            self._check_open()
            self.statistics.keep(new.chain)
            self.health.keep(new.chain)
            if self.dispatcher is not None:
                self.dispatcher.replace(build_engine(new))
            self.settings = new
            return new

    async def aclose(self) -> None:
        """Close all sockets and the background loop."""
        self.closed = True
        if self.dispatcher is not None:
            await self.dispatcher.aclose()
        await in_thread(self._end)

    def close(self) -> None:
        """`aclose`, synchronous."""
        self.closed = True
        if self.dispatcher is not None and not self.background.closed:
            self.background.run(self.dispatcher.aclose())
        self._end()

    def _end(self) -> None:
        self.background.close()
        self.publisher.close()


def _check(settings: object) -> None:
    if not isinstance(settings, Settings):
        raise ConfigurationError(
            f"settings must come from load_settings(), not be a {type(settings).__name__}"
        )
