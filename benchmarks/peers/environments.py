"""The Pythons that the clients run in: made from the locks, or the one that runs this."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from .clients import CLIENTS

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = (
    "import importlib.metadata as m, json, sys;"
    "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
)

Pythons = dict[str, Path]
"""Who can be measured, and with which Python."""


def made(names: Iterable[str]) -> tuple[Pythons, dict[str, str]]:
    """Environments from the locks; and who cannot be measured on this machine, with the reason."""
    sys.path.insert(0, str(ROOT))
    import dev

    pythons: Pythons = {}
    missing: dict[str, str] = {}
    for name in names:
        environment = dev.TENSORZERO if CLIENTS[name].wheels_only else dev.PEERS
        try:
            pythons[name] = dev.prepared(*environment)
        except dev.NextStepError as problem:
            if not CLIENTS[name].wheels_only:
                raise SystemExit(str(problem)) from None
            missing[name] = "has no wheel for this machine"
    return pythons, missing


def here(names: Iterable[str]) -> tuple[Pythons, dict[str, str]]:
    """This Python; and who is not installed in it."""
    there = {name: importlib.util.find_spec(CLIENTS[name].imports) is not None for name in names}
    pythons = {name: Path(sys.executable) for name, found in there.items() if found}
    return pythons, {name: "is not installed" for name, found in there.items() if not found}


def versions(name: str, python: Path) -> dict[str, str]:
    """The distributions of a client that say what was measured."""
    asked = [str(python), "-c", VERSIONS, *CLIENTS[name].packages]
    found: dict[str, str] = json.loads(subprocess.check_output(asked, text=True))
    return found
