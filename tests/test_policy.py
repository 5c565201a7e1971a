"""What a failure is, and how a deadline is split: pure, without LiteLLM or a clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_unified.policy import (
    FOLLOWS,
    RESERVE,
    Evidence,
    attempt_budget,
    classify,
    retry_after,
)
from llm_unified.response import FailureKind as K
from llm_unified.settings.options import FALLBACK_KINDS

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def envelope(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b"", K.RATE_LIMIT),
        (529, b"", K.RATE_LIMIT),
        (503, envelope(type="overloaded_error"), K.RATE_LIMIT),
        (503, b"<html>", K.SERVER),
        (500, b"", K.SERVER),
        (409, b"", K.SERVER),
        (401, b"", K.AUTH),
        (402, b"", K.AUTH),
        (403, b"", K.AUTH),
        (404, b"", K.NOT_FOUND),
        (405, b"", K.NOT_FOUND),
        (408, b"", K.TIMEOUT),
        (302, b"", K.INVALID_RESPONSE),
        (400, b"", K.BAD_REQUEST),
        (413, b"", K.BAD_REQUEST),
        (418, b"", K.BAD_REQUEST),
        (422, b"", K.BAD_REQUEST),
        (400, envelope(code="context_length_exceeded"), K.CONTEXT_LENGTH),
        (400, envelope(type="invalid_request_error", message="prompt is too long: 9 > 8"), K.CONTEXT_LENGTH),
        (400, envelope(code="content_filter", innererror={"code": "x"}), K.CONTENT_POLICY),
        (400, envelope(code=None, innererror={"code": "ResponsibleAIPolicyViolation"}), K.CONTENT_POLICY),
        (400, envelope(code=400, type="invalid_request_error"), K.BAD_REQUEST),
        (400, b'[{"error": {"code": "context_length_exceeded"}}]', K.CONTEXT_LENGTH),
        (500, b'{"error": "broken"}', K.SERVER),
    ],
)  # fmt: skip
def test_a_status_and_the_vendors_code_name_the_kind(status: int, body: bytes, kind: K) -> None:
    """The failure table, row by row."""
    assert classify(Evidence(status, body=body)).kind is kind


def test_the_transports_own_fault_comes_first() -> None:
    """A connection lost after a 200 is a connection failure."""
    verdict = classify(Evidence(200, fault=K.CONNECTION, reason="connection lost"))
    assert (verdict.kind, verdict.status, verdict.reason) == (K.CONNECTION, 200, "connection lost")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("overloaded_error", K.RATE_LIMIT),
        ("rate_limit_error", K.RATE_LIMIT),
        ("authentication_error", K.AUTH),
        ("content_filter", K.CONTENT_POLICY),
        ("context_length_exceeded", K.CONTEXT_LENGTH),
        ("invalid_request_error", K.BAD_REQUEST),
        ("api_error", K.SERVER),
    ],
)
def test_an_error_event_in_a_stream_names_the_kind(code: str, kind: K) -> None:
    """The last event of the stream's tail counts, whatever came before."""
    event = json.dumps({"type": "error", "error": {"type": code, "message": "x"}})
    tail = b'data: {"choices": []}\n\nevent: error\ndata: ' + event.encode() + b"\n\n"
    assert classify(Evidence(200, body=tail, error_in_stream=True)).kind is kind


def test_a_200_without_an_error_is_an_invalid_response() -> None:
    """HTML, half an answer, nothing at all."""
    assert classify(Evidence(200, body=b"<html>", error_in_stream=True)).kind is K.INVALID_RESPONSE


def test_what_was_never_sent_is_the_callers_fault() -> None:
    """Nobody upstream can have failed."""
    assert classify(Evidence(sent=False)).kind is K.BAD_REQUEST


def test_without_status_and_fault_the_connection_is_to_blame() -> None:
    """Where the wire is not ours, LiteLLM's own status is the only hint."""
    assert classify(Evidence()).kind is K.CONNECTION
    assert classify(Evidence(hint=429)).kind is K.RATE_LIMIT


@given(
    st.text(max_size=80),
    st.text(max_size=80),
    st.text(max_size=80),
    st.sampled_from([400, 401, 500]),
)
def test_reasons_hold_vetted_words_only(code: str, kind: str, param: str, status: int) -> None:
    """Whatever an upstream writes into its envelope, only short lower-case words get out."""
    body = envelope(code=code, type=kind, param=param, message="sk-secret " + code)
    reason = classify(Evidence(status, body=body)).reason
    assert "sk-secret" not in reason
    for word in filter(None, reason.removeprefix("param=").split(", ")):
        assert all(c.isascii() and (c.islower() or c.isdigit() or c in "_.[]=") for c in word)


def test_every_kind_has_its_row() -> None:
    """The table is whole, and the caller's faults do not go to the next."""
    assert set(FOLLOWS) == set(K)
    assert set(K) - FALLBACK_KINDS == {K.BAD_REQUEST, K.CANCELLED}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": "7"}, None),
        ({"anthropic-ratelimit-requests-reset": "2026-11-23T12:00:30Z"}, 30.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-23T12:00:30Z",
          "anthropic-ratelimit-tokens-remaining": "5"}, None),
        ({"x-ratelimit-reset-requests": "later"}, None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_every_notation(
    headers: dict[str, str], seconds: float | None
) -> None:
    """Seconds, milliseconds, dates, durations; only limits that are used up count."""
    found = retry_after(headers, now=NOW)
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(timeout=st.floats(0.001, 1e4), remaining=st.floats(0.001, 1e4), later=st.integers(0, 20))
def test_the_last_provider_is_always_reachable(
    timeout: float, remaining: float, later: int
) -> None:
    """If each attempt uses up its budget, every later one still has time, and the last has the rest."""
    left = remaining
    for still_to_come in range(later, -1, -1):
        budget = attempt_budget(timeout=timeout, remaining=left, later=still_to_come)
        assert 0.0 < budget <= min(timeout, left) + 1e-9
        assert left - budget >= min(RESERVE, left / (still_to_come + 1)) * still_to_come - 1e-6
        left -= budget
    assert attempt_budget(timeout=1e9, remaining=remaining, later=0) == remaining


def test_a_long_deadline_does_not_starve_the_first() -> None:
    """The reserve is an equal share, but at most five seconds each."""
    assert attempt_budget(timeout=60.0, remaining=2.0, later=1) == 1.0
    assert attempt_budget(timeout=60.0, remaining=120.0, later=3) == 60.0
    assert attempt_budget(timeout=60.0, remaining=30.0, later=3) == 15.0
