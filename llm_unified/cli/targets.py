"""Every place and key that can be asked, each as a provider of its own, so that none hides another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_unified.errors import AllProvidersFailedError, LLMError
from llm_unified.providers import provider_row
from llm_unified.response import Attempt, FailureKind
from llm_unified.settings import ProviderSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import SecretStr

    from llm_unified.providers import ProviderRow
    from llm_unified.service import UnifiedLLMService
    from llm_unified.settings import DeploymentSettings

__all__ = ["QUESTION", "Target", "answers", "apart", "probe", "targets", "words"]

QUESTION = [{"role": "user", "content": "Answer with one word: ready"}]


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment with one key."""

    name: str
    """``"groq"``; of several deployments ``"groq.1"``, numbered from 0 as ``check`` numbers them; of
    several keys ``"groq.1"`` as well, and of both ``"groq.1.0"``."""
    provider: str
    deployment: DeploymentSettings
    key: SecretStr | None

    @property
    def row(self) -> ProviderRow:
        return provider_row(self.provider, self.deployment.litellm_model)


def targets(settings: Settings, names: Iterable[str]) -> list[Target]:
    """Return the targets of these providers, in order."""
    found = []
    for name in names:
        deployments = settings.provider(name).deployments
        for number, deployment in enumerate(deployments):
            at = name if len(deployments) == 1 else f"{name}.{number}"
            keys = deployment.api_keys or (None,)
            for place, key in enumerate(keys):
                label = at if len(keys) == 1 else f"{at}.{place}"
                found.append(Target(label, name, deployment, key))
    return found


def apart(settings: Settings, wanted: Iterable[Target]) -> Settings:
    """Return settings in which each target is a provider with one connection and nobody behind it."""
    providers = tuple(
        ProviderSettings(
            name=target.name,
            timeout=settings.provider(target.provider).timeout,
            deployments=(
                target.deployment.model_copy(
                    update={"api_keys": (target.key,) if target.key else (), "weight": 1}
                ),
            ),
        )
        for target in wanted
    )
    return settings.model_copy(
        update={
            "primary_provider": providers[0].name,
            "fallback_providers": (),
            "providers": providers,
            "pool_size": 1,
            "retries": 0,
            "redis_url": None,
            "sources": (),
        }
    )


async def probe(
    service: UnifiedLLMService, name: str, tokens: int, *, deadline: float | None = None
) -> Attempt | LLMError:
    """Ask one target one short question; return the attempt, or the error of a call without one."""
    stream = service.stream_response_async(
        QUESTION, max_tokens=tokens, provider=name, fallback=False, deadline=deadline
    )
    try:
        async with stream:
            async for _ in stream:
                pass
    except LLMError as error:
        return error.attempts[-1] if error.attempts else error
    if stream.response is None:  # pragma: no cover - a stream that ends well has its response
        return AllProvidersFailedError("the stream ended without a response")
    return stream.response.attempts[-1]


def answers(attempt: Attempt) -> bool:
    """Whether the provider did its work: a model that spent all its tokens on thinking did, too."""
    thought = attempt.usage is not None and attempt.usage.completion_tokens > 0
    return attempt.kind is None or (attempt.kind is FailureKind.INVALID_RESPONSE and thought)


def words(outcome: Attempt | LLMError) -> str:
    """Return why it failed, in a few words."""
    if isinstance(outcome, LLMError):
        return str(outcome)
    text = str(outcome.kind)
    if outcome.status is not None:
        text += f", HTTP {outcome.status}"
    return f"{text}: {outcome.reason}" if outcome.reason else text
