"""The commands with their options and their help. Imports nothing that a command needs."""

from __future__ import annotations

import platform
from functools import partial
from typing import Any, Final

import click
from click.shell_completion import get_completion_class

from llm_unified.cli import parsing
from llm_unified.cli.parsing import PROGRAM, flag, seconds, value
from llm_unified.cli.runner import WRONG, run
from llm_unified.version import __version__

__all__ = ["cli"]

_CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
_NUMBER: Final = click.IntRange(1, 1_000_000)
_STOPS: Final = {"is_eager": True, "expose_value": False}


def _started(command: str, **options: Any) -> int:
    given = click.get_current_context().find_object(dict) or {}
    return run(command, given.get("config"), options, as_json="json" in given)


def _command(name: str, summary: str, more: str, examples: str, *params: click.Parameter) -> None:
    lines = "\n".join(f"  {line}" for line in examples.splitlines())
    cli.add_command(
        parsing.Command(
            name,
            params=[*params, *parsing.common()],
            callback=_completion if name == "completion" else partial(_started, name),
            short_help=summary,
            help=f"{summary[0].upper()}{summary[1:]}.\n\n{more}".rstrip(),
            epilog=f"\b\nexamples:\n{lines}",
            context_settings=_CONTEXT,
        )
    )


def _help_if_alone() -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(WRONG)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Show what a bug report needs."""
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        litellm = version("litellm")
    except PackageNotFoundError:
        litellm = "not installed"
    python = platform.python_version()
    click.echo(f"{PROGRAM} {__version__} (LiteLLM {litellm}, Python {python})")
    ctx.exit()


def _completion(shell: str) -> int:
    completer = get_completion_class(shell)
    if completer is None:  # pragma: no cover - the choice is among those that click has
        raise click.UsageError(f"click has no completion for {shell}")
    click.echo(completer(cli, {}, PROGRAM, "_LLM_UNIFIED_COMPLETE").source())
    return 0


cli: Final = parsing.Commands(
    PROGRAM,
    params=[
        flag("--version", text="show the version and stop", callback=_version, **_STOPS),
        *parsing.common(),
    ],
    callback=_help_if_alone,
    invoke_without_command=True,
    help="One object that answers chat requests from OpenAI, Azure OpenAI, Groq and Anthropic. "
    "This is its command line, for operators.",
    epilog="""\b
examples:
  llm-unified check             what is configured, and where it comes from
  llm-unified ping --tokens 0   can every provider be reached, free of charge
  llm-unified ask "Why is the sky blue?" -p groq
  llm-unified drill             who answers when a provider is down

exit codes: 0 well; 1 a provider is down, or nobody answered; 2 something given is wrong
(configuration, option, file, request); 130 interrupted.

Settings come from the environment and from the YAML file in --config or LLM_CONFIG_FILE.""",
    context_settings=_CONTEXT,
)
"""The whole command line."""

_command(
    "check",
    "show the effective settings, where each comes from, and what is wrong",
    "Sends nothing. Keys are shown as fingerprints.",
    """llm-unified check
llm-unified check --config config/llm.yaml --json
llm-unified check && systemctl reload my-service""",
    flag("--all", "everything", text="show the defaults as well"),
)
_command(
    "ping",
    "try each provider, stage by stage: DNS, connect, TLS, auth, first token",
    "All at once, each deployment and each key, past the failover: who does not answer is down, and "
    "the exit code is 1. The first token is timed on a new connection.",
    """llm-unified ping
llm-unified ping --tokens 0   spends nothing: lists the models with the key
llm-unified ping -p groq --json""",
    parsing.provider("try only this provider; may be repeated", repeat=True),
    parsing.tokens("16", "tokens to spend per try at most; 0 asks for no answer", lowest=0),
)
_command(
    "ask",
    "ask the chain one question and stream the answer",
    "PROMPT is the question; - stands for standard input. The answer goes to standard output, who "
    "gave it to standard error.",
    """llm-unified ask "Why is the sky blue?"
