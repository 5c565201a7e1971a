"""Pure: what the sources say about one provider → its settings, and what is missing or wrong."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_unified.providers import PROVIDERS, ProviderRow, provider_row, read_base_url
from llm_unified.settings.kinds import as_label
from llm_unified.settings.model import WrittenDeployment, WrittenProvider

if TYPE_CHECKING:
    from pydantic import SecretStr

    from llm_unified.settings.sources import Event, Loc, Place

__all__ = ["Candidate"]

_PLACEHOLDER = re.compile(
    r"(sk-|gsk_)?(ant-|proj-)?(\.{3,}|x{3,}|\*{3,})"
    r"|<.*>|change[-_]?me|todo|placeholder|(sk-|gsk_)?your[-_].*key.*",
    re.IGNORECASE,
)


class Candidate:
    """A provider that may be asked, as far as it can be put together."""

    def __init__(
        self,
        name: str,
        written: WrittenProvider,
        places: Mapping[Loc, Place],
        misspelt: Mapping[str, str],
    ) -> None:
        """Put the deployments together. A deployment's own values win, whatever the source of the provider's.

        ``misspelt`` are variables, each with the name that was probably meant.
        """
        self.name = name
        self.written = written
        self.misspelt = misspelt
        at = ("providers", name)
        self.places = {loc[2:]: place for loc, place in places.items() if loc[:2] == at}
        self.has_key = False
        self.missing: list[str] = []
        """What it needs and does not have: sentences without their full stop."""
        self.problems: list[str] = []
        """What it has and cannot be used: whole sentences."""
        self.events: list[Event] = []
        own = [_given(row) for row in written.deployments or (WrittenDeployment(),)]
        common = _given(written)
        rows = [{**common, **row} for row in own]
        self.row = provider_row(name, next((row["model"] for row in rows if "model" in row), None))
        supplied = {
            "model": self.row.default_model,
            "base_url": self.row.default_base_url,
            "api_version": self.row.default_api_version,
        }
        self.origins = {
            setting: "default"
            for setting, value in supplied.items()
            if value and not all(setting in row for row in own)
        } | {
            ".".join(map(str, loc)): place.origin
            for loc, place in self.places.items()
            if loc and loc[-1] != "deployments"
        }
        deployments = [self._completed(number, row) for number, row in enumerate(rows)]
        self.values = {"name": name, "timeout": written.timeout, "deployments": deployments}
        """The fields of ``ProviderSettings``."""
        for setting in common:
            place = self.places[setting,]
            if setting != "api_key" and not place.line and all(setting in row for row in own):
                self.events.append(("warning", "setting_without_effect", {"variable": place.where}))

    @property
    def enabled(self) -> bool:
        """Whether it may be asked."""
        return self.written.enabled

    @property
    def insisted(self) -> bool:
        """Whether somebody wrote ``enabled: true``."""
        return self.enabled and "enabled" in self.written.model_fields_set

    @property
    def ours(self) -> bool:
        """Whether it stands in our file or our arguments, so that what is wrong with it is our concern."""
        places = [place for loc, place in self.places.items() if loc or self.name not in PROVIDERS]
        return any(place.line or place.origin == "argument" for place in places)

    @property
    def is_configured(self) -> bool:
        """Whether it can be asked though nobody named it: it is whole, and not by accident."""
        mentioned = self.has_key or self.name not in PROVIDERS
        return self.enabled and mentioned and not self.missing and not self.problems

    def _place(self, number: int, setting: str) -> Place | None:
        return self.places.get(("deployments", number, setting)) or self.places.get((setting,))

    def _where(self, number: int, setting: str) -> str:
        place = self._place(number, setting)
        return place.where if place else ""

    def _completed(self, number: int, values: dict[str, Any]) -> dict[str, Any]:
        """Complete one deployment from the provider's row; note what is missing."""
        # Deployments of a provider of one's own may be at different vendors.
        row = provider_row(self.name, values.get("model"))
        keys = values.pop("api_key", ())
        if "base_url" in values:
            values["api_base"] = self._read_address(number, row, values.pop("base_url"), values)
        model = values.get("model") or row.default_model or ""
        if not model and not self._where(number, "model"):
            self._lacks("model")
        elif self.name not in PROVIDERS and model and "/" not in model:
            self.problems.append(
                f"{self._where(number, 'model')} must begin with LiteLLM's name of the vendor, as in "
                "mistral/mistral-large-latest."
            )
        if "api_base" not in values and not self._where(number, "base_url"):
            values["api_base"] = row.default_base_url
            if "base_url" in row.needs:
                self._lacks("base_url")
        self._look_at_keys(number, row, keys, str(values.get("api_base")))
        return values | {
            "model": row.bare_model(model),
            "litellm_model": row.litellm_model(model),
            "api_version": values.get("api_version") or row.default_api_version,
            "api_keys": keys,
        }

    def _look_at_keys(
        self, number: int, row: ProviderRow, keys: tuple[SecretStr, ...], address: str
    ) -> None:
        place = self._place(number, "api_key")
        if not keys and place and place.lacking:
            names = " and ".join(dict.fromkeys(place.lacking))
            self.missing.append(f"{place.where} takes a key from {names}. Set {names}")
        elif not keys and "api_key" in row.needs:
            self._lacks("api_key")
        self.has_key = self.has_key or bool(keys)
        if place and any(_PLACEHOLDER.fullmatch(key.get_secret_value()) for key in keys):
            self._remark("placeholder_key", f"{place.where} looks like a placeholder.")
        if keys and address.startswith("http://") and not _is_local(address):
            text = f"{self.name}: http:// sends the key and the prompts in clear."
            self._remark("clear_text", text)

    def _read_address(
        self, number: int, row: ProviderRow, address: str, values: dict[str, Any]
    ) -> str:
        """Return LiteLLM's ``api_base``, and note what else the address says."""
        where = self._where(number, "base_url")
        try:
            target = read_base_url(row, address)
            said = {"model": target.model, "api_version": target.api_version}
            found = {setting: as_label(value) for setting, value in said.items() if value}
        except ValueError as error:
            self.problems.append(f"{where} {error}.")
            return ""
        for setting in found.keys() - values.keys():
            self.origins[setting] = self.origins["base_url"]
        values |= {**found, **values}
        if found and found.get("model", values["model"]) != values["model"]:
            self.problems.append(
                f"{where} is the address of another deployment than {self._where(number, 'model')} "
                "says. Leave only https:// and the host in it."
            )
        return target.base_url

    def _remark(self, event: str, text: str) -> None:
        self.events.append(("warning", event, {"remark": text}))

    def _lacks(self, setting: str) -> None:
        variable = self.row.variable(setting)
        if setting == "model" and self.name not in PROVIDERS and () in self.places:
            where = self.places[()].where
            self.problems.append(f"{where} has no model. Add `model: vendor/name` to it.")
        elif variable is None:
            wanted = {"api_key": "api_key_env"}.get(setting, setting)
            text = f"{self.name} has no {wanted}. Add `{wanted}:` to it in the YAML file"
            self.missing.append(text)
        else:
            wanted = "key" if setting == "api_key" else self.row.spellings.get(setting, setting)
            wrong = next((name for name, meant in self.misspelt.items() if meant == variable), None)
            hint = f" ({wrong} is set: misspelt?)" if wrong else ""
            more = f" (or {variable}S, {variable}_FILE)" if setting == "api_key" else ""
            self.missing.append(f"{self.name} has no {wanted}. Set {variable}{more}{hint}")


def _given(written: WrittenDeployment) -> dict[str, Any]:
    """Return what was said of a deployment, without what concerns the provider as a whole."""
    names = [name for name in WrittenDeployment.model_fields if name in written.model_fields_set]
    return {name: getattr(written, name) for name in names}


def _is_local(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
