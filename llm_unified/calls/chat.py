"""One attempt at a whole answer, and at vectors: ask, read, let the caller accept."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, Final

from llm_unified.calls.answer import Assembly
from llm_unified.calls.attempt import PendingAttempt
from llm_unified.calls.chain import Chain
from llm_unified.calls.request import json_copy
from llm_unified.calls.vectors import Vectors, batched
from llm_unified.engine.incoming import Incoming
from llm_unified.engine.pieces import AnswerError
from llm_unified.response import Embedding, LLMResponse
from llm_unified.response import FailureKind as K

__all__ = ["accepted", "complete", "embed", "finished", "opened"]

_LIMITS: Final = ("max_tokens", "max_completion_tokens")


async def complete(chain: Chain) -> LLMResponse:
    """The first real answer of the chain.

    Raises:
        LLMError: see the failure table.
    """

    async def work(attempt: PendingAttempt, fresh: bool) -> LLMResponse:
        async with attempt.limit():
            incoming = await opened(chain, attempt, fresh=fresh)
            attempt.heard = assembly = Assembly(attempt.deployment.provider, attempt.model)
            assembly.add(await incoming.whole())
            response = finished(chain, attempt, assembly)
            await accepted(attempt, response)
        attempt.answered()
        return response

    response: LLMResponse = await chain.run(work)
    trail = chain.trail
    return replace(response, attempts=tuple(trail.attempts), call_id=trail.call_id)


async def embed(chain: Chain) -> Embedding:
    """Vectors of the call's texts.

    Raises:
        LLMError: as `complete`.
    """

    batches = batched(chain.request.messages)

    async def work(attempt: PendingAttempt, fresh: bool) -> Embedding:
        attempt.heard = vectors = Vectors()
        async with attempt.limit():
            for texts in batches:
                with attempt.sending:
                    data = await chain.engine.embed(
                        attempt.deployment,
                        attempt.model,
                        texts,
                        json_copy(chain.request.params, "extra"),
                        exchange=attempt.exchange,
                        pool=chain.engine.pool(attempt.deployment, chain.pools),
                        fresh=fresh,
                    )
                try:
                    vectors.add(data, count=len(texts))
                finally:  # what was sent was paid for
                    attempt.usage = vectors.usage
        attempt.answered()
        return Embedding(
            vectors=tuple(vectors.rows),
            provider=attempt.deployment.provider,
            model=attempt.model,
            usage=vectors.usage,
            cost_usd=attempt.cost,
        )

    found: Embedding = await chain.run(work)
    trail = chain.trail
    return replace(found, attempts=tuple(trail.attempts), call_id=trail.call_id)


async def opened(chain: Chain, attempt: PendingAttempt, *, fresh: bool) -> Incoming:
    """The answer to the call's request, once its headers came.

    Translations change what they are given, and the next provider needs it as it was: each gets its own.
    """
    request = chain.request
    with attempt.sending:
        attempt.incoming = incoming = await chain.engine.open(
            attempt.deployment,
            attempt.model,
            json_copy(request.messages, "messages"),
            json_copy(request.params, "parameters"),
            stream=request.stream,
            exchange=attempt.exchange,
            pool=chain.engine.pool(attempt.deployment, chain.pools),
            fresh=fresh,
            notes=attempt.adapted,
        )
    return incoming


def finished(chain: Chain, attempt: PendingAttempt, assembly: Assembly) -> LLMResponse:
    """The assembled answer, with its price.

    Raises:
        AnswerError: it is none.
    """
    request = chain.request
    attempt.usage = assembly.usage
    return assembly.finish(
        cost_usd=attempt.cost,
        parser=request.parser,
        empty_is_fine=request.operation == "ping",
        limited=any(name in request.params for name in _LIMITS),
    )


async def accepted(attempt: PendingAttempt, response: LLMResponse) -> None:
    """Ask the caller's ``accept``; what it raises goes to the caller as it is.

    Raises:
        AnswerError: it said no, or took longer than the attempt may.
    """
    accept = attempt.request.accept
    if accept is None:
        return
    attempt.accepting = True
    try:
        verdict: Any = accept(response)
        if inspect.isawaitable(verdict):
            verdict = await verdict
    except Exception as error:
        attempt.rejected(f"accept() raised {type(error).__name__}")
        raise
    if not verdict:
        raise AnswerError("accept() said no", K.REJECTED)
    if attempt.elapsed > attempt.seconds:  # a blocking one cannot be interrupted
        raise AnswerError(f"accept() was not done within {attempt.seconds:.2f} s", K.REJECTED)
