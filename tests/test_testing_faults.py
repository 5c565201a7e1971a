"""Every fault of the simulator does on the wire what its name says."""

import datetime as dt
import email.utils
import http.client
import json
import random
from functools import partial

import httpx
import pytest

from llm_unified.failures.classify import Facts, classify
from llm_unified.failures.envelope import of_event, read_error
from llm_unified.response import FailureKind as K
from llm_unified.testing import Simulator, faults, replies
from tests.hang import HANG_SECONDS

PROVIDERS = ("openai", "azure_openai", "groq", "anthropic")
PROTOCOLS = {"azure_openai": "azure"}
CLIENT = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))  # one TLS set-up for all
LASTING = {n for n, make in faults.ALL.items() if make().kind is K.TIMEOUT and "status" not in n}


@pytest.fixture(scope="module")
def sim():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def fresh(sim):
    yield
    sim.reset()


def parts(provider, *, stream=False, tools=False):
    """Path, headers and body of a good request."""
    body = {
        "model": provider.model,
        "messages": [{"role": "user", "content": "my secret prompt"}],
        "max_tokens": 50,
        "stream": stream,
    }
    path, headers = {
        "openai": ("/v1/chat/completions", {"authorization": f"Bearer {provider.api_key}"}),
        "azure_openai": (
            f"/openai/deployments/{provider.model}/chat/completions?api-version=2024-10-21",
            {"api-key": provider.api_key},
        ),
        "groq": ("/openai/v1/chat/completions", {"authorization": f"Bearer {provider.api_key}"}),
        "anthropic": (
            "/v1/messages",
            {"x-api-key": provider.api_key, "anthropic-version": "2023-06-01"},
        ),
    }[provider.name]
    return path, headers, body


def post(provider, *, timeout=HANG_SECONDS, **options):
    path, headers, body = parts(provider, **options)
    url = f"http://127.0.0.1:{provider.port}{path}"
    return CLIENT.post(url, headers=headers, json=body, timeout=timeout)


def events_of(response):
    """Data of the server-sent events, parsed where they are JSON."""
    found = []
    for line in response.text.splitlines():
        if line.startswith("data: "):
            try:
                found.append(json.loads(line[6:]))
            except ValueError:
                found.append(line[6:])
    return found


def said_in(events):
    """The text in a stream of either protocol."""
    said = ""
    for event in events:
        if not isinstance(event, dict):
            continue
        for choice in event.get("choices") or ():
            said += choice["delta"].get("content") or ""
        said += (event.get("delta") or {}).get("text") or ""
    return said


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", list(faults.ALL))
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_fault_plays_on_every_provider(sim, provider, name, stream):
    """Each fault is played once, is what it says in the vendor's own words, and leaves the provider able."""
    target = sim[provider]
    protocol = PROTOCOLS.get(provider, provider)
    fault = faults.huge_body(300_000) if name == "huge_body" else faults.ALL[name]()
    target.script(fault)
    try:
        response = post(target, stream=stream, timeout=0.05 if name in LASTING else HANG_SECONDS)
    except (httpx.TransportError, httpx.DecodingError):
        response = None
    first = target.requests[0]
    assert fault.name == first.outcome
    target.wait_for(lambda p: p.requests[0].state != "open")
    assert 1 == len(target.requests)
    expected = fault.expected(provider, stream=stream)
    if response is None:
        wanted = {K.CONNECTION, K.TIMEOUT, K.INVALID_RESPONSE}
        assert expected in wanted
        assert first.client_gone == (expected is K.TIMEOUT)
    elif response.status_code >= 400:
        assert "error" in response.json()
        error = read_error(response.content)
        assert expected is classify(Facts(protocol, response.status_code, error=error)).kind
    elif response.status_code == 200:
        kinds = (K.INVALID_RESPONSE, K.SERVER, K.RATE_LIMIT, K.QUOTA)
        assert fault.lenient or expected in kinds
        if stream and "content" in name and "stream" in name:
            events = events_of(response)
            assert bool(said_in(events)) == fault.after_content
            errors = [e for e in map(of_event, events) if e is not None]
            assert ("_in_stream" in name) == bool(errors)
            for error in errors:
                assert expected is classify(Facts(protocol, 200, error=error)).kind
    target.listen()
    assert 200 == post(target).status_code


