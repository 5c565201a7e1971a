"""Whose turn it is, and who cools down. Time and chance are handed in; safe from any thread.

A provider's deployments take turns by a *cursor*: next is the first available one after the last one
taken, in a fixed order. (A counter modulo a changing length would skip and repeat when one cools down.)

Two things can cool down: an *endpoint* (a provider's address and model) and a *credential* (one key). Each
has a breaker (`breaker`, `standing`); a deployment is available when both of its admit requests. Breakers count failures, not
failures per minute, so they work at two requests a minute.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_unified.failures.table import FOLLOWS, Effect
from llm_unified.pool.standing import DeploymentState, Standing
from llm_unified.pool.terms import LONGEST_COOLDOWN_SECONDS, Terms
from llm_unified.pool.turns import KEY_EFFECTS, cools_down_with, turn_order

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from llm_unified.pool.breaker import Move
    from llm_unified.pool.deployments import Deployment
    from llm_unified.pool.lease import Lease, Scope
    from llm_unified.response import FailureKind

__all__ = ["DeploymentState", "News", "Rotation"]

_NEWS_SECONDS: Final = 1.0  # another process's cooldown is news only if longer by more than this


@dataclass(frozen=True, slots=True)
class News:
    """A deployment cools down because another process found it failing."""

    deployment: Deployment
    kind: FailureKind
    seconds: float
    asked_for: bool
    scope: Scope
    moves: tuple[Move, ...]


class Rotation:
    """The turns and the cooldowns of one service."""

    def __init__(
        self,
        deployments: Iterable[Deployment],
        *,
        threshold: int = 3,
        cooldown: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        elsewhere: Callable[[News], None] = lambda _: None,
    ) -> None:
        """``threshold``: consecutive failures that open a breaker; ``cooldown``: seconds of the first one.

        ``elsewhere`` is told what `cooldown_elsewhere` changed.
        """
        self._elsewhere = elsewhere
        self._terms = Terms(threshold, cooldown, clock, chance)
        self._standing = Standing()
        self._turns: dict[str, tuple[Deployment, ...]] = {}
        self._cursor: dict[str, int] = {}
        self.replace(deployments)

    def replace(
        self,
        deployments: Iterable[Deployment],
        *,
        threshold: int | None = None,
        cooldown: float | None = None,
    ) -> None:
        """Take a new set of deployments; cursors and cooldowns of what stays are kept."""
        by_provider: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            by_provider.setdefault(deployment.provider, []).append(deployment)
        turns = {name: turn_order(group) for name, group in by_provider.items()}
        with self._terms.lock:
            if threshold is not None:
                self._terms.threshold = threshold
            if cooldown is not None:
                self._terms.cooldown = cooldown
            self._turns = turns

    def forget(self, deployment: Deployment) -> None:
        """It has another address or key now: what was known of the old one, and its leases, are void."""
        with self._terms.lock:
            self._standing.forget(deployment)

    # -- whose turn ------------------------------------------------------------------------------

    def available(self, provider: str, *, without: Collection[str] = frozenset()) -> bool:
        """Whether a deployment of this provider can be asked now; ``without``: with none of these keys."""
        with self._terms.lock:
            now = self._terms.clock()
            return any(
                self._standing.admits(deployment, now)
                for deployment in self._turns.get(provider, ())
                if deployment.credential not in without
            )

    def last_resorts(self, provider: str, *, without: Collection[str] = frozenset()) -> bool:
        """Whether a deployment is there whose breaker is open, but that may be asked when all else failed."""
        with self._terms.lock:
            now = self._terms.clock()
            return any(
                not self._standing.admits(deployment, now)
                and self._standing.is_last_resort(deployment, now)
                for deployment in self._turns.get(provider, ())
                if deployment.credential not in without
            )

    def acquire(
        self,
        provider: str,
        *,
        budget: float,
        without: Collection[str] = frozenset(),
        last_resort: bool = False,
        soonest: bool = False,
    ) -> Lease | None:
        """Take the next turn, or ``None`` if nobody of this provider can be asked.

        ``budget``: seconds after which the lease's probe, if it is one, is free for another caller.
        ``without``: credentials that this call asked already. ``last_resort``: if nobody is available, one
        whose breaker is open. ``soonest``: if need be, the one that reopens first, whatever it waits for.
        """
        with self._terms.lock:
            now = self._terms.clock()
            turns = self._turns.get(provider, ())
            place = next(
                (i for i in self._ring(provider, without) if self._standing.admits(turns[i], now)),
                None,
            )
            if place is None and last_resort:
                ring = self._ring(provider, without)
                place = next(
                    (i for i in ring if self._standing.is_last_resort(turns[i], now)), None
                )
            if place is None and soonest:
                ring = self._ring(provider, without)
                place = min(
                    ring, key=lambda i: self._standing.reopens(turns[i], now)[0], default=None
                )
            if place is None:
                return None
            self._cursor[provider] = (place + 1) % len(turns)
            return self._enter(turns[place], now, budget, early=last_resort or soonest)

    def lease(self, deployment: Deployment, *, budget: float = LONGEST_COOLDOWN_SECONDS) -> Lease:
        """A lease on this very deployment, whatever cools down; the probe if one is due."""
        with self._terms.lock:
            return self._enter(deployment, self._terms.clock(), budget)

    def claim(
        self,
        deployment: Deployment,
        *,
        budget: float,
        ahead: float = 0.0,
        only: Collection[FailureKind] | None = None,
    ) -> Lease | None:
        """A lease for a ping to this very deployment, or ``None`` if it may not be pinged now.

        ``ahead``: seconds by which the ping's probe may come early, so that no user's call makes it.
        ``only``: leave the probe of what is open for another reason to a user's call.
        """
        with self._terms.lock:
            now = self._terms.clock()
            if self._standing.claimable_in(deployment, now, ahead, only) != 0.0:
                return None
            for breaker in self._standing.breakers(deployment):
                if breaker.needs_probe:
                    breaker.until = min(breaker.until, now)
            return self._enter(deployment, now, budget)

    def claimable_in(
        self,
        deployment: Deployment,
        *,
        ahead: float = 0.0,
        only: Collection[FailureKind] | None = None,
    ) -> float | None:
        """Seconds until `claim` gives a lease; ``None``: not before somebody else's request ended."""
        with self._terms.lock:
            return self._standing.claimable_in(deployment, self._terms.clock(), ahead, only)

    def _ring(self, provider: str, without: Collection[str]) -> Iterator[int]:
        """The places in turn, from the cursor on."""
        turns = self._turns.get(provider, ())
        start = self._cursor.get(provider, 0)
        for step in range(len(turns)):
            place = (start + step) % len(turns)
            if turns[place].credential not in without:
                yield place

    def _enter(
        self, deployment: Deployment, now: float, budget: float, *, early: bool = False
    ) -> Lease:
        return self._standing.enter(deployment, now, budget, self._terms, early=early)

    # -- who cools down --------------------------------------------------------------------------

    def soonest(self, providers: Iterable[str]) -> tuple[str, float, bool] | None:
        """Who can be asked first: ``(provider, seconds from now, the upstream asked for that wait)``."""
        best: tuple[float, str, bool] | None = None
        with self._terms.lock:
            now = self._terms.clock()
            for provider in providers:
                for deployment in self._turns.get(provider, ()):
                    moment, asked_for = self._standing.reopens(deployment, now)
                    if best is None or moment < best[0]:
                        best = (moment, provider, asked_for)
        return None if best is None else (best[1], max(0.0, best[0] - now), best[2])

    def cooldown_elsewhere(
        self, deployment: Deployment, seconds: float, kind: FailureKind, *, asked_for: bool = False
    ) -> None:
        """Another process found it failing: cool down for ``seconds`` here, too.

        Never for longer than this process itself would, and not while a probe of its own is under way.
        """
        with self._terms.lock:
            now = self._terms.clock()
            endpoint, credential = self._standing.breakers(deployment)
            breaker = credential if FOLLOWS[kind] in KEY_EFFECTS else endpoint
            seconds = min(seconds, self._terms.longest(kind, asked_for=asked_for))
            already = max(0.0, breaker.until - now)
            if breaker.probed(now) or seconds <= already + _NEWS_SECONDS:
                return
            if FOLLOWS[kind] is Effect.COOL_KEY:
                breaker.cool(seconds, kind, now, asked_for=asked_for)
            else:
                breaker.open(seconds, kind, now)
                breaker.asked_until = now + seconds if asked_for else 0.0
            moves = breaker.take_moves()
        scope: Scope = "key" if breaker is credential else "endpoint"
        self._elsewhere(News(deployment, kind, seconds, asked_for, scope, tuple(moves)))

    def affected(self, deployment: Deployment, kind: FailureKind | None) -> list[Deployment]:
        """All that cool down together because of ``kind`` (``None``: of any), this one included."""
        turns = dict.fromkeys(self._turns.get(deployment.provider, ()))
        return [other for other in turns if cools_down_with(other, deployment, kind)]

    def state(self, provider: str) -> list[DeploymentState]:
        """What each of its deployments waits for, and why."""
        with self._terms.lock:
            now = self._terms.clock()
            return [
                self._standing.state(deployment, now)
                for deployment in dict.fromkeys(self._turns.get(provider, ()))
            ]
