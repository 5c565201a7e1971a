"""`llm_unified.integrations.fastapi` behind a real uvicorn, in a FastAPI application and in a Starlette one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from llm_unified import LLMError, UnifiedLLMService, get_llm_service, load_settings
from llm_unified.testing import Simulator, faults, replies

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is among the development dependencies")
fastapi = pytest.importorskip("fastapi", reason="fastapi is among the development dependencies")
from starlette.applications import Starlette  # noqa: E402 - only where the lines above found something
from starlette.requests import Request  # noqa: E402
from starlette.responses import JSONResponse, Response  # noqa: E402
from starlette.routing import Route  # noqa: E402

from llm_unified.integrations.fastapi import (  # noqa: E402
    AnswerStream,
    error_response,
    health,
    lifespan,
)

# Starlette 0.38's HTTP middleware leaves its own channel open when a response is cut.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*MemoryObjectReceiveStream:pytest.PytestUnraisableExceptionWarning"
)
MESSAGES = [{"role": "user", "content": "Hi"}]


async def ask(request: Request) -> Response:
    answer = await request.state.llm_service.generate_response_async(MESSAGES)
    return JSONResponse({"provider": answer.provider})


async def sse(request: Request) -> Response:
    return AnswerStream(request.state.llm_service.stream_response_async(MESSAGES))


async def text(request: Request) -> Response:
    stream = request.state.llm_service.stream_response_async(MESSAGES)
    return AnswerStream(stream, format="text", headers={"x-own": "1"})


ROUTES = {"/health": health, "/ask": ask, "/sse": sse, "/text": text}


def starlette_app(service: UnifiedLLMService) -> Any:
    return Starlette(
        routes=[Route(path, endpoint) for path, endpoint in ROUTES.items()],
        lifespan=lifespan(service=service),
        exception_handlers={LLMError: error_response},
    )


def fastapi_app(service: UnifiedLLMService) -> Any:
    app = fastapi.FastAPI(lifespan=lifespan(service=service))
    app.add_exception_handler(LLMError, error_response)
    for path, endpoint in ROUTES.items():
        app.add_api_route(path, endpoint, response_model=None)
    return app


def middleware_app(service: UnifiedLLMService) -> Any:
    """With what may hide from a response who has left."""
    app = fastapi_app(service)

    @app.middleware("http")
    async def passing(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    return app


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application on a port of its own."""
    ready = asyncio.Event()

    class Server(uvicorn.Server):
        async def startup(self, *arguments: Any, **options: Any) -> None:
            await super().startup(*arguments, **options)
            ready.set()

    server = Server(uvicorn.Config(app, port=0, log_level="critical", ws="none"))
    task = asyncio.create_task(server.serve())
    await ready.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client
    server.should_exit = True
    await task


APPS = {"starlette": starlette_app, "fastapi": fastapi_app, "middleware": middleware_app}


@pytest.fixture(params=APPS.values(), ids=APPS)
async def client(request: Any, service: UnifiedLLMService) -> AsyncIterator[httpx.AsyncClient]:
    async with served(request.param(service)) as made:
        yield made


@pytest.fixture
async def service(sim: Simulator) -> AsyncIterator[UnifiedLLMService]:
    settings = load_settings(sim.environ("openai", "anthropic"), failure_threshold=1)
    async with UnifiedLLMService(settings) as made:
        yield made


def events(body: str) -> list[tuple[str, Any]]:
    """Server-sent events as ``(event, data)``."""
    found = []
    for block in body.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


async def test_health_tells_what_requests_have_shown(
    sim: Simulator, client: httpx.AsyncClient
) -> None:
    """200 while anybody can answer, 503 when nobody can; it asks nobody."""
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ok": True, "providers": {"openai": "unknown", "anthropic": "unknown"}},
    )
    assert not sim.openai.requests
    for provider in sim:
        provider.always(faults.status(401))
    assert (await client.get("/ask")).status_code == 503
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (
        503,
        {"ok": False, "providers": {"openai": "misconfigured", "anthropic": "misconfigured"}},
    )
    assert len(sim.openai.requests) == 1


