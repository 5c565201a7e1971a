"""Who plays: the providers that are configured, or those that come along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_unified.cli.drill import with_broken
from llm_unified.errors import ConfigurationError
from llm_unified.local.weights import MODEL, missing_packages
from llm_unified.settings import Settings, inspect_settings, load_settings
from llm_unified.settings.assembly import NOTHING
from llm_unified.testing import replies

if TYPE_CHECKING:
    from llm_unified.testing import Simulator

__all__ = ["Cast", "choose_cast"]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays."""

    settings: Settings
    rehearsal: Settings
    """For the failover: the first of its chain cannot be reached."""
    tool_user: str | None = None
    """Who makes the tool call; ``None``: the chain decides."""
    remarks: tuple[str, ...] = ()
    next_step: str = ""
    """What to do when all is well."""
    about_failover: tuple[str, ...] = ()
    lacking: tuple[str, ...] | None = None
    """What keeps the embedded model from taking part; ``None``: nobody expects it to."""


def choose_cast(simulator: Simulator, config_file: str | None = None) -> Cast:
    """Choose who plays, by what is configured. The simulator lends its providers and a dead end.

    Raises:
        ConfigurationError: with every problem at once.
    """
    for provider in simulator:
        provider.always(replies.auto())
    found = inspect_settings(config_file=config_file)
    lacking = missing_packages()
    if found.problems == [NOTHING]:
        return _understudies(simulator, config_file, lacking)
    problems = list(found.problems)
    if not problems and "local" in Settings(**found.values).chain:
        problems += lacking
    if problems:
        raise ConfigurationError(problems)
    settings = Settings(**found.values)
    first = settings.chain[0]
    if settings.fallback_providers:
        chain = (first, *settings.fallback_providers)
        rehearsal = settings.model_copy(update={"enable_fallback": True})
        remarks = [
            f"{first} gets an address where nobody listens; nothing is sent to the real one."
        ]
        if not settings.enable_fallback:
            remarks.append(
                "LLM_ENABLE_FALLBACK is off, so this shows what would happen if it were on."
            )
    else:
        helper = "simulated_openai" if first == "local" or lacking else "local"
        chain = (helper, first) if first == "local" else (first, helper)
        rehearsal = _settings(simulator, config_file, chain)
        remarks = [f"{first} is alone, so {_described(helper)} stands beside it here."]
    return Cast(
        settings,
        with_broken(rehearsal, chain[:1], simulator.traps.origin("refused")),
        about_failover=tuple(remarks),
    )


def _understudies(simulator: Simulator, config_file: str | None, lacking: list[str]) -> Cast:
    """Return those who play where nothing is configured."""
    chain = ("simulated_openai", "simulated_anthropic" if lacking else "local")
    settings = _settings(simulator, config_file, chain)
    return Cast(
        settings,
        with_broken(settings, chain[:1], simulator.traps.origin("refused")),
        tool_user=chain[1],
        remarks=(
            "Nothing is configured, so this runs on what comes along:",
            *(f"{name}: {_described(name)}" for name in chain),
        ),
        next_step="Next: set OPENAI_API_KEY (or GROQ_, ANTHROPIC_, AZURE_OPENAI_…) and run this again.",
        about_failover=(f"{chain[0]} gets an address where nobody listens.",),
        lacking=tuple(lacking),
    )


def _settings(simulator: Simulator, config_file: str | None, chain: tuple[str, ...]) -> Settings:
    """Return the settings with this chain, in which simulated providers may be."""
    simulated = {
        f"simulated_{provider.name}": {
            "model": f"{provider.name}/{provider.model}",
            "base_url": provider.base_url,
            "api_key": provider.api_key,
        }
        for provider in (simulator.openai, simulator.anthropic)
    }
    return load_settings(
        config_file=config_file,
        primary_provider=chain[0],
        fallback_providers=list(chain[1:]),
        enable_fallback=True,
        providers={name: block for name, block in simulated.items() if name in chain},
    )


def _described(name: str) -> str:
    if name == "local":
        return f"a real and very small model ({MODEL}) on this machine (LLM_PRIMARY_PROVIDER=local)"
    return "a simulated provider: real sockets, the vendor's protocol, made-up answers"
