"""One request that is ready to be sent, and how what comes back is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llm_unified.engine.imports import ANTHROPIC_TOOL_NAMES
from llm_unified.engine.openai_wire import chunk_of, whole_of
from llm_unified.engine.pieces import Piece, without_helper
from llm_unified.engine.reading import AnthropicReader, anthropic_whole
from llm_unified.vendors import Vendor
from llm_unified.wire.exchange import HttpRequest

__all__ = ["Prepared"]


class Prepared:
    """One request, and how to read what comes back."""

    def __init__(
        self,
        vendor: Vendor,
        config: Any,
        request: HttpRequest,
        translation: dict[str, Any],
        *,
        on_wire: bool,
        lost: tuple[str, ...] = (),
    ) -> None:
        """``translation``: what LiteLLM's translation of the answer wants to know of the request."""
        self.request = request
        self.lost = lost
        """Parameters that LiteLLM left out."""
        self.stream: Final = on_wire
        """Whether events will come; some models are not asked for a stream."""
        self._vendor, self._config, self._translation = vendor, config, translation
        self._json_mode: bool = translation["json_mode"]

    def __repr__(self) -> str:
        return f"Prepared({self.request!r})"

    @property
    def end_marker(self) -> str:
        """What ends a stream."""
        return self._vendor.end_marker

    def whole(self, data: Any) -> Piece:
        """Read a whole answer.

        Raises:
            AnswerError: it is none.
        """
        if self._vendor.protocol == "anthropic":
            return anthropic_whole(self._config, data, **self._translation)
        piece = whole_of(data)
        return without_helper(piece, set()) if self._json_mode else piece

    def reader(self) -> Callable[[dict[str, Any]], Piece | None]:
        """What reads the events of one stream; it may raise `AnswerError`."""
        if self._vendor.protocol == "anthropic":
            names = self._translation["litellm_params"].get(ANTHROPIC_TOOL_NAMES)
            return AnthropicReader(json_mode=self._json_mode, tool_names=names)
        if not self._json_mode:
            return chunk_of
        helpers: set[int | None] = set()
        return lambda event: without_helper(chunk_of(event), helpers)
