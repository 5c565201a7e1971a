"""A plugin for the ``llm`` command line: ``llm -m llm-unified "…"`` asks whoever of the chain answers.

Once both packages are in one environment there is nothing to register. The models are ``llm``'s own for OpenAI's
API over `llm_unified.integrations.openai`, so streams, tools, schemas, attachments, conversations and the log of
usage are its own.

Needs ``llm``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llm
from llm.default_plugins.openai_models import AsyncChat, Chat
from pydantic import Field

from llm_unified.integrations.openai import MODEL, AsyncOpenAI, OpenAI

__all__ = ["register_models"]


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Called by ``llm`` when it starts; no setting is read before a model is asked."""
    features: dict[str, Any] = {
        "vision": True,
        "audio": True,
        "supports_schema": True,
        "supports_tools": True,
    }
    model: Any = _Unified  # untyped there
    async_model: Any = _AsyncUnified
    register(model(MODEL, **features), async_model(MODEL, **features))


class _Options(Chat.Options):  # type: ignore[misc] # made by a function there
    """``-o name value``: ``llm``'s own for OpenAI's models, and how the call is carried out."""

    provider: str | None = Field(
        default=None, description="Start at this provider; the others follow"
    )
    deadline: float | None = Field(default=None, description="Seconds for the whole call")
    fallback: bool | None = Field(default=None, description="Whether anybody else is asked")


class _Mixin:
    """What both have beside the base classes of ``llm``."""

    needs_key: Any = None  # the service has them
    Options = _Options

    def get_client(self, key: Any, *, async_: bool = False) -> Any:
        """In place of one for OpenAI."""
        return AsyncOpenAI() if async_ else OpenAI()

    def build_kwargs(self, prompt: Any, stream: bool) -> dict[str, Any]:
        """As there; the options of the call travel as the SDK lets them."""
        options: dict[str, Any] = super().build_kwargs(prompt, stream)  # type: ignore[misc]
        names = ("provider", "deadline", "fallback")
        own = {name: options.pop(name) for name in names if name in options}
        return {**options, "extra_body": own} if own else options

    def __str__(self) -> str:
        return "llm_unified"


class _Unified(_Mixin, Chat):  # type: ignore[misc] # its own bases differ in `attachment_types`
    pass


class _AsyncUnified(_Mixin, AsyncChat):  # type: ignore[misc] # as above
    pass
