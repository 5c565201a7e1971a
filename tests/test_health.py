"""How a provider is: the rule, value by value, and what `Health` remembers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_unified.observe.health import RECENT, Health, Status, is_alive, status_of
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.standing import DeploymentState
from llm_unified.response import Attempt, FailureKind, Usage

K = FailureKind


def standing(
    id_: str,
    cooldown_seconds: float = 0.0,
    kind: FailureKind | None = None,
    half_open: bool = False,
) -> DeploymentState:
    deployment = Deployment(id_, "openai", "m", "openai/m", endpoint="e", credential="c")
    return DeploymentState(deployment, cooldown_seconds, kind, half_open)


WELL = standing("openai#0")
OPEN = standing("openai#1", 4.0, K.SERVER, half_open=True)
HALF_OPEN = standing("openai#1", 0.0, K.SERVER, half_open=True)
LIMITED = standing("openai#1", 4.0, K.RATE_LIMIT)
WRONG = standing("openai#2", 60.0, K.AUTH, half_open=True)
SPENT = standing("openai#2", 60.0, K.QUOTA, half_open=True)


class Clock:
    """Stands still until somebody moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def attempt(kind: FailureKind | None = None, status: int | None = None, **fields: Any) -> Attempt:
    outcome = "answered" if kind is None else "cancelled" if kind is K.CANCELLED else "failed"
    fields = {"provider": "openai", "deployment": "openai#0"} | fields
    return Attempt(model="m", outcome=outcome, kind=kind, status=status, **fields)


@pytest.mark.parametrize(
    ("states", "outcomes", "denied", "expected"),
    [
        ([], "", (), Status.UNKNOWN),
        ([WELL], "", (), Status.UNKNOWN),
        ([WELL], "+", (), Status.HEALTHY),
        ([WELL], "-", (), Status.DEGRADED),
        ([WELL], "+-", (), Status.DEGRADED),
        ([WELL], "-+", (), Status.DEGRADED),
        ([WELL], "-++++", (), Status.DEGRADED),
        ([WELL], "-+++++", (), Status.HEALTHY),
        ([WELL], "+++---", (), Status.UNHEALTHY),
        ([WELL], "---+", (), Status.DEGRADED),
        ([WELL, LIMITED], "++++", (), Status.DEGRADED),
        ([OPEN], "++++", (), Status.UNHEALTHY),
        ([HALF_OPEN], "++++", (), Status.UNHEALTHY),
        ([LIMITED], "", (), Status.UNHEALTHY),
        ([WRONG], "++++", (), Status.MISCONFIGURED),
        ([SPENT], "++++", (), Status.MISCONFIGURED),
        ([WELL, WRONG], "++++", (), Status.DEGRADED),
        ([OPEN, WRONG], "++++", (), Status.UNHEALTHY),
        ([WELL], "-", ("openai#0",), Status.MISCONFIGURED),
        ([WELL, standing("openai#1")], "+", ("openai#0",), Status.DEGRADED),
    ],
)
def test_the_rule(
    states: list[DeploymentState], outcomes: str, denied: tuple[str, ...], expected: Status
) -> None:
    """Every sentence of `status_of`, with the edges of its numbers."""
    assert status_of(states, [mark == "+" for mark in outcomes], denied=denied) is expected


@given(
    st.lists(st.sampled_from([WELL, OPEN, HALF_OPEN, LIMITED, WRONG, SPENT]), max_size=4),
    st.lists(st.booleans(), max_size=10),
)
def test_healthy_means_that_nothing_cools_down_and_the_last_answer_came(
    states: list[DeploymentState], outcomes: list[bool]
) -> None:
    """Whatever the history, the word never promises more than the facts."""
    status = status_of(states, outcomes)
    if status is Status.HEALTHY:
        assert outcomes[-1] and all(state.breaker == "closed" for state in states)
    if status is Status.UNKNOWN:
        assert not outcomes


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (attempt(), True),
        (attempt(K.BAD_REQUEST, 400), True),
        (attempt(K.CONTENT_POLICY, 400), True),
        (attempt(K.REJECTED, 200), True),
        (attempt(K.BAD_REQUEST), False),
        (attempt(K.CANCELLED, 200), False),
        (attempt(K.RATE_LIMIT, 429), False),
        (attempt(K.SERVER, 500), False),
        (attempt(K.AUTH, 401), False),
        (attempt(K.QUOTA, 429), False),
        (attempt(K.CONNECTION), False),
    ],
)
def test_a_refusal_of_what_was_asked_is_a_sign_of_life(seen: Attempt, expected: bool) -> None:
    """A model that wants more than one token is alive; a caller who left says nothing."""
    assert is_alive(seen) is expected


