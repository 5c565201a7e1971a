"""Tool calls and their results: each call has one, right behind it, under an id that this vendor takes.

Ids are mapped the same way in every request, so a conversation stays the same text for a vendor's cache.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from typing import Any, Final

from llm_unified.vendors.takes import Takes
from llm_unified.vendors.tools import portable_name

__all__ = ["paired"]

_ID_DIGITS: Final = 24
_LOST: Final = "(There is no result.)"


Results = defaultdict[Any, deque[tuple[int, dict[str, Any]]]]
"""Id → results that wait for their call, with their positions."""


def paired(takes: Takes, messages: list[Any], notes: list[str]) -> list[Any]:
    """The messages with their calls and results in order."""
    results: Results = defaultdict(deque)
    for position, message in enumerate(messages):
        if message.get("role") == "tool":
            results[message.get("tool_call_id")].append((position, message))
    if not results and not any(message.get("tool_calls") for message in messages):
        return messages
    kept: list[Any] = []
    ids: set[str] = set()
    for position, message in enumerate(messages):
        if message.get("role") == "tool":
            continue  # it stands behind its call
        kept.append(message)
        calls = message.get("tool_calls")
        if not calls:
            message.pop("tool_calls", None)
            continue
        images: list[Any] = []
        for call in calls:
            result = _result(results, call.get("id"), position, position + len(calls), notes)
            call["id"] = result["tool_call_id"] = _id(takes, call.get("id"), ids, notes)
            ids.add(call["id"])
            _normalize(takes, call)
            images += result.pop("images", ())
            kept.append(result)
        if images:
            kept.append({"role": "user", "content": images})
            notes.append("an image of a tool's result sent as the user's")
    if any(results.values()):
        notes.append("a tool's result without its call removed")
    return kept


def _result(
    results: Results, number: Any, position: int, last: int, notes: list[str]
) -> dict[str, Any]:
    """The first result behind its call, which stands at ``position``; a filler where there is none."""
    waiting = results[number]
    while waiting and waiting[0][0] < position:
        waiting.popleft()
        notes.append("a tool's result without its call removed")
    if not waiting:
        notes.append("a missing tool's result filled in")
        return {"role": "tool", "content": _LOST}
    found_at, result = waiting.popleft()
    if found_at > last:
        notes.append("a tool's result put behind its call")
    return result


def _id(takes: Takes, given: Any, used: set[str], notes: list[str]) -> str:
    if isinstance(given, str) and takes.ids.fullmatch(given) and given and given not in used:
        return given
    notes.append("tool-call ids mapped")
    digest = hashlib.sha256(f"{given}:{len(used)}".encode("utf-8", "replace")).hexdigest()
    return f"call_{digest[:_ID_DIGITS]}"


def _normalize(takes: Takes, call: dict[str, Any]) -> None:
    function = call.get("function")
    if not isinstance(function, dict):
        return
    if isinstance(name := function.get("name"), str):
        function["name"] = portable_name(takes, name)
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        function["arguments"] = json.dumps(arguments or {}, ensure_ascii=False)
    elif not arguments.strip():
        function["arguments"] = "{}"
