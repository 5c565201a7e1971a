"""Turns, leases, breakers and cooldowns: pure, with an injected clock."""

from __future__ import annotations

import os
import threading
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_unified.forksafe import ForkSafeLock
from llm_unified.pool.breaker import Breaker, State
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.lease import Lease
from llm_unified.pool.rotation import Rotation
from llm_unified.pool.terms import MISCONFIGURED_SECONDS
from llm_unified.pool.turns import turn_order
from llm_unified.response import FailureKind as K

BUDGET = 30.0


def pool(count: int, *, weights: list[int] | None = None, keys: int = 1) -> list[Deployment]:
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
    made = Rotation(pool(count, keys=keys), clock=clock, chance=lambda: 0.5, **options)  # type: ignore[arg-type]
    return made, clock


def taken(turns: Rotation, times: int) -> list[Lease]:
    leases = (turns.acquire("p", budget=BUDGET) for _ in range(times))
    return [lease for lease in leases if lease is not None]


def ids(turns: Rotation, times: int) -> list[str]:
    return [lease.deployment.id for lease in taken(turns, times)]


def lease(turns: Rotation, number: int = 0, *, of: int = 3, keys: int = 1) -> Lease:
    return turns.lease(pool(of, keys=keys)[number])


def opened(**options: float) -> tuple[Rotation, Clock]:
    """A rotation of three whose one endpoint just opened for 10 s."""
    turns, clock = rotation(threshold=1, **options)
    assert lease(turns).failed(K.SERVER) == 10.0
    return turns, clock


def half_open(**options: float) -> tuple[Rotation, Clock]:
    turns, clock = opened(**options)
    clock.now += 10.0
    return turns, clock


# -- whose turn --------------------------------------------------------------------------------


def test_turns_are_strict() -> None:
    """0-1-2-0-1-2, however many."""
    turns, _ = rotation(3)
    assert ids(turns, 7) == ["p#0", "p#1", "p#2", "p#0", "p#1", "p#2", "p#0"]


def test_the_cursor_survives_a_deployment_that_drops_out_and_returns() -> None:
    """None is skipped or asked twice because another one cooled down."""
    turns, clock = rotation(4, keys=4)
    assert ids(turns, 2) == ["p#0", "p#1"]
    lease(turns, 1, of=4, keys=4).failed(K.RATE_LIMIT, retry_after=5.0)
    assert ids(turns, 4) == ["p#2", "p#3", "p#0", "p#2"]
    clock.now += 5.0
    assert ids(turns, 4) == ["p#3", "p#0", "p#1", "p#2"]


@given(st.integers(1, 12), st.integers(1, 200))
def test_with_constant_membership_turns_differ_by_at_most_one(count: int, times: int) -> None:
    """Fairness at every moment."""
    turns, _ = rotation(count)
    counts = Counter(ids(turns, times))
    seen = [counts[f"p#{i}"] for i in range(count)]
    assert max(seen) - min(seen) <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_weights_are_kept_in_every_round(weights: list[int]) -> None:
    """In one round each deployment is there as often as its weight (equal weights: once)."""
    order = turn_order(pool(len(weights), weights=weights))
    share = 1 if len(set(weights)) == 1 else None
    counts = Counter(d.id for d in order)
    assert [counts[f"p#{i}"] for i in range(len(weights))] == [share or w for w in weights]


def test_weighted_turns_are_spread() -> None:
    """The heavy one is not asked in a row when it need not be."""
    order = [d.id for d in turn_order(pool(3, weights=[2, 1, 1]))]
    assert all(a != b for a, b in pairwise(order))


def test_a_call_asks_each_key_once() -> None:
    """`without` leaves out the deployments whose key was asked already."""
    turns, _ = rotation(4, keys=2)
    first = turns.acquire("p", budget=BUDGET)
    assert first is not None
    without = {first.deployment.credential}
    assert turns.available("p", without=without)
    second = turns.acquire("p", budget=BUDGET, without=without)
    assert second is not None
    without.add(second.deployment.credential)
    assert without == {"p/key0", "p/key1"}
    assert not turns.available("p", without=without)
    assert turns.acquire("p", budget=BUDGET, without=without, soonest=True) is None


# -- the breaker -------------------------------------------------------------------------------


