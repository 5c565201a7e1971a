"""The README cannot lie: its snippets run, its tables are those of the code.

``python tests/test_readme.py`` writes the table of options anew.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from llm_unified.providers import PROVIDERS
from llm_unified.response import FailureKind
from llm_unified.settings.options import FALLBACK_KINDS
from llm_unified.testing import Request, Simulator, replies

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- options: generated, see tests/test_readme.py -->\n", "<!-- /options -->"
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


def option_table() -> str:
    """All options, from the tables that the code reads them by."""
    from llm_unified.settings.options import OPTIONS

    rows = ["| variable | default | unit | meaning |", "|---|---|---|---|"]
    for option in OPTIONS:
        default = option.default
        if isinstance(default, frozenset):
            default = "all but `bad_request` and `cancelled`"
        elif isinstance(default, bool):
            default = f"`{str(default).lower()}`"
        elif default is not None:
            default = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
        help_ = option.help.replace("'", "`")
        rows.append(f"| `{option.variable}` | {default or ''} | {option.unit} | {help_} |")
    rows += [
        "| `LLM_CONFIG_FILE` |  |  | A YAML file with the same options and more |",
        "| `LLM_ENV_FILE` |  |  | A `.env` file; no other is read |",
    ]
    for setting, meaning in NAMED.items():
        names, defaults = [], []
        for row in PROVIDERS.values():
            name = row.variable(setting)
            only = {"api_version": "azure_openai", "organization": "openai"}.get(setting)
            if name is None or only not in (None, row.name):
                continue
            names.append(f"`{name}`")
            value = {"model": row.default_model, "base_url": row.default_base_url}.get(setting)
            value = row.default_api_version if setting == "api_version" else value
            if value:
                defaults.append(f"`{value}`")
        default = "`true`" if setting == "enabled" else ", ".join(defaults)
        rows.append(f"| {', '.join(names)} | {default} |  | {meaning} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_options_is_that_of_the_code() -> None:
    """Name, default, unit and meaning of each."""
    text = README.read_text()
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)] == option_table()


def test_the_failure_table_names_every_kind() -> None:
    """And says of the right ones that nobody else is asked."""
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \|[^|]*\|([^|]*)\|", README.read_text(), re.MULTILINE
    )
    said = {
        FailureKind(name.strip("`")): "at once" in follows
        for names, follows in rows
        for name in names.split(", ")
        if name.strip("`") in {kind.value for kind in FailureKind}
    }
    assert said == {kind: kind in FALLBACK_KINDS for kind in FailureKind}


def test_the_links_lead_somewhere() -> None:
    """Files of the repository that the README names exist."""
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", README.read_text())
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def answer(request: Request) -> Any:
    """What the snippets expect: JSON where it is asked for, else a sentence or a tool call."""
    body = str(request.body)
    if "country" in body:
        return replies.json({"name": "Paris", "country": "France"})
    return replies.auto()


def test_the_snippets_run(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every Python block, in order, against the simulator, from the environment alone."""
    for name, value in sim.environ().items():
        monkeypatch.setenv(name, value)
    for provider in sim.providers:
        provider.handler = answer
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 7
    first, *others = blocks
    exec(compile(first, "README.md", "exec"), {"__name__": "__main__"})
    messages = [{"role": "user", "content": "Say hello."}]

    async def run() -> None:
        from llm_unified import get_llm_service

        names: dict[str, Any] = {"messages": messages, "service": get_llm_service()}
        for block in others:
            code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if inspect.isawaitable(running):
                await running
        assert names["response"].content
        assert len(names["answers"]) == 3
        await names["service"].aclose()

    asyncio.run(run())
    assert "France" in capsys.readouterr().out


if __name__ == "__main__":
    text = README.read_text()
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    README.write_text(text[:start] + option_table() + text[stop:])
