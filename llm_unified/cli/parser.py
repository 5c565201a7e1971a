"""The options of all commands, and their help."""

from __future__ import annotations

import argparse
import math
import platform
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from llm_unified import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SHELLS", "build_parser"]

SHELLS = ("bash", "zsh", "fish")
_EXIT_CODES = """\
exit codes: 0 well; 1 a provider is down, or nobody answered; 2 something given is wrong
(configuration, option, file, request); 130 interrupted.
Settings come from the environment and from the YAML file in --config or LLM_CONFIG_FILE."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that looks the same in a terminal, a pipe and a document, on every Python."""

    def __init__(self, prog: str, **_: Any) -> None:
        super().__init__(prog, max_help_position=28, width=100)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints name the next step."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Help)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry `{self.prog} --help`.\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, extra = self.parse_known_args(args, namespace)
        if extra:
            name = getattr(found, "command", None)
            parser = commands_of(self)[name] if name else self
            parser.error(_not_understood(parser, extra))
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:  # noqa: SLF001
            near = get_close_matches(str(value), action.choices, 1)
            hint = (
                f", did you mean {near[0]}?" if near else ". There are " + ", ".join(action.choices)
            )
            self.error(f"there is no command {value!r}{hint}")
        super()._check_value(action, value)


def _not_understood(parser: argparse.ArgumentParser, extra: Sequence[str]) -> str:
    """Return what is wrong with words that no option and no argument takes."""
    known = [text for action in options_of(parser) for text in action.option_strings]
    word = next((text for text in extra if text.startswith("-")), None)
    if word is None:
        hint = f", did you mean -p {extra[0]}?" if "-p" in known else ""
        return f"{extra[0]!r} is one argument too many{hint}"
    word = word.partition("=")[0]
    near = get_close_matches(word, known, 1)
    return f"there is no option {word}" + (f", did you mean {near[0]}?" if near else "")


class _Version(argparse.Action):
    """``--version``, with what a bug report needs."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            litellm = version("litellm")
        except PackageNotFoundError:
            litellm = "not installed"
        python = platform.python_version()
        sys.stdout.write(f"llm-unified {__version__} (LiteLLM {litellm}, Python {python})\n")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser. It imports nothing that a command needs."""
    parser = _Parser(
        prog="llm-unified",
        description="One object that answers chat requests from OpenAI, Azure OpenAI, Groq and "
        "Anthropic.\nThis is its command line, for operators.",
        epilog="examples:\n"
        "  llm-unified check                 what is configured, and where each value comes from\n"
        "  llm-unified ping --tokens 0       can every provider be reached, free of charge\n"
        '  llm-unified ask "Why is the sky blue?" -p groq\n'
        "  llm-unified drill                 who answers when a provider is down\n\n" + _EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and stop")
    _common(parser, config=None, json=False)
    parser.set_defaults(command=None)
    shared = argparse.ArgumentParser(add_help=False)
    _common(shared, config=argparse.SUPPRESS, json=argparse.SUPPRESS)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for add in (_check, _ping, _ask, _drill, _watch, _export, _vendor, _demo, _completion):
        add(commands, shared)
    return parser


def _common(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=defaults["config"],
        help="YAML file (default: what LLM_CONFIG_FILE names)",
    )
    parser.add_argument(
        "--json", action="store_true", default=defaults["json"], help="print JSON, for programs"
    )


def _command(  # noqa: PLR0917 - read from top to bottom as the help is
    commands: Any, shared: argparse.ArgumentParser, name: str, text: str, more: str, examples: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        parents=[shared],
        help=text,
        description=f"{text[0].upper()}{text[1:]}.\n{more}".rstrip(),
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines()),
    )
    parser.set_defaults(command=name)
    return parser


def _check(commands: Any, shared: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        shared,
        "check",
        "show the effective settings, where each comes from, and what is wrong",
        "\nSends nothing. Keys are shown as fingerprints.",
        "llm-unified check\n"
        "llm-unified check --config config/llm.yaml --json\n"
        "llm-unified check && systemctl reload my-service",
    )
    parser.add_argument("--all", action="store_true", help="show the defaults as well")


def _ping(commands: Any, shared: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        shared,
        "ping",
        "try each provider, stage by stage: DNS, connect, TLS, auth, first token",
        "\nAll at once, each deployment and each key, past the failover: who does not answer is\n"
        "down, and the exit code is 1. The first token is timed on a new connection.",
        "llm-unified ping\n"
        "llm-unified ping --tokens 0       spends nothing: the key is checked by listing the models\n"
        "llm-unified ping -p groq --json",
    )
    _provider(parser, "try only this provider; may be repeated", repeat=True)
    parser.add_argument(
        "--tokens",
        type=_whole(0, 4096),
        default=16,
        metavar="N",
        help="tokens to spend per try at most; 0 asks for no answer (default: 16)",
    )


