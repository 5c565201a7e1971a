"""``llm-unified export``: the settings for another program, without a secret in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_unified.cli.load import loaded, variables
from llm_unified.cli.output import WrongInputError
from llm_unified.export import env_lines, key_names, litellm_proxy, proxy_notes, render_proxy

if TYPE_CHECKING:
    from llm_unified.cli.output import Output

__all__ = ["run"]


def run(out: Output, config: str | None, *, what: str) -> int:
    """Print the configuration that was asked for."""
    settings = loaded(out, config)
    if what == "env":
        lines = env_lines(settings)
        if out.as_json:
            pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
            out.data({name: value for name, _, value in pairs})
        else:
            out.write("\n".join(lines) + "\n")
        return 0
    environ = variables()
    names = key_names(settings, environ)
    proxy = litellm_proxy(settings, names)
    if not proxy["model_list"]:
        raise WrongInputError(
            "only the embedded model is configured, and that cannot be asked from elsewhere. Set the "
            "key of a provider."
        )
    if out.as_json:
        out.data(proxy)
    else:
        out.write(render_proxy(proxy, proxy_notes(settings, names, environ)).rstrip() + "\n")
    return 0
