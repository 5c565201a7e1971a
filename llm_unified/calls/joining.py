"""The pieces of one JSON value, joined: what a stream brings in parts becomes what a whole answer has."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["joined", "thinking_blocks"]

_TEXTS: Final = frozenset(
    {
        *("reasoning_content", "reasoning", "refusal"),  # of a message
        *("text", "summary", "thinking", "transcript", "data"),  # of what is inside one
    }
)
"""Members whose parts follow each other; of any other text or number the newest counts."""

_BLOCK: Final = frozenset({"type", "thinking", "signature", "data"})
"""Members of thinking blocks. Source: Anthropic API reference, "Extended thinking"."""


def joined(values: Iterable[Any], name: str = "") -> Any:
    """All ``values`` of the member ``name``, one after the other; none is changed. Linear in their size.

    Objects are joined member by member, lists end to end. List items with equal ``index`` are parts of one
    (OpenAI: streaming events; OpenRouter: ``reasoning_details``).
    """
    parts = [value for value in values if value is not None]
    if len(parts) < 2:  # noqa: PLR2004 - nothing to join
        return parts[0] if parts else None
    if all(isinstance(part, str) for part in parts):
        return "".join(parts) if name in _TEXTS else parts[-1]
    if all(isinstance(part, Mapping) for part in parts):
        keys = dict.fromkeys(key for part in parts for key in part)
        return {key: joined((part.get(key) for part in parts), key) for key in keys}
    if all(isinstance(part, list) for part in parts):
        groups: dict[Hashable, list[Any]] = {}
        for part in parts:
            for item in part:
                index = item.get("index") if isinstance(item, Mapping) else None
                key = index if isinstance(index, int) else ("single", len(groups))
                groups.setdefault(key, []).append(item)
        return [joined(group) for group in groups.values()]
    return parts[-1]


def thinking_blocks(parts: Sequence[Any]) -> list[dict[str, Any]]:
    """Anthropic's thinking blocks from their parts: a signature ends a block."""
    blocks: list[list[dict[str, Any]]] = []
    begun = False
    for part in parts:
        if not isinstance(part, dict):
            continue
        thinks = part.get("type") == "thinking"
        if begun and thinks:
            blocks[-1].append(part)
        else:
            blocks.append([part])
        begun = thinks and not part.get("signature")
    return [_whole(block) for block in blocks]


def _whole(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """LiteLLM adds numbers of its own (from 1.109 on), which Anthropic would refuse."""
    block = {**joined(parts), "type": parts[0].get("type")}
    return {name: value for name, value in block.items() if name in _BLOCK}