def test_a_breaker_says_its_state() -> None:
    """Closed, open, half-open, and a plain cooldown ends closed."""
    breaker = Breaker()
    assert breaker.state(0.0) is State.CLOSED
    breaker.open(10.0, K.SERVER, 0.0)
    assert (breaker.state(9.9), breaker.state(10.0)) == (State.OPEN, State.HALF_OPEN)
    breaker.close(10.0, forget=True)
    breaker.cool(5.0, K.RATE_LIMIT, 10.0, asked_for=True)
    assert (breaker.state(14.9), breaker.state(15.0)) == (State.OPEN, State.CLOSED)


def test_the_breaker_opens_after_consecutive_failures_only() -> None:
    """An answer in between forgets the failures."""
    turns, _ = rotation(threshold=3, cooldown=10.0)
    assert [lease(turns).failed(K.SERVER) for _ in range(2)] == [0.0, 0.0]
    assert not lease(turns).succeeded()
    assert [lease(turns).failed(K.SERVER) for _ in range(3)] == [0.0, 0.0, 10.0]
    assert not turns.available("p")
    assert turns.acquire("p", budget=BUDGET) is None


def test_the_cooldown_doubles_with_each_failed_probe_up_to_a_minute() -> None:
    """10, 20, 40, 60, 60 s; a good probe starts anew."""
    turns, clock = rotation(threshold=1, cooldown=10.0)
    cooldowns = []
    for _ in range(5):
        (probe,) = taken(turns, 1)
        cooldowns.append(probe.failed(K.TIMEOUT))
        clock.now += cooldowns[-1]
    assert cooldowns == [10.0, 20.0, 40.0, 60.0, 60.0]
    (probe,) = taken(turns, 1)
    assert probe.probe
    assert probe.succeeded()
    assert lease(turns).failed(K.TIMEOUT) == 10.0


def test_a_cooldown_is_jittered_by_a_tenth() -> None:
    """Many processes do not come back at the same instant."""
    for chance, seconds in ((0.0, 9.0), (1.0, 11.0)):
        turns = Rotation(pool(1), threshold=1, cooldown=10.0, chance=lambda c=chance: c)  # type: ignore[misc]
        assert lease(turns).failed(K.SERVER) == pytest.approx(seconds, abs=0.01)


def test_exactly_one_probe() -> None:
    """When the cooldown ends one is let through; the others wait for its word."""
    turns, _ = half_open()
    (probe,) = taken(turns, 100)
    assert probe.probe
    assert not turns.available("p")


def test_a_probe_without_verdict_is_given_back() -> None:
    """A cancelled probe does not close the door for ever."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    probe.released()
    assert len(taken(turns, 5)) == 1


def test_a_probe_that_outlives_its_budget_is_free_for_the_next() -> None:
    """And once somebody else has it, the late word of the old owner changes nothing."""
    turns, clock = half_open()
    (late,) = taken(turns, 1)
    clock.now += BUDGET
    (probe,) = taken(turns, 2)
    assert late.failed(K.SERVER) == 0.0
    assert not turns.available("p")
    assert probe.succeeded()
    assert len(taken(turns, 5)) == 5


def test_a_late_word_counts_as_long_as_nobody_took_the_probe() -> None:
    """An attempt that ends at its limit ends a moment after its budget."""
    turns, clock = half_open()
    (late,) = taken(turns, 1)
    clock.now += BUDGET + 0.1
    assert late.failed(K.TIMEOUT) == 20.0


def test_a_dropped_probe_is_free_after_its_budget() -> None:
    """Nobody has to settle a lease that was collected."""
    turns, clock = half_open()
    taken(turns, 1)
    assert turns.acquire("p", budget=BUDGET) is None
    clock.now += BUDGET
    assert turns.available("p")


def test_a_lease_is_settled_once() -> None:
    """Whatever is said after the final word changes nothing."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    assert probe.failed(K.SERVER) == 20.0
    assert not probe.answering()
    assert not probe.succeeded()
    assert not probe.reconnected(frozenset(K))
    probe.released()
    assert probe.failed(K.RATE_LIMIT, retry_after=100.0) == 0.0
    assert turns.soonest(["p"]) == ("p", 20.0, False)


