"""The old import paths: three files in the application's own tree, and nothing else."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llm_unified.cli import main
from llm_unified.cli.legacy import LEGACY_MODULES, render_shims
from llm_unified.testing import replies
from tests.hang import HANG_SECONDS

ROOT = Path(__file__).parent.parent
APP = ROOT / "examples" / "legacy_app"
SHIMS = render_shims()


def state(folder):
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.py"))}


def python(*arguments, cwd, **environ):
    """Run a program as a stranger would: warnings are errors, the environment is what is given."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=HANG_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("module", LEGACY_MODULES, ids=lambda module: module.name)
def test_a_shim_gives_the_same_objects(module, tmp_path):
    """The very objects, no wrappers, so a singleton stays single; and no name more than promised."""
    namespace = {"__name__": module.name}
    exec(compile(SHIMS[module.file_name], module.file_name, "exec"), namespace)
    home = importlib.import_module(module.home)
    assert namespace["__all__"] == list(module.names)
    assert all(namespace[name] is getattr(home, name) for name in module.names)


def test_the_example_holds_what_vendor_writes():
    """The checked-in files are the rendered ones, to the byte."""
    folder = APP / "services" / "llm"
    assert {name: (folder / name).read_text("utf-8") for name in SHIMS} == SHIMS


def test_the_old_application_runs_unchanged(tmp_path, sim, capsys):
    """Vendored anew into a folder of its own, the original snippets run in a process of their own."""
    app = tmp_path / "app"
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SHIMS:
        (app / "services" / "llm" / name).unlink()
    assert main(["vendor", str(app / "services" / "llm")]) == 0
    sim.openai.always(replies.auto())
    done = python("app.py", cwd=app, **sim.environ("openai", "groq"))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "service: Hello, this is the simulated openai speaking. | openai | gpt-4o-mini" in lines
    assert "tool calls of a plain answer: False" in lines
    assert "primary: openai then ['groq']" in lines
    assert "warm: {'openai': True, 'groq': True}" in lines
    assert "tool call: function get_weather {'city': 'example city'} True" in lines
    assert "client's tool calls: ['get_weather']" in lines
    assert any(line.startswith("health: openai ['failure_rate', 'failures'") for line in lines)


LAYOUTS = {
    "nothing": (),
    "namespace": ("services/other.py",),
    "package": ("services/__init__.py",),
    "both": ("services/__init__.py", "services/llm/__init__.py"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_works(layout, tmp_path):
    """Namespace packages, regular packages or no `services` at all: the old import finds ours."""
    for name in LAYOUTS[layout]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("MINE = 1\n", "utf-8")
    assert main(["vendor", str(tmp_path / "services" / "llm")]) == 0
    program = (
        "from services.llm.unified_llm_client import UnifiedLLMClient\n"
        "import llm_unified.client as ours, services, sys\n"
        "assert UnifiedLLMClient is ours.UnifiedLLMClient\n"
        "assert 'litellm' not in sys.modules"
    )
    done = python("-c", program, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name in LAYOUTS[layout]:
        assert (tmp_path / name).read_text("utf-8") == "MINE = 1\n"


def test_a_different_file_stays_unless_forced(tmp_path, capsys):
    """One file of the application's own: nothing is written at all, and it is said which it is."""
    folder = tmp_path / "services" / "llm"
    folder.mkdir(parents=True)
    mine = folder / "connection_warmer.py"
    mine.write_text("# mine\n", "utf-8")
    assert main(["vendor", str(folder)]) == 2
    said = capsys.readouterr()
    assert state(folder) == {"connection_warmer.py": "# mine\n"}
    assert [line for line in said.out.splitlines() if line.split()[0] == "differs"]
    assert "--force" in said.err

    assert main(["vendor", str(folder), "--force"]) == 0
    assert state(folder) == SHIMS
    assert "replaced" in capsys.readouterr().out


def test_vendoring_twice_changes_nothing(tmp_path, capsys):
    """The second run reports every file as unchanged and leaves even its time stamp alone."""
    assert main(["vendor", str(tmp_path)]) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert main(["vendor", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("unchanged") == 3
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_path_that_is_a_file_is_refused(tmp_path, capsys):
    """The message names the path and what was expected."""
    (tmp_path / "x").write_text("", "utf-8")
    assert main(["vendor", str(tmp_path / "x")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_type_checkers_see_the_real_types(tmp_path):
    """Through a shim mypy knows the signatures, in strict mode."""
    assert main(["vendor", str(tmp_path / "services" / "llm")]) == 0
    (tmp_path / "use.py").write_text(
        "from typing import Any, assert_type\n"
        "from llm_unified import UnifiedLLMService\n"
        "from services.llm.unified_llm_client import UnifiedLLMClient\n"
        "from services.llm.unified_llm_service import get_llm_service\n"
        "assert_type(get_llm_service(), UnifiedLLMService)\n"
        "async def ask() -> None:\n"
        "    answer = await UnifiedLLMClient().generate_response(messages=[])\n"
        "    assert_type(answer, dict[str, Any])\n",
        "utf-8",
    )
    cache = str(ROOT / ".mypy_cache" / "shims")
    options = ("--strict", "--follow-imports=silent", "--cache-dir", cache)
    done = python("-m", "mypy", *options, "use.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
