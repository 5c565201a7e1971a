"""Turns and rests: pure, with an injected clock."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llm_unified.pool.deployments import Deployment
from llm_unified.response import FailureKind as K
from llm_unified.rotation import LONGEST_REST, Rotation, turn_order


def copies(count: int, *, weights: list[int] | None = None, keys: int = 1) -> list[Deployment]:
    return [
        Deployment(
            id=f"p#{i}",
            provider="p",
            model="m",
            litellm_model="openai/m",
            endpoint="e",
            credential=f"p/key{i % keys}",
            weight=weights[i] if weights else 1,
        )
        for i in range(count)
    ]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rotation(count: int = 3, *, keys: int = 1, **options: float) -> tuple[Rotation, Clock]:
    clock = Clock()
    made = Rotation(copies(count, keys=keys), clock=clock, chance=lambda: 0.5, **options)  # type: ignore[arg-type]
    return made, clock


def picked(turns: Rotation, times: int) -> list[str]:
    return [d.id for d in (turns.pick("p") for _ in range(times)) if d is not None]


def test_turns_are_strict() -> None:
    """0-1-2-0-1-2, however many."""
    turns, _ = rotation(3)
    assert picked(turns, 7) == ["p#0", "p#1", "p#2", "p#0", "p#1", "p#2", "p#0"]


def test_the_cursor_survives_a_copy_that_drops_out_and_returns() -> None:
    """No copy is skipped or asked twice because another one rested."""
    turns, clock = rotation(4, keys=4)
    assert picked(turns, 2) == ["p#0", "p#1"]
    turns.failed(copies(4, keys=4)[1], K.RATE_LIMIT, retry_after=5.0)
    assert picked(turns, 4) == ["p#2", "p#3", "p#0", "p#2"]
    clock.now += 5.0
    assert picked(turns, 4) == ["p#3", "p#0", "p#1", "p#2"]


@given(st.integers(1, 12), st.integers(1, 200))
def test_with_constant_membership_turns_differ_by_at_most_one(count: int, times: int) -> None:
    """Fairness at every moment."""
    turns, _ = rotation(count)
    counts = Counter(picked(turns, times))
    seen = [counts[f"p#{i}"] for i in range(count)]
    assert max(seen) - min(seen) <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_weights_are_kept_in_every_round(weights: list[int]) -> None:
    """In one round each copy is there as often as its weight (equal weights: once)."""
    order = turn_order(copies(len(weights), weights=weights))
    share = 1 if len(set(weights)) == 1 else None
    counts = Counter(d.id for d in order)
    assert [counts[f"p#{i}"] for i in range(len(weights))] == [share or w for w in weights]


def test_weighted_turns_are_spread() -> None:
    """The heavy one is not asked in a row when it need not be."""
    order = [d.id for d in turn_order(copies(3, weights=[2, 1, 1]))]
    assert all(a != b for a, b in pairwise(order))


def test_the_breaker_opens_after_consecutive_failures_only() -> None:
    """An answer in between forgets the failures."""
    turns, _ = rotation(threshold=3, cooldown=10.0)
    copy = copies(3)[0]
    assert [turns.failed(copy, K.SERVER) for _ in range(2)] == [0.0, 0.0]
    turns.succeeded(copy)
    assert [turns.failed(copy, K.SERVER) for _ in range(3)] == [0.0, 0.0, 10.0]
    assert not turns.available("p")
    assert turns.pick("p") is None


def test_the_rest_doubles_with_each_failed_trial_up_to_a_minute() -> None:
    """10, 20, 40, 60, 60 s; a good trial starts anew."""
    turns, clock = rotation(threshold=1, cooldown=10.0)
    rests = []
    for _ in range(5):
        trial = turns.pick("p")
        assert trial is not None
        rests.append(turns.failed(trial, K.TIMEOUT))
        clock.now += rests[-1]
    assert rests == [10.0, 20.0, 40.0, 60.0, 60.0]
    trial = turns.pick("p")
    assert trial is not None
    turns.succeeded(trial)
    assert turns.failed(trial, K.TIMEOUT) == 10.0


def test_a_rest_is_jittered_by_a_tenth() -> None:
    """Many processes do not come back at the same instant."""
    for chance, seconds in ((0.0, 9.0), (1.0, 11.0)):
        turns = Rotation(copies(1), threshold=1, cooldown=10.0, chance=lambda c=chance: c)  # type: ignore[misc]
        assert turns.failed(copies(1)[0], K.SERVER) == pytest.approx(seconds)


def test_exactly_one_trial() -> None:
    """When the rest ends one is let through; the others wait for its verdict."""
    turns, clock = rotation(threshold=1)
    turns.failed(copies(3)[0], K.SERVER)
    clock.now += 11.0
    assert len(picked(turns, 100)) == 1
    assert not turns.available("p")


def test_a_trial_without_verdict_is_given_back() -> None:
    """A cancelled trial does not close the door for ever."""
    turns, clock = rotation(threshold=1)
    turns.failed(copies(3)[0], K.SERVER)
    clock.now += 11.0
    trial = turns.pick("p")
    assert trial is not None
    turns.released(trial)
    assert len(picked(turns, 5)) == 1


def test_stragglers_do_not_prolong_the_rest() -> None:
    """A hundred calls that failed together open the breaker once."""
    turns, clock = rotation(threshold=3, cooldown=10.0)
    for copy in copies(3) * 40:
        turns.failed(copy, K.CONNECTION)
    clock.now += 10.01
    assert turns.available("p")


def test_a_429_rests_its_key_for_exactly_what_was_asked() -> None:
    """And an answer that another call had meanwhile does not end that."""
    turns, clock = rotation(3, keys=3)
    first, second, _ = copies(3, keys=3)
    assert turns.failed(first, K.RATE_LIMIT, retry_after=7.0) == 7.0
    turns.succeeded(first)
    turns.succeeded(second)
    assert picked(turns, 4) == ["p#1", "p#2", "p#1", "p#2"]
    clock.now += 7.0
    assert "p#0" in picked(turns, 3)


def test_a_shorter_429_does_not_shorten_the_rest() -> None:
    """The longest wish wins."""
    turns, _ = rotation(1)
    turns.failed(copies(1)[0], K.RATE_LIMIT, retry_after=30.0)
    assert turns.failed(copies(1)[0], K.RATE_LIMIT, retry_after=1.0) == 30.0


@pytest.mark.parametrize("kind", [K.CONTEXT_LENGTH, K.CONTENT_POLICY, K.BAD_REQUEST, K.CANCELLED])
def test_the_callers_faults_rest_nobody(kind: K) -> None:
    """However often."""
    turns, _ = rotation(threshold=1)
    assert [turns.failed(copies(3)[0], kind) for _ in range(9)] == [0.0] * 9
    assert turns.available("p")


@pytest.mark.parametrize("kind", [K.AUTH, K.NOT_FOUND])
def test_what_is_misconfigured_rests_at_once(kind: K) -> None:
    """Nobody asks again and again with a wrong key."""
    turns, clock = rotation(threshold=9)
    assert turns.failed(copies(3)[0], kind) == LONGEST_REST
    clock.now += LONGEST_REST
    assert len(picked(turns, 10)) == 1


def test_the_one_that_reopens_soonest_is_found() -> None:
    """With the reason: whether the upstream asked for the rest."""
    turns, _ = rotation(2, keys=2, threshold=1)
    first, second = copies(2, keys=2)
    turns.failed(first, K.RATE_LIMIT, retry_after=40.0)
    turns.failed(second, K.RATE_LIMIT, retry_after=4.0)
    assert turns.soonest(["p"]) == ("p", 4.0, True)
    forced = turns.pick("p", even_resting=True)
    assert forced is not None
    assert forced.id == "p#1"
    assert turns.soonest([]) is None


def test_a_reload_keeps_what_stays() -> None:
    """Rests and cursor survive a new set of copies."""
    turns, _ = rotation(3, keys=3)
    assert picked(turns, 1) == ["p#0"]
    turns.failed(copies(3, keys=3)[1], K.RATE_LIMIT, retry_after=60.0)
    turns.replace(copies(4, keys=4))
    assert picked(turns, 4) == ["p#2", "p#3", "p#0", "p#2"]


def test_two_requests_a_minute_are_enough() -> None:
    """The breaker counts failures, not failures per minute."""
    turns, clock = rotation(threshold=3)
    for _ in range(3):
        assert turns.available("p")
        turns.failed(copies(3)[0], K.TIMEOUT)
        clock.now += 30.0 if turns.available("p") else 0.0
    assert not turns.available("p")


class Life(RuleBasedStateMachine):
    """Any history of picks, answers, failures and waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.turns, self.clock = rotation(3, keys=2, threshold=2, cooldown=10.0)
        self.out: list[Deployment] = []

    @rule()
    def pick(self) -> None:
        copy = self.turns.pick("p")
        if copy is not None:
            self.out.append(copy)

    @rule(kind=st.sampled_from(list(K)), wait=st.none() | st.floats(0.0, 100.0))
    def fail(self, kind: K, wait: float | None) -> None:
        if self.out:
            assert self.turns.failed(self.out.pop(0), kind, retry_after=wait) >= 0.0

    @rule()
    def answer(self) -> None:
        if self.out:
            self.turns.succeeded(self.out.pop(0))

    @rule()
    def cancel(self) -> None:
        if self.out:
            self.turns.released(self.out.pop(0))

    @rule(seconds=st.floats(0.0, 200.0))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def somebody_can_always_be_asked_in_the_end(self) -> None:
        assert self.turns.soonest(["p"]) is not None

    @invariant()
    def no_rest_is_longer_than_it_may_be(self) -> None:
        for _, endpoint, credential, _ in self.turns.state("p"):
            assert endpoint.until - self.clock.now <= LONGEST_REST * 1.1 + 1e-6
            assert credential.until - self.clock.now <= 100.0 + 1e-6

    def teardown(self) -> None:
        for copy in self.out:
            self.turns.released(copy)
        self.clock.now += 1000.0
        assert self.turns.available("p")


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