def test_stragglers_do_not_prolong_the_cooldown() -> None:
    """A hundred calls that failed together open the breaker once."""
    turns, clock = rotation(threshold=3, cooldown=10.0)
    for out in taken(turns, 120):
        out.failed(K.CONNECTION)
    clock.now += 10.01
    assert turns.available("p")


def test_stragglers_do_not_close_the_breaker() -> None:
    """An answer to a request from before it opened says nothing about now."""
    turns, _ = rotation(threshold=1)
    old, bad = taken(turns, 2)
    bad.failed(K.SERVER)
    assert not old.succeeded()
    assert not turns.available("p")


def test_a_straggler_says_nothing_about_the_probe() -> None:
    """Neither its failure reopens, nor its answer closes what a probe is deciding."""
    turns, clock = rotation(threshold=1)
    bad, good, broken = taken(turns, 3)
    bad.failed(K.SERVER)
    clock.now += 10.0
    (probe,) = taken(turns, 1)
    assert not good.succeeded()
    assert broken.failed(K.SERVER) == 0.0
    assert not turns.available("p")
    assert probe.succeeded()
    assert turns.available("p")


@pytest.mark.parametrize("kind", [K.AUTH, K.NOT_FOUND, K.QUOTA])
def test_a_straggler_finds_nothing_misconfigured(kind: K) -> None:
    """Sixty calls that met it together make it cool down once."""
    turns, clock = rotation()
    first, *others = taken(turns, 60)
    assert first.failed(kind) == 60.0
    clock.now += 30.0
    assert {other.failed(kind) for other in others} == {0.0}
    clock.now += 30.0
    assert turns.available("p")


@pytest.mark.parametrize("kind", [K.REJECTED, K.CONTEXT_LENGTH, K.CONTENT_POLICY, K.BAD_REQUEST])
def test_a_probe_that_was_answered_closes_even_if_the_answer_was_no_use(kind: K) -> None:
    """The provider lives: it said so itself."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    assert probe.failed(kind) == 0.0
    assert len(taken(turns, 5)) == 5


def test_a_cancelled_probe_is_no_answer() -> None:
    """`failed(CANCELLED)` frees the probe, and the next decides."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    assert probe.failed(K.CANCELLED) == 0.0
    (again,) = taken(turns, 5)
    assert again.probe


# -- streams -----------------------------------------------------------------------------------


def test_a_streams_first_content_settles_the_probe() -> None:
    """The others need not wait until the stream is over."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    assert probe.answering()
    assert len(taken(turns, 5)) == 5
    assert not probe.succeeded()


def test_a_stream_that_breaks_after_its_first_content_counts_as_a_failure() -> None:
    """In closed state, against the threshold; the next cooldown is still the longer one."""
    turns, clock = rotation(threshold=2)
    assert [lease(turns).failed(K.SERVER) for _ in range(2)] == [0.0, 10.0]
    clock.now += 10.0
    (probe,) = taken(turns, 1)
    assert probe.answering()
    assert probe.failed(K.TIMEOUT) == 0.0
    assert turns.available("p")
    assert lease(turns).failed(K.TIMEOUT) == 20.0


def test_first_content_does_not_forget_failures() -> None:
    """Three streams that break one after the other open the breaker, though each of them began."""
    turns, _ = rotation(threshold=3)
    cooldowns = []
    for _ in range(3):
        (out,) = taken(turns, 1)
        assert not out.answering()
        cooldowns.append(out.failed(K.CONNECTION))
    assert cooldowns == [0.0, 0.0, 10.0]


# -- keys --------------------------------------------------------------------------------------


def test_a_429_cools_its_key_for_exactly_what_was_asked() -> None:
    """And an answer that another call had meanwhile does not end that."""
    turns, clock = rotation(3, keys=3)
    other = lease(turns, 0, keys=3)
    assert lease(turns, 0, keys=3).failed(K.RATE_LIMIT, retry_after=7.0) == 7.0
    assert not other.succeeded()
    assert not lease(turns, 0, keys=3).succeeded()
    assert not lease(turns, 1, keys=3).succeeded()
    assert ids(turns, 4) == ["p#1", "p#2", "p#1", "p#2"]
    clock.now += 7.0
    assert "p#0" in ids(turns, 3)


def test_a_shorter_429_does_not_shorten_the_cooldown() -> None:
    """The longest wish wins, also a straggler's."""
    turns, _ = rotation(1)
    straggler, first, second = taken(turns, 3)
    first.failed(K.RATE_LIMIT, retry_after=30.0)
    assert second.failed(K.RATE_LIMIT, retry_after=1.0) == 30.0
    assert straggler.failed(K.RATE_LIMIT, retry_after=50.0) == 50.0


