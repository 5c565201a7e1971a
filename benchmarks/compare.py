"""What one call costs: ours against what people would use instead. Needs Python 3.11 or newer, nothing else.

    python benchmarks/compare.py --peers         ours, the openai SDK, LiteLLM, LangChain, pydantic-ai, TensorZero,
                                                 …; makes their environments first; about ten minutes
    python benchmarks/compare.py                 ratios to LiteLLM's bare Router, per provider; about three minutes

`--help` behind either tells the options. `first_call.py` beside this one looks at the first request over TLS.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

# Standard library only: what needs more is imported by the Python of an environment that has it.
OLDEST = (3, 11)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--measure"]:  # one of the processes that `--peers` starts
        from peers import measure

        return measure.main(arguments[1])
    if sys.version_info < OLDEST:
        sys.exit(f"This needs Python 3.11 or newer; {sys.executable} is older.")
    if "--peers" in arguments:
        from peers import campaign

        return campaign.main([a for a in arguments if a != "--peers"])
    if find_spec("llm_unified") and find_spec("rich"):
        import ratios

        return ratios.main(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import dev

    return dev.run(dev.DEV, __file__, *arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