llm-unified ask -p groq -m openai/gpt-oss-120b "Hello"
git diff | llm-unified ask --system 'Write a commit message' -
llm-unified ask --schema person.json "Ada Lovelace, born 1815\"""",
    click.Argument(["prompt"], nargs=-1),
    parsing.provider("ask this provider first"),
    value("-m", "--model", metavar="MODEL", text="ask the first provider for this model"),
    value("--system", metavar="TEXT", text="instructions for the model"),
    value(
        "--schema", metavar="FILE", text="JSON schema that the answer must meet", type=click.Path()
    ),
    value("--temperature", metavar="T", text="0 to 2", type=float),
    value("--max-tokens", metavar="N", text="tokens of the answer at most", type=_NUMBER),
    flag("--no-fallback", text="ask the first provider only"),
    flag("-q", "--quiet", text="do not say who answered"),
)
_command(
    "drill",
    "practise failover: break each provider in turn and see who answers, how fast",
    "Then the first two, the first three, until the last one is alone. A provider is broken here, on "
    "this machine: nothing is sent to it, and nobody else notices. The others are really asked one "
    "short question. The exit code is 1 if some case is left without an answer.",
    """llm-unified drill
llm-unified drill --hang      it accepts connections and says nothing: slow
llm-unified drill --json""",
    flag("--hang", text="silence instead of a refused connection"),
    parsing.tokens("200", "tokens that an answer may take at most"),
)
_command(
    "watch",
    "ask every provider again and again, and show how they are",
    "From a service of its own: another process's counters are not seen. Spends no tokens unless "
    "--tokens says so: the list of models shows connection and key. A table in a terminal, one "
    "line per round in a pipe. Ends with Ctrl-C. The exit code is 1 if a provider was down in the "
    "last round.",
    """llm-unified watch
llm-unified watch --tokens 16                 asks for an answer
llm-unified watch --every 60 | tee providers.log
llm-unified watch --json > providers.jsonl    for llm-unified report""",
    parsing.provider("watch only this provider; may be repeated", repeat=True),
    value("--every", metavar="S", text="seconds between two rounds", default="15", type=seconds),
    value("--count", metavar="N", text="stop after so many rounds", type=_NUMBER),
    parsing.tokens("0", "tokens per question at most; 0 asks for no answer", lowest=0),
)
_command(
    "report",
    "draw a web page about what a watch, or a service's log, wrote",
    "FILE has the lines of `llm-unified watch --json`, or of a log in JSON (structlog's JSONRenderer); - "
    "stands for standard input. The page is one file that needs no network. Lines that are "
    "something else are counted and named.",
    """llm-unified report providers.jsonl     writes providers.html
journalctl -u my-service -o cat | llm-unified report - > report.html""",
    click.Argument(["file"], type=click.Path()),
    value(
        "-o",
        "--output",
        metavar="HTML",
        text="the page to write, - for standard output  [default: FILE with .html]",
        type=click.Path(),
    ),
)
_command(
    "export",
    "print the settings for another program",
    "\b\nlitellm-proxy   the config.yaml of a LiteLLM Proxy; keys as os.environ/NAME\n"
    "env             lines for a .env file; keys are left out",
    """llm-unified export litellm-proxy > config.yaml
llm-unified export env > llm.env""",
    click.Argument(["what"], type=click.Choice(("litellm-proxy", "env"))),
)
_command(
    "vendor",
    "write the three modules of the old import paths into an application",
    "DIR is the package's folder, e.g. services/llm, so that `from services.llm.unified_llm_client "
    "import UnifiedLLMClient` goes on working. Never overwrites a different file without --force, "
    "never touches an __init__.py.",
    """llm-unified vendor services/llm
llm-unified vendor src/services/llm --force""",
    click.Argument(["directory"], metavar="DIR", type=click.Path(file_okay=False)),
    flag("--force", text="replace files that differ"),
)
_command(
    "demo",
    "see the main job at work, with or without a key",
    "Warms, asks each provider, makes a tool call, breaks the primary, counts; checks each claim. "
    "With nothing configured it runs on the embedded model and a simulated provider.",
    """llm-unified demo
llm-unified demo --json""",
)
_command(
    "completion",
    "print a script that completes commands and options in your shell",
    "",
    """eval "$(llm-unified completion bash)"     in ~/.bashrc
eval "$(llm-unified completion zsh)"      in ~/.zshrc, after compinit
llm-unified completion fish | source      in ~/.config/fish/config.fish""",
    click.Argument(["shell"], type=click.Choice(("bash", "zsh", "fish"))),
)
