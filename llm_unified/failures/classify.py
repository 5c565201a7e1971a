"""One function: the facts of a failed attempt → its kind.

In this order: a transport fault of ours, unless the provider said first what is wrong, by a status or an
error event (it may well hang up then); what vendors are known to say
(:mod:`llm_unified.failures.vendors`); the status.

The rule for statuses: what is about the *request* is ``bad_request``; what is about the way to the
provider, its configuration, its state or its limits is a kind after which another provider is asked.

* 401, 403, 451 → ``auth``: not with this key, not from here.  402 → ``quota``.
* 404, 405, 410, 426 → ``not_found``: the endpoint, the model or the scheme is not what is configured.
* 407, 421 → ``connection``: a proxy on the way refuses, or the connection led to another server.
* 408 → ``timeout``.  429, 529 → ``rate_limit``.
* 409, 423, 424, 425, 449, 499 and every 5xx → ``server``: a lock, a race, a failed dependency, "retry",
  or a gateway that takes us for gone although we wait.
* any other 4xx → ``bad_request``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from llm_unified.failures.envelope import VendorError
from llm_unified.failures.retry_after import retry_after
from llm_unified.failures.vendors import FACTS
from llm_unified.response import FailureKind as K

__all__ = ["Facts", "Failure", "classify"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one failed attempt, gathered on the wire where possible."""

    vendor: str = "other"
    """A :data:`~llm_unified.failures.facts.Vendor`."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Response headers, names in lower case. They may echo secrets and are never shown."""
    error: VendorError | None = None
    """The error envelope, of an error answer or inside of a success."""
    fault: K | None = None
    """``CONNECTION``, ``TIMEOUT`` or ``INVALID_RESPONSE`` if the transport itself failed."""
    reason: str = ""
    """A few words of ours about ``fault`` or about an answer that could not be read."""
    sent: bool = True
    """Whether a request left this process. If none did, the fault is the caller's."""
    hint: int | None = None
    """Status by LiteLLM's own mapping, used only where the wire is not ours."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failure was. ``reason`` is made of our words and vetted vendor codes only."""

    kind: K
    reason: str = ""
    status: int | None = None
    retry_after: float | None = None
    """Seconds that the provider asked to be left alone: finite, 0 to one hour."""


_STATUSES: Final[Mapping[int, K]] = {
    401: K.AUTH,
    402: K.QUOTA,
    403: K.AUTH,
    404: K.NOT_FOUND,
    405: K.NOT_FOUND,
    407: K.CONNECTION,
    408: K.TIMEOUT,
    409: K.SERVER,
    410: K.NOT_FOUND,
    421: K.CONNECTION,
    423: K.SERVER,
    424: K.SERVER,
    425: K.SERVER,
    426: K.NOT_FOUND,
    429: K.RATE_LIMIT,
    449: K.SERVER,
    451: K.AUTH,
    499: K.SERVER,
    529: K.RATE_LIMIT,
}
_SAYS: Final[Mapping[int, str]] = {
    407: "a proxy on the way asks for credentials",
    413: "the request is larger than the provider takes",
    421: "the connection leads to another server",
    426: "the endpoint wants another protocol",
    451: "not available for legal reasons",
    499: "a gateway gave the request up",
}


def classify(facts: Facts, *, now: datetime | None = None) -> Failure:
    """Name the failure. ``now`` (aware, default: the current time) is needed for HTTP dates."""
    status = facts.status
    said = facts.error is not None or (status is not None and status >= 400)  # noqa: PLR2004 - HTTP classes
    if facts.fault is not None and not said:
        return Failure(facts.fault, facts.reason, status)
    if not facts.sent:
        return Failure(K.BAD_REQUEST, facts.reason or "refused before anything was sent")
    if status is None:
        status = facts.hint
    if status is None:
        return Failure(K.CONNECTION, facts.reason or "no answer")
    if 300 <= status < 400:  # noqa: PLR2004
        return Failure(K.INVALID_RESPONSE, "redirected elsewhere", status)
    if status < 300 and facts.error is None:  # noqa: PLR2004
        return Failure(K.INVALID_RESPONSE, facts.reason or "answer could not be read", status)
    kind, reason = _said(facts.vendor, status, facts.error or VendorError())
    if status < 300:  # noqa: PLR2004
        place = facts.reason or "error inside the answer"
        reason = f"{place}: {reason}" if reason else place
    return Failure(kind, reason, status, retry_after(facts.headers, now=now))


def _said(vendor: str, status: int, error: VendorError) -> tuple[K, str]:
    for fact in FACTS:
        if fact.matches(vendor, status, error.codes, error.message, error.param):
            return fact.kind, ", ".join(filter(None, (fact.says, error.words)))
    if status < 300:  # noqa: PLR2004 - gateways put the status that they swallowed into the envelope
        inner = [int(c) for c in error.codes if c.isascii() and c.isdigit() and 400 <= int(c) < 600]  # noqa: PLR2004
        status = min(inner, default=500)
    kind = _STATUSES.get(status, K.SERVER if status >= 500 else K.BAD_REQUEST)  # noqa: PLR2004
    return kind, ", ".join(filter(None, (_SAYS.get(status), error.words)))
