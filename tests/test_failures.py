"""From the facts of an attempt to its kind: pure, without LiteLLM, a clock or a socket."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_unified.failures.classify import Facts, Failure, classify
from llm_unified.failures.envelope import MAX_BODY_BYTES, VendorError, of_event, read_error
from llm_unified.failures.facts import EVERY_VENDOR
from llm_unified.failures.retry_after import LONGEST_RETRY_AFTER_SECONDS, retry_after
from llm_unified.failures.table import FALLBACK_KINDS, FOLLOWS
from llm_unified.failures.vocabulary import PRINTABLE
from llm_unified.response import FailureKind as K

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
VENDORS = sorted(EVERY_VENDOR)


def envelope(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


def kind_of(status: int, body: bytes, vendor: str = "openai") -> K:
    return classify(Facts(vendor, status, error=read_error(body))).kind


# -- status, code, text ------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b"", K.RATE_LIMIT),
        (529, b"", K.RATE_LIMIT),
        (503, envelope(type="overloaded_error"), K.RATE_LIMIT),
        (503, b"<html>", K.SERVER),
        (500, b"", K.SERVER),
        (504, envelope(type="timeout_error"), K.SERVER),
        (599, b"", K.SERVER),
        (409, b"", K.SERVER),
        (425, b"", K.SERVER),
        (401, b"", K.AUTH),
        (402, b"", K.QUOTA),
        (403, b"", K.AUTH),
        (404, b"", K.NOT_FOUND),
        (405, b"", K.NOT_FOUND),
        (410, b"", K.NOT_FOUND),
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
def test_a_status_and_the_vendors_code_name_the_kind(
    vendor: str, status: int, body: bytes, kind: K
) -> None:
    """The failure table, row by row."""
    assert kind_of(status, body, vendor) is kind


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (407, K.CONNECTION),
        (421, K.CONNECTION),
        (423, K.SERVER),
        (424, K.SERVER),
        (426, K.NOT_FOUND),
        (449, K.SERVER),
        (451, K.AUTH),
        (499, K.SERVER),
        *((status, K.BAD_REQUEST) for status in (406, 411, 414, 415, 417, 428, 431, 444, 452)),
    ],
)
def test_client_errors_that_nobody_listed_follow_the_rule(
    vendor: str, status: int, kind: K
) -> None:
    """The way, the state and the limits of a provider are not the caller's fault; the request is."""
    assert kind_of(status, b"", vendor) is kind


def test_the_transports_own_fault_comes_first() -> None:
    """A connection lost after a 200 is a connection failure."""
    failure = classify(Facts(status=200, fault=K.CONNECTION, reason="connection lost"))
    assert failure == Failure(K.CONNECTION, "connection lost", 200)


@pytest.mark.parametrize("fault", [K.CONNECTION, K.TIMEOUT, K.INVALID_RESPONSE])
def test_a_failed_status_counts_although_its_body_never_came(fault: K) -> None:
    """A 429 whose body stalls, breaks or is garbled is still a 429 with its Retry-After."""
    facts = Facts("groq", 429, {"retry-after": "7"}, fault=fault, reason="body stalled")
    assert classify(facts) == Failure(K.RATE_LIMIT, "", 429, 7.0)
    event = of_event({"type": "error", "error": {"type": "overloaded_error"}})
    assert classify(Facts("anthropic", 200, error=event, fault=fault)).kind is K.RATE_LIMIT


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("overloaded_error", K.RATE_LIMIT),
        ("rate_limit_error", K.RATE_LIMIT),
        ("authentication_error", K.AUTH),
        ("permission_error", K.AUTH),
        ("billing_error", K.QUOTA),
        ("not_found_error", K.NOT_FOUND),
        ("request_too_large", K.CONTEXT_LENGTH),
        ("content_filter", K.CONTENT_POLICY),
        ("context_length_exceeded", K.CONTEXT_LENGTH),
        ("invalid_request_error", K.BAD_REQUEST),
        ("api_error", K.SERVER),
        ("timeout_error", K.SERVER),
        ("never_seen_before", K.SERVER),
        (429, K.RATE_LIMIT),
        ("401", K.AUTH),
        (502, K.SERVER),
        (200, K.SERVER),
    ],
)
def test_an_error_inside_a_success_names_the_kind(code: str | int, kind: K) -> None:
    """As an event of a stream or as the whole body; a status that a gateway swallowed counts, too."""
    event = {"type": "error", "error": {"type": "error", "code": code, "message": "x"}}
    facts = Facts("anthropic", 200, {"retry-after": "2"}, error=of_event(event))
    failure = classify(facts)
    assert (failure.kind, failure.retry_after) == (kind, 2.0)
    assert failure.reason.startswith("error inside the answer")


