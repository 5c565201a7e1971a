"""What follows from an attempt, once it is settled: its lease, the fleet, and the events that say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llm_unified.failures.table import FOLLOWS, KEY_KINDS, Effect
from llm_unified.observe.events import (
    AttemptEnded,
    AttemptStarted,
    BreakerChanged,
    CooledDown,
    Misconfigured,
    QuotaSpent,
)
from llm_unified.observe.publisher import Publisher
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.fleet import Fleet
from llm_unified.pool.lease import Lease
from llm_unified.pool.rotation import News, Rotation
from llm_unified.response import FailureKind as K

__all__ = ["Ledger", "tell_news"]

_MISCONFIGURED: Final = frozenset({K.AUTH, K.NOT_FOUND, K.QUOTA})
"""Somebody must do something about these; said loudly, and once."""
_HEEDED: Final = frozenset({Effect.COUNT, Effect.COOL_KEY})
"""Where an upstream's ``Retry-After`` decides how long the cooldown is."""


class Ledger:
    """Draws the conclusions of attempts, inline, before the caller goes on. Safe from any thread."""

    def __init__(self, rotation: Rotation, fleet: Fleet | None, publisher: Publisher) -> None:
        self._rotation, self.fleet, self.publisher = rotation, fleet, publisher
        self._said: set[tuple[K, str]] = set()

    def begun(self, lease: Lease, event: AttemptStarted) -> None:
        """It begins, perhaps as a breaker's probe."""
        self.publisher.publish(event)
        if lease.moved:
            self._tell_moves(lease, event.call_id)

    def answered(self, lease: Lease, end: AttemptEnded) -> None:
        """A real answer: failures are forgotten."""
        self._recovered(lease)
        self._publish(lease, end)

    def answering(self, lease: Lease, call_id: str) -> None:
        """The first content of a stream came: a probe has succeeded."""
        if lease.answering():
            self._withdraw(lease.deployment)
        if lease.moved:
            self._tell_moves(lease, call_id)

    def _recovered(self, lease: Lease) -> None:
        """The deployment is well again; other processes shall know."""
        deployment = lease.deployment
        if lease.succeeded():
            self._withdraw(deployment)
        if self._said:
            self._said -= {(kind, _subject(kind, deployment)) for kind in _MISCONFIGURED}

    def reconnected(self, lease: Lease, end: AttemptEnded, cured: frozenset[K]) -> None:
        """A connection was made: whatever cools down for one of these reasons is well again."""
        if lease.reconnected(cured):
            self._withdraw(lease.deployment)
        self._publish(lease, end)

    def released(self, lease: Lease, end: AttemptEnded, *, recovered: bool = False) -> None:
        """It ended without a word about its provider, or (``recovered``) while that one was answering."""
        if recovered:
            self._recovered(lease)
        lease.released()
        self._publish(lease, end)

    def failed(self, lease: Lease, end: AttemptEnded, *, overridden: bool) -> None:
        """``overridden``: the caller asked for another model than the configured one."""
        attempt, deployment = end.attempt, lease.deployment
        kind = attempt.kind
        assert kind is not None  # noqa: S101 - it failed
        cooldown = lease.failed(kind, retry_after=attempt.retry_after, overridden=overridden)
        asked_for = attempt.retry_after is not None and FOLLOWS[kind] in _HEEDED
        if cooldown and self.fleet is not None:
            ids = [d.id for d in self._rotation.affected(deployment, kind)]
            self.fleet.publish(ids, kind, cooldown, asked_for=asked_for)
        misconfigured = kind in _MISCONFIGURED and not overridden
        self._publish(lease, replace(end, cooldown_seconds=cooldown, misconfigured=misconfigured))
        if cooldown:
            self.publisher.publish(
                CooledDown(
                    end.call_id, deployment.provider, deployment.id, kind, cooldown, asked_for
                )
            )
        if misconfigured:
            self._say_once(end, deployment, kind, cooldown)

    def _say_once(
        self, end: AttemptEnded, deployment: Deployment, kind: K, cooldown: float
    ) -> None:
        what = (kind, _subject(kind, deployment))
        if what in self._said:
            return  # `get_health` still says so
        self._said.add(what)
        event = QuotaSpent if kind is K.QUOTA else Misconfigured
        self.publisher.publish(
            event(end.call_id, end.operation, end.upstream, end.attempt, cooldown)
        )

    def _publish(self, lease: Lease, end: AttemptEnded) -> None:
        self.publisher.publish(end)
        if lease.moved:
            self._tell_moves(lease, end.call_id)

    def _tell_moves(self, lease: Lease, call_id: str) -> None:
        deployment = lease.deployment
        for scope, move, seconds in lease.take_moves():
            self.publisher.publish(
                BreakerChanged(
                    call_id,
                    deployment.provider,
                    deployment.id,
                    scope,
                    move.before.value,
                    move.after.value,
                    move.kind,
                    seconds,
                )
            )

    def _withdraw(self, deployment: Deployment) -> None:
        if self.fleet is not None:
            self.fleet.withdraw([d.id for d in self._rotation.affected(deployment, None)])


def tell_news(publisher: Publisher, news: News) -> None:
    """What another process found out."""
    place = (None, news.deployment.provider, news.deployment.id)
    publisher.publish(CooledDown(*place, news.kind, news.seconds, news.asked_for))
    for move in news.moves:
        before, after = move.before.value, move.after.value
        publisher.publish(
            BreakerChanged(*place, news.scope, before, after, move.kind, news.seconds)
        )


def _subject(kind: K, deployment: Deployment) -> str:
    return deployment.credential if kind in KEY_KINDS else deployment.endpoint