def test_a_straggler_may_lengthen_a_429_and_do_no_more() -> None:
    """The key was found wrong and well again since it was asked; only a limit's end is still moved."""
    turns, clock = rotation(1)
    early, late, last, refused = taken(turns, 4)
    refused.failed(K.AUTH)
    assert early.failed(K.RATE_LIMIT, retry_after=100.0) == 0.0
    clock.now += 60.0
    (probe,) = taken(turns, 1)
    assert probe.succeeded()
    assert late.failed(K.RATE_LIMIT, retry_after=100.0) == 0.0
    (limited,) = taken(turns, 1)
    assert limited.failed(K.RATE_LIMIT, retry_after=5.0) == 5.0
    assert last.failed(K.RATE_LIMIT, retry_after=8.0) == 8.0


def test_an_answer_during_a_429_forgets_nothing() -> None:
    """Reports still say why it cools down."""
    turns, _ = rotation(1)
    other, limited = taken(turns, 2)
    limited.failed(K.RATE_LIMIT, retry_after=5.0)
    other.succeeded()
    assert turns.state("p")[0].kind is K.RATE_LIMIT


def test_a_429_without_a_wish_cools_for_the_configured_time() -> None:
    """That is our guess, not the upstream's wish."""
    turns, _ = rotation(cooldown=12.0)
    assert lease(turns).failed(K.RATE_LIMIT) == 12.0
    assert turns.soonest(["p"]) == ("p", 12.0, False)


def test_a_spent_key_cools_longer_each_time() -> None:
    """60 s doubling to 15 minutes; one probe after each; an answer starts anew."""
    turns, clock = rotation(1)
    cooldowns = []
    for _ in range(6):
        (probe,) = taken(turns, 3)[:1]
        cooldowns.append(probe.failed(K.QUOTA))
        clock.now += cooldowns[-1]
    assert cooldowns == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]
    (probe,) = taken(turns, 3)
    assert probe.succeeded()
    assert lease(turns, of=1).failed(K.QUOTA) == 60.0


def test_a_spent_key_leaves_its_siblings_alone() -> None:
    """Money belongs to a key, not to an endpoint."""
    turns, _ = rotation(2, keys=2)
    lease(turns, 0, of=2, keys=2).failed(K.QUOTA)
    assert ids(turns, 2) == ["p#1", "p#1"]


# -- the callers' faults, and the operators' ---------------------------------------------------


@pytest.mark.parametrize(
    "kind", [K.REJECTED, K.CONTEXT_LENGTH, K.CONTENT_POLICY, K.BAD_REQUEST, K.CANCELLED]
)
def test_the_callers_faults_cool_nobody_down(kind: K) -> None:
    """However often; and they forget no failure either."""
    turns, _ = rotation(threshold=2)
    lease(turns).failed(K.SERVER)
    assert [lease(turns).failed(kind) for _ in range(9)] == [0.0] * 9
    assert turns.available("p")
    assert lease(turns).failed(K.SERVER) == 10.0


@pytest.mark.parametrize("kind", [K.AUTH, K.NOT_FOUND])
def test_what_is_misconfigured_cools_down_at_once(kind: K) -> None:
    """Nobody asks again and again with a wrong key."""
    turns, clock = rotation(threshold=9)
    assert lease(turns).failed(kind) == MISCONFIGURED_SECONDS
    clock.now += MISCONFIGURED_SECONDS
    assert len(taken(turns, 10)) == 1


def test_a_404_for_a_model_of_the_callers_says_nothing() -> None:
    """`overridden`: the configured model may well exist."""
    turns, _ = rotation()
    assert lease(turns).failed(K.NOT_FOUND, overridden=True) == 0.0
    assert turns.available("p")


# -- Retry-After of an endpoint ----------------------------------------------------------------


def test_a_503_with_a_wish_cools_its_endpoint_at_once() -> None:
    """Exactly that long; no probe is needed afterwards; and it counted."""
    turns, clock = rotation(threshold=2)
    assert lease(turns).failed(K.SERVER, retry_after=30.0) == 30.0
    assert turns.soonest(["p"]) == ("p", 30.0, True)
    clock.now += 30.0
    assert len(taken(turns, 5)) == 5
    assert lease(turns).failed(K.SERVER) == 10.0