def test_a_200_without_an_error_is_an_invalid_response() -> None:
    """HTML, half an answer, nothing at all; the wire may say which."""
    assert classify(Facts(status=200)).kind is K.INVALID_RESPONSE
    failure = classify(Facts(status=200, reason="no choices"))
    assert failure == Failure(K.INVALID_RESPONSE, "no choices", 200)


def test_what_was_never_sent_is_the_callers_fault() -> None:
    """Nobody upstream can have failed."""
    assert classify(Facts(sent=False)).kind is K.BAD_REQUEST


def test_without_status_and_fault_the_connection_is_to_blame() -> None:
    """Where the wire is not ours, LiteLLM's own status is the only hint."""
    assert classify(Facts()).kind is K.CONNECTION
    assert classify(Facts(hint=429)) == Failure(K.RATE_LIMIT, "", 429)


@pytest.mark.parametrize("status", [400, 401, 408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_every_failed_status_carries_its_retry_after(status: int) -> None:
    """A server that asks to be left alone is, whatever its failure is called."""
    assert classify(Facts(status=status, headers={"retry-after": "9"})).retry_after == 9.0


def test_every_kind_has_its_row() -> None:
    """The table is whole, and the caller's faults do not go to the next."""
    assert set(FOLLOWS) == set(K)
    assert set(K) - FALLBACK_KINDS == {K.BAD_REQUEST, K.CANCELLED}


# -- envelopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "codes", "message"),
    [
        ({"error": {"code": "A", "type": "b", "message": "m"}}, {"a", "b"}, "m"),
        ({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, {"429", "resource_exhausted"}, ""),
        ([{"error": {"code": 403, "message": "m"}}], {"403"}, "m"),
        ({"type": "error", "error": {"type": "api_error", "message": "m"}}, {"api_error"}, "m"),
        ({"error": {"details": {"error_code": "spent"}, "type": "t"}}, {"spent", "t"}, ""),
        ({"error": {"details": [{"reason": "API_KEY_INVALID"}]}}, {"api_key_invalid"}, ""),
        ({"error": {"code": "c", "innererror": {"code": "i", "innererror": {"code": "j"}}}}, {"c", "i", "j"}, ""),
        ({"error": "text of it"}, {"text of it"}, "text of it"),
        ({"error": "some_code", "message": "m"}, {"some_code"}, "m"),
        ({"detail": "Not Found"}, {"not found"}, "Not Found"),
        ({"detail": [{"loc": ["body"], "msg": "m", "type": "missing"}]}, {"missing"}, "m"),
        ({"detail": {"message": "m", "code": "c"}}, {"c"}, "m"),
        ({"errors": [{"code": 10000, "message": "m"}]}, {"10000"}, "m"),
        ({"statusCode": 429, "message": "Rate limit is exceeded."}, {"429"}, "Rate limit is exceeded."),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, {"badrequesterror", "400"}, "m"),
        ("just text", {"just text"}, "just text"),
        ({"error": {"message": "m", "code": True, "type": ["x"], "param": 3}}, set(), "m"),
    ],
)  # fmt: skip
def test_every_shape_of_envelope_is_read(body: object, codes: set[str], message: str) -> None:
    """OpenAI, Azure, Groq, Anthropic, Google, API gateways, FastAPI, vLLM, Cloudflare."""
    found = read_error(json.dumps(body).encode())
    assert found is not None
    assert found.codes == frozenset(codes)
    assert found.message == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"17",
        b"NaN",
        b"<html>busy</html>",
        b'{"error": null}',
        b'{"error": {}}',
        b'{"error": {"code": "cut',
        b"\x80\x81",
        b"\x00" * 64,
        b"[" * MAX_BODY_BYTES,
        b'{"error":' * 9000,
        b"9" * MAX_BODY_BYTES,
        b'{"error": "' + b"x" * MAX_BODY_BYTES + b'"}',
    ],
)
def test_what_is_no_envelope_is_none(body: bytes) -> None:
    """Nothing is guessed, and nothing raises: not deep nesting, not huge numbers, not garbage."""
    assert read_error(body) is None