def _ask(commands: Any, shared: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        shared,
        "ask",
        "ask the chain one question and stream the answer",
        "\nThe answer goes to standard output, who gave it to standard error.",
        'llm-unified ask "Why is the sky blue?"\n'
        'llm-unified ask -p groq -m openai/gpt-oss-120b "Hello"\n'
        "git diff | llm-unified ask --system 'Write a commit message' -\n"
        'llm-unified ask --schema person.json "Ada Lovelace, born 1815"',
    )
    parser.add_argument("prompt", nargs="*", help="the question; - stands for standard input")
    _provider(parser, "ask this provider first")
    parser.add_argument("-m", "--model", help="ask the first provider for this model")
    parser.add_argument("--system", metavar="TEXT", help="instructions for the model")
    parser.add_argument("--schema", metavar="FILE", help="JSON schema that the answer must meet")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 to 2")
    parser.add_argument("--max-tokens", type=_whole(1, 1_000_000), metavar="N")
    parser.add_argument("--no-fallback", action="store_true", help="ask the first provider only")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not say who answered")


def _drill(commands: Any, shared: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        shared,
        "drill",
        "rehearse failover: break each provider in turn and see who answers, how fast",
        "\nThen the first two, the first three, until the last one is alone. A provider is broken here,\n"
        "on this machine: nothing is sent to it, and nobody else notices. The others are really asked\n"
        "one short question. The exit code is 1 if some case is left without an answer.",
        "llm-unified drill\n"
        "llm-unified drill --hang          it accepts connections and stays silent: the slow way\n"
        "llm-unified drill --json",
    )
    parser.add_argument(
        "--hang", action="store_true", help="silence instead of a refused connection"
    )
    parser.add_argument(
        "--tokens",
        type=_whole(1, 4096),
        default=200,
        metavar="N",
        help="tokens that an answer may take at most (default: 200)",
    )


def _watch(commands: Any, shared: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        shared,
        "watch",
        "ask every provider again and again, and show how they are",
        "\nFrom a service of its own: another process's counters are not seen. A table in a\n"
        "terminal, one line per round in a pipe. Ends with Ctrl-C. The exit code is 1 if a provider\n"
        "was down in the last round.",
        "llm-unified watch\nllm-unified watch --every 60 | tee providers.log\n"
        "llm-unified watch --count 1 --json",
    )
    _provider(parser, "watch only this provider; may be repeated", repeat=True)
    parser.add_argument(
        "--every",
        type=_seconds,
        default=15.0,
        metavar="S",
        help="seconds between two rounds (default: 15)",
    )
    parser.add_argument(
        "--count", type=_whole(1, 1_000_000), metavar="N", help="stop after so many rounds"
    )
    parser.add_argument(
        "--tokens",
        type=_whole(1, 4096),
        default=16,
        metavar="N",
        help="tokens per question at most (default: 16)",
    )


def _export(commands: Any, shared: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        shared,
        "export",
        "print the settings for another program",
        "\n  litellm-proxy   the config.yaml of a LiteLLM Proxy; keys as os.environ/NAME\n"
        "  env             lines for a .env file; keys are left out",
        "llm-unified export litellm-proxy > config.yaml\nllm-unified export env > llm.env",
    )
    parser.add_argument("what", choices=("litellm-proxy", "env"), metavar="litellm-proxy|env")


def _vendor(commands: Any, shared: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        shared,
        "vendor",
        "write the three modules of the old import paths into an application",
        "\nSo that `from services.llm.unified_llm_client import UnifiedLLMClient` goes on working.\n"
        "Never overwrites a different file without --force, never touches an __init__.py.",
        "llm-unified vendor services/llm\nllm-unified vendor src/services/llm --force",
    )
    parser.add_argument("directory", metavar="DIR", help="the package's folder, e.g. services/llm")
    parser.add_argument("--force", action="store_true", help="replace files that differ")


def _demo(commands: Any, shared: argparse.ArgumentParser) -> None:
    _command(
        commands,
        shared,
        "demo",
        "see the main job at work, with or without a key",
        "\nWarms, asks each provider, makes a tool call, breaks the primary, counts; checks each claim.\n"
        "With nothing configured it runs on the embedded model and a simulated provider.",
        "llm-unified demo\nllm-unified demo --json",
    )


def _completion(commands: Any, shared: argparse.ArgumentParser) -> None:
    parser = _command(
        commands,
        shared,
        "completion",
        "print a script that completes commands and options in your shell",
        "",
        'eval "$(llm-unified completion bash)"          in ~/.bashrc\n'
        'eval "$(llm-unified completion zsh)"           in ~/.zshrc, after compinit\n'
        "llm-unified completion fish | source           in ~/.config/fish/config.fish",
    )
    parser.add_argument("shell", choices=SHELLS)


def _provider(parser: argparse.ArgumentParser, text: str, *, repeat: bool = False) -> None:
    action = "append" if repeat else "store"
    parser.add_argument("-p", "--provider", action=action, metavar="NAME", help=text)


def _whole(low: int, high: int) -> Any:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number between {low} and {high}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return value


def options_of(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """Return the options and arguments of a parser."""
    return parser._actions  # noqa: SLF001 - argparse has no public way to list them


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the sub-commands of the main parser."""
    return next(
        dict(action.choices)
        for action in options_of(parser)
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001 - no public name
    )
