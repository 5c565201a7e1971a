"""The scalar parameters: dropped, clamped, renamed."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from llm_unified.vendors.takes import Takes

__all__ = ["adapt_parameters"]

_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_NEUTRAL: Final = {"presence_penalty": 0, "frequency_penalty": 0, "logprobs": False, "n": 1}
"""What is meant when nothing is said: nobody needs to know that it was left out."""


def adapt_parameters(takes: Takes, params: dict[str, Any], notes: list[str]) -> None:
    """Change the parameters in place."""
    if not takes.refused.isdisjoint(params):
        _drop(takes, params, notes)
    _clamp(takes, params, notes)
    if "max_tokens" in params or "max_completion_tokens" in params:
        _limit(takes, params, notes)
    if "stop" in params:
        _stop(takes, params, notes)
    if "user" in params:
        _user(takes, params, notes)
    if "metadata" in params:
        _metadata(takes, params, notes)


def _drop(takes: Takes, params: dict[str, Any], notes: list[str]) -> None:
    for name in [name for name in params if name in takes.refused]:
        if params.pop(name) != _NEUTRAL.get(name, notes):
            notes.append(f"{name} dropped")


def _clamp(takes: Takes, params: dict[str, Any], notes: list[str]) -> None:
    for name, (low, high) in takes.ranges.items():
        value = params.get(name)
        if value is not None and not low <= value <= high:
            params[name] = low if value < low else high
            notes.append(f"{name} {value} → {params[name]}")
    for name, allowed in takes.choices.items():
        if name in params and params[name] not in allowed:
            del params[name]
            notes.append(f"{name} dropped: its value is not taken")
    for name in [name for name in takes.only_one if name in params][1:]:
        del params[name]
        notes.append(f"{name} dropped: {takes.only_one[0]} is given")


def _limit(takes: Takes, params: dict[str, Any], notes: list[str]) -> None:
    """One limit of the answer, under one name; both names mean the same."""
    values = [params[name] for name in _LIMITS if params.get(name) is not None]
    if not values:
        return
    value = min(values)
    if takes.most_tokens is not None and value > takes.most_tokens:
        notes.append(f"max_tokens {value} → {takes.most_tokens}")
        value = takes.most_tokens
    name = takes.token_limit or next(n for n in _LIMITS if params.get(n) is not None)
    for each in _LIMITS:
        params.pop(each, None)
    params[name] = value


def _stop(takes: Takes, params: dict[str, Any], notes: list[str]) -> None:
    stop = params["stop"]
    given = [stop] if isinstance(stop, str) else list(stop)
    kept = [text for text in given if takes.blank_stops or (text and not text.isspace())]
    if len(kept) < len(given):
        notes.append("blank stop sequences dropped")
    if takes.most_stops is not None and len(kept) > takes.most_stops:
        notes.append(f"{len(kept)} stop sequences → {takes.most_stops}")
        kept = kept[: takes.most_stops]
    if not kept:
        del params["stop"]
    elif len(kept) < len(given):
        params["stop"] = kept


def _user(takes: Takes, params: dict[str, Any], notes: list[str]) -> None:
    """Too long a name becomes its digest: still one name for one user."""
    user = params["user"]
    if takes.longest_user is None or not isinstance(user, str):
        return
    if len(user) > takes.longest_user:
        params["user"] = hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()
        notes.append("user → its digest")


def _metadata(takes: Takes, params: dict[str, Any], notes: list[str]) -> None:
    """LiteLLM takes ``metadata`` for its own loggers; the vendor's goes around it.

    OpenAI: only with ``store`` (as its API says in a 400). Anthropic: ``user_id`` alone.
    """
    metadata = params.pop("metadata")
    if takes.thinking is not None:
        kept = {name: value for name, value in metadata.items() if name == "user_id"}
        if len(kept) < len(metadata):
            notes.append("metadata other than user_id dropped")
    else:
        kept = metadata
        if takes.refused and not params.get("store"):
            kept = {}
            notes.append("metadata dropped: store is not set")
    if kept:
        params["extra_body"] = {"metadata": kept, **(params.get("extra_body") or {})}
