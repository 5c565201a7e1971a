"""Where settings are read from: arguments, the environment, a ``.env`` file, key files. (YAML: ``yamlfile``.)

Every source is one of pydantic-settings' and remembers where each of its values stands. Values are checked later,
all together; keys are wrapped the moment they are read.
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
from llm_unified.settings.model import KEY_REFERENCES, PROVIDER_KEYS, SPELLINGS, Written
from llm_unified.settings.options import KNOWN_VARIABLES, OPTION_VARIABLES, PROVIDER_VARIABLES
from llm_unified.telemetry import Level

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = [
    "Arguments",
    "Environment",
    "Event",
    "Loc",
    "Nested",
    "Place",
    "Source",
    "read_env_file",
    "variable_origin",
]

Loc = tuple[str | int, ...]
"""A value's path: ``("providers", "groq", "model")``."""
Event = tuple[Level, str, dict[str, object]]
"""A log line: level, event, fields."""
KEY_FILE_LIMIT: Final = 65_536
"""Bytes."""
_LISTS: Final = {
    "fallback_providers": "a list of providers",
    "fallback_on": "a list of failures",
}
_PROVIDER_NAME = re.compile(r"(?!none$)[a-z][a-z0-9_]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands."""

    where: str
    """For a message: ``"LLM_POOL_SIZE"`` or ``"llm.yaml:12 (pool_size)"``."""
    origin: str
    """For the operator: ``"environment LLM_POOL_SIZE"`` or ``"YAML llm.yaml:12"``."""
    line: str = ""
    """``"llm.yaml:12"`` if it stands in the YAML file, wherever its text is taken from."""
    lacking: tuple[str, ...] = ()
    """The variables in which keys were looked for in vain."""


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
        self.secrets: set[str] = set()
        self.followed: set[str] = set()
        """Variables with names of somebody's own that were asked for."""

    def __call__(self) -> dict[str, Any]:
        """Return what pydantic-settings merges."""
        return self.tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one value, as pydantic-settings asks for it."""
        return self.tree.get(field_name), field_name, False

    def put(self, loc: Loc, value: Any, where: str, origin: str, line: str = "") -> None:
        """Note a value and its place."""
        if loc == ("redis_url",):  # pydantic-settings prints what its sources say if it is asked to
            value = SecretStr(str(value))
        self._parent(loc)[loc[-1]] = value
        self.places[loc] = Place(where, origin, line)

    def drop(self, loc: Loc) -> None:
        """Leave out a value that cannot be used; its place stays known."""
        if loc in self.places:
            self._parent(loc).pop(loc[-1], None)

    def _parent(self, loc: Loc) -> Any:
        node: Any = self.tree
        for step in loc[:-1]:
            node = node.setdefault(step, {}) if isinstance(node, dict) else node[step]
        return node

    def put_keys(
        self,
        loc: Loc,
        texts: Iterable[str],
        where: str,
        origin: str,
        line: str = "",
        *,
        lacking: Iterable[str] = (),
    ) -> None:
        """Add keys to those of the same provider or deployment, each once, in order."""
        found = [key for text in texts if (key := unquoted(text))]
        if not all(re.fullmatch(r"[!-~]+", key) for key in found):
            self.problems.append(
                f"{where} is not a key: it has a space, a line break or a character outside ASCII. "
                "Copy the key again."
            )
        self.secrets.update(found)
        if not found and not lacking:
            return
        parent = self._parent(loc)
        parent["api_key"] = tuple(
            dict.fromkeys((*parent.get("api_key", ()), *map(SecretStr, found)))
        )
        if (before := self.places.get(loc)) is not None:
            where = ", ".join(dict.fromkeys((*before.where.split(", "), where)))
            origin = ", ".join(dict.fromkeys(text for text in (before.origin, origin) if text))
            lacking = (*before.lacking, *lacking)
        self.places[loc] = Place(where, origin, line, tuple(lacking))

    def key_file(self, path: str, where: str) -> list[str]:
        """Read a mounted secret: one key per line, ``#`` begins a comment line."""
        content, why = b"", ""
        try:
            with Path(path).expanduser().open("rb") as file:
                content = file.read(KEY_FILE_LIMIT + 1)
            mode = Path(path).expanduser().stat().st_mode
            text = content.decode("utf-8-sig")
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or "not a text file"
        else:
            why = "a binary file" if "\0" in text else ""
        if why or len(content) > KEY_FILE_LIMIT:
            why = why or f"larger than {KEY_FILE_LIMIT // 1024} KB"
            self.problems.append(
                f"{where} names a file that cannot be read ({why}). Check the mount."
            )
            return []
        if stat.S_ISREG(mode) and mode & stat.S_IROTH:
            remark = f"{where} names a key file that every user of the machine can read."
            self.events.append(("info", "key_file_readable", {"remark": remark}))
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
            text, origin = (
                unquoted(variables.get(variable) or ""),
                variable_origin(variable, env_file),
            )
            if not text:
                continue
            if variable in OPTION_VARIABLES:
                self.put((OPTION_VARIABLES[variable],), text, variable, origin)
            elif variable in PROVIDER_VARIABLES:
                name, setting = PROVIDER_VARIABLES[variable]
                loc = ("providers", name, "api_key")
                if setting == "api_key_file":
                    keys = self.key_file(text, variable)
                    self.put_keys(
                        loc, keys, variable, f"file {text} ({variable})" if keys else origin
                    )
                elif setting in KEY_REFERENCES:
                    self.put_keys(loc, text.split(","), variable, origin)
                else:
                    self.put((*loc[:2], setting), text, variable, origin)


class Nested(Source):
    """A source that has the shape of the settings: arguments, YAML."""

    def place(self, loc: Loc) -> tuple[str, str, str]:
        """Return where a value stands, its origin, and its line."""
        where = ".".join(map(str, loc))
        return re.sub(r"\.(\d+)", r"[\1]", where), "argument", ""

    def keys(self, loc: Loc, value: Any) -> tuple[list[str], str, list[str]]:
        """Return keys, their origin, and the variables in which they were looked for in vain."""
        texts = (
            [str(_reveal(item)) for item in value]
            if _is_list(value)
            else str(_reveal(value)).split(",")
        )
        if loc[-1] == "api_key_file":
            texts = self.key_file(texts[0], self.place(loc)[0])
        return texts, "", []

    def value(self, loc: Loc, value: Any) -> tuple[Any, str]:
        """Return what was meant, and its origin; ``None`` where nothing stands."""
        return _reveal(value), ""

    def read(self, tree: Any) -> None:
        """Read everything."""
        for key, value in self._entries((), tree):
            if key == "providers":
                for name, block in self._entries((key,), value):
                    self._provider((key, name), block)
            else:
                self._read((key,), value)

    def _provider(self, loc: Loc, block: Any) -> None:
        name, (where, origin, line) = str(loc[1]), self.place(loc)
        if name in PROVIDER_KEYS:
            self.problems.append(f"{where} belongs to a provider: indent it under its name.")
        elif not _PROVIDER_NAME.fullmatch(name):
            text = "is no name: use small letters, digits and underscores."
            self.problems.append(f"{where} {text}")
        else:
            self.places[loc] = Place(where, origin, line)
            self._parent((*loc, ""))
            self._block(loc, block)

    def _block(self, loc: Loc, block: Any) -> None:
        for key, value in self._entries(loc, block):
            at = (*loc, key)
            if key == "deployments" and not (value and _is_list(value)):
                where = self.place(at)[0]
                self.problems.append(f"{where} must be a list, each item beginning with '- '.")
            elif key == "deployments":
                self.put(at, [{} for _ in value], *self.place(at))
                for number, row in enumerate(value):
                    self._block((*at, number), row)
            else:
                self._read(at, value)

    def _read(self, loc: Loc, value: Any) -> None:
        if value is None:
            return
        where, origin, line = self.place(loc)
        *parent, key = loc
        if key in KEY_REFERENCES and parent:
            texts, found_at, lacking = self.keys(loc, value)
            self.put_keys(
                (*parent, "api_key"), texts, where, found_at or origin, line, lacking=lacking
            )
            return
        value, found_at = self.value(loc, value)
        if isinstance(value, Mapping) and key in (*Written.model_fields, *PROVIDER_KEYS):
            self.problems.append(f"{where} must be {_LISTS.get(key, 'one value')}.")
        elif value is not None:
            key = SPELLINGS.get(str(key), key) if parent else key
            self.put((*parent, key), value, where, found_at or origin, line)

    def _entries(self, loc: Loc, node: Any) -> Iterable[tuple[str, Any]]:
        if node is not None and not isinstance(node, Mapping):
            self.problems.append(f"{self.place(loc)[0]} must be made of `key: value` lines.")
            return []
        return [(str(key), value) for key, value in (node or {}).items()]


class Arguments(Nested):
    """The keyword arguments of ``load_settings``; ``None`` counts as not given.

    They are called like the variables in lower case, without ``LLM_``: ``pool_size=2``,
    ``openai_api_key="…"``; ``providers={"openai": {"model": "…"}}`` does as well.
    """

    def __init__(self, overrides: Mapping[str, Any]) -> None:
        super().__init__()
        known = (*Written.model_fields, *map(str.lower, PROVIDER_VARIABLES))
        for name, value in overrides.items():
            if name in Written.model_fields:
                self.read({name: value})
            elif name.upper() in PROVIDER_VARIABLES:
                provider, setting = PROVIDER_VARIABLES[name.upper()]
                self.read({"providers": {provider: {setting: value}}})
            else:
                hint = did_you_mean(name, known) or "."
                self.problems.append(f"load_settings() has no argument {name!r}{hint}")


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _reveal(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


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
