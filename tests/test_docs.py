"""The documentation cannot lie: what its pages show is run, and what they list is what the code has.

Python blocks run against the simulator, page by page and in order; the tutorial has a test of its own. A block below
``<!-- compiled: why -->`` is only compiled, as are those in ``docs/integrations/``: their packages are in another
environment, where the adapters' own tests run them. ``<!-- test … -->`` is set-up that a reader does not need.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import pkgutil
import re
import runpy
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import llm_unified
from llm_unified import UnifiedLLMService, get_llm_service, load_settings
from llm_unified.cli.commands import cli
from llm_unified.failures.table import FALLBACK_KINDS, FOLLOWS, KEY_KINDS, Effect
from llm_unified.response import FailureKind
from llm_unified.settings import inspect_settings
from llm_unified.testing import Request, Simulator, faults, replies

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
PART = re.compile(
    r"<!-- test\n(?P<setup>.*?)-->"
    r"|(?P<compiled><!-- compiled: .+? -->\s+)?^(?P<indent> *)```(?P<kind>\w+)[^\n]*\n(?P<code>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)
RUN = [page for page in PAGES if page.parent.name != "integrations" and page.name != "tutorial.md"]
EFFECTS = {
    Effect.NOTHING: "nothing",
    Effect.COUNT: "breaker counts",
    Effect.COOL_KEY: "that key cools down for `Retry-After`",
    Effect.SPENT_KEY: "that key cools down, 60 s doubling",
    Effect.MISCONFIGURED_KEY: "that key is left out",
    Effect.MISCONFIGURED: "`misconfigured`: left out",
}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    """``(kind, code)`` in order; what is only compiled is of the kind ``compiled``."""
    found = []
    for part in PART.finditer(page.read_text("utf-8")):
        kind = "setup" if part["setup"] else "compiled" if part["compiled"] else part["kind"]
        code = part["setup"] or part["code"]
        code = re.sub(f"^{part['indent'] or ''}", "", code, flags=re.MULTILINE)
        if kind in kinds:
            found.append((kind, code))
    return found


def answer(request: Request) -> Any:
    """What the snippets expect: JSON where it is asked for, else a sentence or a tool call."""
    body = str(request.body)
    if "country" in body:
        return replies.json({"name": "Paris", "country": "France"})
    return replies.auto()


class Reader:
    """Types a page's blocks one after the other."""

    def __init__(self, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sim = sim
        self.service = UnifiedLLMService(load_settings())
        self.fixtures = {"llm_environ": sim, "llm_simulator": sim, "monkeypatch": monkeypatch}
        self.names: dict[str, Any] = {
            "__name__": "__main__",
            "messages": [{"role": "user", "content": "Say hello."}],
            "service": self.service,
            "sim": sim,
            "faults": faults,
            "replies": replies,
        }

    async def types(self, where: str, code: str) -> None:
        """Run one block: in the loop if it awaits something, else in a thread, where no loop runs."""
        compiled = compile(code, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if compiled.co_flags & inspect.CO_COROUTINE:
            await eval(compiled, self.names)
        else:
            await asyncio.to_thread(exec, compiled, self.names)
        for name in [name for name in self.names if name.startswith("test_")]:
            test = self.names.pop(name)
            await asyncio.to_thread(
                test, *map(self.fixtures.get, inspect.signature(test).parameters)
            )


@pytest.mark.parametrize("page", RUN, ids=named)
async def test_python_blocks_run(
    page: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever types a page's Python, from the top to the end, gets no error."""
    monkeypatch.chdir(tmp_path)
    for name, value in sim.environ().items():
        monkeypatch.setenv(name, value)
    for provider in sim.providers:
        provider.handler = answer
    reader = Reader(sim, monkeypatch)
    try:
        for kind, code in blocks(page, "python", "setup"):
            if kind == "setup":
                sim.reset()
            await reader.types(page.name, code)
    finally:
        await reader.service.aclose()
        await get_llm_service().aclose()  # the process's own, which some pages use


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_is_well_formed(page: Path) -> None:
    """Python compiles, YAML is a configuration of ours, shell parses, commands and their options exist."""
    kinds = ("python", "compiled", "yaml", "sh", "console")
    for kind, code in blocks(page, *kinds):
        if kind in ("python", "compiled"):
            compile(code, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        elif kind == "yaml" and "integrations" not in page.parts:
            yaml.safe_load(code)
        else:
            commands = re.findall(r"^ *\$ (.*)$", code, re.MULTILINE) or code.splitlines()
            if kind == "sh":
                subprocess.run(["sh", "-n"], input=code, text=True, check=True)
            for command in commands:
                _exists(command)


def _exists(command: str) -> None:
    words = shlex.split(re.split(r" [|>&]+ ", command)[0], comments=True)
    while words and "=" in words[0]:  # NAME=value in front of a command
        del words[0]
    if words[:1] != ["llm-unified"] or words[1:] in ([], ["--version"]):
        return
    _, name, *rest = words
    cli.commands[name].make_context(name, rest, resilient_parsing=False)


def test_yaml_of_the_configuration_page_is_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each example is taken as it stands, once its keys are there."""
    names = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_API_KEY_EAST", "GROQ_API_KEY", "GEMINI_API_KEY")
    for name in names:
        monkeypatch.setenv(name, "key-0123456789")
    shown = blocks(DOCS / "howto" / "configuration.md", "yaml")
    assert len(shown) >= 2
    for _, code in shown:
        file = tmp_path / "llm.yaml"
        file.write_text(code, "utf-8")
        assert not inspect_settings(config_file=file).problems


def test_the_failure_table_is_that_of_the_code() -> None:
    """Kind by kind: who is asked next, and what happens to the one that failed."""
    page = (DOCS / "reference" / "failures.md").read_text("utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|[^|]*\|([^|]*)\|([^|]*)\|", page, re.MULTILINE)
    said = {FailureKind(n.strip("`")): row[1:] for row in rows for n in row[0].split(", ")}
    assert set(said) == set(FailureKind)
    for kind, (follows, effect) in said.items():
        assert ("at once" in follows) == (kind in FALLBACK_KINDS)
        assert ("another key" in follows) == (kind in KEY_KINDS)
        assert EFFECTS[FOLLOWS[kind]] in effect


def test_generated_parts_are_whole() -> None:
    """Every option, variable, vendor fact and command is in the reference that is read off the code."""
    parts = runpy.run_path(str(DOCS / "generated.py"))["PARTS"]
    texts = {name: make() for name, make in parts.items()}
    from llm_unified.failures.vendors import FACTS
    from llm_unified.settings.options import KNOWN_VARIABLES, PROVIDER_OPTIONS

    for variable in KNOWN_VARIABLES:
        assert f"`{variable}`" in texts["options"] + texts["variables"]
    for option in PROVIDER_OPTIONS:
        assert f"| `{option.name}` |" in texts["yaml_keys"]
    assert texts["vendor_facts"].count("\n") == len(FACTS) + 2
    for name, command in cli.commands.items():
        section = texts["commands"].partition(f"## {name}\n")[2].partition("\n## ")[0]
        for option in command.params:
            if isinstance(option, click.Option):
                assert all(spelling in section for spelling in option.opts)
    asked_for = re.findall(r"<!-- generated: (\w+) ", "".join(p.read_text() for p in PAGES))
    assert sorted(asked_for) == sorted(parts)


def test_the_reference_has_every_public_name() -> None:
    """What can be imported from the package is described on some page of the reference, from its docstrings."""
    pages = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    shown = re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE)
    found = {name.rpartition(".")[2] for name in shown}
    for thing in map(pkgutil.resolve_name, shown):
        found |= set(getattr(thing, "__all__", ()))
    assert not set(llm_unified.__all__) - found


def test_links_of_the_readme_lead_somewhere() -> None:
    """Files and headings that the README names exist; the site's own links are checked by its strict build."""
    text = (ROOT / "README.md").read_text("utf-8")
    links = re.findall(r"""(?:\]\(|src=")((?!https?:)[^)"]+)[)"]""", text)
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        file = ROOT / path if path else ROOT / "README.md"
        assert file.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, link


def test_pictures_are_files_of_their_own() -> None:
    """No picture loads a font, a script or anything else from another host, and the house has every room."""
    for picture in (DOCS / "assets").rglob("*.svg"):
        text = picture.read_text("utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|<script|@import|@font-face", text), picture
    house = (DOCS / "assets" / "house.svg").read_text("utf-8")
    beside = {"testing", "local", "__pycache__"}
    rooms = {folder.name for folder in (ROOT / "llm_unified").iterdir() if folder.is_dir()}
    assert not [room for room in rooms - beside if not re.search(rf"\b{room}\b", house)]
