"""The simulator itself: sockets, scripts, journal, environment."""

import asyncio
import contextlib
import gc
import json
import socket
import ssl
import threading

import httpx
import pytest

from llm_unified.testing import Simulator, faults, replies
from llm_unified.testing.replies import Reply
from tests.hang import HANG_SECONDS

PROVIDERS = ("openai", "azure_openai", "groq", "anthropic")


@pytest.fixture
def http():
    with httpx.Client(timeout=HANG_SECONDS) as client:
        yield client


def call(provider, *, stream=False, key=None, **extra):
    """URL, headers and body of a request that the vendor accepts."""
    key = key or provider.api_key
    body = {
        "model": provider.model,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 50,
    }
    if stream:
        body["stream"] = True
    path, headers = {
        "openai": ("/chat/completions", {"authorization": f"Bearer {key}"}),
        "azure_openai": (
            f"/openai/deployments/{provider.model}/chat/completions?api-version=2024-10-21",
            {"api-key": key},
        ),
        "groq": ("/openai/v1/chat/completions", {"authorization": f"Bearer {key}"}),
        "anthropic": ("/v1/messages", {"x-api-key": key, "anthropic-version": "2023-06-01"}),
    }[provider.name]
    return {"url": provider.base_url + path, "headers": headers, "json": body | extra}


def text_of(provider, body):
    if provider.name == "anthropic":
        return body["content"][0]["text"]
    return body["choices"][0]["message"]["content"]


@pytest.mark.parametrize("name", PROVIDERS)
def test_answers_naming_the_provider(sim, http, name):
    """Without a script every provider answers a short sentence that says who spoke."""
    response = http.post(**call(sim[name]))
    assert 200 == response.status_code
    assert f"simulated {name} speaking" in text_of(sim[name], response.json())
    assert sim[name] is getattr(sim, name)
    assert [p.name for p in sim.providers] == list(PROVIDERS)


@pytest.mark.parametrize("name", PROVIDERS)
def test_script_then_always_then_default(sim, http, name):
    """A script is consumed in order, then ``always`` holds until ``reset()``; a handler overrules."""
    provider = sim[name]
    provider.script(faults.status(500) * 2, replies.text("once"))
    assert 3 == provider.remaining
    provider.always(faults.status(503))
    statuses = [http.post(**call(provider)).status_code for _ in range(5)]
    assert [500, 500, 200, 503, 503] == statuses
    provider.handler = lambda request: replies.echo() if request.body["model"] else None
    assert "Hi" == text_of(provider, http.post(**call(provider)).json())
    provider.reset()
    assert () == provider.requests
    assert 200 == http.post(**call(provider)).status_code


def test_journal_tells_what_arrived(sim, http):
    """The journal has all there is to know of a request, and one port for one connection."""
    http.post(**call(sim.azure_openai))
    http.post(**call(sim.azure_openai, stream=True))
    first, second = sim.azure_openai.requests
    assert ("azure_openai", "POST") == (first.provider, first.method)
    assert first.path.endswith("/chat/completions")
    assert {"api-version": "2024-10-21"} == first.query
    assert sim.azure_openai.api_key == first.api_key == first.headers["api-key"]
    assert "Hi" == first.body["messages"][0]["content"]
    assert (False, True) == (first.stream, second.stream)
    assert first.client_port == second.client_port
    assert 1 == first.connection == second.connection == sim.azure_openai.connections
    assert first.received_at < first.finished_at <= second.received_at
    assert ("text", "answered", True) == (first.outcome, first.state, first.finished)
    assert sim.azure_openai.api_key not in repr(first)
    assert () == sim.openai.requests


def test_environ_configures_the_chosen_in_order(sim):
    """``environ()`` names keys, models and places of the chosen providers, the first as primary."""
    everything = sim.environ()
    assert "openai" == everything["LLM_PRIMARY_PROVIDER"]
    assert "azure_openai,groq,anthropic" == everything["LLM_FALLBACK_PROVIDERS"]
    assert sim.azure_openai.base_url == everything["AZURE_OPENAI_ENDPOINT"]
    assert everything["OPENAI_BASE_URL"].endswith("/v1")
    assert not everything["GROQ_BASE_URL"].endswith("/v1")
    some = sim.environ("groq", "openai", all_keys=True)
    assert ("groq", "openai") == (some["LLM_PRIMARY_PROVIDER"], some["LLM_FALLBACK_PROVIDERS"])
    assert ",".join(sim.groq.api_keys) == some["GROQ_API_KEYS"]
    assert not any("ANTHROPIC" in name for name in some)


