"""``llm-unified vendor DIR``: the three modules of the old import paths."""

from __future__ import annotations

from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llm_unified.cli.legacy import LEGACY_MODULES, render_shims
from llm_unified.cli.output import WrongInputError

if TYPE_CHECKING:
    import argparse

    from llm_unified.cli.output import Output

__all__ = ["run"]

WRONG: Final = 2
DIFFERS: Final = "differs"


def run(options: argparse.Namespace, out: Output) -> int:
    """Write what is missing, or nothing at all if a file would be lost."""
    directory = Path(options.directory).expanduser()
    if directory.exists() and not directory.is_dir():
        raise WrongInputError(f"{directory} is a file. Name the package's folder: services/llm.")
    if wrong := _no_identifiers(directory):
        raise WrongInputError(
            f"{directory}: {wrong[0]!r} is no name of a Python package, so nothing can be imported "
            "from there. Name a folder such as services/llm."
        )
    try:
        states = _written(directory, force=options.force)
    except OSError as error:
        where = error.filename or directory
        raise WrongInputError(f"cannot write {where}: {error.strerror}.") from None
    refused = DIFFERS in states.values()
    if out.as_json:
        out.data({"ok": not refused, "directory": str(directory), "files": states})
        return WRONG if refused else 0
    width = max(map(len, states.values()))
    for name, state in states.items():
        out.line(f"{state:{width}}  {directory / name}")
    if refused:
        out.note("Nothing was written: a file differs from ours. Look at it; --force replaces it.")
        return WRONG
    package = _package(directory)
    if package or not directory.parts:
        where = "src" if directory.parts[:1] == ("src",) else "the folder you run in"
        out.line(f"Imported like this, where {where} is on the import path:")
    else:
        out.line("Imported like this, after the names of the packages that the folder is in:")
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
            states[name] = "replaced" if force else DIFFERS
    if DIFFERS in states.values():
        return {n: "not written" if s == "written" else s for n, s in states.items()}
    directory.mkdir(parents=True, exist_ok=True)
    for name, state in states.items():
        if state != "unchanged":
            (directory / name).write_bytes(sources[name].encode())
    return states


def _package(directory: Path) -> str:
    """Return the import prefix, as far as the path tells: ``"services.llm."``."""
    if directory.is_absolute() or ".." in directory.parts:
        return ""
    parts = directory.parts[1:] if directory.parts[:1] == ("src",) else directory.parts
    return "".join(f"{part}." for part in parts)


def _no_identifiers(directory: Path) -> list[str]:
    """Return the parts that no import can name; of a path from elsewhere only the last one counts."""
    elsewhere = directory.is_absolute() or ".." in directory.parts
    parts = directory.parts[-1:] if elsewhere else directory.parts
    return [part for part in parts if part != ".." and (not part.isidentifier() or iskeyword(part))]
