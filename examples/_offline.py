"""Lets every example run at once: where nothing is configured, simulated providers answer."""

import contextlib
import os
import sys
from collections.abc import Iterator

from llm_unified.settings import inspect_settings
from llm_unified.settings.assembly import NOTHING
from llm_unified.testing import Simulator, replies


@contextlib.contextmanager
def configured() -> Iterator[None]:
    """What the environment says; four simulated providers where it says nothing."""
    if inspect_settings().problems != [NOTHING]:
        yield
        return
    print("(Nothing is configured: simulated providers answer.)", file=sys.stderr)
    before = dict(os.environ)
    with Simulator() as simulator:
        for provider in simulator:
            provider.always(replies.auto())
        os.environ.update(simulator.environ())
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
