"""LiteLLM's Router: it keeps the model list and walks along the fallbacks.

Each of its attempts is ours (`Walk`): it gets the provider's name and nothing else, so no prompt and no key
is in the Router's frames, logs or spans. An outcome is handed back as a value; the Router sees an exception
only where it is to go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from llm_unified.engine.imports import Router
from llm_unified.engine.quiet import quiet

__all__ = ["FallbackRouter"]

_ROUTER_TIMEOUT_SECONDS: Final = 6000.0  # never reached: attempts are bounded by their own limit


class _NextError(Exception):
    """The Router is to go on to the next provider."""


class FallbackRouter:
    """The Router of one configuration."""

    def __init__(self, model_list: Sequence[Mapping[str, Any]]) -> None:
        with quiet():
            self._router = Router(
                model_list=[dict(entry) for entry in model_list],
                num_retries=0,
                max_fallbacks=len({entry["model_name"] for entry in model_list}) + 1,
                disable_cooldowns=True,  # ours follow our rule
                timeout=_ROUTER_TIMEOUT_SECONDS,
            )
        # It needs no global callbacks; so other Routers of the process are not disturbed either.
        # LiteLLM 1.109 deprecates `discard` in favour of `retire`.
        leave = getattr(self._router, "retire", None) or self._router.discard
        leave()

    async def walk(self, order: Sequence[str], ask: Callable[[str], Awaitable[bool]]) -> bool:
        """Ask the providers in ``order`` until ``ask(provider)`` says that it is done; whether one did.

        What ``ask`` raises ends the walk and is raised here as it is.
        """
        walk = _Walk(ask, last=order[-1])
        first, *others = order
        await self._router.async_function_with_fallbacks(
            model=first,
            original_function=walk.attempt,
            fallbacks=[{first: others}] if others else None,
            disable_fallbacks=not others,
            metadata={},
        )
        if walk.raised is not None:
            try:
                raise walk.raised
            finally:
                walk.raised = None  # no cycle through the traceback
        return walk.done


class _Walk:
    """One walk: what the Router calls for each provider."""

    def __init__(self, ask: Callable[[str], Awaitable[bool]], *, last: str) -> None:
        self._ask, self._last = ask, last
        self.done = False
        self.raised: BaseException | None = None

    async def attempt(self, model: str, **_: Any) -> None:
        try:
            self.done = await self._ask(model)
        except Exception as error:  # noqa: BLE001 - raised again behind the Router
            self.raised = error
            return
        if not self.done and model != self._last:
            raise _NextError
