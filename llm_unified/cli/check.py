"""``llm-unified check``: what is configured, where each value comes from, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from llm_unified.cli.load import existing
from llm_unified.settings import Settings, fingerprint, inspect_settings
from llm_unified.settings.options import FALLBACK_KINDS, OPTIONS, PROVIDER_OPTIONS
from llm_unified.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_unified.cli.output import Output
    from llm_unified.settings import DeploymentSettings, ProviderSettings
    from llm_unified.settings.assembly import Assembly

__all__ = ["run"]

WRONG = 2
_UNITS = {option.name: option.unit for option in (*OPTIONS, *PROVIDER_OPTIONS)}
_REMARKS = {
    "unknown_variable": "{variable} is set but unknown, did you mean {did_you_mean}?",
    "setting_without_effect": "{variable} is without effect: every deployment in the YAML file has a "
    "value of its own.",
    "primary_replaced": "{disabled} is the primary but switched off; {primary_provider} takes its "
    "place.",
    "provider_disabled": "{provider} is switched off.",
}
_WARMING = ("keep_alive_interval", "warm_on_startup", "warm_probe")


@dataclass(frozen=True, slots=True)
class Row:
    """One value."""

    name: str
    value: Any
    """Fit for JSON."""
    origin: str

    def shown(self) -> str:
        unit = _UNITS.get(self.name.rpartition(".")[2], "")
        match self.value:
            case bool():
                return "true" if self.value else "false"
            case None:
                return "-"
            case list():
                return ", ".join(map(str, self.value)) or "none"
            case float():
                return f"{self.value:g} {unit}".rstrip()
            case _:
                return f"{self.value} {unit}".rstrip()

    def source(self) -> str:
        """As a shell spells it: a table of 80 columns has room for that."""
        return self.origin.replace("environment ", "$")


def run(out: Output, config: str | None, *, everything: bool) -> int:
    """Show all that is set, or all problems."""
    found = inspect_settings(config_file=existing(config))
    if found.problems:
        out.failure("configuration", found.problems)
        for remark in () if out.as_json else _remarks(found):
            out.note(f"Hint: {remark}")
        return WRONG
    settings = Settings(**found.values)
    out.keep_secret(settings.secrets())
    remarks = [*_remarks(found), *_hints(settings)]
    blocks = {p.name: list(provider_rows(settings, p)) for p in settings.providers}
    general = list(settings_rows(settings))
    if out.as_json:
        out.data(
            {
                "ok": True,
                "version": __version__,
                "chain": list(settings.chain),
                "settings": _as_data(general),
                "providers": {name: _as_data(rows, f"{name}.") for name, rows in blocks.items()},
                "hints": remarks,
            }
        )
        return 0
    out.line("chain: " + " → ".join(settings.chain), "bold")
    out.line()
    rows = [*general, *(row for rows in blocks.values() for row in rows)]
    shown = [row for row in rows if everything or _worth_showing(row)]
    out.table(
        ("SETTING", "VALUE", "FROM"), [(row.name, row.shown(), row.source()) for row in shown]
    )
    if hidden := len(rows) - len(shown):
        out.line(f"… and {hidden} defaults (--all shows them)", "dim")
    out.line()
    for remark in remarks:
        out.line(f"hint: {remark}")
    connections = sum(
        max(settings.pool_size, *(len(d.api_keys) for d in p.deployments)) * len(p.deployments)
        for p in settings.providers
    )
    count = len(blocks)
    out.line(
        f"ok: {count} provider{'s' * (count != 1)}, {connections} pool connections. "
        "Nothing was sent; `llm-unified ping` does that.",
        "good",
    )
    return 0


def settings_rows(settings: Settings) -> Iterator[Row]:
    """Yield what concerns all providers."""
    origins = settings.origins
    for option in OPTIONS:
        value = getattr(settings, option.name)
        if option.name == "redis_url" and value is not None:
            parts = urlsplit(value.get_secret_value())
            value = f"{parts.scheme}://{parts.hostname or ''}:{parts.port or 6379}{parts.path}"
        elif isinstance(value, frozenset):
            value = ["all"] if value == FALLBACK_KINDS else sorted(str(kind) for kind in value)
        elif isinstance(value, tuple):
            value = list(value)
        yield Row(option.name, value, origins.get(option.name, "default"))


def provider_rows(settings: Settings, provider: ProviderSettings) -> Iterator[Row]:
    """Yield what concerns one provider; ``groq.model``, or ``azure_openai.1.model`` of several."""
    name, at = provider.name, f"providers.{provider.name}"

    def row(setting: str, value: Any, number: str = "") -> Row:
        own = settings.origins.get(f"{at}.deployments.{number}.{setting}")
        origin = own or settings.origins.get(f"{at}.{setting}", "default")
        several = bool(number) and len(provider.deployments) > 1
        return Row(f"{name}.{number}.{setting}" if several else f"{name}.{setting}", value, origin)

    if provider.timeout is not None:
        yield row("timeout", provider.timeout)
    for number, deployment in enumerate(provider.deployments):
        for setting, value in _deployment_values(deployment):
            yield row(setting, value, str(number))


_PRICES: Final = (
    *("input_cost_per_token", "output_cost_per_token"),
    *("cache_read_cost_per_token", "cache_write_cost_per_token"),
)


def _deployment_values(deployment: DeploymentSettings) -> Iterator[tuple[str, Any]]:
    yield "model", deployment.model
    if deployment.api_base:
        yield "base_url", deployment.api_base
    keys = [fingerprint(key) for key in deployment.api_keys]
    if deployment.litellm_model.startswith("azure/"):
        yield "api_version", deployment.api_version
    yield "api_key", keys or ["none"]
    for name in ("organization", "base_model", *_PRICES):
        if (value := getattr(deployment, name)) is not None:
            yield name, value
    if deployment.weight != 1:
        yield "weight", deployment.weight


def _worth_showing(row: Row) -> bool:
    return row.origin != "default" or "." in row.name or row.name.endswith("_provider")


def _hints(settings: Settings) -> Iterator[str]:
    """Yield what is allowed and probably not meant."""
    yield from _chain_hints(settings)
    if settings.pool_size == 1:
        yield "a pool of one keeps a single connection per deployment open; LLM_POOL_SIZE=3 three."
    given = [name for name in _WARMING if settings.origins.get(name, "default") != "default"]
    if given and not settings.enable_connection_warming:
        names = ", ".join(f"LLM_{name.upper()}" for name in given)
        yield f"{names}: without effect while LLM_ENABLE_CONNECTION_WARMING is off."
    if settings.deadline < settings.timeout:
        yield (
            f"LLM_TIMEOUT ({settings.timeout:g} s) is longer than LLM_DEADLINE "
            f"({settings.deadline:g} s), which ends the whole call first."
        )


def _chain_hints(settings: Settings) -> Iterator[str]:
    first = settings.chain[0]
    if settings.fallback_providers and not settings.enable_fallback:
        yield f"LLM_ENABLE_FALLBACK is off: when {first} fails, nobody takes over."
        return
    reserve = [p.name for p in settings.providers if p.name not in settings.chain]
    for name in reserve:
        yield (
            f"{name} is configured but not in the chain: "
            f"add {name} to LLM_FALLBACK_PROVIDERS, or ask it with -p {name}."
        )
    if len(settings.chain) == 1 and not reserve and first != "local":
        yield (
            f"{first} is alone: when it fails, nobody takes over. Set the key of a second provider."
        )


def _remarks(found: Assembly) -> list[str]:
    """Return what was noticed while reading, in words."""
    texts = []
    for _, event, fields in found.events:
        if event == "provider_incomplete":
            missing = fields["missing"]
            texts += [f"{text}." for text in missing] if isinstance(missing, tuple) else []
        else:
            sentence = _REMARKS.get(
                event, "{remark}" if "remark" in fields else f"{event}: {fields}"
            )
            texts.append(sentence.format(**fields))
    return texts


def _as_data(rows: Iterable[Row], prefix: str = "") -> dict[str, Any]:
    return {
        row.name.removeprefix(prefix): {"value": row.value, "origin": row.origin} for row in rows
    }
