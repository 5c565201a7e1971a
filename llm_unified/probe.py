"""Pings: the smallest request that keeps one pool copy's connection and code path warm.

A ping asks exactly one copy, over the connection that users' requests to it take. It is not a user's
request: statistics do not count it. Rests and ``Retry-After`` bind it like everybody (`Rotation.claim`),
except that a breaker's trial is best made by a ping.

``completion``: an answer of one token. It proves everything, and what it finds is treated like what a
user's request finds. ``connection``: the list of models, which costs no token. It proves the connection and
the key, so it opens the breaker when there is no connection, and closes it only where that was the trouble.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Literal

import httpx

from llm_unified.call import Call, PendingAttempt
from llm_unified.errors import LLMError
from llm_unified.health import is_alive
from llm_unified.policy import Verdict
from llm_unified.response import FailureKind
from llm_unified.wire.transport import WIRE, Wire, socket_fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from llm_unified.dispatch import Dispatcher
    from llm_unified.pool.deployments import Deployment
    from llm_unified.providers import Protocol
    from llm_unified.response import Attempt

__all__ = ["CURED_BY_CONNECTION", "PATIENCE", "each", "models_request", "ping", "warm"]

Probe = Literal["completion", "connection"]
PATIENCE: Final = 10.0
"""Seconds after which a ping has failed."""
_FAIR: Final = 5.0  # less is no proof that a provider hangs
CURED_BY_CONNECTION: Final = frozenset({FailureKind.CONNECTION, FailureKind.AUTH})
"""What a connection probe can find to be over."""
_ONE: Final = 1
_SOME: Final = 16  # the newer models of OpenAI refuse less
_PACE: Final = 0.005  # seconds between the beginnings of two pings
_PING: Final = ({"role": "user", "content": "ping"},)


async def ping(
    dispatcher: Dispatcher, deployment: Deployment, probe: Probe, *, seconds: float = PATIENCE
) -> Attempt:
    """Ask this copy, whatever rests; the attempt, however it ended. Raises nothing of its own."""
    transport = await dispatcher.transport_of(deployment) if probe == "connection" else None
    if transport is None:  # the copy's sockets are LiteLLM's: a completion is all there is
        return await _complete(dispatcher, deployment, seconds)
    return await _knock(dispatcher, deployment, transport, seconds)


async def _complete(dispatcher: Dispatcher, deployment: Deployment, seconds: float) -> Attempt:
    call = _call(dispatcher, deployment, seconds)
    try:
        with contextlib.suppress(LLMError):
            await dispatcher.complete(call)
    finally:
        if not call.attempts:
            dispatcher.rotation.released(deployment)
    if not call.attempts:  # LiteLLM would not even send it
        verdict = Verdict(FailureKind.BAD_REQUEST, "could not be prepared")
        unsent = PendingAttempt(call, deployment, Wire(), seconds, call.started)
        return dispatcher.after.recorded(unsent, verdict)
    attempt = call.attempts[-1]
    if attempt.kind is FailureKind.BAD_REQUEST:
        dispatcher.enough_tokens[deployment.endpoint] = _SOME
    if attempt.kind is not None and is_alive(attempt):
        dispatcher.after.recovered(deployment)
    return attempt


async def _knock(
    dispatcher: Dispatcher,
    deployment: Deployment,
    transport: httpx.AsyncBaseTransport,
    seconds: float,
) -> Attempt:
    wire = Wire()
    attempt = PendingAttempt(_call(dispatcher, deployment, seconds), deployment, wire, seconds)
    request = models_request(*dispatcher.engine.address_of(deployment))
    token = WIRE.set(wire)
    fault: tuple[FailureKind, str] | None = None
    try:
        async with asyncio.timeout(seconds):
            response = await transport.handle_async_request(request)  # this follows no redirect
            try:
                await response.aread()
            finally:
                await response.aclose()
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not leave a trial hanging
        words = type(error).__name__
        fault = (wire.fault, wire.reason) if wire.fault is not None else socket_fault(error)
        fault = fault or (FailureKind.CONNECTION, words)
    except asyncio.CancelledError:
        dispatcher.rotation.released(deployment)
        verdict = Verdict(FailureKind.CANCELLED, "stopped waiting")
        dispatcher.after.recorded(attempt, verdict)
        raise
    finally:
        WIRE.reset(token)
    if fault is not None:
        return dispatcher.after.failed(attempt, Verdict(*fault, status=wire.status))
    if wire.status in (401, 403) and b"scopes" not in wire.body:  # a key may lack `api.model.read`
        dispatcher.rotation.released(deployment)
        verdict = Verdict(FailureKind.AUTH, "key refused", wire.status)
        return dispatcher.after.recorded(attempt, verdict)
    if wire.status is not None and wire.status < 500:  # noqa: PLR2004 - the HTTP classes
        dispatcher.after.recovered(deployment, CURED_BY_CONNECTION)
    dispatcher.rotation.released(deployment)
    return dispatcher.after.recorded(attempt, None)


def _call(dispatcher: Dispatcher, deployment: Deployment, seconds: float) -> Call:
    limit = min(seconds, dispatcher.timeout_of(deployment.provider))
    return Call(
        chain=(deployment.provider,),
        messages=_PING,
        params={"max_tokens": dispatcher.enough_tokens.get(deployment.endpoint, _ONE)},
        deadline=limit,
        timeout=limit,
        pinned=deployment,
        empty_is_fine=True,
        counted=False,
    )


def models_request(protocol: Protocol, params: Mapping[str, str]) -> httpx.Request:
    """The request for the list of models, in this vendor's way."""
    base, key = params["api_base"].rstrip("/"), params.get("api_key", "")
    headers = {"accept": "application/json", "user-agent": "llm-unified"}
    if protocol == "azure":
        url = f"{base}/openai/models?api-version={params['api_version']}"
        headers["api-key"] = key
    elif protocol == "anthropic":
        url = f"{base}/v1/models"
        headers |= {"x-api-key": key, "anthropic-version": "2023-06-01"}
    else:
        url = f"{base}/models"
        headers["authorization"] = f"Bearer {key}"
    return httpx.Request("GET", url, headers=headers)


