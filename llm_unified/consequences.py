"""What follows from an attempt: rests, here and in the fleet; the trail; statistics; the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_unified.policy import Verdict
from llm_unified.response import FailureKind as K
from llm_unified.rotation import rests_with
from llm_unified.shared import SharedRests
from llm_unified.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from llm_unified.call import PendingAttempt
    from llm_unified.engine import Engine
    from llm_unified.pool.deployments import Deployment
    from llm_unified.response import Attempt, Usage
    from llm_unified.rotation import Rotation

__all__ = ["Consequences"]


class Consequences:
    """Draws them all, inline, before the caller goes on."""

    def __init__(
        self, engine: Engine, rotation: Rotation, on_attempt: Callable[[Attempt, bool], None]
    ) -> None:
        self._rotation, self._on_attempt = rotation, on_attempt
        self._misconfigured: set[tuple[K, str]] = set()
        self.reloaded(engine)

    def reloaded(self, engine: Engine) -> None:
        """Another configuration is in force."""
        self._engine = engine
        self.shared = None if engine.cooldowns is None else SharedRests(engine.cooldowns)

    async def hear(self) -> None:
        """Let rest here what other processes found resting."""
        if self.shared is not None:
            await self.shared.hear(self._engine.deployments, self._rotation)

    def answered(self, attempt: PendingAttempt, usage: Usage, cost: float | None) -> None:
        """A real answer: forget the failures, count."""
        if not attempt.call.rehearsal:
            self.recovered(attempt.deployment)
        self._tell(attempt, attempt.ended(None, usage, cost))

    def recovered(self, deployment: Deployment, cured: Collection[K] | None = None) -> None:
        """It is well again (``cured``: as far as these kinds go); the other processes shall know."""
        if cured is None:
            reopened = self._rotation.succeeded(deployment)
            self._misconfigured -= {
                (K.AUTH, deployment.credential),
                (K.NOT_FOUND, deployment.endpoint),
            }
        else:
            reopened = self._rotation.reconnected(deployment, cured)
        if reopened and self.shared is not None:
            self.shared.recall(self._alike(deployment, None))

    def abandoned(self, attempt: PendingAttempt, usage: Usage | None) -> None:
        """The caller stopped reading a stream that was answering."""
        self.recovered(attempt.deployment)
        verdict = Verdict(K.CANCELLED, "caller stopped reading")
        self._tell(attempt, attempt.ended(verdict, usage))

    def failed(
        self, attempt: PendingAttempt, verdict: Verdict, usage: Usage | None = None
    ) -> Attempt:
        """A failed attempt: rest, trail, statistics, log."""
        deployment = attempt.deployment
        overridden = attempt.model != deployment.model
        rest = self._rotation.failed(
            deployment, verdict.kind, retry_after=verdict.retry_after, overridden=overridden
        )
        if rest and self.shared is not None:
            ids = self._alike(deployment, verdict.kind)
            self.shared.tell(ids, verdict.kind, verdict.status, rest)
        told = self._tell(attempt, attempt.ended(verdict, usage))
        loud = verdict.kind in (K.AUTH, K.NOT_FOUND) and not overridden
        if loud and self._said(deployment, verdict.kind):
            return told  # once is loud enough; `get_health` still says so
        log(
            "error" if loud else "warning",
            "provider_misconfigured" if loud else "attempt_failed",
            provider=told.provider,
            deployment=told.deployment,
            model=told.model,
            kind=str(told.kind),
            status=told.status,
            reason=told.reason,
            seconds=round(told.seconds, 4),
            rests_for=round(rest, 3),
        )
        return told

    def _said(self, deployment: Deployment, kind: K) -> bool:
        what = deployment.credential if kind is K.AUTH else deployment.endpoint
        new = (kind, what) not in self._misconfigured
        self._misconfigured.add((kind, what))
        return not new

    def _alike(self, deployment: Deployment, kind: K | None) -> list[str]:
        """The copies that rest together with this one."""
        return [d.id for d in self._engine.deployments.values() if rests_with(d, deployment, kind)]

    def _tell(self, attempt: PendingAttempt, told: Attempt) -> Attempt:
        call = attempt.call
        call.attempts.append(told)
        if not call.rehearsal:
            self._on_attempt(told, call.counted)
        return told

    def recorded(self, attempt: PendingAttempt, verdict: Verdict | None) -> Attempt:
        """An attempt that says nothing about its provider, or whose teller rests it by itself."""
        return self._tell(attempt, attempt.ended(verdict))

    async def aclose(self) -> None:
        """Wait until the other processes were told."""
        if self.shared is not None:
            await self.shared.aclose()