@pytest.mark.parametrize("provider", PROVIDERS)
def test_resets_are_resets(sim, provider):
    """Where a reset is promised, the socket gets RST, not FIN; headers come first where promised."""
    for when, some in (("before_headers", False), ("after_headers", True), ("mid_body", True)):
        sim[provider].script(faults.reset(when))
        path, headers, body = parts(sim[provider])
        connection = http.client.HTTPConnection(
            "127.0.0.1", sim[provider].port, timeout=HANG_SECONDS
        )
        connection.request("POST", path, json.dumps(body), headers)
        received = []
        with pytest.raises(ConnectionResetError):
            received.extend(iter(partial(connection.sock.recv, 65_536), b""))
        connection.close()
        assert some == b"".join(received).startswith(b"HTTP/1.1 200")
        assert "broken" == sim[provider].requests[-1].state


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_closed_body_is_short(sim, stream):
    """A body that is closed in the middle has fewer bytes than announced."""
    for fault in (faults.close(), faults.cut_stream(2), faults.cut_stream(0)):
        sim.openai.script(fault)
        with pytest.raises(httpx.RemoteProtocolError):
            post(sim.openai, stream=stream)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_streams_break_where_they_should(sim, provider):
    """``after=n`` lets exactly n pieces of content through, and the end marker only where due."""
    target = sim[provider]
    for after in (0, 1, 5, 20):
        target.script(faults.end_stream_early(after))
        events = events_of(post(target, stream=True))
        assert after == len(said_in(events).split())
        assert "[DONE]" not in events
    target.script(faults.no_end_marker())
    events = events_of(post(target, stream=True))
    assert "spoilt1 spoilt2" in said_in(events)
    finished = json.dumps(events[-1])
    assert "finish_reason" in finished or "message_delta" in finished
    assert not {"[DONE]", "message_stop"} & {
        e if isinstance(e, str) else e.get("type") for e in events
    }
    target.script(faults.broken_event(3))
    events = events_of(post(target, stream=True))
    assert [e for e in events if isinstance(e, str) and e.startswith("{")]
    tool = replies.tool_call("f", {"a": 1})
    target.script(faults.end_stream_early(1, reply=tool))
    assert '"f"' in post(target, stream=True).text


@pytest.mark.parametrize("provider", PROVIDERS)
def test_rate_limits_say_when_to_come_back(sim, provider):
    """Seconds, HTTP date, milliseconds and the vendors' own headers, in the vendors' notation."""
    target = sim[provider]
    target.script(
        faults.rate_limit(),
        faults.rate_limit(3),
        faults.rate_limit(1.5),
        faults.rate_limit(30, http_date=True),
        faults.rate_limit(ms=1500),
        faults.rate_limit(reset_requests=1, reset_tokens=360),
    )
    answers = [post(target) for _ in range(6)]
    assert {429} == {a.status_code for a in answers}
    given = [a.headers.get("retry-after") for a in answers]
    assert [None, "3", "1.5", None, None] == [*given[:3], *given[4:]]
    wait = email.utils.parsedate_to_datetime(given[3]) - dt.datetime.now(dt.UTC)
    assert 28 <= wait.total_seconds() <= 31
    assert "1500" == answers[4].headers["retry-after-ms"]
    if provider == "anthropic":
        reset = dt.datetime.fromisoformat(answers[5].headers["anthropic-ratelimit-tokens-reset"])
        assert 358 <= (reset - dt.datetime.now(dt.UTC)).total_seconds() <= 361
    else:
        assert "1s" == answers[5].headers["x-ratelimit-reset-requests"]
        assert "6m0s" == answers[5].headers["x-ratelimit-reset-tokens"]
    assert [None, 3, 1.5] == [
        f.retry_after
        for f in (faults.rate_limit(), faults.rate_limit(3), faults.rate_limit(ms=1500))
    ]


def test_vendors_have_their_own_words(sim):
    """The envelope of each vendor, where programs look at it."""
    found = {}
    for provider in sim:
        provider.script(faults.content_policy(), faults.context_length(), faults.overloaded())
        found[provider.name] = [post(provider) for _ in range(3)]
    policy, length, busy = found["openai"]
    assert "content_policy_violation" == policy.json()["error"]["code"]
    assert "context_length_exceeded" == length.json()["error"]["code"]
    assert 503 == busy.status_code
    policy = found["azure_openai"][0].json()["error"]
    assert "content_filter" == policy["code"]
    assert policy["innererror"]["content_filter_result"]["violence"]["filtered"]
    assert "context_length_exceeded" == found["groq"][1].json()["error"]["code"]
    policy, length, busy = found["anthropic"]
    assert "error" == policy.json()["type"] == length.json()["type"]
    assert "prompt is too long" in length.json()["error"]["message"]
    assert (529, "overloaded_error") == (busy.status_code, busy.json()["error"]["type"])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_errors_inside_a_stream(sim, provider):
    """An error event has the vendor's shape; without a stream it is a plain error."""
    target = sim[provider]
    target.script(faults.overloaded_in_stream(2), faults.overloaded_in_stream(2))
    response = post(target, stream=True)
    events = events_of(response)
    assert 200 == response.status_code
    assert 2 == len(said_in(events).split())
    assert events[-1]["error"]["message"]
    assert ("event: error" in response.text) == (provider in ("groq", "anthropic"))
    assert (529 if provider == "anthropic" else 503) == post(target).status_code


