"""How each deployment stands: the breakers of its endpoint and of its credential, together.

Not safe by itself from several threads: `Rotation` holds the lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_unified.failures.table import FOLLOWS, Effect
from llm_unified.pool.breaker import Breaker
from llm_unified.pool.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Collection

    from llm_unified.pool.deployments import Deployment
    from llm_unified.pool.terms import Terms
    from llm_unified.response import FailureKind

__all__ = ["DeploymentState", "Standing"]


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """A deployment as reports and the warmer see it."""

    deployment: Deployment
    cooldown_seconds: float = 0.0
    """Until it may be asked again; 0.0: now."""
    kind: FailureKind | None = None
    """Why it cools down, or why it last failed."""
    half_open: bool = False
    """A probe decides, as soon as ``cooldown_seconds`` are over."""

    @property
    def breaker(self) -> str:
        """``"closed"``, ``"open"``, or ``"half-open"`` when the cooldown is over and a probe is due."""
        if self.cooldown_seconds > 0.0:
            return "open"
        return "half-open" if self.half_open else "closed"


class Standing:
    """The breakers of all endpoints and credentials."""

    def __init__(self) -> None:
        self._endpoints: dict[tuple[str, str], Breaker] = {}
        self._credentials: dict[str, Breaker] = {}

    def forget(self, deployment: Deployment) -> None:
        """Leases that are out keep the old breakers, which nobody else looks at any more."""
        self._endpoints.pop((deployment.provider, deployment.endpoint), None)
        self._credentials.pop(deployment.credential, None)

    def breakers(self, deployment: Deployment) -> tuple[Breaker, Breaker]:
        """The endpoint's and the credential's."""
        place = (deployment.provider, deployment.endpoint)
        endpoint = self._endpoints.get(place)
        if endpoint is None:
            endpoint = self._endpoints[place] = Breaker()
        credential = self._credentials.get(deployment.credential)
        if credential is None:
            credential = self._credentials[deployment.credential] = Breaker()
        return endpoint, credential

    def enter(
        self,
        deployment: Deployment,
        now: float,
        budget: float,
        terms: Terms,
        *,
        early: bool = False,
    ) -> Lease:
        """A lease; the probe if one is due, or ``early`` in the cooldown."""
        endpoint, credential = self.breakers(deployment)
        return Lease(
            deployment,
            endpoint.enter(now, budget, early=early),
            credential.enter(now, budget, early=early),
            terms,
        )

    def admits(self, deployment: Deployment, now: float) -> bool:
        """Whether it can be asked now."""
        endpoint, credential = self.breakers(deployment)
        return endpoint.admits(now) and credential.admits(now)

    def is_last_resort(self, deployment: Deployment, now: float) -> bool:
        """Whether nothing but a breaker's own cooldown is in the way."""
        return all(
            breaker.admits(now)
            or (
                breaker.needs_probe
                and not breaker.probed(now)
                and now >= breaker.asked_until
                and breaker.kind is not None
                and FOLLOWS[breaker.kind] is Effect.COUNT
            )
            for breaker in self.breakers(deployment)
        )

    def reopens(self, deployment: Deployment, now: float) -> tuple[float, bool]:
        """The moment it can be asked, and whether that is the upstream's wish and not our guess."""
        pair = self.breakers(deployment)
        asked_until = max(breaker.asked_until for breaker in pair)
        if asked_until > now:
            return asked_until, True
        return max(breaker.until for breaker in pair), False

    def claimable_in(
        self,
        deployment: Deployment,
        now: float,
        ahead: float,
        only: Collection[FailureKind] | None,
    ) -> float | None:
        """See `Rotation.claimable_in`."""
        wait = 0.0
        for breaker in self.breakers(deployment):
            if breaker.probed(now) or (
                breaker.needs_probe and only is not None and breaker.kind not in only
            ):
                return None
            early = ahead if breaker.needs_probe else 0.0
            wait = max(wait, max(breaker.until - early, breaker.asked_until) - now)
        return wait

    def state(self, deployment: Deployment, now: float) -> DeploymentState:
        """For reports: of the two, the one that failed and that cools down for longer."""
        pair = self.breakers(deployment)
        later = max(pair, key=lambda breaker: (breaker.kind is not None, breaker.until))
        seconds = max(0.0, *(breaker.until - now for breaker in pair))
        return DeploymentState(
            deployment, seconds, later.kind, any(breaker.needs_probe for breaker in pair)
        )
