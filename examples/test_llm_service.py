"""The main job as one program: configuration, answers, a tool call, a failover, statistics.

    python examples/test_llm_service.py            on whatever is configured; --json for programs

With nothing configured it runs on the embedded model and a simulated provider. Its exit code is 0 only if
all that it claims happened. It is a program and not a pytest file, in spite of its name.
"""

import sys

from llm_unified.cli import main

__test__ = False  # pytest, should it come by

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