def test_what_is_read_is_bounded() -> None:
    """A few levels, the beginning of the message, and codes no longer than any vendor's."""
    nested = b'{"error":' * 20 + b'"deep"' + b"}" * 20
    assert read_error(nested) is None
    assert of_event(json.loads(nested)) == VendorError()
    found = read_error(envelope(message="m" * 3000, code="c" * 65, param="p" * 201))
    assert found == VendorError(message="m" * 2000)


def test_odd_bytes_around_an_envelope_do_not_hide_it() -> None:
    """A byte order mark, white space, lone surrogates, duplicate members, an event stream."""
    plain = b'{"error": {"code": "insufficient_quota", "message": "m"}}'
    for body in (
        b"\xef\xbb\xbf" + plain,
        b"\r\n\t " + plain + b"\n",
        b'{"error": 1, "error": {"code": "insufficient_quota", "message": "\\ud800"}}',
        b"data: " + plain + b"\n\n",
        b"event: error\ndata: " + plain + b"\n\n",
        plain.decode().encode("utf-16"),
    ):
        found = read_error(body)
        assert found is not None
        assert found.codes == {"insufficient_quota"}


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "text",
        {"choices": [], "error": None},
        {"id": "x", "object": "chat.completion.chunk", "choices": [{"delta": {"content": "error"}}]},
        {"type": "message_start", "message": {"id": "m", "type": "message", "content": []}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "error"}},
        {"statusCode": 200, "message": "fine"},
        {"message": "a body that is no error"},
        {"detail": "neither", "code": "is_this"},
    ],
)  # fmt: skip
def test_a_good_event_is_no_error(event: object) -> None:
    """Only what calls itself an error is one: an answer must not be lost for its words."""
    assert of_event(event) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"error": {"code": "overloaded_error"}, "choices": []},
        [{"error": {"code": "overloaded_error"}}],
        {"type": "error", "code": "overloaded_error", "message": "m"},
        {"object": "error", "code": "overloaded_error"},
        {"statusCode": 503, "code": "overloaded_error"},
    ],
)
def test_an_error_event_is_one(event: object) -> None:
    """Anthropic's, OpenAI's, Google's, the Responses API's, vLLM's, a gateway's."""
    found = of_event(event)
    assert found is not None
    assert "overloaded_error" in found.codes


def test_an_error_without_content_is_still_an_error() -> None:
    """``{"error": true}`` says no more than that, and that is enough."""
    assert of_event({"error": True}) == VendorError()
    assert of_event({"error": {"odd": 1}}) == VendorError()


# -- Retry-After -------------------------------------------------------------------------------------

