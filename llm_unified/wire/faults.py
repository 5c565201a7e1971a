"""What a transport's exception means, in words of ours."""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp

from llm_unified.response import FailureKind as K
from llm_unified.wire.body import BodyError
from llm_unified.wire.exchange import Exchange
from llm_unified.wire.sse import BrokenEventError

__all__ = ["SentOnceError", "note_fault"]


class SentOnceError(Exception):
    """Hides its cause from aiohttp, which would send an idempotent request a second time."""


_FAULTS: Final[tuple[tuple[type[BaseException], K, str], ...]] = (
    (aiohttp.ConnectionTimeoutError, K.TIMEOUT, "connect timeout"),
    (aiohttp.ClientConnectorDNSError, K.CONNECTION, "could not connect: name not resolved"),
    (
        aiohttp.ClientConnectorCertificateError,
        K.CONNECTION,
        "could not connect: certificate not trusted",
    ),
    (aiohttp.ClientSSLError, K.CONNECTION, "could not connect: no TLS"),
    (ssl.SSLError, K.CONNECTION, "TLS failed"),
    (aiohttp.ClientConnectorError, K.CONNECTION, "could not connect"),
    (aiohttp.ClientResponseError, K.CONNECTION, "no HTTP spoken"),
    (aiohttp.ClientPayloadError, K.CONNECTION, "answer cut or garbled"),
    (aiohttp.ClientError, K.CONNECTION, "connection lost"),
    (OSError, K.CONNECTION, "connection lost"),
)
"""First match wins."""


def note_fault(exchange: Exchange, error: BaseException) -> None:
    """Write down what ``error`` means for the attempt."""
    if isinstance(error, SentOnceError):
        error = error.__cause__ or error
    if isinstance(error, BodyError | BrokenEventError):
        exchange.fail(K.INVALID_RESPONSE, str(error))
        return
    for kind, fault, reason in _FAULTS:
        if isinstance(error, kind):
            exchange.fail(fault, reason)
            return
    exchange.fail(K.CONNECTION, "connection lost")
