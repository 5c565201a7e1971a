"""The order of turns, and which deployments cool down together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_unified.failures.table import FOLLOWS, Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_unified.pool.deployments import Deployment
    from llm_unified.response import FailureKind

__all__ = ["KEY_EFFECTS", "cools_down_with", "turn_order"]

KEY_EFFECTS: Final = frozenset({Effect.COOL_KEY, Effect.SPENT_KEY, Effect.MISCONFIGURED_KEY})
"""Failures after which the credential cools down, and not the endpoint."""


def turn_order(deployments: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """One round of turns: each deployment ``weight`` times, spread evenly (smooth weighted round robin).

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


def cools_down_with(one: Deployment, other: Deployment, kind: FailureKind | None = None) -> bool:
    """Whether ``one`` cools down when ``other`` does because of ``kind`` (``None``: of any)."""
    endpoint = (one.provider, one.endpoint) == (other.provider, other.endpoint)
    key = one.credential == other.credential
    if kind is None:
        return endpoint or key
    return key if FOLLOWS[kind] in KEY_EFFECTS else endpoint
