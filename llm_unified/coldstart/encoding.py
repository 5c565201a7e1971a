"""LiteLLM's tokenizer, built when somebody counts tokens with it, which an ordinary call does not.

LiteLLM fetches tiktoken's ``cl100k_base`` for every call, just to hand it on. Building it takes one call
into native code that holds the interpreter for 45 to 70 ms, and 40 MB. So the place in tiktoken's registry
is taken by an encoding that builds itself on first use; it is a complete `tiktoken.Encoding` otherwise.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import tiktoken
from tiktoken import registry

__all__ = ["NAME", "PostponedEncoding", "postpone"]

NAME: Final = "cl100k_base"


class PostponedEncoding(tiktoken.Encoding):
    """Has a name and nothing else until it is asked for something."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._building = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        with self._building:
            if "_core_bpe" not in self.__dict__:
                from tiktoken_ext import openai_public  # type: ignore[import-untyped]

                self.__dict__ |= vars(tiktoken.Encoding(**openai_public.cl100k_base()))
        return object.__getattribute__(self, name)

    @property
    def is_built(self) -> bool:
        """Whether somebody needed it."""
        return "_core_bpe" in self.__dict__


def postpone() -> None:
    """Take the place, unless the encoding was built already."""
    registry.ENCODINGS.setdefault(NAME, PostponedEncoding(NAME))
