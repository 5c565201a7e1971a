"""``llm-unified completion``: scripts made from the parser, so they never fall behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_unified.cli.parser import build_parser, commands_of, options_of
from llm_unified.providers import PROVIDERS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from llm_unified.cli.output import Output

__all__ = ["run"]

_FILES = ("--config", "--schema")
_PROVIDER = ("-p", "--provider")


def run(options: argparse.Namespace, out: Output) -> int:
    """Print the script of one shell."""
    out.line("\n".join({"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell]()))
    return 0


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Return the options of a command, and the words it may be followed by."""
    found = [text for action in options_of(parser) for text in action.option_strings]
    for action in options_of(parser):
        if (
            not action.option_strings
            and action.choices is not None
            and action.dest != "==SUPPRESS=="
        ):
            found += [str(choice) for choice in action.choices]
    return found


def _bash() -> Iterator[str]:
    parser = build_parser()
    commands = commands_of(parser)
    yield "_llm_unified() {"
    yield "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= item"
    yield "  COMPREPLY=()"
    yield f'  for item in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do case $item in {"|".join(commands)})'
    yield "    command=$item; break;; esac; done"
    slash = "compopt -o filenames 2>/dev/null"  # a folder gets its slash
    yield "  case $before in"
    yield f'    {"|".join(_FILES)}) COMPREPLY=($(compgen -f -- "$word")); {slash}; return;;'
    yield f'    -p|--provider) COMPREPLY=($(compgen -W "{" ".join(PROVIDERS)}" -- "$word")); return;;'
    yield "  esac"
    yield "  local words"
    yield "  case $command in"
    for name, sub in commands.items():
        yield f"    {name}) words={' '.join(_words(sub))!r};;"
    own = [text for action in options_of(parser) for text in action.option_strings]
    yield f"    *) words={' '.join((*own, *commands))!r};;"
    yield "  esac"
    yield '  COMPREPLY=($(compgen -W "$words" -- "$word"))'
    yield '  if [ "$command" = vendor ]; then'
    yield f'    COMPREPLY+=($(compgen -d -- "$word")); {slash}'
    yield "  fi"
    yield "}"
    yield "complete -F _llm_unified llm-unified"


def _zsh() -> Iterator[str]:
    yield "autoload -U +X bashcompinit && bashcompinit"
    yield from _bash()


def _fish() -> Iterator[str]:
    parser = build_parser()
    commands = commands_of(parser)
    alone = f"not __fish_seen_subcommand_from {' '.join(commands)}"
    yield "complete -c llm-unified -f"
    for name, sub in commands.items():
        about = (sub.description or "").split("\n", 1)[0].replace("'", "\\'")
        yield f"complete -c llm-unified -n '{alone}' -a {name} -d '{about}'"
    for name, one in (("", parser), *commands.items()):
        when = f"__fish_seen_subcommand_from {name}" if name else alone
        for text in _words(one):
            if name or text.startswith("-"):
                takes = " -r -F" if text in _FILES else ""
                if text in _PROVIDER:
                    takes = f" -x -a '{' '.join(PROVIDERS)}'"
                kind = f"-l {text[2:]}" if text.startswith("--") else f"-s {text[1:]}"
                what = kind if text.startswith("-") else f"-a {text}"
                yield f"complete -c llm-unified -n '{when}' {what}{takes}"
    yield "complete -c llm-unified -n '__fish_seen_subcommand_from vendor' -a '(__fish_complete_directories)'"
