"""What we give away: the wheel, and the files around it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from llm_unified import __version__

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))  # not in the sdist
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def built(kind, folder):
    """A distribution, made by the backend that is installed: nothing is fetched."""
    program = f"import sys; from hatchling.build import build_{kind}; build_{kind}(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", program, folder], cwd=ROOT, check=True, capture_output=True
    )
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return built("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def packed(wheel) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_brings_only_our_package(packed):
    """Nothing else reaches somebody's site-packages: no tests, no examples, no ``services``."""
    tops = {name.split("/")[0] for name in packed}
    assert tops == {"llm_unified", f"llm_unified-{__version__}.dist-info"}


@pytest.mark.parametrize(
    "name", ["py.typed", "local/chat.jinja", "testing/pytest_plugin.py", "cli/report/page.css"]
)
def test_the_wheel_is_complete(packed, name):
    """What is not a module travels, too."""
    assert f"llm_unified/{name}" in packed


def test_the_wheel_works_away_from_the_source(wheel, tmp_path):
    """Installed into an environment of its own it imports whole, answers its command, and fails over."""
    venv.create(tmp_path / "there")
    scheme = {"base": str(tmp_path / "there"), "platbase": str(tmp_path / "there")}
    python = Path(sysconfig.get_path("scripts", vars=scheme)) / Path(sys.executable).name
    install = [sys.executable, "-m", "pip", "-q", "--python", python, "install", "--no-deps"]
    subprocess.run([*install, "--no-index", wheel], check=True, capture_output=True)
    # Its dependencies are those of this environment; the source, which is known here, is not known there.
    others = Path(sysconfig.get_path("purelib", vars=scheme)) / "dependencies.pth"
    others.write_text(sysconfig.get_path("purelib"), "utf-8")
    program = shutil.copy(ROOT / ".ci/installed.py", tmp_path)
    ended = subprocess.run(
        [python, "-I", "-W", "error", program, "service"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"installed: {__version__}")


def test_the_sdist_is_what_a_distributor_needs(tmp_path):
    """Source, tests and what the tests read are in it; nothing of this machine is."""
    top = f"llm_unified-{__version__}/"
    with tarfile.open(built("sdist", tmp_path)) as archive:
        names = {name.removeprefix(top) for name in archive.getnames()}
    needed = "PKG-INFO dev.py .ci/run tests/conftest.py examples/quickstart.py requirements/dev.txt"
    assert {"LICENSE", "SECURITY.md", "docs/runbook.md", *needed.split()} <= names
    private = re.compile(r"(^|/)(\.venv|\.env$|\.git/|__pycache__|build/|dist/)|\.pyc$")
    assert not [name for name in names if private.search(name)]


def test_the_version_stands_once_and_is_in_the_changelog():
    """`__version__` is the only place; whoever raises it has said what changed."""
    assert "version" in PROJECT["dynamic"]
    assert f'"{__version__}"' not in (ROOT / "pyproject.toml").read_text("utf-8")
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_supported_pythons_are_said_once_and_tried():
    """The classifiers name the Pythons of the workflow, and no older one than `requires-python`."""
    if not WORKFLOWS:
        pytest.skip("the sdist has no workflows: run it in a clone")
    said = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if ":: 3." in c}
    tried = re.findall(r"\b3\.\d+\b", (ROOT / ".github/workflows/tests.yml").read_text("utf-8"))
    assert said == set(tried)
    assert PROJECT["requires-python"] == f">={min(said, key=lambda v: int(v[2:]))}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_the_code_that_was_looked_at(workflow):
    """Every action is pinned to a commit, with its version beside it, and starts without any right."""
    text = workflow.read_text("utf-8")
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    assert "\npermissions: {}\n" in text
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


def test_compose_mounts_what_is_there():
    """Docker would make an empty folder of a file that was renamed, and say nothing."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    mounts = [mount for each in services.values() for mount in each.get("volumes", ())]
    ours = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert len(ours) > 5
    assert [path for path in ours if not (ROOT / path).exists()] == []


def test_the_urls_lead_to_one_place():
    """Whoever publishes under another address changes one owner and one name."""
    urls = dict(PROJECT["urls"])
    assert urls.pop("Documentation") == "https://llm-unified.github.io/llm_unified/"
    assert all(
        url.startswith("https://github.com/llm-unified/llm_unified") for url in urls.values()
    )
    assert urls["Homepage"] in (ROOT / "Dockerfile").read_text("utf-8")


@pytest.mark.parametrize(
    ("terms", "fine"),
    [
        ("MIT", True),
        ("MPL-2.0 AND MIT", True),
        ("Apache Software License; BSD License", True),
        ("GPL-3.0-only", False),
        ("MIT; GNU Affero General Public License v3", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_a_licence_that_nobody_has_looked_at_stops_a_release(terms, fine):
    """Every licence that a dependency names must be known; so must the lack of one."""
    spec = importlib.util.spec_from_file_location("package", ROOT / ".ci/package.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.allowed(terms) is fine


def test_the_malicious_releases_are_excluded():
    """Nobody who widens the range of LiteLLM gets 1.82.7 or 1.82.8 with it."""
    (litellm,) = (d for d in PROJECT["dependencies"] if re.match(r"litellm\b", d))
    assert "!=1.82.7" in litellm
    assert "!=1.82.8" in litellm


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "requirements").glob("*.txt")))
def test_the_locks_are_whole_and_name_no_host(name):
    """Every package of a lock is pinned and has hashes; where it comes from is your choice."""
    text = (ROOT / "requirements" / name).read_text("utf-8")
    assert "://" not in text
    packages = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(packages) > 10
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
