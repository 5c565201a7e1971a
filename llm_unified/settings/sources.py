"""Where settings are read from: arguments, the environment, a ``.env`` file, key files. (YAML: ``yamlfile``.)

Every source is one of pydantic-settings' and remembers where each of its values stands. Values are checked
later, all together; keys are wrapped the moment they are read.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr
from pydantic_settings import DotEnvSettingsSource, PydanticBaseSettingsSource

from llm_unified.settings.kinds import did_you_mean, unquoted
from llm_unified.settings.model import Options, Written, WrittenDeployment, WrittenProvider
from llm_unified.settings.variables import (
    KEY_SETTINGS,
    KNOWN_VARIABLES,
    OPTION_VARIABLES,
    PROVIDER_VARIABLES,
)

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from llm_unified.telemetry import Level

__all__ = ["Arguments", "Environment", "Event", "Loc", "Place", "Source", "read_env_file"]

Loc = tuple[str | int, ...]
"""A value's path: ``("providers", "groq", "model")``."""
Event = tuple["Level", str, dict[str, object]]
"""A log line: level, event, fields."""

SPELLINGS: Final = {"endpoint": "base_url", "deployment": "model"}
"""Azure's words."""
KEY_FILE_LIMIT: Final = 65_536
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands."""

    where: str
    """For a message: ``"LLM_POOL_SIZE"`` or ``"llm.yaml:12 (pool_size)"``."""
    origin: str
    """For the operator: ``"environment LLM_POOL_SIZE"`` or ``"YAML llm.yaml:12"``."""
    line: str = ""
    """``"llm.yaml:12"`` if it stands in the YAML file, wherever its text is taken from."""


class Source(PydanticBaseSettingsSource):
    """What one source says."""

    path = ""
    """Of the YAML file, as its problems begin."""

    def __init__(self) -> None:
        super().__init__(Written)
        self.tree: dict[str, Any] = {}
        self.places: dict[Loc, Place] = {}
        self.problems: list[str] = []
        self.events: list[Event] = []
        self.lacking: dict[Loc, list[str]] = {}
        """The variables in which keys were looked for in vain."""
        self.secrets: set[str] = set()
        self.followed: set[str] = set()
        """Variables with names of somebody's own that were asked for."""

    def __call__(self) -> dict[str, Any]:
        """Return what pydantic-settings merges."""
        return self.tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one value, as pydantic-settings asks for it."""
        return self.tree.get(field_name), field_name, False

    def put(self, loc: Loc, value: object, place: Place) -> None:
        """Note a value and its place."""
        node: Any = self.tree
        for step in loc[:-1]:
            node = node[step] if isinstance(node, list) else node.setdefault(step, {})
        # Wrapped, because pydantic-settings prints what its sources say if it is asked to.
        node[loc[-1]] = SecretStr(value) if loc == ("redis_url",) and isinstance(value, str) else value
        self.places[loc] = place

    def drop(self, loc: Loc) -> None:
        """Forget a value that cannot be used; its place stays known."""
        node: Any = self.tree
        for step in loc[:-1]:
            node = node[step]
        node.pop(loc[-1], None)

    def put_keys(
        self, loc: Loc, texts: Iterable[str], place: Place, missing: Iterable[str] = ()
    ) -> None:
        """Add keys to those of the same provider or deployment, each once, in order."""
        found = [key for text in texts if (key := unquoted(text))]
        if not all(re.fullmatch(r"[!-~]+", key) for key in found):
            self.problems.append(
                f"{place.where} is not a key: it has a space, a line break or a character outside ASCII. "
                "Copy the key again."
            )
        self.secrets.update(found)
        loc = (*loc, "api_key")
        node: Any = self.tree
        for step in loc:
            node = node[step] if isinstance(node, list) else node.get(step, {})
        if (before := self.places.get(loc)) is not None:
            where = dict.fromkeys((*before.where.split(", "), place.where))
            origins = dict.fromkeys(text for text in (before.origin, place.origin) if text)
            place = Place(", ".join(where), ", ".join(origins), place.line)
        self.put(loc, tuple(dict.fromkeys((*node, *map(SecretStr, found)))), place)
        self.lacking.setdefault(loc, []).extend(missing)

    def key_file(self, path: str, where: str) -> list[str]:
        """Read a mounted secret: one key per line, ``#`` begins a comment line."""
        try:
            with Path(path).expanduser().open("rb") as file:
                content = file.read(KEY_FILE_LIMIT + 1)
                mode = Path(path).expanduser().stat().st_mode
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            self.problems.append(
                f"{where} names a file that cannot be read ({reason}). Check the mount."
            )
            return []
        if "\0" in text or len(content) > KEY_FILE_LIMIT:
            self.problems.append(
                f"{where} names a file that holds no keys: it is binary or over {KEY_FILE_LIMIT // 1024} KB. "
                "Check the mount."
            )
            return []
        if mode & stat.S_IROTH and stat.S_ISREG(mode):
            remark = f"{where} names a key file that every user of this machine can read (chmod o-r)."
            self.events.append(("info", "key_file_readable_by_others", {"remark": remark}))
        return [line for line in text.splitlines() if not line.lstrip().startswith("#")]


