"""Where settings are read from: arguments, the environment, a ``.env`` file, key files. (YAML: ``yamlfile``.)

Every source is one of pydantic-settings' and remembers where each of its values stands. Values are checked later,
all together; keys are wrapped the moment they are read.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr
from pydantic_settings import DotEnvSettingsSource, PydanticBaseSettingsSource

from llm_unified.logs import Level
from llm_unified.settings.kinds import did_you_mean, printable, unquoted
from llm_unified.settings.model import KEY_REFERENCES, PROVIDER_KEYS, SPELLINGS, Written
from llm_unified.settings.options import VARIABLES

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["Arguments", "Environment", "Event", "Loc", "Nested", "Place", "Source", "read_env_file"]

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

    def read(self, loc: Loc, value: Any, place: Place) -> None:
        """Note a value and its place, or all keys to which a reference leads."""
        *parent, key = loc
        if key in KEY_REFERENCES and parent:
            self.put_keys((*parent, "api_key"), *self.keys(loc, value, place))
            return
        value, place = self.value(loc, value, place)
        if isinstance(value, Mapping) and key in (*Written.model_fields, *PROVIDER_KEYS):
            self.problems.append(f"{place.where} must be {_LISTS.get(str(key), 'one value')}.")
        elif value is not None:
            self.put((*parent, SPELLINGS.get(str(key), key) if parent else key), value, place)

    def value(self, loc: Loc, value: Any, place: Place) -> tuple[Any, Place]:
        """Return what is meant, and where that stands; ``None`` for nothing."""
        return _reveal(value), place

    def keys(self, loc: Loc, value: Any, place: Place) -> tuple[list[str], Place]:
        """Return keys, and where they come from."""
        if str(loc[-1]).endswith("_env"):
            self.problems.append(f"{place.where} is for YAML alone. Pass the key as `api_key`.")
            return [], place
        value = _reveal(value)
        texts = [str(_reveal(v)) for v in value] if _is_list(value) else str(value).split(",")
        return self.key_file(texts[0], place) if loc[-1] == "api_key_file" else (texts, place)

    def put(self, loc: Loc, value: Any, place: Place) -> None:
        """Note a value and its place."""
        if loc == ("redis_url",):  # pydantic-settings prints what its sources say if it is asked to
            value = SecretStr(str(value))
        self._parent(loc)[loc[-1]] = value
        self.places[loc] = place

    def drop(self, loc: Loc) -> None:
        """Leave out a value that cannot be used; its place stays known."""
        if loc in self.places:
            self._parent(loc).pop(loc[-1], None)

    def _parent(self, loc: Loc) -> Any:
        node: Any = self.tree
        for step in loc[:-1]:
            node = node.setdefault(step, {}) if isinstance(node, dict) else node[step]
        return node

    def put_keys(self, loc: Loc, texts: Iterable[str], place: Place) -> None:
        """Add keys to those of the same provider or deployment, each once, in order."""
        found = [key for text in texts if (key := unquoted(text))]
        if not found and not place.lacking:
            return
        if not all(re.fullmatch(r"[!-~]+", key) for key in found):
            self.problems.append(
                f"{place.where} is not a key: it has a space, a line break or a character outside "
                "ASCII. Copy the key again."
            )
        self.secrets.update(found)
        keys = (*self._parent(loc).get("api_key", ()), *map(SecretStr, found))
        self._parent(loc)["api_key"] = tuple(dict.fromkeys(keys))
        if (before := self.places.get(loc)) is not None:
            place = Place(
                _joined(before.where, place.where),
                _joined(before.origin, place.origin) if found else before.origin,
                place.line,
                (*before.lacking, *place.lacking),
            )
        self.places[loc] = place

    def key_file(self, path: str, place: Place) -> tuple[list[str], Place]:
        """Read a mounted secret: one key per line, ``#`` begins a comment line."""
        try:
            with Path(path).expanduser().open("rb") as file:
                content = file.read(KEY_FILE_LIMIT + 1)
                mode = os.fstat(file.fileno()).st_mode
            text = content.decode("utf-8-sig")
            why = "a binary file" if "\0" in text else ""
            if len(content) > KEY_FILE_LIMIT:
                why = why or f"larger than {KEY_FILE_LIMIT // 1024} KB"
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or "not a text file"
        if why:
            text = f"{place.where} names a file that cannot be read ({why}). Check the mount."
            self.problems.append(text)
            return [], place
        if os.name == "posix" and stat.S_ISREG(mode) and mode & stat.S_IROTH:
            remark = f"{place.where} names a key file that every user of the machine can read."
            self.events.append(("info", "key_file_readable", {"remark": remark}))
        keys = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        return keys, replace(place, origin=f"file {path} ({place.line or place.where})")


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
        for variable, loc in VARIABLES.items():
            if text := unquoted(variables.get(variable) or ""):
                self.read(loc, text, Place(variable, variable_origin(variable, env_file)))