async def test_a_closed_service_is_not_healthy(
    service: UnifiedLLMService, client: httpx.AsyncClient
) -> None:
    """Whatever its providers were like."""
    await service.aclose()
    assert (await client.get("/health")).status_code == 503


async def test_an_answer_as_events(sim: Simulator, client: httpx.AsyncClient) -> None:
    """Text in pieces, reasoning apart from it, at last who answered and what it took; lines within it survive."""
    sim.openai.script(faults.status(500))
    sim.anthropic.always(replies.answer("One\n\ntwo", reasoning="Hm."))
    answer = await client.get("/sse")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    found = events(answer.text)
    assert "".join(data.get("content", "") for _, data in found) == "One\n\ntwo"
    assert "".join(data.get("reasoning", "") for _, data in found) == "Hm."
    kind, last = found[-1]
    assert (kind, last["provider"], last["finish_reason"]) == ("done", "anthropic", "stop")
    assert last["usage"]["total_tokens"] > 0


async def test_an_answer_as_text(client: httpx.AsyncClient) -> None:
    """Nothing but the text, with the headers that were given."""
    answer = await client.get("/text")
    assert answer.text == "Hello, this is the simulated openai speaking."
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-own"] == "1"


@pytest.mark.parametrize("path", ["/sse", "/text", "/ask"])
async def test_errors_before_the_first_content_have_a_status(
    sim: Simulator, client: httpx.AsyncClient, path: str
) -> None:
    """503 with the time at which it is worth another try, 400 for a wrong request; no details leave."""
    for provider in sim:
        provider.always(faults.rate_limit(retry_after=20))
    answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (503, {"error": "AllProvidersFailedError"})
    assert 0 < int(answer.headers["retry-after"]) <= 20


@pytest.mark.parametrize("path", ["/sse", "/text"])
async def test_a_refused_request_is_a_400(
    sim: Simulator, client: httpx.AsyncClient, path: str
) -> None:
    """As the upstream said."""
    sim.openai.always(faults.bad_request())
    answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (400, {"error": "BadRequestError"})


async def test_a_stream_that_breaks_is_not_mistaken_for_whole(
    sim: Simulator, client: httpx.AsyncClient, request: pytest.FixtureRequest
) -> None:
    """Events: one says so and none says `done`. Text: the response is cut, which HTTP clients report."""
    for provider in sim:
        provider.always(faults.cut_stream(after=2))
    found = events((await client.get("/sse")).text)
    assert found[-1] == ("error", {"error": "StreamInterruptedError"})
    assert found[0][0] == "message"
    if "middleware" not in request.node.name:  # Starlette's own ends every response it passes on
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/text")


@pytest.mark.parametrize("path", ["/sse", "/text"])
async def test_a_client_who_leaves_stops_the_upstream(
    sim: Simulator, client: httpx.AsyncClient, path: str, service: UnifiedLLMService
) -> None:
    """In the middle of an answer, and before anything of it has come."""
    sim.openai.always(faults.stall(after=2))
    async with client.stream("GET", path) as answer:
        await anext(answer.aiter_bytes())
    await sim.openai.wait_for_async(open_connections=0)
    sim.openai.always(faults.blackhole())
    waiting = asyncio.create_task(client.get(path))
    await sim.openai.wait_for_async(requests=2)
    waiting.cancel()
    await sim.openai.wait_for_async(open_connections=0)
    assert service.get_health()["openai"]["last_failure"] is None
    assert not sim.anthropic.requests


async def test_the_processs_own_service(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lifespan` as it is takes the process's service, and `health` finds it, with or without a lifespan."""
    for name, value in sim.environ("openai").items():
        monkeypatch.setenv(name, value)
    for life in (lifespan, None):
        app = Starlette(routes=[Route("/health", health)], lifespan=life)
        async with served(app) as client:
            answer = await client.get("/health")
            assert answer.json() == {"ok": True, "providers": {"openai": "unknown"}}
    await get_llm_service().aclose()
    sys.modules["llm_unified.warmer"]._warmer = None