def test_pings_are_reported_in_the_documented_words() -> None:
    """ISO time without offset, seconds since, totals and the rate, all plain data."""
    clock = Clock()
    health = Health(["openai"], clock=clock, now=lambda: datetime(2024, 1, 15, 10, 30, 0, 123456))  # noqa: DTZ001 - local time is the format
    nothing = {
        "last_ping": None,
        "seconds_since_ping": None,
        "total_pings": 0,
        "failures": 0,
        "failure_rate": 0.0,
    }
    assert health.pings("openai") == nothing
    for number in range(120):
        health.note(attempt(K.SERVER, 500) if number < 2 else attempt(), ping=True)
    clock.now += 15.2
    assert health.pings("openai") == {
        "last_ping": "2024-01-15T10:30:00",
        "seconds_since_ping": pytest.approx(15.2),
        "total_pings": 120,
        "failures": 2,
        "failure_rate": 2 / 120,
    }
    clock.now -= 5000.0
    assert health.pings("openai")["seconds_since_ping"] == 0.0


def test_pings_and_users_requests_count_together_for_the_status_and_apart_for_the_price() -> None:
    """Three failed users' requests make a provider unhealthy; a ping that gets through mends it."""
    health = Health(["openai"])
    for _ in range(3):
        health.note(attempt(K.TIMEOUT), ping=False)
    assert health.status("openai", [WELL]) is Status.UNHEALTHY
    assert health.last_failure("openai")[0] is K.TIMEOUT
    health.note(attempt(usage=Usage(8, 1, 9), cost_usd=0.5), ping=True)
    assert health.status("openai", [WELL]) is Status.DEGRADED
    assert health.spent("openai") == {
        "pings": 1,
        "failures": 0,
        "tokens": 9,
        "estimated_cost_usd": 0.5,
    }


def test_old_outcomes_fade_and_the_last_one_stays() -> None:
    """After five minutes of silence only the last outcome counts."""
    clock = Clock()
    health = Health([], clock=clock)
    for kind in (K.SERVER, K.SERVER, K.SERVER, None):
        health.note(attempt(kind, 500 if kind else 200), ping=False)
    assert health.status("openai", [WELL]) is Status.DEGRADED
    clock.now += RECENT + 0.1
    assert health.status("openai", [WELL]) is Status.HEALTHY


def test_a_refused_key_is_forgotten_with_the_first_answer() -> None:
    """A connection probe's 401 marks the deployment; a user's answer over it takes the mark away."""
    health = Health(["openai"])
    health.note(attempt(K.AUTH, 401), ping=True)
    assert health.status("openai", [WELL]) is Status.MISCONFIGURED
    health.note(attempt(), ping=False)
    assert health.status("openai", [WELL]) is Status.DEGRADED


@pytest.mark.parametrize("ping", [False, True])
def test_a_stale_connection_says_nothing(ping: bool) -> None:
    """It broke while nobody used it; what the fresh one finds is what counts."""
    health = Health(["openai"])
    health.note(attempt(K.CONNECTION, stale=True), ping=ping)
    assert health.status("openai", [WELL]) is Status.UNKNOWN
    assert health.pings("openai")["total_pings"] == 0


def test_a_cancelled_request_says_nothing() -> None:
    """Who goes away early does not make a provider look ill."""
    health = Health(["openai"])
    health.note(attempt(K.CANCELLED), ping=False)
    assert health.status("openai", [WELL]) is Status.UNKNOWN
    assert health.last_failure("openai") == (None, None)


def test_breaker_words() -> None:
    """Closed, open, half-open."""
    assert [state.breaker for state in (WELL, OPEN, HALF_OPEN)] == ["closed", "open", "half-open"]
