"""``python -m llm_unified.testing``: the simulator on its own, for benchmarks and for trying things.

It prints ``export NAME=value`` lines and serves until SIGINT or SIGTERM. In a shell::

    python -m llm_unified.testing --providers openai,groq --always openai=status_500 > sim.env &
    . ./sim.env
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from typing import TYPE_CHECKING

from llm_unified.testing import replies
from llm_unified.testing.faults import ALL
from llm_unified.testing.protocols import WIRES
from llm_unified.testing.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llm_unified.testing.exchange import Outcome

REPLIES: Mapping[str, Callable[[], Outcome]] = {
    "auto": replies.auto,
    "content_filter": replies.content_filter,
    "echo": replies.echo,
    "refusal": replies.refusal,
    "text": replies.text,
}


def outcomes(text: str) -> tuple[str, list[Outcome]]:
    """``provider=name,name*3,…`` → the provider and its outcomes; else an :class:`argparse.ArgumentTypeError`."""
    provider, _, names = text.partition("=")
    if provider not in WIRES or not names:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected PROVIDER=OUTCOME, providers: {', '.join(WIRES)}"
        )
    found: list[Outcome] = []
    for item in names.split(","):
        name, _, times = item.partition("*")
        factory = ALL.get(name) or REPLIES.get(name)
        if factory is None:
            known = ", ".join((*REPLIES, *ALL))
            raise argparse.ArgumentTypeError(f"No outcome is called {name!r}. There are: {known}")
        found += [factory()] * int(times or 1)
    return provider, found


def parser() -> argparse.ArgumentParser:
    """The options."""
    p = argparse.ArgumentParser(
        prog="python -m llm_unified.testing",
        description="Simulated OpenAI, Azure OpenAI, Groq and Anthropic on 127.0.0.1.",
    )
    p.add_argument("--providers", default=",".join(WIRES), help="comma-separated, primary first")
    p.add_argument("--tls", action="store_true", help="HTTPS with a throw-away CA (needs trustme)")
    p.add_argument("--prefix", default="", help="path in front of all base URLs")
    p.add_argument("--latency", type=float, default=0.0, help="seconds before an answer")
    p.add_argument("--token-delay", type=float, default=0.0, help="seconds before each chunk")
    for option, meaning in (
        ("--script", "played once, in order"),
        ("--always", "played every time"),
    ):
        p.add_argument(
            option,
            action="append",
            default=[],
            type=outcomes,
            metavar="PROVIDER=OUTCOME[*N],…",
            help=f"outcomes {meaning}, e.g. openai=status_500*2,text",
        )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes."""
    p = parser()
    options = p.parse_args(arguments)
    names = [n.strip() for n in options.providers.split(",") if n.strip()]
    unknown = [n for n in names if n not in WIRES]
    if unknown:
        p.error(f"no such provider: {', '.join(unknown)}; there are {', '.join(WIRES)}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Simulator(
        tls=options.tls,
        prefix=options.prefix,
        latency=options.latency,
        token_delay=options.token_delay,
        journal_limit=1000,
    ) as simulator:
        for provider, found in options.script:
            simulator[provider].script(*found)
        for provider, found in options.always:
            simulator[provider].always(found[0])
        for name, value in simulator.environ(*names).items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
