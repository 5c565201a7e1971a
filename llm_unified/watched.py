"""What happened: the part of the façade that looks and never asks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from llm_unified.runtime import Runtime
from llm_unified.settings import Settings

if TYPE_CHECKING:
    from llm_unified.observe.events import Event
    from llm_unified.observe.figures import ServiceStats
    from llm_unified.observe.health import Health

__all__ = ["WatchedMethods"]


class WatchedMethods:
    """Statistics, health, and who listens."""

    _runtime: Runtime

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self._runtime.settings

    def get_stats(self) -> ServiceStats:
        """Counters, exact at the moment a call returned; durations in seconds, costs in US dollars."""
        chain = self.settings.chain
        return {
            "primary_provider": chain[0],
            "fallback_providers": list(chain[1:]),
            "pool_size": self.settings.pool_size,
            "stats": self._runtime.statistics.as_dict(),
        }

    def reset_stats(self) -> None:
        """Count from zero again. What is in flight stays so; what `get_health` knows is kept, too."""
        self._runtime.statistics.reset()

    def get_health(self) -> dict[str, dict[str, Any]]:
        """How each provider of the chain is, from users' requests and pings together; plain data.

        ``{"openai": {"status", "breaker", "rests_for", "last_failure", "seconds_since_failure",
        "p50_seconds", "p95_seconds", "pings": {…}, "copies": {"openai#0": {…}}}}``, durations in
        seconds. ``status`` is ``"healthy"``, ``"degraded"``, ``"unhealthy"``, ``"misconfigured"`` or
        ``"unknown"`` (see `llm_unified.observe.health`); ``breaker`` is that of the deployment that is best
        off, ``rests_for`` the seconds that it still cools down.
        """
        health = self._runtime.health
        latency = self._runtime.statistics.latency
        return {
            name: health.report(name, self._runtime.states(name), latency(name))
            for name in self.settings.chain
        }

    def status_of(self, provider: str) -> str:
        """``get_health()[provider]["status"]`` alone."""
        return self._runtime.health.status(provider, self._runtime.states(provider)).value

    @property
    def health(self) -> Health:
        """What is known of each provider; for the warmer."""
        return self._runtime.health

    def subscribe(
        self,
        listener: Callable[[Any], object],
        *,
        only: Collection[type[Event]] = (),
        inline: bool = False,
    ) -> Callable[[], None]:
        """Call ``listener(event)`` with everything that happens (`llm_unified.events`), in order.

        ``only``: the types of events that it wants; none named: all. It is called on a thread of its own,
        shortly after the event: whatever it does, no request waits for it, and 10,000 events wait for it
        before it misses some. One that raises ten times in a row hears no more.

        ``inline``: it is called where the event happens, before the request goes on. It must be quick and
        must not block, for it runs in the caller's event loop; what it raises is caught all the same.

        Returns what ends the subscription (safe to call twice).
        """
        return self._runtime.publisher.subscribe(listener, only=only, inline=inline)