def test_several_keys_and_restricted_models(sim, http):
    """Every listed key opens, a revoked one does not; a restricted set of models hides the others."""
    for key in sim.openai.api_keys:
        assert 200 == http.post(**call(sim.openai, key=key)).status_code
    sim.openai.api_keys = sim.openai.api_keys[1:]
    assert 401 == http.post(**call(sim.openai, key="sk-proj-simulated-000000000001")).status_code
    for provider in sim:
        provider.models = ("another",)
        assert 404 == http.post(**call(provider)).status_code


def test_prefix_is_part_of_every_base_url(http):
    """With a prefix the providers live below it and nowhere else."""
    with Simulator(prefix="gw/v2/") as sim:
        for provider in sim:
            request = call(provider)
            assert "/gw/v2" in request["url"]
            assert 200 == http.post(**request).status_code
            assert not provider.requests[0].path.startswith("/gw")
            request["url"] = request["url"].replace("/gw/v2", "")
            assert 404 == http.post(**request).status_code


def test_tls_with_its_own_authority():
    """HTTPS works for whoever trusts ``ca_file``, and for nobody else."""
    with Simulator(tls=True) as sim:
        assert sim.ca_file == sim.environ()["SSL_CERT_FILE"]
        context = ssl.create_default_context(cafile=sim.ca_file)
        with httpx.Client(verify=context) as client:
            for provider in sim:
                assert provider.base_url.startswith("https://127.0.0.1:")
                assert 200 == client.post(**call(provider)).status_code
            sim.openai.script(faults.reset("mid_body"))
            with pytest.raises(httpx.TransportError):
                client.post(**call(sim.openai))
        with httpx.Client() as stranger, pytest.raises(httpx.ConnectError):
            stranger.post(**call(sim.openai))


def test_refuse_and_listen(sim, http):
    """A refused provider keeps its port, drops its connections, and comes back; others live on."""
    http.post(**call(sim.groq))
    sim.groq.refuse()
    sim.groq.wait_for(open_connections=0)
    with pytest.raises(httpx.ConnectError):
        http.post(**call(sim.groq))
    assert 200 == http.post(**call(sim.openai)).status_code
    sim.groq.refuse()
    sim.groq.listen()
    sim.groq.listen()
    assert 200 == http.post(**call(sim.groq)).status_code
    sim.groq.script(faults.refused())
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            http.post(**call(sim.groq))
    sim.reset()
    assert 200 == http.post(**call(sim.groq)).status_code


def test_dropped_connections_are_noticed(sim, http):
    """The server can close idle connections, politely or not; the next request needs a new one."""
    for reset in (False, True):
        http.post(**call(sim.openai))
        sim.openai.drop_connections(reset=reset)
        sim.openai.wait_for(open_connections=0)
    http.post(**call(sim.openai))
    assert 3 == sim.openai.connections


def test_waiting_is_event_driven(sim):
    """Waits end when the thing happens, and say what happened instead when it does not."""
    sim.openai.always(faults.blackhole())
    with socket.create_connection(("127.0.0.1", sim.openai.port), timeout=HANG_SECONDS) as client:
        client.sendall(raw_request(sim.openai))
        sim.openai.wait_for(requests=1, open_connections=1)
        assert 1 == sim.openai.in_flight
        with pytest.raises(TimeoutError, match="blackhole: open"):
            sim.openai.wait_idle(timeout=0.01)
    sim.openai.wait_for(client_gone=1, open_connections=0)
    sim.openai.wait_idle()
    assert sim.openai.requests[0].client_gone


