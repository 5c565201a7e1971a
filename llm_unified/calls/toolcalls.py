"""The tool calls of one answer, from the pieces in which they come."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from llm_unified.engine.pieces import AnswerError, CallPiece
from llm_unified.response import FailureKind, ToolCall, ToolCallDelta

__all__ = ["ToolCalls", "parse_arguments"]

_NO_ARGUMENTS: Final = frozenset({"", "null", "none", "nil", "undefined", "{}", "[]"})
"""How vendors and servers spell a tool call without arguments, in lower case."""


def parse_arguments(text: str) -> dict[str, Any]:
    """A tool call's JSON arguments as a dict.

    Raises:
        AnswerError: they are no JSON object.
    """
    arguments: Any = text
    try:
        for _ in range(2):  # some servers encode them twice
            if isinstance(arguments, str):
                if arguments.strip().lower() in _NO_ARGUMENTS:
                    return {}
                arguments = json.loads(arguments)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise AnswerError("tool call with broken JSON arguments", FailureKind.INVALID_RESPONSE)
    return arguments


@dataclass(slots=True)
class _Call:
    """One tool call as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    shown: bool = False

    @property
    def text(self) -> str:
        return "".join(self.arguments)


class ToolCalls:
    """The calls as far as they have come."""

    __slots__ = ("_calls", "_numbered")

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._numbered: dict[int, int] = {}  # where the wire's index of a call leads

    def add(self, piece: CallPiece) -> ToolCallDelta | None:
        """``None``: a call without a name is none, so nothing of it is shown before its name came."""
        index = self._index(piece)
        _, id_, name, arguments = piece
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = _Call()
        call.id = call.id or id_ or ""
        call.name = call.name or name or ""
        if arguments:
            call.arguments.append(arguments)
        if call.shown:
            return ToolCallDelta(index, id_, name, arguments)
        if not call.name:
            return None
        call.shown = True
        return ToolCallDelta(index, call.id or None, call.name, call.text)

    def _index(self, piece: CallPiece) -> int:
        """Some servers number nothing, or all calls alike: a new id is a new call."""
        given, id_, name, _ = piece
        newest = max(self._calls, default=-1)
        index = newest if given is None else self._numbered.get(given, given)
        known = self._calls.get(index)
        if known is None:
            index = newest + 1 if given is None else given
        elif id_ is not None and id_ != known.id and (given is None or (known.id and name)):
            index = newest + 1
        if given is not None:
            self._numbered[given] = index
        return index

    def deltas(self) -> tuple[ToolCallDelta, ...]:
        """The calls so far, one delta each; for an interrupted stream."""
        return tuple(
            ToolCallDelta(index, call.id or None, call.name, call.text)
            for index, call in sorted(self._calls.items())
            if call.name
        )

    def finish(self) -> tuple[tuple[ToolCall, ...], list[dict[str, Any]], list[dict[str, Any]]]:
        """``(parsed, as they came, as they may be sent to any vendor)``, in order.

        Raises:
            AnswerError: broken arguments.
        """
        if not self._calls:
            return (), [], []
        parsed, raw, portable = [], [], []
        for _, call in sorted(self._calls.items()):
            if not call.name:
                continue
            text, id_ = call.text, call.id
            if not id_:  # its result will have to name it
                id_ = call.id = f"call_{uuid4().hex[:24]}"
            arguments = parse_arguments(text)
            head = {"id": id_, "type": "function"}
            function = {"name": call.name, "arguments": text}
            parsed.append(ToolCall(id_, call.name, arguments))
            raw.append({**head, **function, "function": function})
            legible = text if text.startswith("{") and arguments else json.dumps(arguments)
            portable.append({**head, "function": {"name": call.name, "arguments": legible}})
        return tuple(parsed), raw, portable
