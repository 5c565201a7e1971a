"""How arguments are read and complaints about them are worded: click, with the next step in every message."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

__all__ = ["PROGRAM", "Command", "Commands", "common", "explained"]
__all__ += ["flag", "provider", "seconds", "tokens", "value"]

PROGRAM: Final = "llm-unified"


class Command(click.Command):
    """A command that explains a word which is one too many."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            asks = any(option.name == "provider" for option in self.params)
            hint = f", did you mean -p {extra[0]}?" if asks else ""
            ctx.fail(f"{extra[0]!r} is one argument too many{hint}")
        return extra


class Commands(click.Group):
    """All commands, in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.commands and not ctx.resilient_parsing:
            near = get_close_matches(name, self.commands, 1)
            hint = (
                f", did you mean {near[0]}?" if near else f". There are {', '.join(self.commands)}"
            )
            ctx.fail(f"there is no command {name!r}{hint}")
        return super().resolve_command(ctx, args)


def explained(error: click.UsageError) -> str:
    """Return what is wrong with the arguments, and the next step."""
    match error:
        case click.NoSuchOption():
            near = error.possibilities
            message = f"there is no option {error.option_name}"
            message += f", did you mean {near[0]}?" if near else ""
        case click.BadParameter(param=click.Parameter() as parameter) if error.message:
            message = f"{max(parameter.opts, key=len)}: {error.message.rstrip('.')}"
        case _:
            message = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx else PROGRAM
    return f"{path}: {message}\nTry `{path} --help`.\n"


def flag(*names: str, text: str, **more: Any) -> click.Option:
    """Return an option without a value."""
    return click.Option(names, is_flag=True, help=text, **more)


def value(*names: str, metavar: str, text: str, **more: Any) -> click.Option:
    """Return an option with a value; a default is shown."""
    shown = more.get("default") is not None
    return click.Option(names, metavar=metavar, help=text, show_default=shown, **more)


def tokens(default: str, text: str, lowest: int = 1) -> click.Option:
    """Return ``--tokens``."""
    kind = click.IntRange(lowest, 4096)
    return value("--tokens", metavar="N", text=text, type=kind, default=default)


def provider(text: str, *, repeat: bool = False) -> click.Option:
    """Return ``-p``."""

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        from llm_unified.providers import PROVIDERS

        return [CompletionItem(name) for name in PROVIDERS if name.startswith(begun)]

    more: dict[str, Any] = {"multiple": repeat, "shell_complete": complete}
    return value("-p", "--provider", metavar="NAME", text=text, **more)


def common() -> tuple[click.Option, click.Option]:
    """Return the options that may stand before a command or after it; they end up in ``ctx.obj``."""

    def keep(ctx: click.Context, option: click.Parameter, given: Any) -> None:
        if given:
            ctx.ensure_object(dict)[option.name] = given

    kept: dict[str, Any] = {"expose_value": False, "callback": keep}
    text = "YAML file  [default: what LLM_CONFIG_FILE names]"
    config = value("--config", metavar="FILE", text=text, type=click.Path(), **kept)
    return config, flag("--json", text="print JSON, for programs", **kept)


def seconds(text: str) -> float:
    """Read a number of seconds."""
    try:
        found = float(text.removesuffix("s"))
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise click.BadParameter("must be a number of seconds above 0")
    return found
