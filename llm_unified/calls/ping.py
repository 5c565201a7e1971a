"""Pings: the smallest request that keeps one deployment's connection and code path warm.

A ping asks exactly one deployment, over the connection that users' requests to it take. It is not a user's
request: statistics do not count it. Cooldowns and ``Retry-After`` bind it like everybody, except that a
breaker's probe is best made by a ping.

``completion``: an answer of one token. It proves everything, and what it finds is treated like what a
user's request finds. ``connection``: the list of models, which costs no token. It proves the connection and
the key, so it opens the breaker when there is no connection, and closes it only where that was the trouble.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final, Literal

from llm_unified.calls.answer import Assembly
from llm_unified.calls.attempt import PendingAttempt
from llm_unified.calls.dispatcher import Dispatcher
from llm_unified.calls.request import Request, Trail
from llm_unified.observe.health import is_alive
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.lease import Lease
from llm_unified.response import Attempt
from llm_unified.response import FailureKind as K
from llm_unified.vendors import models_request
from llm_unified.wire.exchange import WireError
from llm_unified.wire.request import get

__all__ = ["CURED_BY_CONNECTION", "PING_TIMEOUT_SECONDS", "Probe", "each", "ping", "warm"]

Probe = Literal["completion", "connection"]
PING_TIMEOUT_SECONDS: Final = 10.0
"""After which a ping has failed."""
_FAIR_SECONDS: Final = 5.0
"""Less is no proof that a provider hangs."""
CURED_BY_CONNECTION: Final = frozenset({K.CONNECTION, K.AUTH})
"""What a connection probe can find to be over."""
_ONE_TOKEN: Final = 1
_SOME_TOKENS: Final = 16
"""The newer models of OpenAI refuse less."""
_PACE_SECONDS: Final = 0.005
"""Between the beginnings of two pings."""
_PING: Final = ({"role": "user", "content": "ping"},)
_UNAUTHORIZED: Final = (401, 403)
_SERVER_ERROR: Final = 500


async def ping(
    dispatcher: Dispatcher, lease: Lease, probe: Probe, *, seconds: float = PING_TIMEOUT_SECONDS
) -> Attempt:
    """Ask the deployment of this lease; the attempt, however it ended. Raises nothing of its own.

    If the connection had broken while idle, once more over a fresh one.
    """
    ended = await _ask(dispatcher, lease, probe, seconds, fresh=False)
    if ended.stale:
        again = dispatcher.rotation.lease(lease.deployment, budget=seconds)
        ended = await _ask(dispatcher, again, probe, seconds, fresh=True)
    if ended.kind is K.BAD_REQUEST:
        dispatcher.enough_tokens[lease.deployment.endpoint] = _SOME_TOKENS
    return ended


async def _ask(
    dispatcher: Dispatcher, lease: Lease, probe: Probe, seconds: float, *, fresh: bool
) -> Attempt:
    deployment = lease.deployment
    limit = min(seconds, dispatcher.timeout_of(deployment.provider))
    tokens = dispatcher.enough_tokens.get(deployment.endpoint, _ONE_TOKEN)
    request = Request(
        chain=(deployment.provider,),
        messages=_PING,
        params={"max_tokens": tokens},
        deadline=limit,
        operation="ping",
    )
    trail = Trail(limit)
    attempt = PendingAttempt(
        request, trail, lease, dispatcher.ledger, dispatcher.engine, seconds=limit
    )
    pool = await dispatcher.pool_of(deployment)
    async with attempt:
        if probe == "completion" or pool is None:
            await _complete(dispatcher, attempt, fresh=fresh)
        else:
            await _list_models(dispatcher, attempt, fresh=fresh)
    return trail.attempts[-1]


async def _complete(dispatcher: Dispatcher, attempt: PendingAttempt, *, fresh: bool) -> None:
    deployment, engine = attempt.deployment, dispatcher.engine
    async with attempt.limit():
        pool = await dispatcher.pool_of(deployment)
        with attempt.sending:
            attempt.incoming = incoming = await engine.open(
                deployment,
                attempt.model,
                [dict(message) for message in _PING],
                dict(attempt.request.params),
                stream=False,
                exchange=attempt.exchange,
                pool=pool,
                fresh=fresh,
            )
        attempt.heard = assembly = Assembly(deployment.provider, attempt.model)
        assembly.add(await incoming.whole())
    attempt.usage = assembly.usage
    attempt.answered()


async def _list_models(dispatcher: Dispatcher, attempt: PendingAttempt, *, fresh: bool) -> None:
    """What a refusal says beside the key (a key may lack the right to list) proves the connection."""
    deployment, engine, exchange = attempt.deployment, dispatcher.engine, attempt.exchange
    pool = await dispatcher.pool_of(deployment)
    assert pool is not None  # noqa: S101 - else it is asked for a completion
    _, url, headers = models_request(deployment.row.protocol, engine.params_of(deployment))
    try:
        async with attempt.limit():
            with attempt.sending:
                reply = await pool.send(get(url, headers), exchange, fresh=fresh)
            await reply.aclose()
    except WireError:
        if exchange.status is None:
            raise
    status = exchange.status or 0
    scoped = exchange.error is not None and "scopes" in exchange.error.message
    if status in _UNAUTHORIZED and not scoped:
        attempt.unproven(K.AUTH, "key refused")
        return
    cured = CURED_BY_CONNECTION if status < _SERVER_ERROR else frozenset()
    attempt.connected(cured)


async def each(
    deployments: Iterable[Deployment], work: Callable[[Deployment], Awaitable[object]]
) -> list[Exception]:
    """Do ``work`` for all of them at once, and return what it raised.

    At once, but begun one after the other: a completion costs some CPU in the event loop, and dozens in one
    turn of the loop would stall everybody else in it.
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
                await asyncio.sleep(_PACE_SECONDS)
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
    """Ping all deployments of these; ``found[provider]`` becomes true with the first sign of life.

    Deployments that wait for a probe of their endpoint go in a second round, when it succeeded.
    """
    limit = min(PING_TIMEOUT_SECONDS, max(_FAIR_SECONDS, seconds))
    waiting = [d for d in dispatcher.engine.deployments.values() if d.provider in providers]
    begun: list[Deployment] = []

    async def one(deployment: Deployment) -> None:
        lease = dispatcher.rotation.claim(deployment, budget=limit)
        if lease is not None:
            begun.append(deployment)
            if is_alive(await ping(dispatcher, lease, probe, seconds=limit)):
                found[deployment.provider] = True

    while waiting:
        begun.clear()
        await each(waiting, one)
        if not begun:
            return
        waiting = [d for d in waiting if d not in begun]
