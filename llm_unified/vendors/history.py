"""The conversation so far, as the model that is asked takes it, whoever took part in it before."""

from __future__ import annotations

from typing import Any, Final

from llm_unified.vendors.content import adapt_parts, images_of_result, is_empty, signed
from llm_unified.vendors.pairing import paired
from llm_unified.vendors.takes import CannotAdaptError, Takes

__all__ = ["adapt_messages"]

_PLAIN: Final = frozenset({"system", "user", "assistant"})
_PARTS: Final = frozenset({"text", "refusal"})
_REASONING: Final = "reasoning of earlier turns removed"
_NOTES: Final = {
    "reasoning_content": _REASONING,
    "reasoning": _REASONING,
    "thinking_blocks": _REASONING,
    "cache_control": "cache_control dropped",
    "annotations": "annotations of earlier turns removed",
    "audio": "audio of earlier turns removed",
    "name": "name of a message dropped",
}
_GO_ON: Final = "Go on exactly where your last message ends, without repeating any of it."
_SAID_NOTHING: Final = "(no text)"
_BEGIN: Final = "(The conversation begins here.)"


def adapt_messages(takes: Takes, params: dict[str, Any], notes: list[str], *, thinks: bool) -> None:
    """Change the messages in place.

    Raises:
        CannotAdaptError: one says something that this model cannot be told.
    """
    messages, strict = params["messages"], not takes.empty_text
    for message in messages:
        content = message.get("content")
        if (
            len(message) != 2  # noqa: PLR2004 - role and content
            or content.__class__ is not str
            or message.get("role") not in _PLAIN
            or (strict and not content.strip())
        ):
            messages = params["messages"] = _cleaned(takes, messages, notes, thinks=thinks)
            break
    if not messages:
        raise CannotAdaptError("no message says anything")
    if takes.user_first:
        _begin_with_user(messages, notes)
    if messages[-1].get("role") == "assistant" and (not takes.prefill or (strict and thinks)):
        messages.append({"role": "user", "content": _GO_ON})
        notes.append("the beginning of the answer is asked for in words")


def _cleaned(takes: Takes, messages: list[Any], notes: list[str], *, thinks: bool) -> list[Any]:
    kept: list[Any] = []
    images = 0
    for message in messages:
        role = message.get("role")
        if role == "assistant":
            _reasoning(takes, message, notes, thinks=thinks)
        _members(takes, message, notes)
        content = message.get("content")
        if isinstance(content, list):
            content = message["content"] = _parts(takes, message, content, notes)
            images += sum(isinstance(p, dict) and p.get("type") == "image_url" for p in content)
        if is_empty(content) and not _filled(takes, message, notes):
            continue
        kept.append(message)
    if takes.most_images is not None and images > takes.most_images:
        raise CannotAdaptError(f"{images} images, {takes.most_images} are taken")
    return paired(takes, kept, notes)


def _reasoning(takes: Takes, message: dict[str, Any], notes: list[str], *, thinks: bool) -> None:
    """Thinking goes back to whoever can read it; LiteLLM finds Anthropic's in ``thinking_blocks``."""
    if takes.reasoning_member == "reasoning_content":
        return  # a server of its own kind: whatever it said may go back
    text = message.pop("reasoning_content", None) or message.pop("reasoning", None)
    message.pop("reasoning", None)
    blocks = message.pop("thinking_blocks", None)
    if takes.thinking is not None:
        own = signed(blocks) if thinks or takes.reasons else []
        if own:
            message["thinking_blocks"] = own
        elif text or blocks:
            notes.append(_REASONING)
    elif text and takes.reasoning_member is not None:
        message[takes.reasoning_member] = text
    elif text or blocks:
        notes.append(_REASONING)


def _members(takes: Takes, message: dict[str, Any], notes: list[str]) -> None:
    """Leave the members that this vendor knows."""
    known = takes.members.get(message.get("role") or "assistant")
    if known is None:
        return
    refusal = message.get("refusal")
    if refusal and "refusal" not in known and is_empty(message.get("content")):
        message["content"] = refusal
    unknown = [name for name in message if name not in known]
    notes += [_NOTES[name] for name in unknown if message.pop(name) and name in _NOTES]


def _parts(
    takes: Takes, message: dict[str, Any], content: list[Any], notes: list[str]
) -> list[Any]:
    role = message.get("role")
    if role in ("tool", "function"):
        parts = adapt_parts(takes, content, takes.parts | takes.result_parts, notes)
        if "image_url" in takes.result_parts:
            return parts
        parts, message["images"] = images_of_result(parts)
        return parts or [{"type": "text", "text": "(an image; see below)"}]
    return adapt_parts(takes, content, takes.parts if role == "user" else _PARTS, notes)


def _filled(takes: Takes, message: dict[str, Any], notes: list[str]) -> bool:
    """What becomes of a message without content; whether it stays."""
    role = message.get("role")
    if role in ("tool", "function"):
        message["content"] = message.get("content") or ""
    elif role == "assistant" and (message.get("tool_calls") or message.get("function_call")):
        message["content"] = None  # else LiteLLM writes a placeholder for Anthropic
    elif role == "user" and not takes.empty_text:
        message["content"] = _SAID_NOTHING
        notes.append("an empty message filled in")
    elif (role == "assistant" and not message.get("refusal")) or not takes.empty_text:
        notes.append("an empty message removed")
        return False
    return True


def _begin_with_user(messages: list[Any], notes: list[str]) -> None:
    """Source: Anthropic's 400s "first message must use the user role", "at least one message is required"."""
    for position, message in enumerate(messages):
        role = message.get("role")
        if role in ("system", "developer"):
            continue
        if role == "assistant":
            messages.insert(position, {"role": "user", "content": _BEGIN})
            notes.append("a user's message put first")
        return
    messages[-1]["role"] = "user"
    notes.append("the only message sent as the user's")
