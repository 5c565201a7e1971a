"""A request, changed so that the model that is asked takes it, for this attempt only.

What is not taken is clamped, renamed, converted or dropped, and each change is a short note of ours (never a
text of the caller's). What would mean something else here is refused with a reason: the next provider may
take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llm_unified.vendors.formats import adapt_format
from llm_unified.vendors.history import adapt_messages
from llm_unified.vendors.parameters import adapt_parameters
from llm_unified.vendors.reasoning import adapt_reasoning
from llm_unified.vendors.takes import Takes
from llm_unified.vendors.tools import adapt_tools

__all__ = ["Adapted", "Adapter"]

_REMEMBERED: Final = 256
"""Sets of scalar parameters."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """What was changed."""

    notes: tuple[str, ...] = ()
    """E.g. ``"temperature 1.2 → 1.0"``; each once."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Tools that have another name on the wire: that name → the caller's."""


class Adapter:
    """Adapts requests to one model; which parameters need no change is remembered."""

    def __init__(self, takes: Takes) -> None:
        self.takes = takes
        self._fitting: dict[Any, bool] = {}
        """Parameters that are taken as they are → whether the model reasons."""

    def __call__(self, params: dict[str, Any]) -> Adapted:
        """Change in place what the model would not take. ``params``: ``messages`` are among them.

        Raises:
            CannotAdaptError: it cannot be said to this model.
        """
        messages, takes = params.pop("messages"), self.takes
        key: Any = tuple(params.items())
        try:
            thinks = self._fitting.get(key)
        except TypeError:  # a list or an object among them
            key = thinks = None
        params["messages"] = messages
        notes: list[str] = []
        if thinks is not None:
            adapt_messages(takes, params, notes, thinks=thinks)
            return Adapted(tuple(dict.fromkeys(notes))) if notes else _NOTHING
        before = {**params}
        names = adapt_tools(takes, params, notes) if "tools" in params else {}
        thinks = adapt_reasoning(takes, params, notes)
        adapt_parameters(takes, params, notes)
        adapt_messages(takes, params, notes, thinks=thinks)
        if "response_format" in params:
            adapt_format(takes, params, notes)
        elif key is not None and params == before and len(self._fitting) < _REMEMBERED:
            self._fitting[key] = thinks
        return Adapted(tuple(dict.fromkeys(notes)), names)


_NOTHING: Final = Adapted()
