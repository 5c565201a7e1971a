"""The tables of the reference that are read off the code while the site is built, so that they cannot be wrong."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import click

import llm_unified.options as written_options
from llm_unified.cli.commands import cli
from llm_unified.failures.vendors import FACTS
from llm_unified.providers import PROVIDERS
from llm_unified.settings.model import KEY_REFERENCES
from llm_unified.settings.options import OPTIONS, PROVIDER_OPTIONS, Option

NAMED = {
    "api_key": "The key",
    "api_keys": "Several keys, comma-separated; pool members cycle over them",
    "api_key_file": "A mounted secret, one key per line",
    "enabled": "`false` leaves the provider out",
    "model": "The model to ask (Azure: the deployment)",
    "base_url": "Where it is reached, with or without `/v1`, also with a path prefix (Azure: the endpoint)",
    "api_version": "Azure's api-version",
    "organization": "OpenAI's organization",
}
BAR = re.compile(r"(`[^`]*`)|\|")
ONLY = {"api_version": "azure_openai", "organization": "openai"}
FILES = (
    ("`LLM_CONFIG_FILE`", "", "A YAML file with the same options and more"),
    ("`LLM_ENV_FILE`", "", "A `.env` file; no other is read"),
)


def table(*rows: Iterable[str]) -> str:
    """Markdown; the first row is the head. Python-Markdown takes a bar in code as it is, others are escaped."""
    head, *body = ([BAR.sub(lambda bar: bar[1] or r"\|", cell) for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _default(option: Option) -> str:
    default = option.default
    if isinstance(default, frozenset):
        return "all but `bad_request` and `cancelled`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if default is None:
        return ""
    text = f"{default:g}" if isinstance(default, float) else str(default)
    return f"`{text} {option.unit}`" if option.unit else f"`{text}`"


def _meaning(text: str) -> str:
    return re.sub(r"\B'(\w+)'\B", r"`\1`", text)


def options() -> str:
    """What concerns all providers, by the names in the environment."""
    rows = [(f"`{o.variable}`", _default(o), _meaning(o.help)) for o in OPTIONS]
    return table(("variable", "default", "meaning"), *rows, *FILES)


def variables() -> str:
    """What concerns one vendor, by the names in the environment."""
    rows = []
    for setting, meaning in NAMED.items():
        names, defaults = [], []
        for row in PROVIDERS.values():
            name = row.variable(setting)
            if name is None or ONLY.get(setting) not in (None, row.name):
                continue
            names.append(f"`{name}`")
            value = {
                "model": row.default_model,
                "base_url": row.default_base_url,
                "api_version": row.default_api_version,
            }.get(setting)
            if value:
                defaults.append(f"`{value}`")
        default = "`true`" if setting == "enabled" else ", ".join(defaults)
        rows.append((", ".join(names), default, meaning))
    return table(("variable", "default", "meaning"), *rows)


def yaml_keys() -> str:
    """What a provider's block in YAML may have, and each of its ``deployments``."""
    rows = [
        (f"`{o.name}`", _default(o), _meaning(o.help) + (f" ({o.unit})" if o.unit else ""))
        for o in PROVIDER_OPTIONS
    ]
    keys = [(f"`{name}`", "", meaning) for name, meaning in KEY_REFERENCES.items()]
    return table(("key", "default", "meaning"), *rows, *keys)


def call_options() -> str:
    """The options of a call, with their types as they are written, and what their docstrings say."""
    parts = []
    for group in ast.parse(inspect.getsource(written_options)).body:
        if not isinstance(group, ast.ClassDef):
            continue
        rows = []
        for line, after in pairwise([*group.body, ast.Pass()]):
            if isinstance(line, ast.AnnAssign):
                says = after.value.value if isinstance(after, ast.Expr) else ""
                meaning = " ".join(str(says).replace("``", "`").split())
                rows.append(
                    (f"`{ast.unparse(line.target)}`", f"`{ast.unparse(line.annotation)}`", meaning)
                )
        said = (ast.get_docstring(group) or "").replace("`UnifiedLLMService.", "`")
        parts.append(f"## {group.name}\n\n{said}\n\n{table(('option', 'type', 'meaning'), *rows)}")
    return "\n".join(parts)


def vendor_facts() -> str:
    """Each row by which a refusal is recognised, with its source."""
    rows = [
        (
            f"`{fact.kind.value}`",
            ", ".join(f"`{code}`" for code in sorted(fact.codes)) or fact.says,
            fact.source,
        )
        for fact in FACTS
    ]
    return table(("kind", "what the vendor says", "source"), *rows)


def commands() -> str:
    """Every command with its usage, options and examples, as click knows them."""
    top = click.Context(cli, info_name="llm-unified")
    return "\n".join(
        part for name in cli.list_commands(top) for part in _command(name, cli.commands[name], top)
    )


def _command(name: str, command: click.Command, top: click.Context) -> Iterator[str]:
    ctx = click.Context(command, info_name=name, parent=top)
    yield f"## {name}\n"
    first, _, more = (command.help or "").partition("\n\n")
    yield f"{first}\n"
    yield f"```text\n{command.get_usage(ctx).removeprefix('Usage: ')}\n```\n"
    if more.startswith("\b"):  # click: keep these lines as they are
        more = "```text\n" + more.removeprefix("\b\n") + "\n```"
    yield f"{more}\n"
    records = [param.get_help_record(ctx) for param in command.get_params(ctx)]
    yield table(("option", "meaning"), *((f"`{r[0]}`", r[1]) for r in records if r))
    examples = (command.epilog or "").removeprefix("\b\nexamples:\n")
    lines = (line.removeprefix("  ") for line in examples.splitlines())
    yield "```sh\n" + "\n".join(map(_commented, lines)) + "\n```\n"


def _commented(line: str) -> str:
    command, gap, remark = line.partition("   ")
    return f"{command}  # {remark.strip()}" if gap else command


PARTS: dict[str, Callable[[], Any]] = {
    "call_options": call_options,
    "options": options,
    "variables": variables,
    "yaml_keys": yaml_keys,
    "vendor_facts": vendor_facts,
    "commands": commands,
}
