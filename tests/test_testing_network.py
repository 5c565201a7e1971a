"""The network proxy: distance, and moods that also reach pooled connections."""

import contextlib
import socket
import threading

import httpx
import pytest

from llm_unified.testing import NetworkProxy, Simulator, faults, replies
from tests.hang import HANG_SECONDS


@pytest.fixture
def far(sim):
    with NetworkProxy(sim.openai.port) as proxy:
        yield proxy


@pytest.fixture
def ask(sim, far):
    """Asks through the proxy over one pooled connection."""
    url = far.rewrite(sim.openai.base_url) + "/chat/completions"
    headers = {"authorization": f"Bearer {sim.openai.api_key}"}
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    with httpx.Client() as client:
        yield lambda timeout=HANG_SECONDS, **extra: client.post(
            url, headers=headers, json=body | extra, timeout=timeout
        )


def test_forwards_and_reuses(sim, far, ask):
    """Without a mood it is transparent: one connection in, one out."""
    assert [200, 200] == [ask().status_code for _ in range(2)]
    assert 1 == far.connections == far.open_connections == sim.openai.connections


@pytest.fixture
def delays(far, monkeypatch):
    """How long the proxy held each piece back, in seconds of its own loop's clock."""
    loop = far._background.loop
    found, now = [], loop.time()

    def at_once(when, *arguments, **more):
        found.append(round(when - now, 3))
        return loop.call_soon(*arguments, **more)

    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(loop, "call_at", at_once)
    return found


def test_latency_costs_round_trips(far, ask, delays):
    """A first request costs two round trips, connect and answer; a pooled one costs one."""
    far.latency = 0.02
    for _ in range(3):
        ask()
    there, *_, back = delays
    assert (there, back) == (0.06, 0.02)
    assert set(delays) == {0.06, 0.02}


@pytest.mark.parametrize("mood", ["blackhole", "stall", "half_open"])
def test_silence_reaches_pooled_connections(far, ask, mood):
    """A connection from before falls silent, too; healed, the next request is answered."""
    ask()
    getattr(far, mood)()
    with pytest.raises(httpx.ReadTimeout):
        ask(timeout=0.3)
    if mood != "half_open":  # new connections suffer only from lasting moods
        with pytest.raises(httpx.ReadTimeout):
            ask(timeout=0.3)
        far.heal()
    assert 200 == ask().status_code


def test_a_stall_ends_in_delivery(sim, far, ask):
    """What a stall held back arrives when it is over."""
    ask()
    far.stall()
    found = []
    thread = threading.Thread(target=lambda: found.append(ask().status_code))
    thread.start()
    far.heal()
    thread.join()
    assert [200] == found


def test_resets(sim, far, ask):
    """RST to all connections at once, or after so many bytes of an answer."""
    ask()
    far.reset_all()
    with contextlib.suppress(httpx.TransportError):
        ask()
    far.reset_after(100)
    with pytest.raises(httpx.TransportError):
        ask()
    far.heal()
    assert 200 == ask().status_code
    before = sim.openai.connections
    with socket.create_connection(("127.0.0.1", far.port), timeout=HANG_SECONDS) as client:
        sim.openai.wait_for(lambda p: p.connections > before)
        far.reset_all()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_slow_drip(sim, far, ask, delays):
    """Answers come in drops, one after the other; each read succeeds."""
    far.slow_drip(0.001, size=100)
    assert 200 == ask().status_code
    answer = delays[delays.index(0.001) - 1 :]  # behind the request, which is not held back
    assert answer[:5] == [0.0, 0.001, 0.002, 0.003, 0.004]


def test_refuse_and_a_missing_target(far, ask):
    """A proxy can refuse; a target that refuses shows as a reset."""
    far.refuse()
    with pytest.raises(httpx.ConnectError):
        ask()
    far.heal()
    assert 200 == ask().status_code


def test_target_gone(sim, far, ask):
    """A target that refuses or hangs up is passed on to the client."""
    ask()
    sim.openai.drop_connections()
    sim.openai.wait_for(open_connections=0)
    sim.openai.refuse()
    with pytest.raises(httpx.TransportError):
        ask()
    sim.openai.listen()
    sim.openai.script(faults.reset("mid_body"), faults.close())
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            ask()


def test_streams_and_tls_pass_through():
    """Bytes are bytes: TLS and chunked streams arrive whole over a distance."""
    import ssl

    with Simulator(tls=True) as sim, NetworkProxy(sim.anthropic.port, latency=0.005) as far:
        sim.anthropic.script(replies.text(chunks=500))
        url = far.rewrite(sim.anthropic.base_url) + "/v1/messages"
        headers = {"x-api-key": sim.anthropic.api_key, "anthropic-version": "2023-06-01"}
        messages = [{"role": "user", "content": "Hi"}]
        body = {"model": "m", "max_tokens": 9, "messages": messages, "stream": True}
        with httpx.Client(verify=ssl.create_default_context(cafile=sim.ca_file)) as client:
            text = client.post(url, headers=headers, json=body).text
        assert "word500" in text
        assert "message_stop" in text


def test_closing_twice_leaves_no_thread(sim):
    """``close()`` ends the thread and may come twice."""
    before = threading.active_count()
    proxy = NetworkProxy(sim.openai.port)
    proxy.close()
    proxy.close()
    assert before == threading.active_count()
