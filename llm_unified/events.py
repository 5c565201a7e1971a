"""What `UnifiedLLMService.subscribe` hands out, by the name under which applications import it.

stop = service.subscribe(print, only=(events.CallEnded,))
"""

from __future__ import annotations

from llm_unified.observe.events import (
    AttemptEnded,
    AttemptStarted,
    BreakerChanged,
    CallEnded,
    CallStarted,
    CooledDown,
    Event,
    FellBack,
    Misconfigured,
    QuotaSpent,
    Reloaded,
    Sending,
    Upstream,
)

__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "BreakerChanged",
    "CallEnded",
    "CallStarted",
    "CooledDown",
    "Event",
    "FellBack",
    "Misconfigured",
    "QuotaSpent",
    "Reloaded",
    "Sending",
    "Upstream",
]