async def test_async_waits_leave_the_loop_free(sim):
    """A client in the same loop can go on while a test waits for its request."""
    sim.openai.always(faults.blackhole())
    async with httpx.AsyncClient() as client:
        task = asyncio.create_task(client.post(**call(sim.openai)))
        await sim.openai.wait_for_async(requests=1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await sim.openai.wait_for_async(client_gone=1)
        await sim.openai.wait_idle_async()
        with pytest.raises(TimeoutError):
            await sim.openai.wait_for_async(requests=9, timeout=0.01)


def raw_request(provider, *, version="1.1", extra=""):
    """The bytes of a chat request to the OpenAI simulator."""
    body = json.dumps(call(provider)["json"]).encode()
    head = (
        f"POST /v1/chat/completions HTTP/{version}\r\nHost: x\r\n{extra}"
        f"Authorization: Bearer {provider.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def receive_all(sock):
    received = b""
    while piece := sock.recv(65_536):
        received += piece
    return received


def test_http_in_odd_forms(sim):
    """Pipelined requests, slow senders, ``Connection: close``, HTTP/1.0, ``Expect`` and garbage."""
    address = ("127.0.0.1", sim.openai.port)
    plain = raw_request(sim.openai)
    with socket.create_connection(address, timeout=HANG_SECONDS) as sock:
        sock.sendall(plain + plain + raw_request(sim.openai, extra="Connection: close\r\n"))
        assert 3 == receive_all(sock).count(b"HTTP/1.1 200 OK")
    with socket.create_connection(address, timeout=HANG_SECONDS) as sock:
        for byte in raw_request(sim.openai, version="1.0"):
            sock.sendall(bytes([byte]))
        assert b"connection: close" in receive_all(sock)
    with socket.create_connection(address, timeout=HANG_SECONDS) as sock:
        asked = raw_request(sim.openai, extra="Expect: 100-continue\r\nConnection: close\r\n")
        head, _, body = asked.partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        assert b" 200 OK" in receive_all(sock)
    with socket.create_connection(address, timeout=HANG_SECONDS) as sock:
        sock.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert receive_all(sock).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("name", PROVIDERS)
def test_dead_ends(sim, name):
    """Each provider has addresses that fail in the ways that addresses fail."""
    provider = sim[name]
    # Nothing below .invalid exists (RFC 6761); the guard against network access forbids to try it.
    assert "//provider.invalid" in provider.base_url_for("dns")
    expected = {
        "tls": httpx.ConnectError,
        "refused": httpx.ConnectError,
        "blackhole": httpx.ReadTimeout,
        "connect_timeout": httpx.ConnectTimeout,
    }
    with httpx.Client(timeout=0.2) as client:
        for dead_end, error in expected.items():
            url = provider.base_url_for(dead_end)
            request = call(provider)
            request["url"] = request["url"].replace(provider.base_url, url)
            with pytest.raises(error):
                client.post(**request)
    with pytest.raises(ValueError, match="No such dead end"):
        provider.base_url_for("nowhere")


def test_delays(http, monkeypatch):
    """Latency comes before the answer, the token delay before each chunk."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    with Simulator(latency=30.0, token_delay=10.0) as sim:
        monkeypatch.setattr("asyncio.sleep", sleep)
        http.post(**call(sim.openai))
        assert slept == [30.0]
        sim.anthropic.script(replies.text(chunks=5))
        http.post(**call(sim.anthropic, stream=True))
        assert slept[1:7] == [30.0, *[10.0] * 5]
        assert set(slept[7:]) <= {10.0}


def test_an_outcome_that_fails_is_logged_and_ends_the_connection(sim, http, caplog):
    """A bug in a test's own handler is loud, not a hang."""

    def broken(_):
        raise ZeroDivisionError

    sim.openai.always(Reply("broken", broken))
    with pytest.raises(httpx.TransportError):
        http.post(**call(sim.openai))
    assert "ZeroDivisionError" in caplog.text
    sim.openai.reset()
    assert 200 == http.post(**call(sim.openai)).status_code


def test_journal_limit(http):
    """A limited journal forgets its older half, so that long runs stay flat."""
    with Simulator(journal_limit=4) as sim:
        for _ in range(9):
            http.post(**call(sim.openai))
        assert 2 <= len(sim.openai.requests) <= 4


def test_closing_leaves_nothing():
    """Threads, sockets and hanging requests are gone after ``close()``, which may come twice."""
    before = threading.active_count()
    sim = Simulator()
    sim.openai.always(faults.blackhole())
    sim.openai.base_url_for("blackhole")
    with socket.create_connection(("127.0.0.1", sim.openai.port), timeout=HANG_SECONDS) as client:
        client.sendall(raw_request(sim.openai))
        sim.openai.wait_for(requests=1)
        port = sim.openai.port
        sim.close()
        sim.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert before == threading.active_count()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    del sim
    gc.collect()  # an unclosed socket would warn here, and warnings are errors