_HOUR = LONGEST_RETRY_AFTER_SECONDS


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("00012", 12.0),
        ("2.5", 2.5),
        ("5.0", 5.0),
        (" 5 ", 5.0),
        ("\t5", 5.0),
        ("3600", _HOUR),
        ("3601", _HOUR),
        ("99999999999", _HOUR),
        ("9" * 64, _HOUR),
        ("9" * 65, None),
        ("9" * 100_000, None),
        ("", None),
        (" ", None),
        ("soon", None),
        ("-4", None),
        ("-0", None),
        ("+5", None),
        ("5.", None),
        (".5", None),
        ("5e3", None),
        ("1e400", None),
        ("1E2", None),
        ("1_000", None),
        ("1 000", None),
        ("0x10", None),
        ("0b1", None),
        ("inf", None),
        ("-inf", None),
        ("Infinity", None),
        ("nan", None),
        ("NaN", None),
        ("null", None),
        ("None", None),
        ("true", None),
        ('"5"', None),
        ("5s", None),
        ("6m0s", None),
        ("5;q=1", None),
        ("٣", None),
        ("５", None),  # noqa: RUF001 - full-width digit: not one of HTTP's
        ("³", None),
        ("5\x00", None),
        ("5\n", None),
        ("5, 10", 10.0),
        ("10, 5", 10.0),
        ("5,", 5.0),
        (", 5", 5.0),
        ("5, soon", 5.0),
        ("soon, later", None),
        ("-5, 5", 5.0),
        ("Mon, 23 Nov 2026 12:01:30 GMT", 90.0),
        ("Monday, 23-Nov-26 12:01:30 GMT", 90.0),
        ("Mon Nov 23 12:01:30 2026", 90.0),
        ("Mon Nov  2 12:01:30 2026", 0.0),
        ("Mon, 23 Nov 2026 11:58:30 GMT", 0.0),
        ("Mon, 23 Nov 2026 18:00:00 GMT", _HOUR),
        ("Fri, 31 Dec 9999 23:59:59 GMT", _HOUR),
        ("Mon, 23 Nov 99999 12:01:30 GMT", None),
        ("Mon, 31 Feb 2026 12:01:30 GMT", None),
        ("Mon, 23 Nov 2026 25:01:30 GMT", None),
        ("Mon, 23 Foo 2026 12:01:30 GMT", None),
        ("Mon, 99999999999999999999 Nov 2026 12:01:30 GMT", None),
        ("Mon, 23 Nov 2026", None),
        ("12:01:30", None),
        ("2026-11-23T12:01:30Z", 90.0),
        ("2026-11-23T13:01:30+01:00", 90.0),
        ("2026-11-23T12:01:30.123456789Z", 90.123456),
        ("0001-01-01T00:00:00+23:59", 0.0),
        ("9999-12-31T23:59:59-23:59", _HOUR),
        ("2026-13-23T12:01:30Z", None),
        ("2026-11-23T12:01:30", None),
        ("20261123", _HOUR),
    ],
)  # fmt: skip
def test_retry_after_is_read_by_its_grammar(value: str, seconds: float | None) -> None:
    """What does not follow it is absent, and a valid form in another header still counts."""
    expected = None if seconds is None else pytest.approx(seconds)
    assert retry_after({"retry-after": value}, now=NOW) == expected
    spare = {"retry-after": value, "x-ratelimit-reset-requests": "7s"}
    assert retry_after(spare, now=NOW) == (7.0 if seconds is None else expected)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "9"}, 0.0),
        ({"retry-after-ms": "inf", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "1e9", "retry-after": "x", "x-ratelimit-reset-tokens": "4"}, 4.0),
        ({"retry-after-ms": "99999999999"}, _HOUR),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "1h1m1.5s"}, _HOUR),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": "7"}, None),
        ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": " 0 "}, 9.0),
        ({"x-ratelimit-reset-requests": "-9s"}, None),
        ({"x-ratelimit-reset-requests": "9s9"}, None),
        ({"x-ratelimit-reset-requests": "later"}, None),
        ({"x-ratelimit-reset-requests": "9" * 65}, None),
        ({"x-ratelimit-reset-requests": "1m" * 33}, None),
        ({"retry-after-ms": "9" * 65}, None),
        ({"x-ratelimit-reset": "1741305600000"}, None),
        ({"anthropic-ratelimit-requests-reset": "2026-11-23T12:00:30Z"}, 30.0),
        ({"anthropic-ratelimit-input-tokens-reset": "2026-11-23T12:00:30Z"}, 30.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-23T12:00:30Z",
          "anthropic-ratelimit-tokens-remaining": "5"}, None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_every_notation(
    headers: dict[str, str], seconds: float | None
) -> None:
    """Seconds, milliseconds, dates, durations; only limits that are used up count."""
    found = retry_after(headers, now=NOW)
    assert found == (None if seconds is None else pytest.approx(seconds))


# -- whatever comes over the wire --------------------------------------------------------------------

NAMES = st.sampled_from(
    ("retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens",
     "x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-reset")
)  # fmt: skip
VALUES = st.text(max_size=80) | st.text("0123456789.,:-+eEinfaTZ smhd", max_size=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ("error", "errors", "detail", "details", "innererror", "code", "type", "status",
                 "statusCode", "param", "message", "msg", "reason", "error_code", "object", "choices")
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(NAMES, VALUES, max_size=4),
    status=st.none() | st.integers(-5, 1000),
    vendor=st.sampled_from([*VENDORS, "unheard of"]),
    sent=st.booleans(),
    fault=st.sampled_from((None, K.CONNECTION, K.TIMEOUT, K.INVALID_RESPONSE)),
)
@example(
    body=b"", headers={"retry-after": "1e400"}, status=429, vendor="openai", sent=True, fault=None
)
def test_whatever_comes_only_a_failure_comes_out(
    *,
    body: bytes,
    headers: dict[str, str],
    status: int | None,
    vendor: str,
    sent: bool,
    fault: K | None,
) -> None:
    """Any bytes, any headers: a kind, known words, and a wait that a clock can keep."""
    facts = Facts(vendor, status, headers, read_error(body), fault, "ours", sent)
    failure = classify(facts, now=NOW)
    assert isinstance(failure.kind, K)
    wait = failure.retry_after
    assert wait is None or (math.isfinite(wait) and 0.0 <= wait <= _HOUR)


