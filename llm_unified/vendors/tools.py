"""The tools that are offered: how many, under which names, and whether one can be required."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from llm_unified.vendors.takes import CannotAdaptError, Takes

__all__ = ["adapt_tools", "portable_name"]

_NOT_PORTABLE: Final = re.compile(r"[^a-zA-Z0-9_-]")
_DIGITS: Final = 8
_ABOUT_TOOLS: Final = ("tool_choice", "parallel_tool_calls")


def portable_name(takes: Takes, name: str) -> str:
    """The name of a tool at this vendor; the same one in every request."""
    if takes.names.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGITS]
    return f"{_NOT_PORTABLE.sub('_', name)[: takes.longest_name - _DIGITS - 1]}_{digest}"


def adapt_tools(takes: Takes, params: dict[str, Any], notes: list[str]) -> dict[str, str]:
    """Change ``tools`` and ``tool_choice``; names on the wire → the caller's, where they differ.

    Raises:
        CannotAdaptError: the model takes no tools, or not so many.
    """
    tools = params["tools"]
    if not tools:
        del params["tools"]
        dropped = [name for name in _ABOUT_TOOLS if params.pop(name, None) is not None]
        notes += [f"{name} dropped: there are no tools" for name in dropped]
        return {}
    if not takes.tools:
        raise CannotAdaptError("the model takes no tools")
    if takes.most_tools is not None and len(tools) > takes.most_tools:
        raise CannotAdaptError(f"{len(tools)} tools, {takes.most_tools} are taken")
    names: dict[str, str] = {}
    for tool in tools:
        function = tool.get("function")
        own = [each for each in (tool, function) if isinstance(each, dict)]
        cached = [each.pop("cache_control", None) for each in own if not takes.caching]
        if any(cached):
            notes.append("cache_control dropped")
        _rename(takes, function, names)
    choice = params.get("tool_choice")
    if isinstance(choice, dict):
        _rename(takes, choice.get("function"), names)
    if names:
        notes.append(f"{len(names)} tool names mapped")
    if not takes.forced_tools and (choice == "required" or isinstance(choice, dict)):
        params["tool_choice"] = "auto"
        notes.append("tool_choice → auto")
    return names


def _rename(takes: Takes, function: Any, names: dict[str, str]) -> None:
    name = function.get("name") if isinstance(function, dict) else None
    if isinstance(name, str) and (portable := portable_name(takes, name)) != name:
        names[portable] = name
        function["name"] = portable