def test_the_longer_of_wish_and_cooldown_holds() -> None:
    """A short wish does not undo the breaker, a long one is kept; a probe follows both."""
    for wish, seconds in ((1.0, 10.0), (40.0, 40.0)):
        turns, clock = rotation(threshold=1)
        assert lease(turns).failed(K.SERVER, retry_after=wish) == seconds
        clock.now += seconds
        assert len(taken(turns, 5)) == 1


def test_a_wish_holds_for_the_last_resort() -> None:
    """Who asked to be left alone is not asked last either, until that time is over."""
    turns, clock = rotation(threshold=1)
    lease(turns).failed(K.SERVER, retry_after=4.0)
    assert not turns.last_resorts("p")
    assert turns.acquire("p", budget=BUDGET, last_resort=True) is None
    assert turns.soonest(["p"]) == ("p", 4.0, True)
    clock.now += 4.0
    assert turns.last_resorts("p")


# -- the last resort ---------------------------------------------------------------------------


def test_an_open_breaker_is_asked_last() -> None:
    """As a probe: one at a time, and its answer closes the breaker."""
    turns, _ = opened()
    assert turns.last_resorts("p")
    resort = turns.acquire("p", budget=BUDGET, last_resort=True)
    assert resort is not None
    assert resort.probe
    assert not turns.last_resorts("p")
    assert turns.acquire("p", budget=BUDGET, last_resort=True) is None
    assert resort.succeeded()
    assert turns.available("p")


def test_a_last_resort_that_fails_does_not_prolong_the_cooldown() -> None:
    """It was asked before its time."""
    turns, clock = opened()
    clock.now += 4.0
    resort = turns.acquire("p", budget=BUDGET, last_resort=True)
    assert resort is not None
    assert resort.failed(K.SERVER) == 6.0
    clock.now += 6.0
    (probe,) = taken(turns, 5)
    assert probe.failed(K.SERVER) == 20.0


@pytest.mark.parametrize("kind", [K.RATE_LIMIT, K.AUTH, K.QUOTA, K.NOT_FOUND])
def test_only_breakers_are_asked_last(kind: K) -> None:
    """A wrong or limited key is not tried again out of despair."""
    turns, _ = rotation()
    lease(turns).failed(kind)
    assert not turns.last_resorts("p")
    assert turns.acquire("p", budget=BUDGET, last_resort=True) is None


def test_the_healthy_go_before_the_last_resort() -> None:
    """The last resort is for when nobody else is there."""
    first, second = pool(2, keys=2)
    other = Deployment("p#1", "p", "m", "openai/m", "other", second.credential)
    turns = Rotation([first, other], threshold=1)
    turns.lease(first).failed(K.SERVER)
    chosen = turns.acquire("p", budget=BUDGET, last_resort=True)
    assert chosen is not None
    assert (chosen.deployment, chosen.probe) == (other, False)


def test_the_one_that_reopens_soonest_is_found() -> None:
    """With the reason: whether the upstream asked for the wait."""
    turns, _ = rotation(2, keys=2, threshold=1)
    lease(turns, 0, of=2, keys=2).failed(K.RATE_LIMIT, retry_after=40.0)
    lease(turns, 1, of=2, keys=2).failed(K.RATE_LIMIT, retry_after=4.0)
    assert turns.soonest(["p"]) == ("p", 4.0, True)
    forced = turns.acquire("p", budget=BUDGET, soonest=True)
    assert forced is not None
    assert forced.deployment.id == "p#1"
    assert turns.soonest([]) is None


def test_what_was_said_of_an_open_breaker_is_void_once_it_closed() -> None:
    """A forced request's failure does not count against the answer that came after it began."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    forced = turns.acquire("p", budget=BUDGET, soonest=True)
    assert forced is not None
    assert probe.succeeded()
    assert forced.failed(K.SERVER) == 0.0
    assert turns.available("p")


def test_somebody_can_always_be_forced() -> None:
    """Also while another's probe is under way; that one's word still decides."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    forced = turns.acquire("p", budget=BUDGET, soonest=True)
    assert forced is not None
    assert not forced.probe
    assert forced.failed(K.SERVER) == 0.0
    assert probe.succeeded()


