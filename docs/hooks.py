"""What MkDocs asks while it builds the site: the generated parts of pages, and pages that the nav leaves to us."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generated

LEAD_AWAY: dict[str, str] = {}
ROOT = Path(__file__).parent.parent
FILE = re.compile(r"<!-- file: ([\w.]+) -->")
LINK = re.compile(r"\[([^\]\n]+)\]\((?!https?:|#)([^)\s]+)\)")
PART = re.compile(r"<!-- generated: (\w+) .*?-->")


def on_config(config: Any) -> Any:
    """Fill up the navigation: an adapter's page needs no line in mkdocs.yml."""
    docs = Path(config.docs_dir)
    adapters = next(part["Integrations"] for part in config.nav if "Integrations" in part)
    adapters += [page.relative_to(docs).as_posix() for page in docs.glob("integrations/*.md")]
    adapters.sort()
    config.nav = [part for part in config.nav if all(part.values())]
    return config


def _on_site(link: re.Match[str]) -> str:
    """A link from the repository's root, as it is from a page; what is no page is named only."""
    path, _, anchor = link[2].partition("#")
    page = path.removeprefix("docs/") if path.startswith("docs/") else path.lower()
    if not (ROOT / "docs" / page).is_file():
        return link[1]
    return f"[{link[1]}]({page}{'#' if anchor else ''}{anchor})"


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Docstrings speak a little of reStructuredText; note where a page leads away from the site."""
    for link in re.findall(r'href="(https?://[^"]+)"', html):
        LEAD_AWAY.setdefault(link, page.file.src_uri)
    html = re.sub(r":(?:class|attr|meth|func|mod|exc):(?=<code>)", "", html)
    return html.replace("::</p>", ":</p>")


def on_post_build(config: Any) -> None:
    """List the links to other hosts, for whoever wants to try them; nothing here fetches one."""
    lines = (f"{link}  {page}\n" for link, page in sorted(LEAD_AWAY.items()))
    (Path(config.site_dir) / "external-links.txt").write_text("".join(lines), "utf-8")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put files of the repository in, and tables that are read off the code."""
    markdown = FILE.sub(
        lambda file: LINK.sub(_on_site, (ROOT / file[1]).read_text("utf-8")), markdown
    )
    return PART.sub(lambda part: generated.PARTS[part[1]](), markdown)
