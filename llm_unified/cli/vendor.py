"""``llm-unified vendor DIR``: the three modules of the old import paths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from llm_unified.cli.legacy import LEGACY_MODULES, render_shims
from llm_unified.cli.output import WrongInputError

if TYPE_CHECKING:
    import argparse

    from llm_unified.cli.output import Output

__all__ = ["run"]

WRONG: Final = 2


def run(options: argparse.Namespace, out: Output) -> int:
    """Write what is missing, or nothing at all if a file would be lost."""
    directory = Path(options.directory).expanduser()
    if directory.exists() and not directory.is_dir():
        raise WrongInputError(f"{directory} is a file. Name the package's folder: services/llm.")
    try:
        states = _written(directory, force=options.force)
    except OSError as error:
        where = error.filename or directory
        raise WrongInputError(f"cannot write {where}: {error.strerror}.") from None
    refused = "different" in states.values()
    if out.as_json:
        out.data({"ok": not refused, "directory": str(directory), "files": states})
        return WRONG if refused else 0
    width = max(map(len, states.values()))
    for name, state in states.items():
        out.line(f"{state:{width}}  {directory / name}")
    if refused:
        out.note("Nothing was written: a file is not ours. Look at it; --force replaces it.")
        return WRONG
    package = _package(directory)
    for module in LEGACY_MODULES:
        out.line(f"from {package}{module.name} import {', '.join(module.names)}", "dim")
    return 0


def _written(directory: Path, *, force: bool) -> dict[str, str]:
    """Return what became of each file."""
    states = {}
    sources = render_shims()
    for name, source in sources.items():
        path = directory / name
        if not path.exists():
            states[name] = "written"
        elif path.read_bytes() == source.encode():
            states[name] = "unchanged"
        else:
            states[name] = "replaced" if force else "different"
    if "different" in states.values():
        return {n: "not written" if s == "written" else s for n, s in states.items()}
    directory.mkdir(parents=True, exist_ok=True)
    for name, state in states.items():
        if state != "unchanged":
            (directory / name).write_bytes(sources[name].encode())
    return states


def _package(directory: Path) -> str:
    """Return the import prefix, as far as the path tells: ``"services.llm."``."""
    parts = [part for part in directory.parts if part not in (".", "src")]
    if directory.is_absolute() or not all(part.isidentifier() for part in parts):
        parts = []
    return "".join(f"{part}." for part in parts)
