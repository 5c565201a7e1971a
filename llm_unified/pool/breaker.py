"""The circuit breaker of one endpoint or one credential. Pure: the time is handed in.

*Closed*: requests pass. *Open*: it cools down, and nobody is let through. *Half-open*: the cooldown is
over and one probe decides; the others wait for its word.

A cooldown without a probe to follow (a 429, an upstream's ``Retry-After``) is open, then closed again by
time alone.

The *epoch* tells late words from current ones. It moves when the breaker opens, when it closes after having
been open, and when a probe is handed out; what a request of an earlier epoch says is out of date.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_unified.response import FailureKind

__all__ = ["Breaker", "Hold", "Move", "State"]


class State(Enum):
    """Of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a breaker's state."""

    before: State
    after: State
    kind: FailureKind | None
    """Why it is, or was, open."""
    until: float
    """The moment from which on a probe may be made."""


@dataclass(slots=True)
class Breaker:
    """The state of one endpoint or one credential. Moments are monotonic seconds."""

    failures: int = 0
    """Consecutive failures that count."""
    opened: int = 0
    """How often in a row it opened; the exponent of the growing cooldown."""
    until: float = 0.0
    """It cools down before that moment."""
    asked_until: float = 0.0
    """The upstream asked to be left alone before that moment (``Retry-After``)."""
    needs_probe: bool = False
    """After the cooldown one probe decides."""
    probe_until: float = 0.0
    """A probe is under way; from that moment on its place is free for another."""
    kind: FailureKind | None = None
    """Why it cools down, or why it last failed."""
    epoch: int = 0
    position: State = State.CLOSED
    """What was said of it last: time alone says nothing."""
    moves: list[Move] = field(default_factory=list)
    """Changes of ``position`` that are still to be told; whoever holds the lock takes them."""

    def _move(self, to: State) -> None:
        if to is not self.position:
            self.moves.append(Move(self.position, to, self.kind, self.until))
            self.position = to

    def take_moves(self) -> list[Move]:
        """Those that nobody has told yet."""
        taken, self.moves = self.moves, []
        return taken

    def state(self, now: float) -> State:
        """Closed, open or half-open."""
        if now < self.until:
            return State.OPEN
        return State.HALF_OPEN if self.needs_probe else State.CLOSED

    def probed(self, now: float) -> bool:
        """Whether a probe is under way."""
        return self.needs_probe and now < self.probe_until

    def admits(self, now: float) -> bool:
        """Whether a request may pass: closed, or half-open without a probe under way."""
        return now >= self.until and not self.probed(now)

    def enter(self, now: float, budget: float, *, early: bool = False) -> Hold:
        """A request begins. It is the probe if one is due, or ``early`` in an open breaker's cooldown."""
        probe = self.needs_probe and (early or now >= self.until) and not self.probed(now)
        if probe:
            self.epoch += 1
            self.probe_until = now + budget
            self._move(State.HALF_OPEN)
        return Hold(self, self.epoch, probe)

    def cool(self, seconds: float, kind: FailureKind, now: float, *, asked_for: bool) -> None:
        """Cool down for at least ``seconds`` from now; no probe need follow."""
        if now + seconds > self.until:
            self.until, self.kind = now + seconds, kind
        if asked_for:
            self.asked_until = max(self.asked_until, now + seconds)

    def open(self, seconds: float, kind: FailureKind, now: float) -> None:
        """Open for ``seconds``; a probe follows."""
        self.epoch += 1
        self.until, self.kind = now + seconds, kind
        self.needs_probe, self.probe_until = True, 0.0
        self._move(State.OPEN)

    def close(self, now: float, *, forget: bool) -> bool:
        """It answered: close; whether it was open. ``forget``: how often it failed and opened, too.

        A cooldown without a probe goes on: an answer that another request had meanwhile does not undo what
        the upstream asked for.
        """
        was_open = self.needs_probe
        if not was_open and now < self.until:
            return False
        if was_open:
            self.epoch += 1
            self.failures = 0
            self.until = self.asked_until = self.probe_until = 0.0
            self.needs_probe = False
            self._move(State.CLOSED)
        if forget:
            self.failures = self.opened = 0
            self.kind = None
        return was_open


@dataclass(slots=True)
class Hold:
    """What a lease keeps of one breaker: the epoch it began in, and whether it is the probe."""

    breaker: Breaker
    epoch: int
    probe: bool

    @property
    def current(self) -> bool:
        """Whether the lease's word still says something about the breaker."""
        return self.epoch == self.breaker.epoch

    @property
    def probing(self) -> bool:
        """Whether the probe is still this lease's."""
        return self.probe and self.current

    def close(self, now: float, *, forget: bool) -> bool:
        """Close the breaker, unless the lease is out of date; later words of the lease stay current."""
        if not self.current:
            return False
        was_open = self.breaker.close(now, forget=forget)
        self.epoch, self.probe = self.breaker.epoch, self.probe and not was_open
        return was_open

    def free(self) -> None:
        """Leave the probe to the next request."""
        if self.probing:
            self.breaker.probe_until, self.probe = 0.0, False
