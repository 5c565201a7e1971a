"""How much is measured, from the campaign to the process that measures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Plan:
    """One process's work; a part with nothing to do is left out."""

    client: str
    upstream: str
    spawned: float = 0.0
    """`time.time()` right before the process was started."""
    seconds: float = 1.0
    """How long one figure is taken for."""
    streams: int = 5
    concurrent: tuple[int, ...] = (64, 256)
    failing: int = 20
    """Calls while the first endpoint is down."""
    memory: int = 0
    """Calls after which memory is looked at; nothing else is measured then."""
    warmed: bool = False
    """Only the start, and with the client's own warm-up, where it has one."""

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Self:
        given: dict[str, Any] = json.loads(text)
        return cls(**{**given, "concurrent": tuple(given["concurrent"])})
