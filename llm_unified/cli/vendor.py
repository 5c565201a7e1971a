"""``llm-unified vendor DIR``: the three modules of the old import paths."""

from __future__ import annotations

from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llm_unified.cli.legacy import LEGACY_MODULES, render_shims
from llm_unified.cli.output import WrongInputError

if TYPE_CHECKING:
    from llm_unified.cli.output import Output

__all__ = ["run"]

WRONG: Final = 2
DIFFERS: Final = "differs"


def run(out: Output, config: str | None, *, directory: str, force: bool) -> int:
    """Write what is missing, or nothing at all if a file would be lost."""
    folder = Path(directory).expanduser()
    elsewhere = folder.is_absolute() or ".." in folder.parts  # only the last part is a package then
    for part in folder.parts[-1:] if elsewhere else folder.parts:
        if part != ".." and (not part.isidentifier() or iskeyword(part)):
            raise WrongInputError(
                f"{folder}: {part!r} is no name of a Python package, so nothing can be imported "
                "from there. Name a folder such as services/llm."
            )
    try:
        states = _written(folder, force=force)
    except OSError as error:
        where = error.filename or folder
        raise WrongInputError(f"cannot write {where}: {error.strerror}.") from None
    refused = DIFFERS in states.values()
    if out.as_json:
        out.data({"ok": not refused, "directory": str(folder), "files": states})
        return WRONG if refused else 0
    width = max(map(len, states.values()))
    for name, state in states.items():
        out.write(f"{state:{width}}  {folder / name}\n")
    if refused:
        out.note("Nothing was written: a file differs from ours. Look at it; --force replaces it.")
        return WRONG
    if elsewhere:
        parts: tuple[str, ...] = ()
        out.line("Imported like this, after the names of the packages that the folder is in:")
    else:
        source = folder.parts[:1] == ("src",)
        parts = folder.parts[source:]
        where = "src" if source else "the folder you run in"
        out.line(f"Imported like this, where {where} is on the import path:")
    package = "".join(f"{part}." for part in parts)
    for module in LEGACY_MODULES:
        out.write(f"from {package}{module.name} import {', '.join(module.names)}\n")
    return 0


def _written(folder: Path, *, force: bool) -> dict[str, str]:
    """Return what became of each file."""
    states = {}
    sources = render_shims()
    for name, source in sources.items():
        path = folder / name
        if not path.exists():
            states[name] = "written"
        elif path.read_bytes() == source.encode():
            states[name] = "unchanged"
        else:
            states[name] = "replaced" if force else DIFFERS
    if DIFFERS in states.values():
        return {n: "not written" if s == "written" else s for n, s in states.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, state in states.items():
        if state != "unchanged":
            (folder / name).write_bytes(sources[name].encode())
    return states