@given(JSON)
def test_any_event_is_an_error_or_none(event: object) -> None:
    """A parsed event of any shape never raises."""
    found = of_event(event)
    assert found is None or isinstance(found, VendorError)


@pytest.mark.parametrize(
    ("head", "piece", "most"),
    [
        ('{"error": {"message": "', "a", 60_000),
        ('{"error": {"message": "', "content ", 7_000),
        ('{"error": {"message": "Invalid \'messages', "content", 8_000),
        ('{"error": {"code": "string_above_max_length", "param": "', "messages[0]", 18),
        ('{"error": {"message": "The model ', "x", 60_000),
    ],
)
def test_long_texts_cost_no_more_than_their_length(head: str, piece: str, most: int) -> None:
    """No pattern backtracks over foreign text: nine times as much of it takes not 81 times the CPU."""

    def seconds(count: int) -> float:
        body = f'{head}{piece * count}"}}}}'.encode()
        began = time.process_time()
        for vendor in VENDORS:
            kind_of(400, body, vendor)
        return time.process_time() - began

    assert min(seconds(most) for _ in range(5)) < 27 * min(seconds(most // 9) for _ in range(5))


SECRETS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=12, max_size=40).filter(
    lambda s: not any(s in word.lower() for word in PRINTABLE)
)


@given(
    secret=SECRETS,
    place=st.sampled_from(("code", "type", "param", "message", "status", "innererror", "details")),
    param=st.sampled_from(
        ("{}", "messages.{}", "messages[0].{}", "tools{}", "model{}", "{}.model")
    ),
    vendor=st.sampled_from(VENDORS),
    status=st.sampled_from((200, 400, 401, 404, 413, 429, 500)),
)
def test_a_secret_that_an_upstream_echoes_is_never_printed(
    secret: str, place: str, param: str, vendor: str, status: int
) -> None:
    """A key in any field of the envelope, alone or behind a known name, leaves neither by reason nor repr."""
    value: object = secret
    if place == "param":
        value = param.format(secret)
    elif place in ("innererror", "details"):
        value = {"code": secret}
    error = read_error(
        envelope(**{"message": f"no, {secret}", "code": "invalid_value", place: value})
    )
    facts = Facts(vendor, status, {"x-debug": secret, "retry-after": secret}, error)
    failure = classify(facts)
    assert secret not in f"{failure} {failure.reason} {facts!r} {error!r}"
    words = failure.reason.removeprefix("error inside the answer").removeprefix(": ").split(", ")
    shown = [w for w in words if w and not w.startswith("param=") and "_" in w]
    assert all(word in PRINTABLE.values() for word in shown)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_reasons_hold_vetted_words_only(code: str, kind: str, param: str) -> None:
    """Whatever an upstream writes into its envelope, only words of the closed lists get out."""
    error = read_error(envelope(code=code, type=kind, param=param, message="sk-secret " + code))
    assert error is not None
    for word in filter(None, error.words.split(", ")):
        assert word.startswith("param=") or word in PRINTABLE.values()


@pytest.mark.parametrize(
    ("param", "shown"),
    [
        ("temperature", "param=temperature"),
        ("messages[0].content", "param=messages[0].content"),
        ("messages.0.tool_calls[1].function.arguments", "param=messages.0.tool_calls[1].function.arguments"),
        ("messages[0].sk_live", "param=messages"),
        ("model=gpt-4", "param=model"),
        ("model_sk_live", ""),
        ("modelabc", ""),
        ("abcdef0123456789abcdef0123456789", ""),
        ("messages[12345]", "param=messages"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_parameter_is_shown_as_far_as_it_is_known(param: str, shown: str) -> None:
    """Its root must be a request parameter; what follows, members of messages and tools."""
    assert VendorError(param=param).words == shown
