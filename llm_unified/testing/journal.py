"""What arrived: one :class:`Request` per HTTP request, kept up to date until it is finished."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Request", "State"]

State = Literal["open", "answered", "broken", "client_gone"]
"""``broken``: the simulator ended it before the answer was whole, as its script said."""


@dataclass(slots=True, eq=False)
class Request:
    """One request as the simulator saw it. Only the last three fields change after it was read."""

    provider: str
    method: str
    path: str
    """Without query and without the simulator's prefix."""
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    """Names in lower case."""
    body: Any = field(repr=False)
    """Parsed JSON; ``bytes`` where it is none (``b""``: no body)."""
    client_port: int
    """TCP source port: equal for requests that shared a connection."""
    connection: int
    """Serial number of the TCP connection at this provider, from 1."""
    received_at: float
    """``time.monotonic()`` in seconds, when the last byte of the request had arrived."""
    stream: bool
    """Whether the body asked for a stream."""
    outcome: str = ""
    """Name of the outcome that was played; ``"refused: …"`` when the vendor would refuse."""
    state: State = "open"
    finished_at: float | None = None
    """``time.monotonic()`` in seconds, when the state left ``"open"``."""

    @property
    def finished(self) -> bool:
        """Whether the answer was written to its end."""
        return self.state == "answered"

    @property
    def client_gone(self) -> bool:
        """Whether the client left before the answer was whole."""
        return self.state == "client_gone"

    @property
    def api_key(self) -> str | None:
        """The key that came along, whatever header carried it."""
        for name in ("x-api-key", "api-key"):
            if name in self.headers:
                return self.headers[name]
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    def finish(self, state: State) -> None:
        """Note how it ended."""
        self.state = state
        self.finished_at = time.monotonic()
