"""A request, changed so that the model that is asked takes it, for this attempt only.

What is not taken is clamped, renamed, converted or dropped, and each change is a short note of ours (never a
text of the caller's). What would mean something else here is refused with a reason: the next provider may
take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_unified.vendors.formats import adapt_format
from llm_unified.vendors.history import adapt_messages
from llm_unified.vendors.parameters import adapt_parameters
from llm_unified.vendors.reasoning import adapt_reasoning
from llm_unified.vendors.takes import Takes
from llm_unified.vendors.tools import adapt_tools

__all__ = ["Adapted", "adapt"]


@dataclass(frozen=True, slots=True)
class Adapted:
    """What was changed."""

    notes: tuple[str, ...] = ()
    """E.g. ``"temperature 1.2 → 1.0"``; each once."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Tools that have another name on the wire: that name → the caller's."""


def adapt(takes: Takes, params: dict[str, Any]) -> Adapted:
    """Change in place what this model would not take. ``params``: all parameters, ``messages`` among them.

    Raises:
        CannotAdaptError: it cannot be said to this model.
    """
    notes: list[str] = []
    names = adapt_tools(takes, params, notes) if "tools" in params else {}
    thinks = adapt_reasoning(takes, params, notes)
    adapt_parameters(takes, params, notes)
    messages = adapt_messages(takes, params["messages"], notes, thinks=thinks)
    params["messages"] = messages
    if "response_format" in params:
        adapt_format(takes, params, notes)
    return Adapted(tuple(dict.fromkeys(notes)), names)
