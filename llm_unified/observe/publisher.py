"""One publisher per service: it hands each event to whoever subscribed to its type.

*Inline* subscribers are called where the event happens, before the call goes on: statistics, spans and the
like, which must be exact and are quick. All others get their events on a thread of their own (`queued`). None
of them can hurt a request: what an inline one raises is caught, and a queued one may raise, block or die.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, Protocol, get_args

from llm_unified.forksafe import ForkSafeLock
from llm_unified.logs import log
from llm_unified.observe.events import Event
from llm_unified.observe.queued import Queued

__all__ = ["FAILURES_UNTIL_UNSUBSCRIBED", "Listener", "Publisher", "Source"]

Listener = Callable[[Any], object]
"""Called with each `Event` of the types that it subscribed to."""
FAILURES_UNTIL_UNSUBSCRIBED: Final = 10
"""A subscriber that raises so often in a row hears no more."""
_EVERY: Final[tuple[type[Event], ...]] = get_args(Event)
_GRACE_SECONDS: Final = 1.0
"""So long `close` waits for each queued subscriber to take what is there."""


class Source(Protocol):
    """What publishes events: a service."""

    def subscribe(
        self,
        listener: Listener,
        *,
        only: Collection[type[Event]] = (),
        inline: bool = False,
    ) -> Callable[[], None]:
        """Call ``listener`` with every event; returns what ends that."""


class Publisher:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._subscribers: dict[type[Event], tuple[_Subscriber, ...]] = dict.fromkeys(_EVERY, ())

    def publish(self, event: Event) -> None:
        """Hand it to all that want it; raises nothing."""
        for subscriber in self._subscribers[event.__class__]:
            if subscriber.queue is not None:
                subscriber.queue.put(event)
                continue
            try:
                subscriber.listener(event)
                subscriber.failures = 0
            except (KeyboardInterrupt, SystemExit):  # of the program's own thread
                raise
            except BaseException as error:  # noqa: BLE001 - also a cancellation that it made up
                self._failed(subscriber, error)

    def subscribe(
        self, listener: Listener, *, only: Collection[type[Event]] = (), inline: bool = False
    ) -> Callable[[], None]:
        """See `UnifiedLLMService.subscribe`."""
        kinds = tuple(only) or _EVERY
        subscriber = _Subscriber(listener)
        if not inline:
            subscriber.queue = Queued(
                lambda event: self._deliver(subscriber, event), _name(listener)
            )
        with self._lock:
            for kind in kinds:
                self._subscribers[kind] += (subscriber,)
        return lambda: self._end(subscriber)

    def _deliver(self, subscriber: _Subscriber, event: Event) -> None:
        """On its own thread."""
        try:
            subscriber.listener(event)
            subscriber.failures = 0
        except BaseException as error:  # noqa: BLE001 - nobody else could take it
            self._failed(subscriber, error)

    def _failed(self, subscriber: _Subscriber, error: BaseException) -> None:
        subscriber.failures += 1
        over = subscriber.failures >= FAILURES_UNTIL_UNSUBSCRIBED
        if over:
            self._end(subscriber)
        if over or not subscriber.said:
            subscriber.said = True
            log(
                "error",
                "subscriber_removed" if over else "subscriber_failed",
                subscriber=_name(subscriber.listener),
                error=type(error).__name__,
                failures=subscriber.failures,
            )

    def _end(self, subscriber: _Subscriber) -> None:
        with self._lock:
            for kind, those in self._subscribers.items():
                if subscriber in those:
                    self._subscribers[kind] = tuple(s for s in those if s is not subscriber)
        if subscriber.queue is not None:
            subscriber.queue.end()

    def close(self) -> None:
        """End all queued subscribers, once they have taken what is there or a second has passed."""
        with self._lock:
            everybody = {s for those in self._subscribers.values() for s in those}
        for subscriber in everybody:
            if subscriber.queue is not None:
                subscriber.queue.end(wait=_GRACE_SECONDS)


class _Subscriber:
    __slots__ = ("failures", "listener", "queue", "said")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.queue: Queued | None = None
        """``None``: it is called inline."""
        self.failures = 0
        self.said = False


def _name(listener: object) -> str:
    """Whose fault it is, in code: never a ``repr``, which could show anything."""
    return str(getattr(listener, "__qualname__", type(listener).__qualname__))
