"""One line for FastAPI and Starlette: warm before the first request, closed after the last.

    app = FastAPI(lifespan=llm_unified.lifespan)

Neither is needed to import this.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from llm_unified.service import get_llm_service
from llm_unified.warmer import ConnectionWarmer, get_llm_warmer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from llm_unified.service import UnifiedLLMService

__all__ = ["lifespan"]


def lifespan(app: Any = None, *, service: UnifiedLLMService | None = None) -> Any:
    """The life of a service inside of an ASGI application.

    Before the first request: settings are read (a wrong one ends the start with everything that is
    wrong), LiteLLM is loaded, and with ``LLM_ENABLE_CONNECTION_WARMING`` all connections are warmed (if
    ``LLM_WARM_ON_STARTUP``) and kept so. After the last: the warmer is stopped and all sockets closed.
    Request handlers find the service at ``request.state.llm_service``, or by `get_llm_service()`.

    ``FastAPI(lifespan=lifespan)`` takes the process's service, ``FastAPI(lifespan=lifespan(service=mine))``
    another one, which is not closed at the end: who made it may need it.
    """
    if app is None:
        return functools.partial(_life, service=service)
    return _life(app, service=service)


@contextlib.asynccontextmanager
async def _life(
    app: Any, *, service: UnifiedLLMService | None
) -> AsyncIterator[dict[str, UnifiedLLMService]]:
    llm = get_llm_service() if service is None else service
    warmer = await get_llm_warmer() if service is None else ConnectionWarmer(service)
    try:
        await llm.dispatcher()
        await warmer.start()
        if warmer.running and llm.settings.warm_on_startup:
            await warmer.first_round()
        yield {"llm_service": llm}
    finally:
        await warmer.stop()
        if service is None:
            await llm.aclose()
