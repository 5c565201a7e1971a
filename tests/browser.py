"""A real browser without a window: measures a page, or photographs it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

HOW: Final = "needs the program chromium (Debian: apt-get install chromium)"
_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
)
_DARK: Final = "--blink-settings=preferredColorScheme=0"
_SECONDS: Final = 120
# Each frame is a page of its own, as wide as it says: a browser's window has a smallest width.
_HARNESS: Final = """<!doctype html><body>{frames}<pre id="measured"></pre><script>
onload = () => {{
  const measure = {measure};
  const frames = [...document.querySelectorAll("iframe")];
  measured.textContent = JSON.stringify(frames.map(f => measure(f.contentDocument, f.contentWindow)));
}};
</script></body>"""


def missing() -> bool:
    return shutil.which("chromium") is None


def _run(page: str, *arguments: str, dark: bool = False) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "page.html")
        file.write_text(page, "utf-8")
        command = [
            "chromium",
            *_FLAGS,
            *([_DARK] if dark else []),
            f"--user-data-dir={folder}/profile",
        ]
        return subprocess.run(
            [*command, *arguments, file.as_uri()],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        ).stdout


def measured(page: str, widths: tuple[int, ...], measure: str, *, dark: bool = False) -> list[Any]:
    """What the JavaScript function ``measure(document, window)`` returns for the page at each width."""
    frames = "".join(
        f'<iframe srcdoc="{html.escape(page)}" style="border:0;width:{width}px;height:4000px"></iframe>'
        for width in widths
    )
    dom = _run(_HARNESS.format(frames=frames, measure=measure), "--dump-dom", dark=dark)
    found = re.search(r'<pre id="measured">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    values: list[Any] = json.loads(html.unescape(found[1]))
    return values


def screenshot(page: str, to: Path, *, width: int) -> None:
    """Photograph the whole page."""
    (height,) = measured(
        page, (width,), "d => Math.ceil(d.querySelector('main').getBoundingClientRect().bottom)"
    )
    _run(page, f"--window-size={width},{height}", f"--screenshot={to}")
