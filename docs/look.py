"""Looks at the built site in a real browser: every page, light and dark, at a desk's and at a phone's width.

    python docs/look.py [--shots FOLDER]

Fails where a page is wider than the window, a picture is missing, a text is too faint to read, or anything is fetched from
another host. The browser is Debian's chromium, or what CHROMIUM names; it reaches nothing but this program.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

DOCS = Path(__file__).resolve().parent
SITE = DOCS.parent / "site"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-default-apps --disable-extensions --mute-audio "
    "--host-resolver-rules=MAP\u00a0*\u00a0~NOTFOUND,EXCLUDE\u00a0127.0.0.1"
)
WAIT_SECONDS = 300.0
SHOTS = ("", "why/", "tutorial/", "howto/failures/", "reference/options/", "reference/service/")
WIDTHS = {"desk": 1280, "phone": 390}


class Site(http.server.SimpleHTTPRequestHandler):
    """The site, the page that looks at it, and where that page says what it saw."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path != "/__look__":
            super().do_GET()
            return
        body = (DOCS / "assets" / "look.html").read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        Server.seen |= json.loads(body)
        Server.told.set()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Where the browser goes."""

    told = threading.Event()
    seen: ClassVar[dict[str, Any]] = {}

    def handle_error(self, *_: Any) -> None:
        """A browser that closes a connection early is none."""


@contextmanager
def served() -> Iterator[Server]:
    """Serve the site on a free port of this machine."""
    server = Server(("127.0.0.1", 0), partial(Site, directory=os.fspath(SITE)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def browser(url: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Open one page in a browser that knows nothing; it ends with the block."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise SystemExit(
            "look: no browser. Debian: `apt-get install chromium`; elsewhere CHROMIUM=… names one."
        )
    flags = [flag.replace("\u00a0", " ") for flag in FLAGS.split(" ")]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [found, *flags, f"--user-data-dir={folder}", *more, url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def pages() -> list[str]:
    """Every page, as the browser asks for it."""
    found = sorted(SITE.rglob("index.html"))
    return [f"/{page.relative_to(SITE).as_posix().removesuffix('index.html')}" for page in found]


def shoot(origin: str, folder: Path) -> None:
    """Take pictures for a person to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in SHOTS:
        for scheme in ("light", "dark"):
            for name, width in WIDTHS.items():
                file = folder / f"{page.strip('/').replace('/', '-') or 'home'}-{scheme}-{name}.png"
                url = f"{origin}/__look__?show=/{page}&width={width}&scheme={scheme}"
                size = f"--window-size={max(width, 500)},1500"
                with browser(url, size, f"--screenshot={file}") as process:
                    process.wait()
                print(file)


def main(arguments: list[str]) -> int:
    looked_at = pages()
    if not looked_at:
        raise SystemExit("look: there is no site; `python3 dev.py docs` builds it.")
    with served() as server:
        origin = f"http://127.0.0.1:{server.server_address[1]}"
        if arguments[:1] == ["--shots"]:
            shoot(origin, Path(arguments[1]))
            return 0
        asked = json.dumps({"pages": looked_at, "widths": list(WIDTHS.values())})
        with browser(f"{origin}/__look__#{asked}", "--window-size=1400,1000"):
            if not server.told.wait(WAIT_SECONDS):
                raise SystemExit(f"look: the browser said nothing for {WAIT_SECONDS:.0f} s")
    seen = Server.seen
    for problem in seen["problems"]:
        print(f"look: {problem}")
    print(f"look: {len(looked_at)} pages, {seen['looks']} looks, {len(seen['problems'])} problems")
    return 1 if seen["problems"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
