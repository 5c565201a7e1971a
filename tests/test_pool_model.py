"""Rotation and leases against a model that is simple to believe, with many leases out at once.

The model knows a probe by its lease, where the pool counts epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_unified.failures.table import FOLLOWS, Effect
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.lease import Lease
from llm_unified.pool.rotation import Rotation
from llm_unified.response import FailureKind as K

THRESHOLD, COOLDOWN = 2, 10.0
KEYS = ("p/a", "p/b")
KINDS = [*K, *[K.SERVER] * 6, *[K.RATE_LIMIT] * 3]
"""Most often what leads somewhere."""
BUDGETS = st.sampled_from([1.0, 30.0, 100.0])
DEPLOYMENTS = [Deployment(f"p#{i}", "p", "m", "openai/m", "e", KEYS[i % 2]) for i in range(3)]


@dataclass(eq=False)
class Thing:
    """An endpoint or a credential."""

    tripped: bool = False
    until: float = 0.0
    asked: float = 0.0
    failures: int = 0
    times: int = 0
    kind: K | None = None
    history: int = 0
    """How often everything that was said before went out of date."""
    prober: Any = None
    deadline: float = 0.0

    def busy(self, now: float) -> bool:
        return self.tripped and self.prober is not None and now < self.deadline

    def passes(self, now: float) -> bool:
        return now >= self.until and not self.busy(now)

    def trip(self, seconds: float, kind: K, now: float) -> None:
        self.tripped, self.until, self.kind, self.prober = True, now + seconds, kind, None
        self.history += 1

    def heal(self) -> None:
        self.tripped, self.until, self.asked, self.failures, self.prober = False, 0.0, 0.0, 0, None
        self.history += 1


@dataclass(eq=False)
class Out:
    """A lease that is out, and what the model knows of it."""

    lease: Lease
    things: tuple[Thing, Thing]
    seen: dict[Thing, int] = field(default_factory=dict)
    settled: bool = False

    def current(self, thing: Thing) -> bool:
        return self.seen[thing] == thing.history

    def probing(self, thing: Thing) -> bool:
        return thing.prober is self


class Life(RuleBasedStateMachine):
    """Any interleaving of leases and their words, of waiting, and of reloads."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.pool = Rotation(
            DEPLOYMENTS,
            threshold=THRESHOLD,
            cooldown=COOLDOWN,
            clock=lambda: self.now,
            chance=lambda: 0.5,
        )
        self.endpoint = Thing()
        self.keys = {key: Thing() for key in KEYS}
        self.out: list[Out] = []

    def things(self, deployment: Deployment) -> tuple[Thing, Thing]:
        return self.endpoint, self.keys[deployment.credential]

    def passes(self, without: frozenset[str] = frozenset()) -> bool:
        return self.endpoint.passes(self.now) and any(
            thing.passes(self.now) for key, thing in self.keys.items() if key not in without
        )

    def last_resort(self, deployment: Deployment) -> bool:
        return all(
            thing.passes(self.now)
            or (
                thing.tripped
                and not thing.busy(self.now)
                and self.now >= thing.asked
                and thing.kind is not None
                and FOLLOWS[thing.kind] is Effect.COUNT
            )
            for thing in self.things(deployment)
        )

    def handed(self, lease: Lease, budget: float, *, early: bool) -> None:
        """A lease was handed out: the model hands it out, too."""
        out = Out(lease, self.things(lease.deployment))
        for thing in out.things:
            if thing.tripped and not thing.busy(self.now) and (early or self.now >= thing.until):
                thing.history += 1
                thing.prober, thing.deadline = out, self.now + budget
            out.seen[thing] = thing.history
        assert lease.probe == any(out.probing(thing) for thing in out.things)
        self.out.append(out)

    # -- leases --------------------------------------------------------------------------------

    @rule(
        budget=BUDGETS,
        without=st.sampled_from([frozenset(), frozenset(), *map(frozenset, (KEYS[:1], KEYS))]),
        last_resort=st.booleans(),
        soonest=st.booleans(),
    )
    def acquire(
        self, budget: float, without: frozenset[str], last_resort: bool, soonest: bool
    ) -> None:
        healthy = self.passes(without)
        assert self.pool.available("p", without=without) == healthy
        left = [d for d in DEPLOYMENTS if d.credential not in without]
        resorts = any(self.last_resort(d) for d in left)
        lease = self.pool.acquire(
            "p", budget=budget, without=without, last_resort=last_resort, soonest=soonest
        )
        expected = bool(left) and (healthy or soonest or (last_resort and resorts))
        assert (lease is not None) == expected
        if lease is not None:
            assert lease.deployment.credential not in without
            self.handed(lease, budget, early=last_resort or soonest)

    @rule(deployment=st.sampled_from(DEPLOYMENTS), budget=BUDGETS)
    def lease_on_one(self, deployment: Deployment, budget: float) -> None:
        self.handed(self.pool.lease(deployment, budget=budget), budget, early=False)

    @rule(
        deployment=st.sampled_from(DEPLOYMENTS),
        budget=BUDGETS,
        ahead=st.sampled_from([0.0, 2.5]),
    )
    def claim(self, deployment: Deployment, budget: float, ahead: float) -> None:
        things = self.things(deployment)
        free = not any(thing.busy(self.now) for thing in things)
        due = all(
            max(thing.until - (ahead if thing.tripped else 0.0), thing.asked) - self.now <= 0.0
            for thing in things
        )
        lease = self.pool.claim(deployment, budget=budget, ahead=ahead)
        assert (lease is not None) == (free and due)
        if lease is not None:
            for thing in things:
                if thing.tripped:
                    thing.until = min(thing.until, self.now)
            self.handed(lease, budget, early=False)

    # -- their words ---------------------------------------------------------------------------

    def one_of_them(self, data: st.DataObject) -> Out:
        """Mostly one that is not settled yet."""
        unsettled = [out for out in self.out if not out.settled]
        settled = [out for out in self.out if out.settled][-1:]
        return data.draw(st.sampled_from(unsettled + settled))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def answering(self, data: st.DataObject) -> None:
        out = self.one_of_them(data)
        assert out.lease.answering() == (not out.settled and self.heal(out, forget=False))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        out = self.one_of_them(data)
        assert out.lease.succeeded() == (not out.settled and self.heal(out, forget=True))
        out.settled = True

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        out = self.one_of_them(data)
        out.lease.released()
        self.settle(out)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), cured=st.frozensets(st.sampled_from([K.CONNECTION, K.AUTH, K.SERVER])))
    def reconnect(self, data: st.DataObject, cured: frozenset[K]) -> None:
        out = self.one_of_them(data)
        healed = False
        if not out.settled:
            for thing in out.things:
                if thing.kind in cured:
                    healed |= self.heal_one(out, thing, forget=True)
        assert out.lease.reconnected(cured) == healed
        self.settle(out)

    @precondition(lambda self: self.out)
    @rule(
        data=st.data(),
        kind=st.sampled_from(KINDS),
        wish=st.sampled_from([None, None, None, 0.0, 4.0, 70.0]),
        overridden=st.sampled_from([False, False, True]),
    )
    def fail(self, data: st.DataObject, kind: K, wish: float | None, overridden: bool) -> None:
        out = self.one_of_them(data)
        expected = 0.0 if out.settled else self.verdict(out, kind, wish, overridden)
        found = out.lease.failed(kind, retry_after=wish, overridden=overridden)
        assert abs(found - expected) < 1e-6
        self.settle(out)

    def settle(self, out: Out) -> None:
        if not out.settled:
            for thing in out.things:
                if out.probing(thing):
                    thing.prober = None
        out.settled = True

    def heal(self, out: Out, *, forget: bool) -> bool:
        return sum(self.heal_one(out, thing, forget=forget) for thing in out.things) > 0

    def heal_one(self, out: Out, thing: Thing, *, forget: bool) -> bool:
        if not out.current(thing):
            return False
        was = thing.tripped
        if not was and self.now < thing.until:
            return False
        if was:
            thing.heal()
            out.seen[thing] = thing.history
        if forget:
            thing.failures, thing.times, thing.kind = 0, 0, None
        return was

    def verdict(self, out: Out, kind: K, wish: float | None, overridden: bool) -> float:
        endpoint, key = out.things
        match FOLLOWS[kind]:
            case Effect.COUNT if out.current(endpoint):
                self.count(out, endpoint, kind, wish or 0.0)
                return max(0.0, endpoint.until - self.now)
            case Effect.COOL_KEY:
                limited = key.kind is K.RATE_LIMIT and self.now < key.until
                if out.current(key) or limited:
                    self.cool(key, kind, COOLDOWN if wish is None else wish, wish is not None)
                    return max(0.0, key.until - self.now)
            case Effect.SPENT_KEY if out.current(key):
                key.times += 1
                return self.trip(key, min(900.0, 60.0 * 2.0 ** (key.times - 1)), kind)
            case Effect.MISCONFIGURED_KEY if out.current(key):
                return self.trip(key, 60.0, kind)
            case Effect.MISCONFIGURED if out.current(endpoint) and not overridden:
                return self.trip(endpoint, 60.0, kind)
            case Effect.NOTHING if kind is not K.CANCELLED:
                for thing in out.things:
                    if out.probing(thing):
                        self.heal_one(out, thing, forget=True)
        return 0.0

    def count(self, out: Out, endpoint: Thing, kind: K, wish: float) -> None:
        failed_probe = out.probing(endpoint) and self.now >= endpoint.until
        if wish > 0.0:
            self.cool(endpoint, kind, wish, asked=True)
        if endpoint.tripped and not failed_probe:
            return
        endpoint.failures += 1
        endpoint.kind = kind
        if failed_probe or endpoint.failures >= THRESHOLD:
            seconds = min(60.0, COOLDOWN * 2.0**endpoint.times)
            endpoint.times += 1
            endpoint.trip(max(seconds, endpoint.until - self.now), kind, self.now)

    def cool(self, thing: Thing, kind: K, seconds: float, asked: bool) -> None:
        if self.now + seconds > thing.until:
            thing.until, thing.kind = self.now + seconds, kind
        if asked:
            thing.asked = max(thing.asked, self.now + seconds)

    def trip(self, thing: Thing, seconds: float, kind: K) -> float:
        if self.now + seconds > thing.until:
            thing.trip(seconds, kind, self.now)
        return thing.until - self.now

    # -- time and reload -----------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0, 10.0, 20.0, 60.0, 101.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(0, 2), really=st.integers(0, 4))
    def forget(self, number: int, really: int) -> None:
        if really:  # not too often: it ends all stories
            return
        deployment = DEPLOYMENTS[number]
        self.pool.forget(deployment)
        self.endpoint, self.keys[deployment.credential] = Thing(), Thing()

    @rule()
    def reload(self) -> None:
        self.pool.replace(DEPLOYMENTS, threshold=THRESHOLD, cooldown=COOLDOWN)

    @rule(seconds=st.sampled_from([0.5, 15.0, 5000.0]), kind=st.sampled_from(KINDS))
    def elsewhere(self, seconds: float, kind: K) -> None:
        deployment = DEPLOYMENTS[0]
        endpoint, key = self.things(deployment)
        of_key = kind in (K.AUTH, K.QUOTA, K.RATE_LIMIT)
        thing = key if of_key else endpoint
        self.pool.cooldown_elsewhere(deployment, seconds, kind)
        longest = {
            Effect.COUNT: 66.0,
            Effect.COOL_KEY: 3600.0,
            Effect.SPENT_KEY: 900.0,
            Effect.NOTHING: 0.0,
        }.get(FOLLOWS[kind], 60.0)
        seconds = min(seconds, longest)
        if thing.busy(self.now) or seconds <= max(0.0, thing.until - self.now) + 1.0:
            return
        if kind is K.RATE_LIMIT:
            self.cool(thing, kind, seconds, asked=False)
        else:
            thing.trip(seconds, kind, self.now)
            thing.asked = 0.0

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def the_pool_admits_whom_the_model_admits(self) -> None:
        assert self.pool.available("p") == self.passes()
        for state in self.pool.state("p"):
            things = self.things(state.deployment)
            expected = max(0.0, *(thing.until - self.now for thing in things))
            assert abs(state.cooldown_seconds - expected) < 1e-6
            assert state.half_open == any(thing.tripped for thing in things)
            later = max(things, key=lambda thing: (thing.kind is not None, thing.until))
            assert state.kind == later.kind

    @invariant()
    def at_most_one_probe_is_under_way(self) -> None:
        """While one is, nobody else passes."""
        for thing in (self.endpoint, *self.keys.values()):
            if thing.busy(self.now):
                assert not thing.passes(self.now)
        if self.endpoint.busy(self.now):
            assert not self.pool.available("p")
            assert self.pool.acquire("p", budget=1.0, last_resort=True) is None

    @invariant()
    def somebody_can_always_be_asked_in_the_end(self) -> None:
        found = self.pool.soonest(["p"])
        assert found is not None
        assert 0.0 <= found[1] <= 3600.0 + 1e-6

    def teardown(self) -> None:
        """No probe is ever lost, however many leases are out that were never settled."""
        self.now += 3701.0  # the longest wish, and the longest budget
        assert self.pool.available("p")
        assert all(self.pool.claimable_in(deployment) == 0.0 for deployment in DEPLOYMENTS)


TestLife = Life.TestCase
TestLife.settings = settings(stateful_step_count=60)
