"""YAML as a source, with a line number for everything. A key never stands in it, only where to find it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from llm_unified.settings.kinds import printable, unquoted
from llm_unified.settings.sources import Loc, Nested, Place, variable_origin

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["YamlFile"]

FILE_LIMIT: Final = 1_000_000
"""Bytes."""
NODE_LIMIT: Final = 20_000
"""Keys and values, aliases followed. PyYAML takes about half a second for as many."""
_REFERENCE = "os.environ/"
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}", re.ASCII)
"""Upper case only, so that a key pasted here is not taken for a name and shown."""
_NO_KEY = (
    "must not hold a key. Put the key into a variable and write `api_key_env: NAME`, or into a file and write "
    "`api_key_file: path`"
)


class YamlFile(Nested):
    """A YAML file; ``variables`` is where its ``os.environ/NAME`` are looked up.

    ``in_env_file`` has the path of the ``.env`` file for each variable that comes from there.
    """

    def __init__(
        self,
        path: str | Path,
        variables: Mapping[str, str | None],
        in_env_file: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.path = str(path)
        self._variables = variables
        self._in_env_file = in_env_file or {}
        self._lines: dict[Loc, int] = {(): 1}
        try:
            self.walk(self._parsed())
        except (OSError, RecursionError, ValueError) as error:
            self.problems.append(f"The configuration file {path} {_why(error)}.")

    def _parsed(self) -> Any:
        import yaml

        with Path(self.path).expanduser().open("rb") as file:
            content = file.read(FILE_LIMIT + 1)
        if len(content) > FILE_LIMIT:
            raise ValueError(
                f"is larger than {FILE_LIMIT // 1_000_000} MB. Correct LLM_CONFIG_FILE"
            )

        class Loader(yaml.SafeLoader):
            nodes = 0

            def compose_node(self, *where: Any) -> Any:
                self.nodes += 1
                if self.nodes > NODE_LIMIT:
                    raise ValueError("has too many entries to be ours. Correct LLM_CONFIG_FILE")
                return super().compose_node(*where)

        try:
            root = yaml.compose(content.decode("utf-8-sig"), Loader=Loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line, near = (f":{mark.line + 1}", " here, or just above") if mark else ("", "")
            tab = "\\t" in str(getattr(error, "problem", ""))
            step = "Indent with spaces, not tabs" if tab else "Check the indentation or the colon"
            self.problems.append(f"{self.path}{line} is not YAML. {step}{near}.")
            return None
        if root is not None and _size(root, {}) > NODE_LIMIT:
            raise ValueError("repeats itself through aliases (*name) too often. Write it out")
        return None if root is None else self._plain((), root)

    def _plain(self, loc: Loc, node: Any) -> Any:
        """Return a node of PyYAML as plain values, all texts; note the line of each."""
        if node.id == "scalar":
            is_null = node.tag.endswith(":null") and node.style is None
            return None if is_null or not unquoted(node.value) else node.value
        if node.id == "sequence":
            items: list[Any] = []
            for item in node.value:
                at = (*loc, len(items))
                self._lines[at] = item.start_mark.line + 1
                items.append(self._plain(at, item))
            return items
        found: dict[str, Any] = {}
        for key_node, value in node.value:
            key = printable(key_node.value.strip()) if key_node.id == "scalar" else "?"
            key = key.lower().replace("-", "_") if loc == ("providers",) else key
            at = (*loc, key)
            if key in found:
                where = f"{self.path}:{key_node.start_mark.line + 1} ({key})"
                self.problems.append(f"{where} stands there twice. Remove one.")
                continue
            self._lines[at] = key_node.start_mark.line + 1
            found[key] = self._plain(at, value)
        return found

    def place(self, loc: Loc) -> Place:
        """Return where a value stands."""
        line = f"{self.path}:{self._lines[loc]}"
        key = f" ({loc[-1]})" if loc and isinstance(loc[-1], str) else ""
        return Place(line + key, f"YAML {line}", line)

    def value(self, loc: Loc, value: Any, place: Place) -> tuple[Any, Place]:
        """Return a text, or what is meant by ``os.environ/NAME``."""
        text = unquoted(value) if isinstance(value, str) else ""
        name = text.removeprefix(_REFERENCE)
        what = ""
        if loc == ("redis_url",) and name == text and _has_password(text):
            what = "holds a password. Write os.environ/LLM_REDIS_URL"
        elif name == text:
            return value, place
        elif not _VARIABLE.fullmatch(name):
            what = "must name a variable in capitals: os.environ/NAME"
        elif value := unquoted(self._variable(name)):
            return value, self._through(name, place)
        else:
            what = f"is taken from {name}, which is not set. Set {name}"
        self.problems.append(f"{place.where} {what}.")
        return None, place

    def keys(self, loc: Loc, value: Any, place: Place) -> tuple[list[str], Place]:
        """Follow references to keys. Whatever stands here may be a key: only what leads to one is shown."""
        found: list[str] = []
        lacking: list[str] = []
        origins: list[str] = []
        for item in value if isinstance(value, list) else [value]:
            text = unquoted(item) if isinstance(item, str) else ""
            name = text.removeprefix(_REFERENCE)
            if loc[-1] == "api_key_file":
                keys, read = self.key_file(text, place)
                found += keys
                origins += [read.origin] if keys else []
            elif not str(loc[-1]).endswith("_env") and name == text:
                self.problems.append(f"{place.where} {_NO_KEY}.")
            elif not _VARIABLE.fullmatch(name):
                what = "must be the name of a variable, in capitals"
                self.problems.append(f"{place.where} {what}.")
            elif text := self._variable(name):
                found += text.split(",")
                origins.append(self._through(name, place).origin)
            else:
                lacking.append(name)
        origin = ", ".join(dict.fromkeys(origins)) or place.origin
        return found, replace(place, origin=origin, lacking=tuple(lacking))

    def _variable(self, name: str) -> str:
        self.followed.add(name)
        return self._variables.get(name) or ""

    def _through(self, variable: str, place: Place) -> Place:
        env_file = self._in_env_file.get(variable, "")
        return replace(place, origin=variable_origin(variable, env_file, place.line))


def _why(error: Exception) -> str:
    match error:
        case OSError():
            return f"cannot be read ({error.strerror}). Correct LLM_CONFIG_FILE, or unset it"
        case RecursionError():
            return "is nested too deeply. Correct LLM_CONFIG_FILE"
        case UnicodeDecodeError():
            return "is not YAML in UTF-8"
        case _:
            return str(error)


def _size(node: Any, known: dict[int, float]) -> float:
    """Count a document's nodes as if its aliases were written out; endless where it contains itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        inner = [] if node.id == "scalar" else node.value
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _has_password(text: str) -> bool:
    try:
        return bool(urlsplit(text).password)
    except ValueError:
        return True
