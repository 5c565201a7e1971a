"""Whose turn it is, and who rests. Pure: time and chance are handed in.

A provider's copies take turns by a *cursor*: next is the first healthy member after the last one taken,
in a fixed order. (A counter modulo a changing length would skip and repeat when a copy rests.)

Two things can rest: an *endpoint* (a provider's address and model; the breaker) and a *credential* (one
key; 429 and 401). A copy is healthy when neither of its two rests.

The breaker: ``threshold`` consecutive failures open it for ``cooldown`` seconds, doubling with each failed
trial up to `LONGEST_REST`, with ±10 % jitter; when the rest ends exactly one trial is let through. It
counts failures, not failures per minute, so it works at two requests a minute.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_unified.policy import FOLLOWS, Consequence
from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from llm_unified.pool.deployments import Deployment

__all__ = ["LONGEST_REST", "Rest", "Rotation", "rests_with", "turn_order"]

LONGEST_REST: Final = 60.0
"""Seconds; the cap of the doubling, and the rest of a misconfigured key or model."""
_JITTER: Final = 0.1


@dataclass(slots=True)
class Rest:
    """The state of one endpoint or one credential."""

    failures: int = 0
    """Consecutive failures that count."""
    opened: int = 0
    """How often in a row it was opened; the exponent of the growing rest."""
    until: float = 0.0
    """Monotonic seconds; it rests before that moment."""
    trial: bool = False
    """The next one through is a trial."""
    trying: bool = False
    """A trial is under way."""
    kind: FailureKind | None = None
    """Why it rests, or why it last failed."""
    asked_for: bool = False
    """The rest was asked for by the upstream (``Retry-After``)."""

    def open_at(self, now: float) -> bool:
        return now >= self.until and not (self.trial and self.trying)


def turn_order(deployments: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """One round of turns: each copy ``weight`` times, spread evenly (smooth weighted round robin).

    Source: nginx's upstream round robin. With equal weights it is the plain order 0, 1, 2.
    """
    weights = [deployment.weight for deployment in deployments]
    if len(set(weights)) <= 1:
        return tuple(deployments)
    current = [0] * len(weights)
    total = sum(weights)
    order = []
    for _ in range(total):
        current = [c + w for c, w in zip(current, weights, strict=True)]
        best = max(range(len(current)), key=current.__getitem__)
        current[best] -= total
        order.append(deployments[best])
    return tuple(order)


_OF_KEYS: Final = (Consequence.REST_KEY, Consequence.MISCONFIGURED_KEY)


def rests_with(one: Deployment, other: Deployment, kind: FailureKind | None = None) -> bool:
    """Whether a rest of ``other`` because of ``kind`` (``None``: of any) is one of ``one``, too."""
    endpoint = (one.provider, one.endpoint) == (other.provider, other.endpoint)
    key = one.credential == other.credential
    if kind is None:
        return endpoint or key
    return key if FOLLOWS[kind] in _OF_KEYS else endpoint


class Rotation:
    """The turn and the rests of one service. Safe from any thread."""

    def __init__(
        self,
        deployments: Iterable[Deployment],
        *,
        threshold: int = 3,
        cooldown: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._threshold = threshold
        self._cooldown = cooldown
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._endpoints: dict[tuple[str, str], Rest] = {}
        self._credentials: dict[str, Rest] = {}
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
        """Take a new set of copies; cursors and rests of what stays are kept."""
        by_provider: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            by_provider.setdefault(deployment.provider, []).append(deployment)
        with self._lock:
            self._threshold = self._threshold if threshold is None else threshold
            self._cooldown = self._cooldown if cooldown is None else cooldown
            self._turns = {name: turn_order(group) for name, group in by_provider.items()}

    def forget(self, deployment: Deployment) -> None:
        """This copy has another address or key now: what was known of the old one is void."""
        with self._lock:
            self._endpoints.pop((deployment.provider, deployment.endpoint), None)
            self._credentials.pop(deployment.credential, None)

    def rests(self, deployment: Deployment) -> tuple[Rest, Rest]:
        """The endpoint's and the credential's state of this copy."""
        endpoint = self._endpoints.setdefault((deployment.provider, deployment.endpoint), Rest())
        return endpoint, self._credentials.setdefault(deployment.credential, Rest())

    # -- whose turn ------------------------------------------------------------------------------

    def available(self, provider: str) -> bool:
        """Whether some copy of this provider is healthy now."""
        now = self._clock()
        with self._lock:
            return any(self._healthy(d, now) for d in self._turns.get(provider, ()))

    def pick(self, provider: str, *, even_resting: bool = False) -> Deployment | None:
        """The next healthy copy, or ``None``; with ``even_resting`` the one that reopens soonest."""
        now = self._clock()
        with self._lock:
            turns = self._turns.get(provider, ())
            start = self._cursor.get(provider, 0)
            for step in range(len(turns)):
                place = (start + step) % len(turns)
                if self._healthy(turns[place], now):
                    return self._take(provider, place, now)
            if even_resting and turns:
                ring = [(start + step) % len(turns) for step in range(len(turns))]
                return self._take(provider, min(ring, key=lambda i: self._reopens(turns[i])), now)
        return None

    def _take(self, provider: str, place: int, now: float) -> Deployment:
        turns = self._turns[provider]
        self._cursor[provider] = (place + 1) % len(turns)
        deployment = turns[place]
        for rest in self.rests(deployment):
            if rest.trial and now >= rest.until:
                rest.trying = True
        return deployment

    def _healthy(self, deployment: Deployment, now: float) -> bool:
        endpoint, credential = self.rests(deployment)
        return endpoint.open_at(now) and credential.open_at(now)

    def _reopens(self, deployment: Deployment) -> float:
        return max(rest.until for rest in self.rests(deployment))

    def soonest(self, providers: Iterable[str]) -> tuple[str, float, bool] | None:
        """Who reopens first: ``(provider, seconds from now, the upstream asked for that rest)``."""
        now = self._clock()
        best: tuple[float, str, bool] | None = None
        with self._lock:
            for provider in providers:
                for deployment in self._turns.get(provider, ()):
                    until = self._reopens(deployment)
                    asked = any(r.asked_for and r.until > now for r in self.rests(deployment))
                    if best is None or until < best[0]:
                        best = (until, provider, asked)
        return None if best is None else (best[1], max(0.0, best[0] - now), best[2])

    def claim(
        self,
        deployment: Deployment,
        *,
        ahead: float = 0.0,
        only: Collection[FailureKind] | None = None,
    ) -> bool:
        """Whether a ping may go to this very copy now; a trial that is due is then the ping's.

        ``ahead``: seconds by which the ping's trial may come early, so that no user's call makes it.
        ``only``: leave the trial of what rests for another reason to a user's call.
        """
        now = self._clock()
        with self._lock:
            if self._wait(deployment, now, ahead, only) != 0.0:
                return False
            for rest in self.rests(deployment):
                if rest.trial:
                    rest.trying, rest.until = True, min(rest.until, now)
        return True

    def claimable_in(
        self,
        deployment: Deployment,
        *,
        ahead: float = 0.0,
        only: Collection[FailureKind] | None = None,
    ) -> float | None:
        """Seconds until `claim` will say yes; ``None``: not before somebody else's request ended."""
        now = self._clock()
        with self._lock:
            return self._wait(deployment, now, ahead, only)

    def _wait(
        self,
        deployment: Deployment,
        now: float,
        ahead: float,
        only: Collection[FailureKind] | None,
    ) -> float | None:
        wait = 0.0
        for rest in self.rests(deployment):
            if rest.trial and (rest.trying or (only is not None and rest.kind not in only)):
                return None
            wait = max(wait, rest.until - (ahead if rest.trial else 0.0) - now)
        return wait

    # -- who rests -------------------------------------------------------------------------------

    def succeeded(self, deployment: Deployment) -> bool:
        """An answer closes the breaker and forgets the failures; whether something rested."""
        now, rested = self._clock(), False
        with self._lock:
            for rest in self.rests(deployment):
                rest.trying = False
                if rest.kind is FailureKind.RATE_LIMIT and rest.until > now:
                    continue  # a 429 that another call met meanwhile keeps its rest
                rested = rested or rest.until > 0.0
                rest.failures = rest.opened = 0
                rest.until, rest.trial, rest.asked_for, rest.kind = 0.0, False, False, None
        return rested

    def reconnected(self, deployment: Deployment, cured: Collection[FailureKind]) -> bool:
        """A ping got through: whatever rests for one of these reasons is well; whether something did."""
        rested = False
        with self._lock:
            for rest in self.rests(deployment):
                if rest.kind in cured:
                    rested = rested or rest.until > 0.0
                    rest.failures = rest.opened = 0
                    rest.until, rest.trial, rest.trying, rest.kind = 0.0, False, False, None
        return rested

    def released(self, deployment: Deployment) -> None:
        """The attempt ended without a verdict (cancelled): a trial may be taken by somebody else."""
        with self._lock:
            for rest in self.rests(deployment):
                rest.trying = False

    def failed(
        self,
        deployment: Deployment,
        kind: FailureKind,
        *,
        retry_after: float | None = None,
        overridden: bool = False,
    ) -> float:
        """Note a failure; the seconds for which this copy rests because of it (0.0: not at all).

        ``overridden``: the caller named another model than the configured one, so a 404 says nothing
        about the configuration.
        """
        now = self._clock()
        follows = FOLLOWS[kind]
        with self._lock:
            endpoint, credential = self.rests(deployment)
            was_trial = endpoint.trying or credential.trying
            endpoint.trying = credential.trying = False
            if follows is Consequence.REST_KEY:
                return self._rest(
                    credential,
                    kind,
                    now,
                    self._cooldown if retry_after is None else retry_after,
                    asked_for=retry_after is not None,
                )
            if follows is Consequence.MISCONFIGURED_KEY:
                return self._rest(credential, kind, now, LONGEST_REST, trial=True)
            if follows is Consequence.MISCONFIGURED:
                if overridden:
                    return 0.0
                return self._rest(endpoint, kind, now, LONGEST_REST, trial=True)
            if follows is Consequence.COUNT:
                return self._count(endpoint, kind, now, was_trial=was_trial)
        return 0.0

    def _rest(
        self,
        rest: Rest,
        kind: FailureKind,
        now: float,
        seconds: float,
        *,
        asked_for: bool = False,
        trial: bool = False,
    ) -> float:
        rest.kind = kind
        rest.failures += 1
        if now + seconds > rest.until:
            rest.until, rest.asked_for, rest.trial = now + seconds, asked_for, trial
        return rest.until - now

    def _count(self, rest: Rest, kind: FailureKind, now: float, *, was_trial: bool) -> float:
        rest.failures += 1
        rest.kind = kind
        if now < rest.until:
            return (
                rest.until - now
            )  # a straggler of the calls that opened it: the rest is not extended
        if rest.failures < self._threshold and not (was_trial and rest.trial):
            return 0.0
        longest = max(LONGEST_REST, self._cooldown)
        seconds: float = min(longest, self._cooldown * 2.0 ** min(rest.opened, 32))
        seconds *= 1.0 + _JITTER * (2.0 * self._chance() - 1.0)
        rest.opened += 1
        rest.until, rest.trial, rest.asked_for = now + seconds, True, False
        return seconds

    def rest_elsewhere(self, deployment: Deployment, seconds: float, kind: FailureKind) -> None:
        """Another process found this copy resting."""
        key = FOLLOWS[kind] in _OF_KEYS
        with self._lock:
            rest = self.rests(deployment)[1 if key else 0]
            until = self._clock() + seconds
            if until > rest.until + 1.0:  # more than the rounding of a clock on another host
                rest.until, rest.kind, rest.trial = until, kind, kind is not FailureKind.RATE_LIMIT

    def state(self, provider: str) -> list[tuple[Deployment, Rest, Rest, float]]:
        """``(copy, endpoint, credential, seconds until it reopens)`` for each copy; for reports."""
        now = self._clock()
        with self._lock:
            copies = dict.fromkeys(self._turns.get(provider, ()))
            return [(d, *self.rests(d), max(0.0, self._reopens(d) - now)) for d in copies]
