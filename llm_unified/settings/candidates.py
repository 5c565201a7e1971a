"""Pure: what the sources say about one provider → its settings, and what is missing or wrong."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_unified.providers import PROVIDERS, ProviderRow, provider_row, read_base_url
from llm_unified.settings.kinds import as_label
from llm_unified.settings.model import WrittenDeployment, WrittenProvider
from llm_unified.settings.sources import Place, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_unified.telemetry import Level

__all__ = ["Candidate"]

_PLACEHOLDER = re.compile(
    r"(sk-|gsk_)?(ant-|proj-)?(\.{3,}|x{3,}|\*{3,})"
    r"|<.*>|change[-_]?me|todo|placeholder|(sk-|gsk_)?your[-_].*key.*",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Candidate:
    """A provider that may be asked, as far as it can be put together."""

    name: str
    written: WrittenProvider
    sources: Sequence[Source]
    misspelt: Mapping[str, str]
    """Variables, each with the name that was probably meant."""
    row: ProviderRow = field(init=False)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    """The fields of ``DeploymentSettings``."""
    has_key: bool = False
    missing: list[str] = field(default_factory=list)
    """What it needs and does not have: sentences without their full stop."""
    problems: list[str] = field(default_factory=list)
    """What it has and cannot be used: whole sentences."""
    remarks: list[tuple[Level, str, dict[str, object]]] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    common: dict[str, Place] = field(default_factory=dict)
    own: list[dict[str, Place]] = field(default_factory=list)
    """What the provider says of all its deployments, and each of those of itself: setting → place."""

    def __post_init__(self) -> None:
        """Put the deployments together. A deployment's own values win, whatever the source of the provider's."""
        self._find_places()
        rows = self.written.deployments or (WrittenDeployment(),)
        common = _given(self.written)
        own = [_given(row) for row in rows]
        models = [row["model"] for row in ({**common, **row} for row in own) if "model" in row]
        self.row = provider_row(self.name, next(iter(models), None))
        supplied = {
            "model": self.row.default_model,
            "base_url": self.row.default_base_url,
            "api_version": self.row.default_api_version,
        }
        for setting, value in supplied.items():
            if value and not all(setting in row for row in own):
                self.origins.setdefault(setting, "default")
        for values, places in zip(own, self.own, strict=True):
            self._add({**common, **values}, {**self.common, **places})
        for setting, place in self.common.items():
            if setting != "api_key" and not place.line and all(setting in row for row in own):
                fields: dict[str, object] = {"variable": place.where}
                self.remarks.append(("warning", "setting_without_effect", fields))

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
        places = [*self.common.values(), *(p for row in self.own for p in row.values())]
        return any(place.line or place.origin == "argument" for place in places)

    @property
    def is_configured(self) -> bool:
        """Whether it can be asked though nobody named it: it is whole, and not by accident."""
        mentioned = self.has_key or self.name not in PROVIDERS
        return self.enabled and mentioned and not self.missing and not self.problems

    @property
    def values(self) -> dict[str, Any]:
        """The fields of ``ProviderSettings``."""
        return {
            "name": self.name,
            "timeout": self.written.timeout,
            "deployments": self.deployments,
        }

    def _find_places(self) -> None:
        """Note where each setting stands; the strongest source that lists deployments lists them all."""
        at = ("providers", self.name)
        self.own = [{} for _ in self.written.deployments or (None,)]
        lists = [source for source in self.sources if (*at, "deployments") in source.places]
        for source in reversed(self.sources):
            for loc, place in source.places.items():
                if loc[:2] != at:
                    continue
                if len(loc) == len(at) + 1 and loc[-1] != "deployments":
                    self.common[str(loc[-1])] = place
                elif len(loc) > len(at) + 1 and source is lists[0]:
                    self.own[int(loc[3])][str(loc[-1])] = place
        for setting, place in self.common.items():
            self.origins[setting] = place.origin
        for number, row in enumerate(self.own):
            for setting, place in row.items():
                self.origins[f"deployments.{number}.{setting}"] = place.origin

    def _add(self, values: dict[str, Any], places: Mapping[str, Place]) -> None:
        """Complete one deployment from the provider's row; note what is missing."""
        # Deployments of a provider of one's own may be at different vendors.
        row = provider_row(self.name, values.get("model"))
        keys = values.pop("api_key", ())
        self.has_key = self.has_key or bool(keys)
        if any(_PLACEHOLDER.fullmatch(key.get_secret_value()) for key in keys):
            remark = f"{places['api_key'].where} looks like a placeholder."
            if ("warning", "placeholder_key", {"remark": remark}) not in self.remarks:
                self.remarks.append(("warning", "placeholder_key", {"remark": remark}))
        address = values.pop("base_url", None)
        values["api_base"] = row.default_base_url
        if address is not None:
            values["api_base"] = self._read_address(row, address, values, places)
        elif "base_url" in places:
            values["api_base"] = ""
        values.setdefault("api_version", row.default_api_version)
        model = values.get("model") or row.default_model or ""
        values |= {
            "model": row.bare_model(model),
            "litellm_model": row.litellm_model(model),
            "api_keys": keys,
        }
        self.deployments.append(values)
        if urlsplit(values["api_base"] or "").scheme == "http" and keys:
            self._remark_on_clear_text(values["api_base"])
        self._find_gaps(row, model, values, places)

    def _find_gaps(
        self, row: ProviderRow, model: str, values: dict[str, Any], places: Mapping[str, Place]
    ) -> None:
        if not model and "model" not in places:
            self._lacks("model")
        elif self.name not in PROVIDERS and model and "/" not in model:
            self.problems.append(
                f"{places['model'].where} must begin with LiteLLM's name of the vendor, as in "
                "mistral/mistral-large-latest."
            )
        if "base_url" in row.needs and values["api_base"] is None:
            self._lacks("base_url")
        if values["api_keys"]:
            return
        if unset := self._unset_variables(places):
            names = " and ".join(unset)
            self.missing.append(
                f"{places['api_key'].where} takes a key from {names}. Set {names}"
            )
        elif "api_key" in row.needs:
            self._lacks("api_key")

    def _unset_variables(self, places: Mapping[str, Place]) -> list[str]:
        """Return the variables that the key is to come from."""
        place = places.get("api_key")
        return [
            name
            for source in self.sources
            for loc, names in source.lacking.items()
            if place is not None and source.places.get(loc) is place
            for name in names
        ]

    def _read_address(
        self, row: ProviderRow, address: str, values: dict[str, Any], places: Mapping[str, Place]
    ) -> str:
        """Return LiteLLM's ``api_base``, and note what else the address says."""
        place = places["base_url"]
        try:
            target = read_base_url(row, address)
            said = {"model": target.model, "api_version": target.api_version}
            found = {name: as_label(value) for name, value in said.items() if value}
        except ValueError as error:
            self.problems.append(f"{place.where} {error}.")
            return ""
        for name, value in found.items():
            if name not in values:
                values[name] = value
                self.origins[name] = place.origin
        if target.model and values["model"] != target.model:
            self.problems.append(
                f"{place.where} is the address of another deployment than {places['model'].where} "
                "says. Leave only https:// and the host in it."
            )
        return target.base_url

    def _remark_on_clear_text(self, base_url: str) -> None:
        host = urlsplit(base_url).hostname or ""
        try:
            local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            local = host == "localhost" or host.endswith(".localhost")
        remark = f"{self.name}: http:// sends the key and the prompts in clear."
        event: tuple[Level, str, dict[str, object]] = ("warning", "clear_text", {"remark": remark})
        if not local and event not in self.remarks:
            self.remarks.append(event)

    def _lacks(self, setting: str) -> None:
        variable = self.row.variable(setting)
        if variable is None:
            wanted = {"api_key": "api_key_env"}.get(setting, setting)
            text = f"{self.name} has no {wanted}. Add `{wanted}:` to it in the YAML file"
        else:
            wanted = "key" if setting == "api_key" else self.row.spellings.get(setting, setting)
            wrong = next((name for name, meant in self.misspelt.items() if meant == variable), None)
            hint = f" ({wrong} is set: misspelt?)" if wrong else ""
            more = f" (or {variable}S, {variable}_FILE)" if setting == "api_key" else ""
            text = f"{self.name} has no {wanted}. Set {variable}{more}{hint}"
        self.missing.append(text)


def _given(written: WrittenDeployment) -> dict[str, Any]:
    """Return what was said of a deployment, without what concerns the provider as a whole."""
    names = written.model_fields_set & set(WrittenDeployment.model_fields)
    return {name: getattr(written, name) for name in names}
