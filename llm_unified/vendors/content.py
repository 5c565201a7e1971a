"""One message's content: its parts, images, and the blocks of an earlier turn's thinking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llm_unified.vendors.takes import CannotAdaptError, Takes

__all__ = ["adapt_parts", "images_of_result", "is_empty", "signed"]

_NAMED: Final = {
    "image_url": "an image",
    "input_audio": "audio",
    "file": "a file",
    "document": "a document",
    "video_url": "a video",
}
_THINKING: Final = ("thinking", "redacted_thinking")
_BLOCK: Final = ("type", "thinking", "signature", "data")
"""Members of a thinking block. Source: Anthropic SDK: ThinkingBlockParam, RedactedThinkingBlockParam."""


def is_empty(content: Any) -> bool:
    """Whether there is nothing to read in it."""
    if isinstance(content, str):
        return not content or content.isspace()
    return not content


def signed(blocks: Any) -> list[Any]:
    """The thinking blocks that Anthropic made: they carry its signature, or are redacted."""
    return [
        {name: block[name] for name in _BLOCK if name in block}
        for block in (blocks if isinstance(blocks, list) else ())
        if isinstance(block, dict) and (block.get("signature") or block.get("data"))
    ]


def adapt_parts(
    takes: Takes, parts: Sequence[Any], allowed: frozenset[str], notes: list[str]
) -> list[Any]:
    """The parts of a content that are taken.

    Raises:
        CannotAdaptError: one is not, and it is no text.
    """
    kept = (_part(takes, part, allowed, notes) for part in parts)
    return [part for part in kept if part is not None]


def _part(takes: Takes, part: Any, allowed: frozenset[str], notes: list[str]) -> Any:
    """The part as it is taken; ``None``: it is left out."""
    if not isinstance(part, dict):
        return part
    if not takes.caching and part.pop("cache_control", None) is not None:
        notes.append("cache_control dropped")
    kind = part.get("type")
    if kind == "text":
        return part if takes.empty_text or not is_empty(part.get("text")) else None
    if kind in _THINKING:
        if takes.thinking is not None and signed([part]):
            return part
        notes.append("reasoning of earlier turns removed")
        return None
    if kind == "image":
        part = _as_url(part)
        kind = part.get("type")
    if kind not in allowed and kind in _NAMED:
        raise CannotAdaptError(f"{_NAMED[kind]} is not taken")
    if kind == "image_url":
        _check_image(takes, part)
    return part


def _as_url(part: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's own form of an image as OpenAI's, which LiteLLM translates for everybody."""
    source = part.get("source")
    if not isinstance(source, dict):
        return part
    if source.get("type") == "url":
        url = source.get("url")
    elif source.get("type") == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    else:
        return part
    kept = {name: part[name] for name in ("cache_control",) if name in part}
    return {"type": "image_url", "image_url": {"url": url}, **kept}


def _check_image(takes: Takes, part: dict[str, Any]) -> None:
    image = part.get("image_url")
    if isinstance(image, str):  # some servers take the address alone
        image = part["image_url"] = {"url": image}
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        return
    if not takes.plain_http and url[:7].lower() == "http://":
        raise CannotAdaptError("an image at an http: address is not taken, https: and data: are")
    if takes.image_types and url[:5].lower() == "data:":
        kind = url[5:40].partition(";")[0].partition(",")[0].lower()
        if kind.startswith("image/") and kind not in takes.image_types:
            raise CannotAdaptError("an image of this type is not taken")


def images_of_result(parts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """``(the rest, the images)`` of a tool's result."""
    images = [p for p in parts if isinstance(p, dict) and p.get("type") == "image_url"]
    return [p for p in parts if p not in images], images
