"""One attempt at one deployment: one context, settled exactly once, however it ends.

    async with PendingAttempt(…) as attempt:
        async with attempt.limit():
            … ask, read, accept …
        attempt.usage = …
        attempt.answered()
    if attempt.failure is not None: …

The block may end by `answered`, by any exception of the wire or of an answer that is none (which becomes
``attempt.failure``), by cancellation, or by whatever the caller's own code raises: the lease is settled, one
`Attempt` is on the trail, the connection is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Final, Protocol, Self

from llm_unified.calls.ledger import Ledger
from llm_unified.calls.request import Request, Trail
from llm_unified.engine.engine import Engine, RefusedLocallyError
from llm_unified.engine.incoming import Incoming
from llm_unified.engine.pieces import AnswerError
from llm_unified.failures.classify import Facts, Failure, classify
from llm_unified.observe.events import AttemptEnded, AttemptStarted, Sending
from llm_unified.pool.lease import Lease
from llm_unified.response import Attempt, Outcome, Usage
from llm_unified.response import FailureKind as K
from llm_unified.wire.exchange import Exchange, WireError

__all__ = ["PendingAttempt"]


class Heard(Protocol):
    """What came of an answer so far."""

    upstream_model: str | None
    upstream_id: str | None
    finish_reason: str | None


class PendingAttempt:
    """One attempt under way."""

    def __init__(
        self,
        request: Request,
        trail: Trail,
        lease: Lease,
        ledger: Ledger,
        engine: Engine,
        *,
        seconds: float,
        own_limit: bool = False,
    ) -> None:
        """``seconds``: that it may take, until the first sign of life for a stream.

        ``own_limit``: the caller set that limit, shorter than the configured one.
        """
        self.request, self.lease, self._trail, self._ledger = request, lease, trail, ledger
        self.seconds, self._own_limit, self._engine = seconds, own_limit, engine
        self.deployment = lease.deployment
        self.model = request.model_for(self.deployment)
        self._upstream = engine.names.upstream(self.deployment, self.model)
        self.exchange = Exchange()
        self.incoming: Incoming | None = None
        self.first_token: float | None = None
        """Seconds until the first content of a stream."""
        self.sending: Final = Sending()
        """Around whatever sends: what subscribers hung on it."""
        self.heard: Heard | None = None
        """What the upstream says of its answer."""
        self.usage: Usage | None = None
        """Tokens, as soon as they are known; what is rejected or breaks off was paid for, too."""
        self._priced: Usage | None = None
        self._cost: float | None = None
        self.adapted: list[str] = []
        """What of the request was changed for this vendor."""
        self.accepting = False
        """The caller is looking at the answer."""
        self.failure: Failure | None = None
        self._began = time.monotonic()
        self._settled = self._kept = False

    def limit(self) -> asyncio.Timeout:
        """Bounds what is done inside by the attempt's time."""
        left = self._began + self.seconds - time.monotonic()
        return asyncio.timeout(max(0.0, left))

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    @property
    def cost(self) -> float | None:
        """US dollars so far; ``None`` when tokens or price are unknown."""
        if self._priced is not self.usage:
            self._priced = self.usage
            self._cost = self._engine.price(self.deployment, self.model, self.usage)
        return self._cost

    async def __aenter__(self) -> Self:
        request = self.request
        self._ledger.begun(
            self.lease,
            AttemptStarted(
                self._trail.call_id, request.operation, request.stream, self._upstream, self.sending
            ),
        )
        self.exchange.carried = self.sending.headers
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None and self._kept:
            self._kept = False
            return False
        try:
            if self._settled:
                return False
            if error is None or not isinstance(error, Exception):
                self._cancelled()
                return False
            if (failure := self._failure_of(error)) is None:
                self._cancelled()
                return False
            self._failed(failure, error)
            return True
        finally:
            await self.close()

    async def close(self) -> None:
        """Free the connection."""
        if self.incoming is not None:
            with contextlib.suppress(Exception):  # a clean-up whose failure changes nothing
                await self.incoming.aclose()

    # -- how it ends -----------------------------------------------------------------------------

    def keep(self) -> None:
        """It goes on behind this block: a stream that is answering. Another block will end it."""
        self._kept = True

    def answering(self) -> None:
        """The first content came."""
        trail = self._trail
        self.first_token = self.elapsed
        trail.first_token = time.monotonic() - trail.started
        self._ledger.answering(self.lease, trail.call_id)

    def answered(self) -> None:
        """A real answer, accepted by the caller."""
        self._settled = True
        self._ledger.answered(self.lease, self._record("answered", None))

    def rejected(self, reason: str) -> None:
        """The caller's own code turned the answer down, or raised; the provider did nothing wrong."""
        self._failed(Failure(K.REJECTED, reason, self.exchange.status), None)

    def connected(self, cured: frozenset[K]) -> None:
        """A connection was made, which is all that was asked; it cures these kinds."""
        self._settled = True
        self._ledger.reconnected(self.lease, self._record("answered", None), cured)

    def unproven(self, kind: K, reason: str) -> None:
        """It failed, but that is no reason to leave the deployment alone."""
        self._settled = True
        self.failure = Failure(kind, reason, self.exchange.status)
        self._ledger.released(self.lease, self._record("failed", self.failure))

    def _cancelled(self, reason: str = "caller went away") -> None:
        self._settled = True
        failure = Failure(K.CANCELLED, reason, self.exchange.status)
        answering = self.first_token is not None
        self._ledger.released(self.lease, self._record("cancelled", failure), recovered=answering)

    def _failed(self, failure: Failure, error: Exception | None) -> None:
        self._settled = True
        self.failure = failure
        self._trail.cause = _foreign(error)
        end = self._record("failed", failure)
        if end.attempt.stale or not end.attempt.sent:
            self._ledger.released(self.lease, end)
        else:
            overridden = self.model != self.deployment.model
            self._ledger.failed(self.lease, end, overridden=overridden)

    def _record(self, outcome: Outcome, failure: Failure | None) -> AttemptEnded:
        exchange = self.exchange
        attempt = Attempt(
            provider=self.deployment.provider,
            model=self.model,
            deployment=self.deployment.id,
            outcome=outcome,
            kind=None if failure is None else failure.kind,
            status=exchange.status if failure is None else failure.status or exchange.status,
            seconds=self.elapsed,
            first_token_seconds=self.first_token,
            request_id=exchange.request_id,
            retry_after=None if failure is None else failure.retry_after,
            reason="" if failure is None else failure.reason,
            usage=self.usage,
            cost_usd=self.cost,
            sent=exchange.requests > 0,
            stale=outcome == "failed" and exchange.stale,
            adapted=tuple(self.adapted),
        )
        request, trail, heard = self.request, self._trail, self.heard
        trail.attempts.append(attempt)
        trail.ended = AttemptEnded(
            trail.call_id,
            request.operation,
            request.stream,
            self._upstream,
            attempt,
            response_model=None
            if heard is None
            else self._engine.names.vetted_model(self.deployment, heard.upstream_model),
            response_id=None
            if heard is None
            else self._engine.names.vetted(self.deployment, heard.upstream_id),
            finish_reason=None if heard is None else heard.finish_reason,
            chunk_seconds=self.sending.gaps or (),
            requests=exchange.requests,
            connections_opened=exchange.opened,
            connections_reused=exchange.kept,
        )
        return trail.ended

    # -- what a failure was ----------------------------------------------------------------------

    def _failure_of(self, error: Exception) -> Failure | None:
        """``None``: it is the caller's own exception."""
        exchange = self.exchange
        if isinstance(error, AnswerError):
            self.usage = self.usage or error.usage
            if error.kind is None:
                return self._classified(error.reason)
            return Failure(error.kind, error.reason, exchange.status)
        if isinstance(error, WireError):
            return self._classified(exchange.reason)
        if isinstance(error, TimeoutError):
            return self._timed_out()
        if isinstance(error, RefusedLocallyError):
            return Failure(K.BAD_REQUEST, str(error))
        return None

    def _classified(self, reason: str) -> Failure:
        exchange = self.exchange
        return classify(
            Facts(
                vendor=self.deployment.row.protocol,
                status=exchange.status,
                headers=exchange.headers,
                error=exchange.error,
                fault=exchange.fault,
                reason=reason,
            )
        )

    def _timed_out(self) -> Failure:
        status = self.exchange.status
        if self.accepting:
            return Failure(K.REJECTED, f"accept() was not done within {self.seconds:.2f} s", status)
        missing = "answer" if status is None else "whole answer"
        if self.request.stream:
            missing = "first token"
        if self._own_limit:
            return Failure(
                K.REJECTED, f"no {missing} within the call's own {self.seconds:.2f} s", status
            )
        if status is None or status < 400:  # noqa: PLR2004 - the HTTP classes
            return Failure(K.TIMEOUT, f"no {missing} within {self.seconds:.2f} s", status)
        return self._classified(self.exchange.reason)  # its status had come


def _foreign(error: Exception | None) -> BaseException | None:
    """The foreign exception behind one of ours."""
    if isinstance(error, WireError | RefusedLocallyError | AnswerError):
        return error.__cause__
    return error