# -- pings -------------------------------------------------------------------------------------


def test_a_ping_may_make_the_probe_early() -> None:
    """So that no user's call has to; then it is half-open, whatever the clock says."""
    turns, clock = opened()
    first = pool(3)[0]
    assert turns.claimable_in(first, ahead=2.0) == 8.0
    assert turns.claim(first, budget=BUDGET, ahead=2.0) is None
    clock.now += 8.0
    ping = turns.claim(first, budget=BUDGET, ahead=2.0)
    assert ping is not None
    assert ping.probe
    assert turns.claimable_in(first, ahead=2.0) is None
    assert not turns.available("p")
    ping.released()
    (probe,) = taken(turns, 5)
    assert probe.failed(K.SERVER) == 20.0


def test_a_ping_is_never_early_where_the_upstream_asked() -> None:
    """A wish is kept to its end."""
    turns, _ = rotation(threshold=1)
    lease(turns).failed(K.SERVER, retry_after=20.0)
    assert turns.claimable_in(pool(3)[0], ahead=2.0) == 20.0


def test_a_connection_probe_leaves_alone_what_it_cannot_cure() -> None:
    """A server that failed needs a real request."""
    turns, clock = opened()
    clock.now += 10.0
    assert turns.claim(pool(3)[0], budget=BUDGET, only={K.CONNECTION}) is None
    assert turns.claimable_in(pool(3)[0], only={K.CONNECTION}) is None
    assert turns.claimable_in(pool(3)[0], only={K.SERVER}) == 0.0


def test_a_connection_probe_closes_what_it_cures() -> None:
    """And only that."""
    turns, clock = rotation(threshold=1)
    lease(turns).failed(K.CONNECTION)
    clock.now += 10.0
    ping = turns.claim(pool(3)[0], budget=BUDGET, only={K.CONNECTION})
    assert ping is not None
    assert not turns.available("p")
    assert ping.reconnected({K.CONNECTION})
    assert turns.available("p")
    lease(turns).failed(K.SERVER)
    clock.now += 10.0
    (probe,) = taken(turns, 1)
    assert not probe.reconnected({K.CONNECTION})
    (probe,) = taken(turns, 1)
    assert probe.probe


# -- reload, fleet, reports --------------------------------------------------------------------


def test_a_reload_keeps_what_stays() -> None:
    """Cooldowns and cursor survive a new set of deployments."""
    turns, _ = rotation(3, keys=3)
    assert ids(turns, 1) == ["p#0"]
    lease(turns, 1, keys=3).failed(K.RATE_LIMIT, retry_after=60.0)
    turns.replace(pool(4, keys=4))
    assert ids(turns, 4) == ["p#2", "p#3", "p#0", "p#2"]


def test_a_reload_changes_the_terms_of_leases_that_are_out() -> None:
    """Threshold and cooldown are what is configured when the word comes."""
    turns, _ = rotation(3, threshold=3)
    (out,) = taken(turns, 1)
    turns.replace(pool(3), threshold=1, cooldown=25.0)
    assert out.failed(K.SERVER) == 25.0


def test_a_lease_on_what_was_forgotten_changes_nothing() -> None:
    """The old key's failure is not the new one's."""
    turns, _ = rotation(1, threshold=1)
    refused, limited, broken = taken(turns, 3)
    turns.forget(pool(1)[0])
    refused.failed(K.AUTH)
    limited.failed(K.RATE_LIMIT, retry_after=100.0)
    broken.failed(K.SERVER)
    assert turns.available("p")


def test_another_processs_cooldown_holds_here() -> None:
    """As long as it said, at most as long as this process's own would be, and with a probe after it."""
    for kind, given_, seconds, probes in (
        (K.SERVER, 20.0, 20.0, 1),
        (K.SERVER, 1e6, 66.0, 1),
        (K.RATE_LIMIT, 1e6, 3600.0, 5),
        (K.QUOTA, 1e6, 900.0, 1),
        (K.AUTH, 1e6, 60.0, 1),
        (K.BAD_REQUEST, 1e6, 0.0, 5),
    ):
        turns, clock = rotation()
        turns.cooldown_elsewhere(pool(3)[0], given_, kind)
        assert turns.soonest(["p"]) == ("p", pytest.approx(seconds), False)
        clock.now += seconds
        assert len(taken(turns, 5)) == probes


