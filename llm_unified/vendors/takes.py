"""What a model's API takes, as data: rows with their sources, folded into one value for one model.

The vendors' modules hold the rows; `adapt` reads what comes of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal

__all__ = ["CannotAdaptError", "Row", "Takes", "names", "row", "taken"]


def names(text: str) -> frozenset[str]:
    """Names that stand in one text."""
    return frozenset(text.split())


KNOWN: Final = names(
    """
    temperature top_p top_k max_tokens max_completion_tokens stop seed n presence_penalty
    frequency_penalty logit_bias logprobs top_logprobs user metadata service_tier store prediction
    modalities audio web_search_options safety_identifier prompt_cache_key prompt_cache_retention
    verbosity reasoning_effort thinking output_config functions function_call parallel_tool_calls
    reasoning_format include_reasoning documents citation_options search_settings compound_custom
    disable_tool_validation exclude_domains include_domains container mcp_servers
    context_management inference_geo speed cache_control
    """
)
"""Parameters that some vendor takes. One that is not among them is passed on: it may be new."""
_ANY: Final = re.compile(".*", re.DOTALL)


class CannotAdaptError(Exception):
    """The request would mean something else here. The message is a reason of ours."""


@dataclass(frozen=True, slots=True)
class Takes:
    """What one model's API takes. By default: whatever it is given."""

    # -- parameters
    refused: frozenset[str] = frozenset()
    """Parameters that it does not take."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    choices: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Parameter → its values."""
    most_tokens: int | None = None
    """The longest answer that may be asked for."""
    token_limit: str | None = None
    """The one name of the limit of an answer; ``None``: both are taken."""
    most_stops: int | None = None
    blank_stops: bool = True
    """Whether a stop sequence may be nothing but white space."""
    only_one: tuple[str, ...] = ()
    """Of these parameters it takes one; the first that is given stays."""
    longest_user: int | None = None
    """Characters of ``user``."""
    # -- reasoning
    efforts: tuple[str, ...] | None = None
    """Levels of ``reasoning_effort``; ``()``: it does not reason; ``None``: not known."""
    efforts_beside: bool = False
    """Whether the level goes around LiteLLM, whose price list does not know all models that reason."""
    reasons: bool = False
    """Whether it reasons when nothing is said."""
    steady: frozenset[str] = frozenset()
    """Parameters that it does not take while it reasons."""
    thinking: Literal["no", "budget", "adaptive"] | None = None
    """How Anthropic's models are told to think; ``None``: another vendor's."""
    budgets: bool = False
    """Whether a model that thinks adaptively takes a budget, too."""
    thinks_off: str | None = None
    """The type of ``thinking`` that turns it off where it is on by default; ``None``: nothing does."""
    # -- tools and formats
    tools: bool = True
    most_tools: int | None = None
    forced_tools: bool = True
    """Whether a tool call can be required."""
    names: re.Pattern[str] = _ANY
    longest_name: int = 64
    ids: re.Pattern[str] = _ANY
    """Ids of tool calls."""
    json: Literal["any", "schema", "object", "words"] = "any"
    """``response_format``: by schema only, a JSON object only, none of both; ``any``: both."""
    json_word: bool = False
    """Whether JSON mode wants the word in the conversation."""
    json_with_tools: bool = True
    # -- messages
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Role → members of a message that are taken; a role that is not here takes any."""
    reasoning_member: str | None = "reasoning_content"
    """How the reasoning of an earlier turn is called; ``None``: it is not taken."""
    parts: frozenset[str] = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
    """Parts of a user's content."""
    result_parts: frozenset[str] = frozenset({"text", "image_url"})
    """Parts of a tool's result."""
    image_types: frozenset[str] = frozenset()
    """Of images in data URLs; empty: not known."""
    plain_http: bool = True
    """Whether an image may be at an ``http:`` address."""
    most_images: int | None = None
    caching: bool = True
    """Whether it understands ``cache_control``."""
    empty_text: bool = True
    user_first: bool = False
    """Whether a user's message must come first, and there must be one."""
    prefill: bool = True
    """Whether it goes on from an assistant's message at the end."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fact, or a few from one page, about some models of a vendor."""

    source: str
    models: re.Pattern[str] | None
    """Found in the model's name; ``None``: all models."""
    facts: Mapping[str, Any]
    """Fields of `Takes`; ``params``: the names of all parameters taken; ``without``: of those not taken."""


def row(source: str, models: str | None = None, **facts: Any) -> Row:
    """Make a `Row`; texts of several names are split at white space."""
    pattern = None if models is None else re.compile(rf"(?:\A|[/:])(?:{models})")
    return Row(source, pattern, MappingProxyType(facts))


def taken(rows: Iterable[Row], model: str) -> Takes:
    """What this model takes: later rows win, refused parameters add up."""
    takes = Takes()
    name = model.lower()
    for each in rows:
        if each.models is not None and each.models.search(name) is None:
            continue
        facts = dict(each.facts)
        refused = takes.refused | names(facts.pop("without", ""))
        if (params := facts.pop("params", None)) is not None:
            refused |= KNOWN - names(params)
        refused -= names(facts.pop("regains", ""))
        takes = replace(takes, refused=refused, **facts)
    return takes
