"""What we give away: the wheel, and the files around it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from llm_unified import __version__

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, built by the backend that is installed: nothing is fetched."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, folder], cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_brings_only_our_package(wheel):
    """Nothing else reaches somebody's site-packages: no tests, no examples, no ``services``."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"llm_unified", f"llm_unified-{PROJECT['version']}.dist-info"}


@pytest.mark.parametrize(
    "name", ["py.typed", "local/chat.jinja", "testing/__init__.py", "cli/report/page.css"]
)
def test_the_wheel_is_complete(wheel, name):
    """What is not a module travels, too."""
    assert f"llm_unified/{name}" in wheel.namelist()


def test_the_version_is_the_same_in_both_places():
    """pyproject.toml for installers, the package for programs."""
    assert PROJECT["version"] == __version__


def test_the_wheel_works_away_from_the_source(wheel, tmp_path):
    """The installed package imports with its source out of sight."""
    wheel.extractall(tmp_path)
    program = "import llm_unified, llm_unified.local as m; print(llm_unified.__file__); m.extra_body(None)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(ended.stdout.strip()).is_relative_to(tmp_path)


def test_the_malicious_releases_are_excluded():
    """Nobody who widens the range of LiteLLM gets 1.82.7 or 1.82.8 with it."""
    (litellm,) = (d for d in PROJECT["dependencies"] if re.match(r"litellm\b", d))
    assert "!=1.82.7" in litellm
    assert "!=1.82.8" in litellm


@pytest.mark.parametrize("name", ["dev.txt", "lowest.txt"])
def test_the_locks_are_whole_and_name_no_host(name):
    """Every package of a lock is pinned and has hashes; where it comes from is your choice."""
    text = (ROOT / "requirements" / name).read_text("utf-8")
    assert "://" not in text
    packages = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(packages) > 40
    for package in packages:
        assert re.match(r"[a-z0-9._-]+==", package)
        assert "--hash=sha256:" in package


def test_the_lowest_lock_is_the_lower_end_of_the_range():
    """The contract tests at the lower end really run there."""
    (litellm,) = (d for d in PROJECT["dependencies"] if re.match(r"litellm\b", d))
    lowest = re.search(r">=([\d.]+)", litellm).group(1)
    assert f"\nlitellm=={lowest} " in (ROOT / "requirements/lowest.txt").read_text("utf-8")


@pytest.mark.parametrize("command", [[], ["help"], ["nonsense"]])
def test_dev_tells_what_it_can_do(command):
    """Whoever types the program's name, or something wrong, gets its commands."""
    ended = subprocess.run(
        [sys.executable, "dev.py", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == (2 if command == ["nonsense"] else 0)
    assert "python3 dev.py test" in ended.stdout