def variable_origin(variable: str, env_file: str = "", line: str = "") -> str:
    """Say where a variable's value comes from, and which line of YAML asks for it."""
    if env_file:
        inner = f"{variable}, {line}" if line else variable
        return f"env file {env_file} ({inner})"
    return f"environment {variable} ({line})" if line else f"environment {variable}"


class Environment(Source):
    """The environment, or the content of ``env_file``. An empty value counts as not set."""

    def __init__(self, variables: Mapping[str, str | None], env_file: str = "") -> None:
        super().__init__()
        for variable in KNOWN_VARIABLES:
            text = unquoted(variables.get(variable) or "")
            if not text:
                continue
            place = Place(variable, variable_origin(variable, env_file))
            if variable in OPTION_VARIABLES:
                self.put((OPTION_VARIABLES[variable],), text, place)
            elif variable in PROVIDER_VARIABLES:
                name, setting = PROVIDER_VARIABLES[variable]
                if setting == "api_key_file":
                    keys = self.key_file(text, variable)
                    origin = f"file {text} ({variable})" if keys else place.origin
                    self.put_keys(("providers", name), keys, Place(variable, origin))
                elif setting in KEY_SETTINGS:
                    self.put_keys(("providers", name), text.split(","), place)
                else:
                    self.put(("providers", name, setting), text, place)


class Arguments(Source):
    """The keyword arguments of ``load_settings``; ``None`` counts as not given.

    They are called like the variables in lower case, without ``LLM_``: ``pool_size=2``,
    ``openai_api_key="…"``; ``providers={"openai": {"model": "…"}}`` does as well.
    """

    def __init__(self, overrides: Mapping[str, object]) -> None:
        super().__init__()
        known = (*Written.model_fields, *map(str.lower, PROVIDER_VARIABLES))
        for name, value in overrides.items():
            if value is None:
                continue
            if name in Options.model_fields:
                self.put((name,), _reveal(value), Place(name, "argument"))
            elif name == "providers" and isinstance(value, Mapping):
                for provider, block in value.items():
                    where = f"providers.{provider}"
                    self._block(("providers", str(provider).lower()), block or {}, where)
            elif name.upper() in PROVIDER_VARIABLES:
                provider, setting = PROVIDER_VARIABLES[name.upper()]
                self._block(("providers", provider), {setting: value}, f"providers.{provider}")
            else:
                hint = did_you_mean(name, known) or "."
                self.problems.append(f"load_settings() has no argument {name!r}{hint}")

    def _block(self, loc: Loc, block: object, path: str) -> None:
        """Read the arguments that belong to one provider, or to one of its deployments."""
        if not isinstance(block, Mapping):
            self.problems.append(f"{path} must be a mapping of settings.")
            return
        model = WrittenDeployment if len(loc) > len(("providers", "name")) else WrittenProvider
        for name, value in block.items():
            setting, where = SPELLINGS.get(name, name), f"{path}.{name}"
            place = Place(where, "argument")
            if value is None:
                continue
            if setting in KEY_SETTINGS:
                texts = _texts(value)
                if setting == "api_key_file":
                    texts = self.key_file(texts[0], where)
                self.put_keys(loc, texts, Place(f"{path}.api_key", "argument"))
            elif setting == "deployments" and not isinstance(value, (list, tuple)):
                self.problems.append(f"{where} must be a list of mappings.")
            elif setting == "deployments":
                self.put((*loc, setting), [{} for _ in value], place)
                for number, row in enumerate(value):
                    self._block((*loc, setting, number), row, f"{where}[{number}]")
            elif setting in model.model_fields:
                self.put((*loc, setting), _reveal(value), place)
            else:
                known = (*model.model_fields, *KEY_SETTINGS)
                self.problems.append(f"{where} is unknown{did_you_mean(str(name), known) or '.'}")


def _reveal(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _texts(value: object) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [str(_reveal(item)) for item in value]
    return str(_reveal(value)).split(",")


def read_env_file(path: str, problems: list[str]) -> dict[str, str | None]:
    """Read the ``.env`` file that ``LLM_ENV_FILE`` names; nothing is ever found by searching."""
    file = Path(path).expanduser()
    if not file.is_file():
        problems.append(f"LLM_ENV_FILE names {path}, which is not a file. Correct it or unset it.")
        return {}
    try:
        source = DotEnvSettingsSource(
            Written, env_file=file, env_file_encoding="utf-8-sig", case_sensitive=True
        )
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"LLM_ENV_FILE names {path}, which cannot be read: {type(error).__name__}.")
        return {}
    return dict(source.env_vars)
