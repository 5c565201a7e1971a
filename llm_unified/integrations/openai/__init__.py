"""``AsyncOpenAI`` and ``OpenAI`` whose calls a service answers: failover for code that has such a client.

    from llm_unified.integrations.openai import AsyncOpenAI    # was: from openai import AsyncOpenAI

They are the SDK's own classes; only the transport below them is another one (``http_client=``, the SDK's
documented way). So results, streams, ``.parse``, ``.stream``, ``with_raw_response`` and exceptions are the SDK's
own, and libraries that look for an ``openai.AsyncOpenAI`` find one. Nothing is sent but by the service.

Needs ``openai`` 2.31 or newer: the first that passes its own errors on from a transport as they are.
"""

from __future__ import annotations

from typing import Any, Final

import openai

from llm_unified.integrations.openai.bodies import MODEL
from llm_unified.integrations.openai.transport import AsyncServiceClient, SyncServiceClient
from llm_unified.service import UnifiedLLMService

__all__ = ["MODEL", "AsyncOpenAI", "OpenAI"]

_BASE_URL: Final = "http://llm-unified.invalid/v1"
"""Never looked up: requests go to the transport. ``.invalid`` exists nowhere (RFC 2606)."""


class AsyncOpenAI(openai.AsyncOpenAI):
    """`openai.AsyncOpenAI` over a service."""

    def __init__(
        self,
        *,
        service: UnifiedLLMService | None = None,
        timeout: Any = None,
        http_client: Any = None,
        **options: Any,
    ) -> None:
        """``service``: ``None`` is the process's, of `get_llm_service`, at the time of each call. It stays open
        when the client is closed.

        ``timeout``: seconds; ``None``: as configured. For a whole answer it is the call's deadline, for a
        stream the limit of each attempt.

        The SDK's other options are taken as they are. ``api_key`` is not used, and ``max_retries`` has no
        effect: keys and retries are the service's.

        Raises:
            openai.OpenAIError: ``base_url`` or ``http_client`` would lead elsewhere.
        """
        client: Any = http_client or AsyncServiceClient(service)
        _lead_here(client, options)
        super().__init__(http_client=client, timeout=_seconds(timeout), **options)


class OpenAI(openai.OpenAI):
    """`openai.OpenAI` over a service. It blocks its thread, as the SDK's does; safe from any thread."""

    def __init__(
        self,
        *,
        service: UnifiedLLMService | None = None,
        timeout: Any = None,
        http_client: Any = None,
        **options: Any,
    ) -> None:
        """As `AsyncOpenAI`."""
        client: Any = http_client or SyncServiceClient(service)
        _lead_here(client, options)
        super().__init__(http_client=client, timeout=_seconds(timeout), **options)


def _lead_here(client: Any, options: dict[str, Any]) -> None:
    """``copy`` and ``with_options`` hand back what they found; nothing else may say where requests go."""
    if not isinstance(client, AsyncServiceClient | SyncServiceClient):
        raise openai.OpenAIError("http_client is not taken: the service has connections of its own")
    base_url = options.get("base_url")
    if base_url is not None and str(base_url).rstrip("/") != _BASE_URL:
        raise openai.OpenAIError(
            "base_url is not taken: providers are configured in the service, e.g. by OPENAI_BASE_URL"
        )
    options["base_url"] = _BASE_URL
    options["api_key"] = "not-used"  # a real one would only be a secret in one more place


def _seconds(timeout: Any) -> Any:
    return None if isinstance(timeout, openai.NotGiven) else timeout
