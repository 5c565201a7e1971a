"""``reasoning_effort`` and Anthropic's ``thinking``: the same wish in each vendor's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llm_unified.vendors.content import signed
from llm_unified.vendors.takes import Takes

__all__ = ["adapt_reasoning"]

_SCALE: Final = ("none", "minimal", "low", "medium", "default", "high", "xhigh", "max")
"""Levels from nothing to most; ``default`` is Groq's word for the model's own."""
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 1024,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16384,
}
"""Level → tokens of thinking. Source: LiteLLM's ``DEFAULT_REASONING_EFFORT_…_THINKING_BUDGET``."""
_LEAST_BUDGET: Final = 1024
"""Source: Anthropic SDK, ``ThinkingConfigEnabledParam.budget_tokens``."""
_UNFINISHED: Final = ("tool", "function")

_UNTHOUGHT: Final = "the turn began without thinking"


def adapt_reasoning(takes: Takes, params: dict[str, Any], notes: list[str]) -> bool:
    """Change the wish in place; whether the model will reason."""
    if takes.thinking is not None:
        thinks = _anthropic(takes, params, notes)
    elif "reasoning_effort" in params or "thinking" in params:
        thinks = _effort(takes, params, notes)
    else:
        thinks = takes.reasons
    if thinks and not takes.steady.isdisjoint(params):
        for name in [name for name in params if name in takes.steady]:
            if params[name] != 1 or name != "temperature":
                del params[name]
                notes.append(f"{name} dropped: the model reasons")
    return thinks


def _level(params: dict[str, Any]) -> str | None:
    """The level that is asked for, whichever way."""
    effort, thinking = params.get("reasoning_effort"), params.get("thinking")
    if isinstance(effort, dict):  # the Responses API's form
        effort = effort.get("effort")
    if effort is not None:
        return str(effort)
    if not isinstance(thinking, dict):
        return None
    if thinking.get("type") != "enabled":
        return "none" if thinking.get("type") == "disabled" else "medium"
    budget = thinking.get("budget_tokens") or 0
    fitting = [level for level, tokens in _BUDGETS.items() if tokens <= budget]
    return fitting[-1] if fitting and fitting[-1] != "minimal" else "low"


def _nearest(level: str, levels: Sequence[str]) -> str:
    """The level itself, else the next lower one, else the lowest. Reasoning is not turned off for it."""
    if level in levels:
        return level
    able = [each for each in levels if each != "none"] or list(levels)
    rank = _SCALE.index(level) if level in _SCALE else len(_SCALE)
    lower = [each for each in able if _SCALE.index(each) < rank]
    return lower[-1] if lower else able[0]


def _effort(takes: Takes, params: dict[str, Any], notes: list[str]) -> bool:
    """At vendors that know ``reasoning_effort``."""
    levels, level = takes.efforts, _level(params)
    if levels is None or level is None:
        return False
    if "thinking" in params:
        del params["thinking"]
        if levels and "reasoning_effort" not in params:
            params["reasoning_effort"] = level
            notes.append(f"thinking → reasoning_effort {_nearest(level, levels)}")
    if not levels:
        params.pop("reasoning_effort", None)
        if level != "none":
            notes.append("reasoning_effort dropped")
        return False
    near = _nearest(level, levels)
    if near != level:
        if not notes or not notes[-1].startswith("thinking"):
            notes.append(f"reasoning_effort {level:.10} → {near}")
        given = params["reasoning_effort"]
        params["reasoning_effort"] = {**given, "effort": near} if isinstance(given, dict) else near
    if takes.efforts_beside:
        del params["reasoning_effort"]
        params["extra_body"] = {"reasoning_effort": near, **(params.get("extra_body") or {})}
    return near != "none"


def _anthropic(takes: Takes, params: dict[str, Any], notes: list[str]) -> bool:
    """At Anthropic, where thinking excludes a few things."""
    level, given = _level(params), params.get("thinking")
    effort = params.pop("reasoning_effort", None)
    if level is None or takes.thinking == "no":
        if params.pop("thinking", None) is not None or level not in (None, "none"):
            notes.append("reasoning_effort dropped" if given is None else "thinking dropped")
        return takes.reasons
    if level == "none":
        return _off(takes, params, notes)
    if takes.thinking == "adaptive":
        return _adaptive(takes, params, notes, level)
    if effort is None and given and given.get("type") == "enabled":
        budget = given.get("budget_tokens") or _LEAST_BUDGET
    else:
        budget = _BUDGETS.get(level, _LEAST_BUDGET)
        if given is not None:
            notes.append(f"thinking → {budget} tokens")
    if (reason := _hindrance(params)) is not None:
        params.pop("thinking", None)
        if reason is _UNTHOUGHT:
            params["thinking"] = {"type": "disabled"}  # said aloud: it goes on without
        notes.append(f"reasoning dropped: {reason}")
        return False
    params["thinking"] = {"type": "enabled", "budget_tokens": _fitting(params, budget, notes)}
    return True


def _off(takes: Takes, params: dict[str, Any], notes: list[str]) -> bool:
    params.pop("thinking", None)
    if not takes.reasons:
        return False
    if takes.thinks_off is not None:
        params["thinking"] = {"type": takes.thinks_off}
        return False
    params["reasoning_effort"] = "low"
    notes.append("reasoning_effort none → low: this model always thinks")
    return True


def _adaptive(takes: Takes, params: dict[str, Any], notes: list[str], level: str) -> bool:
    given = params.get("thinking")
    if given is not None and (takes.budgets or given.get("type") != "enabled"):
        return True  # its own words
    near = _nearest(level, takes.efforts or ("low", "medium", "high"))
    if params.pop("thinking", None) is not None:
        notes.append(f"thinking → effort {near}")
    elif near != level:
        notes.append(f"reasoning_effort {level:.10} → {near}")
    params["reasoning_effort"] = near
    return True


def _hindrance(params: dict[str, Any]) -> str | None:
    """Why thinking with a budget cannot be turned on for this request.

    Sources: Anthropic, "Extended thinking": "Feature compatibility", "Preserving thinking blocks"; the SDK's
    ``ThinkingConfigEnabledParam`` (more than 1024 tokens are needed).
    """
    limit = _limit(params)
    if limit is not None and limit <= _LEAST_BUDGET:
        return f"max_tokens {limit} leaves no room"
    choice = params.get("tool_choice")
    if choice == "required" or isinstance(choice, dict):
        return "a tool call is required"
    for message in reversed(params["messages"]):
        role = message.get("role")
        if role == "assistant" and not signed(message.get("thinking_blocks")):
            return _UNTHOUGHT
        if role not in _UNFINISHED:
            break
    return None


def _fitting(params: dict[str, Any], budget: int, notes: list[str]) -> int:
    """At least 1024, and room for the answer."""
    limit = _limit(params)
    fitting = max(budget, _LEAST_BUDGET)
    if limit is not None and fitting >= limit:
        fitting = max(_LEAST_BUDGET, limit // 2)
    if fitting != budget:
        notes.append(f"thinking budget {budget} → {fitting}")
    return fitting


def _limit(params: dict[str, Any]) -> int | None:
    limits = [params.get(name) for name in ("max_tokens", "max_completion_tokens")]
    return min((limit for limit in limits if limit is not None), default=None)
