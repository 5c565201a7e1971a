"""What follows from an attempt, once it is settled: its lease, the fleet, the log, whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from llm_unified.failures.table import FOLLOWS, KEY_KINDS, Effect
from llm_unified.logs import log
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.fleet import Fleet
from llm_unified.pool.lease import Lease
from llm_unified.pool.rotation import Rotation
from llm_unified.response import Attempt
from llm_unified.response import FailureKind as K

__all__ = ["Ledger"]

_MISCONFIGURED: Final = frozenset({K.AUTH, K.NOT_FOUND, K.QUOTA})
"""Somebody must do something about these; said loudly, and once."""
_HEEDED: Final = frozenset({Effect.COUNT, Effect.COOL_KEY})
"""Where an upstream's ``Retry-After`` decides how long the cooldown is."""


class Ledger:
    """Draws the conclusions of attempts, inline, before the caller goes on. Safe from any thread."""

    def __init__(
        self, rotation: Rotation, fleet: Fleet | None, publish: Callable[[Attempt, bool], None]
    ) -> None:
        """``publish`` is called inline with each sent attempt and whether it was a user's."""
        self._rotation, self.fleet, self._publish = rotation, fleet, publish
        self._said: set[tuple[K, str]] = set()

    def answered(self, lease: Lease, attempt: Attempt, *, counted: bool) -> None:
        """A real answer: failures are forgotten."""
        self.recovered(lease)
        self._publish(attempt, counted)

    def answering(self, lease: Lease) -> None:
        """The first content of a stream came: a probe has succeeded."""
        if lease.answering():
            self._withdraw(lease.deployment)

    def recovered(self, lease: Lease) -> None:
        """The deployment is well again; other processes shall know."""
        deployment = lease.deployment
        if lease.succeeded():
            self._withdraw(deployment)
        if self._said:
            self._said -= {(kind, _subject(kind, deployment)) for kind in _MISCONFIGURED}

    def reconnected(self, lease: Lease, cured: frozenset[K]) -> None:
        """A connection was made: whatever cools down for one of these reasons is well again."""
        if lease.reconnected(cured):
            self._withdraw(lease.deployment)

    def released(self, lease: Lease, attempt: Attempt, *, counted: bool) -> None:
        """It ended without a word about its provider."""
        lease.released()
        if attempt.sent:
            self._publish(attempt, counted)

    def failed(self, lease: Lease, attempt: Attempt, *, overridden: bool, counted: bool) -> None:
        """``overridden``: the caller asked for another model than the configured one."""
        kind = attempt.kind
        assert kind is not None  # noqa: S101 - it failed
        deployment = lease.deployment
        cooldown = lease.failed(kind, retry_after=attempt.retry_after, overridden=overridden)
        if cooldown and self.fleet is not None:
            ids = [d.id for d in self._rotation.affected(deployment, kind)]
            asked_for = attempt.retry_after is not None and FOLLOWS[kind] in _HEEDED
            self.fleet.publish(ids, kind, cooldown, asked_for=asked_for)
        self._publish(attempt, counted)
        self._log(deployment, attempt, kind, cooldown, overridden=overridden)

    def adapted(self, attempt: Attempt) -> None:
        """The request was changed for this vendor."""
        log(
            "debug",
            "request_adapted",
            provider=attempt.provider,
            deployment=attempt.deployment,
            model=attempt.model,
            changes="; ".join(attempt.adapted),
        )

    def _withdraw(self, deployment: Deployment) -> None:
        if self.fleet is not None:
            self.fleet.withdraw([d.id for d in self._rotation.affected(deployment, None)])

    def _log(
        self,
        deployment: Deployment,
        attempt: Attempt,
        kind: K,
        cooldown: float,
        *,
        overridden: bool,
    ) -> None:
        misconfigured = kind in _MISCONFIGURED and not overridden
        if misconfigured:
            what = (kind, _subject(kind, deployment))
            if what in self._said:
                return  # once is enough; `get_health` still says so
            self._said.add(what)
        log(
            "error" if misconfigured else "warning",
            "provider_misconfigured" if misconfigured else "attempt_failed",
            provider=attempt.provider,
            deployment=attempt.deployment,
            model=attempt.model,
            kind=str(kind),
            status=attempt.status,
            reason=attempt.reason,
            seconds=round(attempt.seconds, 4),
            cooldown_seconds=round(cooldown, 3),
        )


def _subject(kind: K, deployment: Deployment) -> str:
    return deployment.credential if kind in KEY_KINDS else deployment.endpoint
