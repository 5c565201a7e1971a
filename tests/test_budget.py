"""How a deadline is split: pure, without a clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llm_unified.calls.budget import MAX_RESERVE_SECONDS, attempt_budget


@given(timeout=st.floats(0.001, 1e4), remaining=st.floats(0.001, 1e4), later=st.integers(0, 20))
def test_the_last_provider_is_always_reachable(
    timeout: float, remaining: float, later: int
) -> None:
    """If each attempt uses up its budget, every later one still has time, and the last has the rest."""
    left = remaining
    for still_to_come in range(later, -1, -1):
        budget = attempt_budget(timeout=timeout, remaining=left, later=still_to_come)
        assert 0.0 < budget <= min(timeout, left) + 1e-9
        reserve = min(MAX_RESERVE_SECONDS, left / (still_to_come + 1))
        assert left - budget >= reserve * still_to_come - 1e-6
        left -= budget
    assert attempt_budget(timeout=1e9, remaining=remaining, later=0) == remaining


def test_a_long_deadline_does_not_starve_the_first() -> None:
    """The reserve is an equal share, but at most five seconds each."""
    assert attempt_budget(timeout=60.0, remaining=2.0, later=1) == 1.0
    assert attempt_budget(timeout=60.0, remaining=120.0, later=3) == 60.0
    assert attempt_budget(timeout=60.0, remaining=30.0, later=3) == 15.0
