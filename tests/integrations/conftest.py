"""The adapters, each tested with the real framework. `python3 dev.py frameworks` runs this folder."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

REQUIRED = os.environ.get("LLM_UNIFIED_FRAMEWORKS") == "required"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Where all frameworks are installed, a module that skips itself for want of one is a failure."""
    report = yield
    if REQUIRED and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"a framework is missing here: {report.longrepr}"
    return report