async def each(
    deployments: Iterable[Deployment], work: Callable[[Deployment], Awaitable[object]]
) -> list[Exception]:
    """Do ``work`` for all of them at once, and return what it raised.

    At once, but begun one after the other: a completion costs some milliseconds of CPU in the event loop and
    in LiteLLM's threads, and dozens in one turn of the loop would stall everybody else in it.
    """
    raised: list[Exception] = []

    async def one(deployment: Deployment) -> None:
        try:
            await work(deployment)
        except Exception as error:  # noqa: BLE001 - one that fails must not end the others
            raised.append(error)

    async with asyncio.TaskGroup() as group:
        for number, deployment in enumerate(deployments):
            if number:
                await asyncio.sleep(_PACE)
            group.create_task(one(deployment))
    return raised


async def warm(
    dispatcher: Dispatcher,
    providers: Collection[str],
    found: dict[str, bool],
    *,
    probe: Probe,
    seconds: float,
) -> None:
    """Ping all copies of these providers; ``found[provider]`` becomes true with the first sign of life.

    Copies that wait for a trial of their endpoint go in a second round, when it succeeded.
    """
    limit = min(PATIENCE, max(_FAIR, seconds))
    waiting = [d for d in dispatcher.engine.deployments.values() if d.provider in providers]
    begun: list[Deployment] = []

    async def one(deployment: Deployment) -> None:
        if dispatcher.rotation.claim(deployment):
            begun.append(deployment)
            if is_alive(await ping(dispatcher, deployment, probe, seconds=limit)):
                found[deployment.provider] = True

    while waiting:
        begun.clear()
        await each(waiting, one)
        if not begun:
            return
        waiting = [d for d in waiting if d not in begun]