@pytest.mark.parametrize("provider", PROVIDERS)
def test_redirects(sim, provider):
    """The same host answers after a redirect; the other host would, too, and notes who came."""
    path, headers, body = parts(sim[provider])
    url = f"http://127.0.0.1:{sim[provider].port}{path}"
    with httpx.Client(follow_redirects=True) as client:
        sim[provider].script(faults.redirect())
        response = client.post(url, headers=headers, json=body)
        assert (200, 1) == (response.status_code, len(response.history))
        assert 2 == len(sim[provider].requests)
        assert () == sim.stranger.requests
        sim[provider].script(faults.redirect(same_host=False, status=308))
        response = client.post(url, headers=headers, json=body)
        assert 200 == response.status_code
        assert f"simulated {provider} speaking" in response.text
        (seen,) = sim.stranger.requests
        assert "stranger" == seen.outcome
        assert "my secret prompt" in json.dumps(seen.body)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_secrets_come_back(sim, provider):
    """The echo really carries the key and the prompt; a test that looks for leaks needs them."""
    sim[provider].script(faults.echo_secrets(401))
    response = post(sim[provider])
    assert 401 == response.status_code
    assert sim[provider].api_key in response.json()["error"]["message"]
    assert "my secret prompt" in response.json()["error"]["message"]


def test_a_huge_body_is_whole_and_stops_when_the_client_goes(sim):
    """Its length is right to the byte; a client that leaves ends the writing."""
    sim.openai.script(faults.huge_body(3_000_000))
    response = post(sim.openai)
    assert 3_000_000 == len(response.json()["choices"][0]["message"]["content"])
    sim.openai.script(faults.huge_body())
    path, headers, body = parts(sim.openai)
    connection = http.client.HTTPConnection("127.0.0.1", sim.openai.port, timeout=HANG_SECONDS)
    connection.request("POST", path, json.dumps(body), headers)
    connection.getresponse().read(1000)
    connection.close()
    sim.openai.wait_for(client_gone=1)


def test_slow_drip_is_slow_and_whole(sim):
    """Every read succeeds, and in the end the answer is right."""
    sim.openai.script(faults.slow_drip(0.001, size=64))
    assert "spoilt8" in post(sim.openai).text


def test_silence_lasts_until_the_client_goes(sim):
    """A blackhole says nothing; a promising head says nothing more."""
    for fault, heard in (
        (faults.blackhole(), b""),
        (faults.headers_then_silence(), b"HTTP/1.1 200"),
    ):
        sim.openai.script(fault)
        path, headers, body = parts(sim.openai)
        connection = http.client.HTTPConnection("127.0.0.1", sim.openai.port, timeout=0.1)
        connection.request("POST", path, json.dumps(body), headers)
        received = []
        with pytest.raises(TimeoutError):
            received.extend(iter(partial(connection.sock.recv, 65_536), b""))
        connection.close()
        assert b"".join(received).startswith(heard)
        sim.openai.wait_for(lambda p: p.requests[-1].client_gone)


def test_chance_is_repeatable(sim):
    """The same seed gives the same faults, and the journal names what was played."""
    draws = [faults.random_fault(random.Random(7)).name for _ in range(2)]
    assert draws[0] == draws[1]
    for name in faults.RANDOM:
        fault = faults.ALL[name]()
        for provider in PROVIDERS:
            assert fault.expected(provider) not in (None, K.TIMEOUT, K.BAD_REQUEST)
    sim.openai.always(faults.flaky(random.Random(3), 0.5, faults.status(500)))
    statuses = [post(sim.openai).status_code for _ in range(20)]
    assert {200, 500} == set(statuses)
    assert ["status_500" if s == 500 else "text" for s in statuses] == [
        r.outcome for r in sim.openai.requests
    ]
    sim.openai.always(faults.flaky(random.Random(3), 1.0))
    sim.openai.always(faults.flaky(random.Random(3), 0.0))
    assert 200 == post(sim.openai).status_code


def test_names_in_the_registry_are_unique_and_told_in_the_journal():
    """A fault's own name and its name in the registry begin alike."""
    for name, factory in faults.ALL.items():
        assert name.startswith((factory().name, "rate_limit"))
    assert 3 == len(faults.status(500) * 3)
