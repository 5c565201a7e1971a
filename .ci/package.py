"""What a release consists of, built and then tried as a stranger gets it: `python3 dev.py package`.

The sdist and the wheel (built from the sdist) go to dist/. The wheel is installed into a fresh environment
away from the source, with the versions in requirements/runtime.txt, and .ci/installed.py is run there;
then once more without anything that an extra brings. Of the same environment the bill of materials and
the table of licences are made, in build/. Workflows and container files are checked, too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST, BUILD = ROOT / "dist", ROOT / "build"
# What may be shipped beside MIT code: permissive, and the weak copyleft of single files (MPL-2.0), which
# reaches no file but its own. A dependency with another one stops here and is looked at by a person.
ALLOWED = {
    *(
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CNRI-Python",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
    ),
    *("PSF-2.0", "Unlicense"),
    # The classifiers' names for the same.
    *(
        "Apache Software License",
        "BSD License",
        "MIT License",
        "Python Software Foundation License",
    ),
    "Mozilla Public License 2.0 (MPL 2.0)",
}
SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.compose-spec": "compose.yaml",
}


def main() -> int:
    checked_files()
    wheel = built()
    with tempfile.TemporaryDirectory(prefix="llm-unified-package-") as folder:
        python = installed(wheel, Path(folder))
        BUILD.mkdir(exist_ok=True)
        materials(python, wheel.name.split("-")[1])
        licences(python)
        tool("pip", "--python", python, "uninstall", "-y", "-q", *brought_by_extras())
        tried(python, "core")
    print(
        f"package: {', '.join(sorted(file.name for file in DIST.iterdir()))}; SBOM and licences in build/"
    )
    return 0


def checked_files() -> None:
    """The files that no test of ours can run. The sdist has no workflows."""
    tool("validate_pyproject", "pyproject.toml")
    for schema, pattern in SCHEMAS.items():
        if files := sorted(ROOT.glob(pattern)):
            tool("check_jsonschema", "--builtin-schema", schema, *files)
    if (ROOT / ".github").exists():
        zizmor = Path(sys.executable).with_name("zizmor")
        subprocess.run([zizmor, "--offline", "--quiet", ".github"], cwd=ROOT, check=True)


def built() -> Path:
    shutil.rmtree(DIST, ignore_errors=True)
    tool("build", "--no-isolation", "--outdir", DIST, ROOT)
    (wheel,) = DIST.glob("*.whl")
    tool("twine", "check", "--strict", *DIST.iterdir())
    tool("check_wheel_contents", wheel)
    return wheel


def installed(wheel: Path, folder: Path) -> Path:
    """Return the Python of a fresh environment with the wheel, in which the program has run."""
    environment = folder / "environment"
    venv.create(environment)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = ("pip", "--python", python, "install", "-qq", "--no-input", "--no-deps")
    tool(*install, "--require-hashes", "--requirement", ROOT / "requirements/runtime.txt")
    tool(*install, "--no-index", wheel)
    tool("pip", "--python", python, "check")
    tried(python, "service")
    return python


def tried(python: Path, what: str) -> None:
    """Run the program from an empty folder; -I keeps that folder and PYTHONPATH out of sight."""
    with tempfile.TemporaryDirectory() as empty:
        program = shutil.copy(ROOT / ".ci/installed.py", empty)
        subprocess.run([python, "-I", "-W", "error", program, what], cwd=empty, check=True)


def materials(python: Path, version: str) -> None:
    """CycloneDX, with versions, licences and who needs whom; the same bytes for the same versions."""
    options = ["--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible"]
    file = BUILD / "sbom.cdx.json"
    tool("cyclonedx_py", "environment", *options, "--output-file", file, python)
    bill = json.loads(file.read_text("utf-8"))
    bill["metadata"]["component"]["version"] = (
        version  # it reads pyproject.toml, where it is dynamic
    )
    file.write_text(json.dumps(bill, indent=2) + "\n", "utf-8")


def licences(python: Path) -> None:
    """A table of them; a licence that nobody has looked at ends the program."""
    options = ["--from=mixed", "--format=json", "--with-urls"]
    listed = [sys.executable, "-m", "piplicenses", f"--python={python}", *options]
    found = json.loads(subprocess.run(listed, check=True, capture_output=True, text=True).stdout)
    rows = [(d["Name"], d["Version"], d["License"].splitlines()[0], d["URL"]) for d in found]
    table = [("Package", "Version", "Licence", "Home"), ("---",) * 4, *rows]
    text = "".join(f"| {' | '.join(row)} |\n" for row in table)
    (BUILD / "licences.md").write_text(text, "utf-8")
    unknown = [f"{name}: {terms}" for name, _, terms, _ in rows if not allowed(terms)]
    if unknown:
        sys.exit(f"package: licences that nobody has looked at: {'; '.join(unknown)}")


def allowed(terms: str) -> bool:
    """Whether every licence of an SPDX expression or of a list of classifiers is among those above."""
    return all(name.strip() in ALLOWED for name in re.split(r" AND | OR |; ", terms))


def brought_by_extras() -> list[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    return [
        line.split(">=")[0]
        for name in ("cli", "redis", "prometheus", "otel", "watch")
        for line in extras[name]
    ]


def tool(module: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(f"package: failed: {' '.join(map(str, failed.cmd))}")
