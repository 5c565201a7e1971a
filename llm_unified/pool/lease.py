"""One attempt's claim on a deployment, and what the attempt's end means for the pool.

A half-open breaker's probe belongs to its lease. The lease is settled exactly once, by the first of
`succeeded`, `failed`, `released` and `reconnected`; every further word changes nothing. Nothing has to be
done for a lease that is dropped: its probe is free again when its budget is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from llm_unified.failures.table import FOLLOWS, Effect
from llm_unified.pool.breaker import State
from llm_unified.pool.terms import MISCONFIGURED_SECONDS
from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from llm_unified.pool.breaker import Hold, Move
    from llm_unified.pool.deployments import Deployment
    from llm_unified.pool.terms import Terms

__all__ = ["Lease", "Scope"]

Scope = Literal["endpoint", "key"]


class Lease:
    """Made by `Rotation`. Its words may come from any thread; a late one (see `breaker`) changes nothing."""

    __slots__ = ("_credential", "_endpoint", "_settled", "_terms", "deployment", "probe")

    def __init__(
        self, deployment: Deployment, endpoint: Hold, credential: Hold, terms: Terms
    ) -> None:
        self.deployment = deployment
        self.probe: bool = endpoint.probe or credential.probe
        """Whether this attempt decides if a breaker closes."""
        self._endpoint, self._credential, self._terms = endpoint, credential, terms
        self._settled = False

    @property
    def moved(self) -> bool:
        """Whether a breaker changed its state, and nobody has told it."""
        return bool(self._endpoint.breaker.moves or self._credential.breaker.moves)

    def take_moves(self) -> list[tuple[Scope, Move, float]]:
        """What is to be told: whose breaker, its change, seconds until a probe may be made."""
        with self._terms.lock:
            now = self._terms.clock()
            return [
                (scope, move, 0.0 if move.after is State.CLOSED else max(0.0, move.until - now))
                for scope, hold in self._holds()
                for move in hold.breaker.take_moves()
            ]

    def _holds(self) -> tuple[tuple[Scope, Hold], tuple[Scope, Hold]]:
        return ("endpoint", self._endpoint), ("key", self._credential)

    def answering(self) -> bool:
        """The first content of a stream came: an open breaker closes; whether one did.

        Failures that a closed breaker counted, and how often it opened in a row, are kept until the whole
        answer came. The lease is not settled: `succeeded` or `failed` follows.
        """
        with self._terms.lock:
            return not self._settled and self._close(forget=False)

    def succeeded(self) -> bool:
        """It answered: close, forget the failures; whether an open breaker closed."""
        with self._terms.lock:
            return self._settle() and self._close(forget=True)

    def released(self) -> None:
        """It ended without a word about the provider: cancelled, nothing sent, the caller's exception."""
        with self._terms.lock:
            if self._settle():
                self._free()

    def reconnected(self, cured: Collection[FailureKind]) -> bool:
        """A connection probe got through: what is open for one of these reasons closes; whether one did."""
        closed = False
        with self._terms.lock:
            if self._settle():
                now = self._terms.clock()
                for hold in (self._endpoint, self._credential):
                    if hold.breaker.kind in cured:
                        closed |= hold.close(now, forget=True)
                self._free()
        return closed

    def failed(
        self, kind: FailureKind, *, retry_after: float | None = None, overridden: bool = False
    ) -> float:
        """It failed; seconds of the cooldown that follows (0.0: none).

        ``retry_after``: seconds that the upstream asked for, capped by the caller. ``overridden``: the
        request named another model than the configured one, so a 404 says nothing about the configuration.
        """
        with self._terms.lock:
            if not self._settle():
                return 0.0
            now = self._terms.clock()
            cooldown = self._verdict(kind, retry_after, now, overridden=overridden)
            self._free()
            return cooldown

    def _verdict(
        self, kind: FailureKind, retry_after: float | None, now: float, *, overridden: bool
    ) -> float:
        follows = FOLLOWS[kind]
        if follows is Effect.COUNT:
            return self._count(kind, retry_after or 0.0, now)
        if follows is Effect.COOL_KEY:
            return self._cool_key(kind, retry_after, now)
        if follows is Effect.SPENT_KEY:
            return self._spend_key(kind, now)
        if follows is Effect.MISCONFIGURED_KEY:
            return _open(self._credential, MISCONFIGURED_SECONDS, kind, now)
        if follows is Effect.MISCONFIGURED and not overridden:
            return _open(self._endpoint, MISCONFIGURED_SECONDS, kind, now)
        if follows is Effect.NOTHING and kind is not FailureKind.CANCELLED:
            for hold in (self._endpoint, self._credential):
                if hold.probing:  # it answered, though not what was wanted
                    hold.close(now, forget=True)
        return 0.0

    def _count(self, kind: FailureKind, wish: float, now: float) -> float:
        """The threshold or a failed probe opens the breaker; a wish to be left alone counts at once.

        The breaker then stays open for the longer of both. A wish that the breaker's own cooldown does not
        cover needs no probe afterwards: the upstream said when it is back.
        """
        breaker = self._endpoint.breaker
        if not self._endpoint.current:
            return 0.0
        due = self._endpoint.probing and now >= breaker.until
        if wish > 0.0:
            breaker.cool(wish, kind, now, asked_for=True)
        if due or not breaker.needs_probe:  # open: a request made all the same does not prolong it
            breaker.failures += 1
            breaker.kind = kind
            if due or breaker.failures >= self._terms.threshold:
                seconds = max(self._terms.breaker_seconds(breaker.opened), breaker.until - now)
                breaker.opened += 1
                breaker.open(seconds, kind, now)
        return max(0.0, breaker.until - now)

    def _cool_key(self, kind: FailureKind, retry_after: float | None, now: float) -> float:
        breaker = self._credential.breaker
        cooling = breaker.kind is kind and now < breaker.until
        if not self._credential.current and not cooling:  # a straggler may lengthen a 429, no more
            return 0.0
        seconds = self._terms.cooldown if retry_after is None else retry_after
        breaker.cool(seconds, kind, now, asked_for=retry_after is not None)
        return max(0.0, breaker.until - now)

    def _spend_key(self, kind: FailureKind, now: float) -> float:
        if not self._credential.current:
            return 0.0
        breaker = self._credential.breaker
        seconds = self._terms.spent_seconds(breaker.opened)
        breaker.opened += 1
        return _open(self._credential, seconds, kind, now)

    def _settle(self) -> bool:
        """Whether this is the lease's first final word."""
        first, self._settled = not self._settled, True
        return first

    def _close(self, *, forget: bool) -> bool:
        now = self._terms.clock()
        endpoint = self._endpoint.close(now, forget=forget)
        return self._credential.close(now, forget=forget) or endpoint

    def _free(self) -> None:
        self._endpoint.free()
        self._credential.free()


def _open(hold: Hold, seconds: float, kind: FailureKind, now: float) -> float:
    """Open at once, unless it cools down for longer already."""
    if not hold.current:
        return 0.0
    if now + seconds > hold.breaker.until:
        hold.breaker.open(seconds, kind, now)
    return hold.breaker.until - now
