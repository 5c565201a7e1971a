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
    broken: Settings
    """For the failover: the first of its chain cannot be reached."""
    remarks: tuple[str, ...] = ()
    tool_user: str | None = None
    """Who makes the tool call; ``None``: the chain decides."""
    lacking: tuple[str, ...] | None = None
    """What keeps the embedded model from taking part; ``None``: nobody expects it to."""


def choose_cast(simulator: Simulator, config: str | None = None) -> Cast:
    """Choose who plays, by what is configured. The simulator lends its providers and a dead end.

    Raises:
        ConfigurationError: with every problem at once.
    """
    for provider in simulator:
        provider.always(replies.auto())
    dead_end = simulator.traps.origin("refused")
    found, lacking = inspect_settings(config_file=config), missing_packages()
    if found.problems == [NOTHING]:
        helper = "simulated_anthropic" if lacking else "local"
        settings = _with(simulator, config, "simulated_openai", helper)
        remarks = ["Nothing is configured. A simulated provider speaks over real sockets."]
        if not lacking:
            remarks.append(f"local: a real and very small model ({MODEL}) on this machine.")
        broken = with_broken(settings, settings.chain[:1], dead_end)
        return Cast(settings, broken, tuple(remarks), helper, tuple(lacking))
    problems = list(found.problems)
    if not problems and "local" in Settings(**found.values).chain:
        problems += lacking
    if problems:
        raise ConfigurationError(problems)
    settings = Settings(**found.values)
    first = settings.chain[0]
    failover, remarks = settings.model_copy(update={"enable_fallback": True}), []
    if not settings.fallback_providers:
        helper = "simulated_openai" if first == "local" or lacking else "local"
        failover = _with(
            simulator, config, *((helper, first) if first == "local" else (first, helper))
        )
        remarks = [f"{first} is alone: in the failover {helper} stands beside it."]
    elif not settings.enable_fallback:
        remarks = ["LLM_ENABLE_FALLBACK is off: the failover shows what it would do."]
    return Cast(settings, with_broken(failover, failover.chain[:1], dead_end), tuple(remarks))


def _with(simulator: Simulator, config: str | None, *chain: str) -> Settings:
    """Return the settings with this chain, in which simulated providers may be."""
    blocks = {
        f"simulated_{p.name}": {"model": p.model, "base_url": p.base_url, "api_key": p.api_key}
        for p in (simulator.openai, simulator.anthropic)
    }
    for name, block in blocks.items():
        block["model"] = f"{name.removeprefix('simulated_')}/{block['model']}"
    return load_settings(
        config_file=config,
        primary_provider=chain[0],
        fallback_providers=list(chain[1:]),
        enable_fallback=True,
        providers={name: block for name, block in blocks.items() if name in chain},
    )
