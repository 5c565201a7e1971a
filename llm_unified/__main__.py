"""``python -m llm_unified``: the command line where no script is installed."""

from __future__ import annotations

import sys

from llm_unified.cli import main

if __name__ == "__main__":
    sys.exit(main())
