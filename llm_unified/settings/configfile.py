"""YAML → a :class:`~llm_unified.settings.sources.Layer`, with a line number for everything.

The schema is the environment's, plus what a list of variables says badly: providers of one's own,
several deployments, weights, prices. A key never stands in the file, only where to find it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_unified.providers import PROVIDERS
from llm_unified.settings.options import OPTIONS, PROVIDER_OPTIONS, did_you_mean, unquoted
from llm_unified.settings.sources import (
    Given,
    Keys,
    Layer,
    merge_keys,
    read_key_file,
    secret_keys,
    variable_origin,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DEPLOYMENT_KEYS", "KEY_REFERENCES", "PROVIDER_KEYS", "read_config_file"]

KEY_REFERENCES: Mapping[str, str] = {
    "api_key_env": "The variable that holds the key (or several, separated by commas)",
    "api_keys_env": "Variables that hold keys, as a list; pool copies cycle over all keys",
    "api_key_file": "A file that holds the key, such as a mounted secret; one key per line",
    "api_key": "The key as os.environ/NAME; never the key itself",
    "api_keys": "Several keys as a list of os.environ/NAME",
}
_SPELLINGS = {"endpoint": "base_url", "deployment": "model"}
_SHARED = ("enabled", "timeout")
DEPLOYMENT_KEYS: tuple[str, ...] = (
    *(option.name for option in PROVIDER_OPTIONS if option.name not in _SHARED),
    *_SPELLINGS,
    *KEY_REFERENCES,
)
PROVIDER_KEYS: tuple[str, ...] = (*_SHARED, *DEPLOYMENT_KEYS, "deployments")
_TOP = (*(option.name for option in OPTIONS), "providers")
_TOP_ONLY = frozenset(_TOP) - frozenset(PROVIDER_KEYS)
_LISTS = {"fallback_providers": "a list of providers", "fallback_on": "a list of failures"}
_REFERENCE = "os.environ/"
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}", re.ASCII)
"""Upper case only, so that a key pasted here is not taken for a name and shown."""
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


def read_config_file(
    path: str | Path,
    variables: Mapping[str, str | None],
    in_env_file: Mapping[str, str] | None = None,
) -> Layer:
    """Read a YAML file; ``variables`` is where its ``os.environ/NAME`` are looked up.

    ``in_env_file`` has the path of the ``.env`` file for each variable that came from there.
    All that is wrong is in the layer's ``problems``, each with path and line.
    """
    import yaml

    reader = _Reader(str(path), variables, in_env_file or {})
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        reader.layer.problems.append(
            f"The configuration file {path} cannot be read ({error.strerror}). Correct "
            "LLM_CONFIG_FILE, or unset it."
        )
    except (UnicodeDecodeError, RecursionError):
        reader.layer.problems.append(f"The configuration file {path} is not YAML in UTF-8.")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        tab = "\\t" in str(getattr(error, "problem", ""))
        what = "Indent with spaces, not tabs" if tab else "Check the indentation or the colon"
        near = " here, or just above" if mark else ""
        reader.layer.problems.append(f"{path}{line} is not YAML. {what}{near}.")
    else:
        if root is not None:
            reader.read(root)
    return reader.layer


class _Reader:
    """Walks PyYAML's nodes, since only those know their lines."""

    def __init__(
        self, path: str, variables: Mapping[str, str | None], in_env_file: Mapping[str, str]
    ) -> None:
        self.path = path
        self.variables = variables
        self.in_env_file = in_env_file
        self.layer = Layer(path=path)

    def read(self, root: Any) -> None:
        for key, key_node, node in self.entries(root, _TOP, "The file"):
            if key == "providers":
                for name, name_node, block in self.entries(node, None, "`providers:`"):
                    self.provider(name, name_node, block)
            elif (given := self.given(key, key_node, node)) is not None:
                if key == "redis_url" and self.has_password(given, node):
                    self.problem(key_node, key, "holds a password. Write os.environ/LLM_REDIS_URL")
                else:
                    self.layer.options[key] = given

    def provider(self, name: str, name_node: Any, node: Any) -> None:
        if not _PROVIDER_NAME.fullmatch(name) or name == "none":
            self.problem(name_node, name, "is no name: use small letters, digits and underscores")
            return
        if name in PROVIDER_KEYS:
            self.problem(name_node, name, "belongs to a provider: indent it under its name")
            return
        block = self.layer.providers.setdefault(name, {})
        rows = []
        for key, key_node, value in self.entries(node, PROVIDER_KEYS, name):
            if key == "deployments":
                rows = self.deployments(name, key_node, value)
                if rows:
                    block[key] = self.value(rows, key, key_node)
            else:
                self.setting(block, key, key_node, value)
        if name not in PROVIDERS and "model" not in block and not any("model" in r for r in rows):
            self.problem(name_node, name, "has no model. Add `model: vendor/name` to it")

    def deployments(self, name: str, key_node: Any, node: Any) -> list[dict[str, Given]]:
        if not _is(node, "sequence") or not node.value:
            self.problem(key_node, "deployments", "must be a list, each item beginning with '- '")
            return []
        rows = []
        for item in node.value:
            row: dict[str, Given] = {}
            for key, item_key, value in self.entries(
                item, DEPLOYMENT_KEYS, f"A deployment of {name}"
            ):
                self.setting(row, key, item_key, value)
            rows.append(row)
        return rows

    def setting(self, block: dict[str, Given], key: str, key_node: Any, node: Any) -> None:
        if key in KEY_REFERENCES:
            keys, origin = self.keys(key, key_node, node)
            before = block.get("api_key")
            if before and isinstance(before.value, Keys):
                keys, origin = merge_keys([before.value, keys]), f"{before.origin}, {origin}"
            block["api_key"] = self.value(keys, key, key_node, origin)
        elif (given := self.given(key, key_node, node)) is not None:
            block[_SPELLINGS.get(key, key)] = given

    def given(self, key: str, key_node: Any, node: Any) -> Given | None:
        """Return a scalar or a list as texts; ``None`` where nothing stands there."""
        origin = ""
        if _is(node, "sequence") and all(_is(item, "scalar") for item in node.value):
            return self.value([item.value for item in node.value], key, key_node)
        if not _is(node, "scalar"):
            self.problem(key_node, key, f"must be {_LISTS.get(key, 'one value')}")
            return None
        text = unquoted(node.value)
        if text.startswith(_REFERENCE):
            name = text.removeprefix(_REFERENCE)
            self.layer.followed.add(name)
            if not _VARIABLE.fullmatch(name):
                self.problem(key_node, key, "must name a variable in capitals: os.environ/NAME")
                return None
            origin = self.origin_of(name, key_node)
            text = unquoted(self.variables.get(name) or "")
            if not text:
                self.problem(key_node, key, f"is taken from {name}, which is not set. Set {name}")
        if not text or (node.tag.endswith(":null") and node.style is None):
            return None
        return self.value(text, key, key_node, origin)

    def keys(self, key: str, key_node: Any, node: Any) -> tuple[Keys, str]:
        """Follow a reference to keys; return them and their origin.

        Whatever stands here may be a key: only what led to one is shown.
        """
        where = self.where(key_node, key)
        items = node.value if _is(node, "sequence") else [node]
        texts = [unquoted(item.value) if _is(item, "scalar") else "" for item in items]
        if key == "api_key_file":
            files = {t: read_key_file(t, where, self.layer.problems) for t in texts if t}
            line = self.at(key_node)
            origins = [f"file {path} ({line})" for path, keys in files.items() if keys.found]
            return merge_keys(files.values()), ", ".join(origins)
        found: list[str] = []
        missing: list[str] = []
        origins = []
        for text in texts:
            name = text.removeprefix(_REFERENCE)
            is_reference = key.endswith("_env") or text.startswith(_REFERENCE)
            if not is_reference:
                self.problem(
                    key_node,
                    key,
                    "must not hold a key. Put the key into a variable and write `api_key_env: NAME`"
                    ", or into a file and write `api_key_file: path`",
                )
            elif not _VARIABLE.fullmatch(name):
                self.problem(key_node, key, "must be the name of a variable, in capitals")
            else:
                self.layer.followed.add(name)
                if value := self.variables.get(name):
                    found += value.split(",")
                    origins.append(self.origin_of(name, key_node))
                else:
                    missing.append(name)
        keys = secret_keys(found, where, self.layer.problems)
        return Keys(keys.found, tuple(missing)), ", ".join(dict.fromkeys(origins))

    def entries(
        self, node: Any, known: tuple[str, ...] | None, what: str
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield key, key's node and value's node; complain of unknown and repeated keys."""
        if _is(node, "scalar") and not node.value:
            return
        if not _is(node, "mapping"):
            self.layer.problems.append(
                f"{self.at(node)}: {what} must be made of `key: value` lines."
            )
            return
        seen: set[str] = set()
        for key_node, value in node.value:
            key = str(key_node.value).strip() if _is(key_node, "scalar") else "?"
            key = key.lower().replace("-", "_") if known is None else key
            if key in seen:
                self.problem(key_node, key, "stands there twice. Remove one")
            elif known is not None and key not in known:
                self.unknown(key, key_node, value, known)
            else:
                seen.add(key)
                yield key, key_node, value

    def unknown(self, key: str, key_node: Any, value: Any, known: tuple[str, ...]) -> None:
        hint = did_you_mean(key.lower().removeprefix("llm_"), known)
        if known is _TOP and (key in PROVIDERS or _is(value, "mapping")):
            hint = ": a provider belongs under `providers:`"
            inner = value.value if _is(value, "mapping") else ()
            if any(_is(node, "scalar") and node.value in _TOP_ONLY for node, _ in inner):
                hint = ". Options stand at the top level: remove this line and one indentation"
        self.layer.problems.append(
            f"{self.at(key_node)}: unknown key {key[:40]!r}{hint or '. Known: ' + ', '.join(known)}"
        )

    def has_password(self, given: Given, node: Any) -> bool:
        literal = not unquoted(node.value).startswith(_REFERENCE)
        try:
            return literal and bool(urlsplit(str(given.value)).password)
        except ValueError:
            return True

    def problem(self, node: Any, key: str, text: str) -> None:
        self.layer.problems.append(f"{self.where(node, key)} {text}.")

    def at(self, node: Any) -> str:
        return f"{self.path}:{node.start_mark.line + 1}"

    def where(self, node: Any, key: str) -> str:
        return f"{self.at(node)} ({key})"

    def value(self, value: object, key: str, node: Any, origin: str = "") -> Given:
        line = self.at(node)
        return Given(value, self.where(node, key), origin or f"YAML {line}", line)

    def origin_of(self, variable: str, node: Any) -> str:
        return variable_origin(variable, self.in_env_file.get(variable, ""), self.at(node))


def _is(node: Any, kind: str) -> bool:
    return getattr(node, "id", None) == kind
