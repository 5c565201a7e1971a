"""How calls ended, as one OpenTelemetry counter. It is read when somebody collects, so a call costs one addition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import Observation

from llm_unified.forksafe import ForkSafeLock
from llm_unified.observe.events import CallEnded

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter

__all__ = ["Calls", "calls_of", "error_type"]

_Key = tuple[str, str, str, bool, str | None]


class Flushable(Protocol):
    """Keeps measurements back for a while."""

    def flush(self) -> None: ...


class Calls:
    """Of all services that share a meter: an instrument exists once."""

    def __init__(self, meter: Meter) -> None:
        self._lock = ForkSafeLock()
        self._counts: Counter[_Key] = Counter()
        self.before: WeakSet[Flushable] = WeakSet()
        """Who has something to record before anybody collects."""
        meter.create_observable_counter(
            "llm_unified.calls", [self._observe], "{call}", "Calls that ended, by how they did."
        )

    def take(self, event: CallEnded) -> None:
        """Count one."""
        provider = event.upstream.provider
        key = (event.operation, provider, event.outcome, event.by_fallback, error_type(event))
        with self._lock:
            self._counts[key] += 1

    def _observe(self, _: CallbackOptions) -> Iterator[Observation]:
        for each in list(self.before):
            each.flush()
        with self._lock:
            counts = list(self._counts.items())
        for (operation, provider, outcome, fallback, error), count in counts:
            attributes: dict[str, str | bool] = {
                "llm_unified.operation": operation,
                "llm_unified.provider": provider,
                "llm_unified.outcome": outcome,
                "llm_unified.fallback": fallback,
            }
            if error is not None:
                attributes["error.type"] = error
            yield Observation(count, attributes)


def error_type(event: CallEnded) -> str | None:
    """``cancelled``, or the name of the exception that the caller got."""
    if event.outcome == "cancelled":
        return "cancelled"
    return None if event.error is None else type(event.error).__name__


_made: Final[WeakKeyDictionary[Meter, Calls]] = WeakKeyDictionary()


def calls_of(meter: Meter) -> Calls:
    """The counter of this meter."""
    found = _made.get(meter)
    if found is None:
        found = _made[meter] = Calls(meter)
    return found