def test_a_wish_is_known_as_one_in_every_process() -> None:
    """`asked_for` travels with the cooldown."""
    turns, _ = rotation()
    turns.cooldown_elsewhere(pool(3)[0], 600.0, K.SERVER, asked_for=True)
    assert turns.soonest(["p"]) == ("p", 600.0, True)
    assert not turns.last_resorts("p")


def test_another_processs_cooldown_does_not_touch_a_probe() -> None:
    """What this process finds out itself, and later, is the better news."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    turns.cooldown_elsewhere(pool(3)[0], 60.0, K.SERVER)
    assert probe.succeeded()
    assert turns.available("p")


def test_who_cools_down_together() -> None:
    """By key, by endpoint, or by either."""
    turns, _ = rotation(4, keys=2)
    first = pool(4, keys=2)[0]
    assert [d.id for d in turns.affected(first, K.RATE_LIMIT)] == ["p#0", "p#2"]
    assert len(turns.affected(first, K.SERVER)) == len(turns.affected(first, None)) == 4


def test_the_state_is_what_reports_show() -> None:
    """The longer cooldown of the two, with its kind, and whether a probe decides."""
    turns, clock = rotation(2, keys=2, threshold=1)
    lease(turns, 0, of=2, keys=2).failed(K.RATE_LIMIT, retry_after=40.0)
    first, second = turns.state("p")
    assert (first.cooldown_seconds, first.kind, first.half_open) == (40.0, K.RATE_LIMIT, False)
    assert (second.cooldown_seconds, second.kind, second.half_open) == (0.0, None, False)
    lease(turns, 1, of=2, keys=2).failed(K.TIMEOUT)
    clock.now += 10.0
    first, second = turns.state("p")
    assert (first.cooldown_seconds, first.kind) == (30.0, K.RATE_LIMIT)
    assert (second.cooldown_seconds, second.kind, second.half_open) == (0.0, K.TIMEOUT, True)


def test_two_requests_a_minute_are_enough() -> None:
    """The breaker counts failures, not failures per minute."""
    turns, clock = rotation(threshold=3)
    for _ in range(3):
        assert turns.available("p")
        lease(turns).failed(K.TIMEOUT)
        clock.now += 30.0 if turns.available("p") else 0.0
    assert not turns.available("p")


# -- threads and processes ---------------------------------------------------------------------


def test_threads_share_one_probe() -> None:
    """Of sixteen that come at the same moment one gets it, again and again."""
    turns, clock = rotation(3, threshold=1)
    for _ in range(50):
        lease(turns).failed(K.SERVER)
        clock.now += 100.0
        start = threading.Barrier(16)
        found: list[Lease] = []

        def work(start=start, found=found) -> None:
            start.wait()
            out = turns.acquire("p", budget=BUDGET)
            if out is not None:
                found.append(out)

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (probe,) = found
        assert probe.succeeded()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_finds_the_locks_free() -> None:
    """Even if a thread of its parent was inside at the fork."""
    turns, _ = rotation()
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with turns._terms.lock:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        import signal

        signal.alarm(10)  # ends the child if the lock is still held
        os._exit(0 if turns.acquire("p", budget=BUDGET) is not None else 1)
    leave.set()
    thread.join()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_fork_safe_lock_excludes() -> None:
    """It is a lock, after all."""
    lock, seen = ForkSafeLock(), []
    with lock:
        thread = threading.Thread(target=lambda: [seen.append(1) for _ in range(1) if enter(lock)])
        thread.start()
        thread.join(0.05)
        assert not seen
    thread.join()
    assert seen == [1]


def test_a_finalizer_may_speak_in_the_middle_of_its_own_threads_section() -> None:
    """A stream that the collector ends releases its lease, wherever the collector happened to run."""
    turns, _ = half_open()
    (probe,) = taken(turns, 1)
    with turns._terms.lock:
        thread = threading.Thread(target=probe.released)  # another thread waits,
        thread.start()
        thread.join(0.05)
        assert not turns.available("p")
        probe.released()  # this one does not
        assert turns.available("p")
    thread.join()


def enter(lock: ForkSafeLock) -> bool:
    with lock:
        return True
