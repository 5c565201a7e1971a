"""YAML as a source, with a line number for everything.

The schema is the environment's, plus what a list of variables says badly: providers of one's own, several
deployments, weights, prices. A key never stands in the file, only where to find it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from llm_unified.providers import PROVIDERS
from llm_unified.settings.kinds import did_you_mean, unquoted
from llm_unified.settings.model import Written, WrittenDeployment, WrittenProvider
from llm_unified.settings.sources import SPELLINGS, Loc, Place, Source, variable_origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DEPLOYMENT_KEYS", "KEY_REFERENCES", "PROVIDER_KEYS", "YamlFile"]

KEY_REFERENCES: Final[Mapping[str, str]] = {
    "api_key_env": "The variable that holds the key (or several, separated by commas)",
    "api_keys_env": "Variables that hold keys, as a list; the pool's deployments cycle over all keys",
    "api_key_file": "A file that holds the key, such as a mounted secret; one key per line",
    "api_key": "The key as os.environ/NAME; never the key itself",
    "api_keys": "Several keys as a list of os.environ/NAME",
}
DEPLOYMENT_KEYS: Final = tuple(
    dict.fromkeys((*WrittenDeployment.model_fields, *SPELLINGS, *KEY_REFERENCES))
)
PROVIDER_KEYS: Final = tuple(dict.fromkeys((*WrittenProvider.model_fields, *DEPLOYMENT_KEYS)))
_TOP = tuple(Written.model_fields)
_LISTS = {"fallback_providers": "a list of providers", "fallback_on": "a list of failures"}
_REFERENCE = "os.environ/"
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}", re.ASCII)
"""Upper case only, so that a key pasted here is not taken for a name and shown."""
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
FILE_LIMIT: Final = 1_000_000
"""Bytes of the file, and nodes once its aliases are followed: without them it has fewer nodes than bytes."""


class YamlFile(Source):
    """A YAML file; ``variables`` is where its ``os.environ/NAME`` are looked up.

    ``in_env_file`` has the path of the ``.env`` file for each variable that comes from there. All that is wrong
    with the form is in ``problems``, each with path and line.
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
        if (root := self._parse()) is not None:
            self._read(root)

    def _parse(self) -> Any:
        """Return PyYAML's nodes, since only those know their lines."""
        import yaml

        what = ""
        try:
            with Path(self.path).expanduser().open("rb") as file:
                content = file.read(FILE_LIMIT + 1)
            if len(content) <= FILE_LIMIT:
                root = yaml.compose(content.decode("utf-8"), Loader=yaml.SafeLoader)
                if root is None or _size(root, {}) <= FILE_LIMIT:
                    return root
                what = "repeats itself through aliases (*name) too often. Write it out"
            else:
                what = f"is larger than {FILE_LIMIT // 1_000_000} MB. Name another in LLM_CONFIG_FILE"
        except OSError as error:
            what = f"cannot be read ({error.strerror}). Correct LLM_CONFIG_FILE, or unset it"
        except (UnicodeDecodeError, RecursionError, ValueError):
            what = "is not YAML in UTF-8"
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line, near = (f":{mark.line + 1}", " here, or just above") if mark else ("", "")
            tab = "\\t" in str(getattr(error, "problem", ""))
            next_step = "Indent with spaces, not tabs" if tab else "Check the indentation or the colon"
            self.problems.append(f"{self.path}{line} is not YAML. {next_step}{near}.")
            return None
        self.problems.append(f"The configuration file {self.path} {what}.")
        return None

    def _read(self, root: Any) -> None:
        for key, key_node, node in self._entries(root, _TOP, "The file"):
            if key == "providers":
                for name, name_node, block in self._entries(node, None, "`providers:`"):
                    self._provider(name, name_node, block)
            elif key == "redis_url" and _has_password(node):
                self._problem(key_node, key, "holds a password. Write os.environ/LLM_REDIS_URL")
            else:
                self._setting((), key, key_node, node)

    def _provider(self, name: str, name_node: Any, node: Any) -> None:
        if not _PROVIDER_NAME.fullmatch(name) or name == "none":
            what = "is no name: use small letters, digits and underscores"
            self._problem(name_node, name, what)
            return
        if name in PROVIDER_KEYS:
            what = "belongs to a provider: indent it under its name"
            self._problem(name_node, name, what)
            return
        loc = ("providers", name)
        self.put(loc, {}, self._place(name, name_node))
        for key, key_node, value in self._entries(node, PROVIDER_KEYS, name):
            if key != "deployments":
                self._setting(loc, key, key_node, value)
            elif not _is(value, "sequence") or not value.value:
                self._problem(key_node, key, "must be a list, each item beginning with '- '")
            else:
                self.put((*loc, key), [{} for _ in value.value], self._place(key, key_node))
                for number, item in enumerate(value.value):
                    for inner, inner_node, inner_value in self._entries(
                        item, DEPLOYMENT_KEYS, f"A deployment of {name}"
                    ):
                        self._setting((*loc, key, number), inner, inner_node, inner_value)
        has_model = any(place[:2] == loc and place[-1] == "model" for place in self.places)
        if name not in PROVIDERS and not has_model:
            self._problem(name_node, name, "has no model. Add `model: vendor/name` to it")

    def _setting(self, loc: Loc, key: str, key_node: Any, node: Any) -> None:
        """Note a scalar or a list as texts, nothing where nothing stands."""
        if key in KEY_REFERENCES:
            self._keys(loc, key, key_node, node)
            return
        at = (*loc, SPELLINGS.get(key, key))
        if _is(node, "sequence") and all(_is(item, "scalar") for item in node.value):
            self.put(at, [item.value for item in node.value], self._place(key, key_node))
            return
        if not _is(node, "scalar"):
            self._problem(key_node, key, f"must be {_LISTS.get(key, 'one value')}")
            return
        text, origin = unquoted(node.value), ""
        if text.startswith(_REFERENCE):
            name = text.removeprefix(_REFERENCE)
            if not _VARIABLE.fullmatch(name):
                self._problem(key_node, key, "must name a variable in capitals: os.environ/NAME")
                return
            text, origin = unquoted(self._variable(name)), self._origin(name, key_node)
            if not text:
                self._problem(key_node, key, f"is taken from {name}, which is not set. Set {name}")
        if text and (node.style is not None or not node.tag.endswith(":null")):
            self.put(at, text, self._place(key, key_node, origin))

    def _keys(self, loc: Loc, key: str, key_node: Any, node: Any) -> None:
        """Follow a reference to keys. Whatever stands here may be a key: only what leads to one is shown."""
        items = node.value if _is(node, "sequence") else [node]
        texts = [unquoted(item.value) if _is(item, "scalar") else "" for item in items]
        place, found, missing, origins = self._place(key, key_node), [], [], []
        for text in texts:
            name = text.removeprefix(_REFERENCE)
            if key == "api_key_file":
                if text and (keys := self.key_file(text, place.where)):
                    found += keys
                    origins.append(f"file {text} ({place.line})")
            elif not key.endswith("_env") and not text.startswith(_REFERENCE):
                what = (
                    "must not hold a key. Put the key into a variable and write `api_key_env: NAME`, or into a "
                    "file and write `api_key_file: path`"
                )
                self._problem(key_node, key, what)
            elif not _VARIABLE.fullmatch(name):
                self._problem(key_node, key, "must be the name of a variable, in capitals")
            elif value := self._variable(name):
                found += value.split(",")
                origins.append(self._origin(name, key_node))
            else:
                missing.append(name)
        origin = ", ".join(dict.fromkeys(origins))
        self.put_keys(loc, found, self._place(key, key_node, origin), missing)

    def _entries(
        self, node: Any, known: tuple[str, ...] | None, what: str
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield key, key's node and value's node; complain of unknown and repeated keys."""
        if _is(node, "scalar") and not node.value:
            return
        if not _is(node, "mapping"):
            self.problems.append(f"{self._at(node)}: {what} must be made of `key: value` lines.")
            return
        seen: set[str] = set()
        for key_node, value in node.value:
            key = str(key_node.value).strip() if _is(key_node, "scalar") else "?"
            key = key.lower().replace("-", "_") if known is None else key
            if key in seen:
                self._problem(key_node, key, "stands there twice. Remove one")
            elif known is not None and key not in known:
                self._unknown(key, key_node, value, known)
            else:
                seen.add(key)
                yield key, key_node, value

    def _unknown(self, key: str, key_node: Any, value: Any, known: tuple[str, ...]) -> None:
        hint = did_you_mean(key.lower().removeprefix("llm_"), known)
        if known is _TOP and (key in PROVIDERS or _is(value, "mapping")):
            hint = ": a provider belongs under `providers:`"
            inner = {node.value for node, _ in value.value if _is(node, "scalar")} if _is(value, "mapping") else ()
            if set(_TOP) - set(PROVIDER_KEYS) & set(inner):
                hint = ". Options stand at the top level: remove this line and one indentation"
        hint = hint or ". Known: " + ", ".join(known)
        self.problems.append(f"{self._at(key_node)}: unknown key {key[:40]!r}{hint}")

    def _variable(self, name: str) -> str:
        self.followed.add(name)
        return self._variables.get(name) or ""

    def _origin(self, variable: str, node: Any) -> str:
        return variable_origin(variable, self._in_env_file.get(variable, ""), self._at(node))

    def _problem(self, node: Any, key: str, text: str) -> None:
        self.problems.append(f"{self._at(node)} ({key}) {text}.")

    def _at(self, node: Any) -> str:
        return f"{self.path}:{node.start_mark.line + 1}"

    def _place(self, key: str, node: Any, origin: str = "") -> Place:
        line = self._at(node)
        return Place(f"{line} ({key})", origin or f"YAML {line}", line)


def _is(node: Any, kind: str) -> bool:
    return getattr(node, "id", None) == kind


def _size(node: Any, known: dict[int, float]) -> float:
    """Count a document's nodes as if its aliases were written out; endless where it contains itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        inner = [] if _is(node, "scalar") else node.value
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _has_password(node: Any) -> bool:
    text = unquoted(node.value) if _is(node, "scalar") else ""
    try:
        return not text.startswith(_REFERENCE) and bool(urlsplit(text).password)
    except ValueError:
        return True