class Nested(Source):
    """A source that has the shape of the settings: arguments, YAML."""

    def place(self, loc: Loc) -> Place:
        """Return where a value stands."""
        return Place(re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, loc))), "argument")

    def walk(self, tree: Any) -> None:
        """Read everything."""
        for key, value in self._entries((), tree):
            if key == "providers":
                for name, block in self._entries((key,), value):
                    self._provider((key, name.lower().replace("-", "_")), block)
            elif value is not None:
                self.read((key,), value, self.place((key,)))

    def _provider(self, loc: Loc, block: Any) -> None:
        name, place = str(loc[1]), self.place(loc)
        if name in PROVIDER_KEYS:
            text = "belongs to a provider: indent it under its name."
            self.problems.append(f"{place.where} {text}")
        elif not _PROVIDER_NAME.fullmatch(name):
            text = "is no name: use small letters, digits and underscores."
            self.problems.append(f"{place.where} {text}")
        else:
            self.places[loc] = place
            self._parent((*loc, ""))
            self._block(loc, block)

    def _block(self, loc: Loc, block: Any) -> None:
        for key, value in self._entries(loc, block):
            at = (*loc, key)
            place = self.place(at)
            if key == "deployments" and not (value and _is_list(value)):
                text = "must be a list, each item beginning with '- '."
                self.problems.append(f"{place.where} {text}")
            elif key == "deployments":
                self.put(at, [{} for _ in value], place)
                for number, row in enumerate(value):
                    self._block((*at, number), row)
            elif value is not None:
                self.read(at, value, place)

    def _entries(self, loc: Loc, node: Any) -> Iterable[tuple[str, Any]]:
        if node is not None and not isinstance(node, Mapping):
            text = "must be made of `key: value` lines."
            self.problems.append(f"{self.place(loc).where} {text}")
            return []
        return [(printable(str(key)), value) for key, value in (node or {}).items()]


class Arguments(Nested):
    """The keyword arguments of ``load_settings``; ``None`` counts as not given.

    They are called like the variables in lower case, without ``LLM_``: ``pool_size=2``,
    ``openai_api_key="…"``; ``providers={"openai": {"model": "…"}}`` does as well.
    """

    def __init__(self, overrides: Mapping[str, Any]) -> None:
        super().__init__()
        known = {name.lower(): loc for name, loc in VARIABLES.items() if len(loc) > 1}
        for name, value in overrides.items():
            if name in Written.model_fields:
                self.walk({name: value})
            elif (loc := known.get(name.lower())) and value is not None:
                self.read(loc, value, self.place(loc))
            elif not loc:
                hint = did_you_mean(name, (*Written.model_fields, *known)) or "."
                self.problems.append(f"load_settings() has no argument {name!r}{hint}")


def _joined(one: str, other: str) -> str:
    return one if one == other else f"{one}, {other}"


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
