"""Cooldowns as Redis entries, and those that this process has still to send. No I/O.

Key and value are those of LiteLLM's router cache, so a LiteLLM proxy on the same Redis can read them. Only
the entry's remaining lifetime (``PTTL``) says how long a cooldown lasts; hosts' clocks are never compared.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llm_unified.forksafe import ForkSafeLock
from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Entry", "Outbox", "entry_key", "read_entry"]

LARGEST_OUTBOX: Final = 1000
"""Changes that wait for a Redis that is away; the oldest are dropped."""
_LARGEST_VALUE_BYTES: Final = 4096
_KINDS: Final = {kind.value: kind for kind in FailureKind}


@dataclass(frozen=True, slots=True)
class Entry:
    """A deployment cools down."""

    kind: FailureKind
    asked_for: bool = False
    """The upstream asked for it."""
    until: float = math.inf
    """Monotonic seconds of this process; it is not sent."""

    def value(self, seconds: float) -> str:
        """What is written to Redis."""
        return json.dumps(
            {
                "exception_received": self.kind.value,
                "status_code": "",
                "timestamp": time.time(),  # for LiteLLM; never read here
                "cooldown_time": seconds,
                "asked_for": self.asked_for,
            }
        )


def entry_key(id_: str) -> str:
    """The Redis key of a deployment's cooldown."""
    return f"deployment:{id_}:cooldown"


def read_entry(value: Any) -> Entry | None:
    """What another process wrote; ``None`` for whatever is not an entry."""
    if not isinstance(value, bytes | str) or len(value) > _LARGEST_VALUE_BYTES:
        return None
    try:
        fields = json.loads(value)
        kind = _KINDS.get(fields["exception_received"])
        return None if kind is None else Entry(kind, fields.get("asked_for") is True)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


class Outbox:
    """The newest change of each deployment that Redis does not know yet. Safe from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = ForkSafeLock()
        self._changes: dict[str, Entry | None] = {}
        self._withdrawn: dict[str, float] = {}

    def put(self, ids: Iterable[str], change: Entry | None) -> None:
        """Note a cooldown, or (``None``) its end."""
        with self._lock:
            for id_ in ids:
                self._changes.pop(id_, None)
                self._changes[id_] = change
                if change is None:
                    self._withdrawn[id_] = math.inf
                else:
                    self._withdrawn.pop(id_, None)
            for id_ in list(self._changes)[:-LARGEST_OUTBOX]:
                self._changes.pop(id_)
                self._withdrawn.pop(id_, None)

    def __bool__(self) -> bool:
        return bool(self._changes)

    def take(self) -> dict[str, Entry | None]:
        """All changes; give them to `sent` or to `unsent`."""
        with self._lock:
            taken, self._changes = self._changes, {}
        now = self._clock()
        return {i: change for i, change in taken.items() if change is None or change.until > now}

    def sent(self, changes: Iterable[str]) -> None:
        """Redis knows them."""
        with self._lock:
            for id_ in changes:
                if id_ in self._withdrawn and id_ not in self._changes:
                    self._withdrawn[id_] = self._clock()

    def unsent(self, changes: dict[str, Entry | None]) -> None:
        """Redis could not be reached; what has changed since is newer."""
        with self._lock:
            self._changes = changes | self._changes

    def overrules(self, id_: str, since: float) -> bool:
        """Whether an entry that was read after ``since`` may be one that this process has withdrawn."""
        with self._lock:
            return self._withdrawn.get(id_, -math.inf) >= since
