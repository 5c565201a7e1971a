"""Coverage-guided fuzzing of everything that reads foreign bytes, on demand: ``pip install atheris``, then

    python tests/fuzz_atheris.py -max_total_time=600

It finds what hypothesis has no grammar for: bytes of event streams, encodings, error bodies, whole answers.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["llm_unified"]):
    from llm_unified.failures.envelope import read_error
    from llm_unified.wire.body import parse_json
    from llm_unified.wire.sse import BrokenEventError, EventParser
    from tests.test_fuzz import VENDORS, read_stream, read_whole


def one(data: bytes) -> None:
    """Some bytes, as each thing that they could be."""
    choice = atheris.FuzzedDataProvider(data)
    vendor, json_mode = VENDORS[choice.ConsumeIntInRange(0, 3)], choice.ConsumeBool()
    cut = choice.ConsumeIntInRange(0, 64)
    body = choice.ConsumeBytes(1 << 16)
    read_error(body)
    parser = EventParser("[DONE]")
    with contextlib.suppress(BrokenEventError):
        events = [*parser.feed(body[:cut]), *parser.feed(body[cut:]), *parser.finish()]
        read_stream(vendor, events, json_mode)
    with contextlib.suppress(ValueError, RecursionError):
        read_whole(vendor, json.loads(body), json_mode)
    with contextlib.suppress(Exception):  # a `BodyError`, which is not public
        parse_json(body)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
