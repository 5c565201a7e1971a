"""Plain turns of a conversation: a text of the user's or of the assistant's, and nothing else.

LiteLLM looks at each message a dozen times, and leaves these as they are. So a `Plan` lets it translate one in
place of all, and puts them in afterwards: a conversation of 200 turns then costs little more than one of two.
``tests/test_contract_matrix.py`` compares the bodies.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["anthropic_turns", "leading", "sample"]

_TURNS: Final = ("user", "assistant")


def leading(messages: list[Any]) -> int | None:
    """How many system messages are in front of plain turns; ``None``: there is something else."""
    head, leads = 0, True
    for message in messages:
        if message.__class__ is not dict:
            return None
        role = message.get("role")
        leads = leads and role == "system"
        if leads:
            head += 1
            continue
        content = message.get("content")
        if role not in _TURNS or len(message) != 2 or content.__class__ is not str:  # noqa: PLR2004
            return None
        if not content.strip():
            return None
    return head if head < len(messages) else None


def sample() -> dict[str, Any]:
    """A plain turn for LiteLLM to translate."""
    return {"role": "user", "content": "x"}


def anthropic_turns(turns: list[Any]) -> list[Any] | None:
    """The same in Anthropic's form; ``None`` unless user and assistant alternate and the user ends."""
    if len(turns) % 2 == 0:
        return None
    made = []
    expected = "user"
    for turn in turns:
        if turn["role"] != expected:
            return None
        expected = "assistant" if expected == "user" else "user"
        made.append({"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]})
    return made
