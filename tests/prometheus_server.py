"""A real Prometheus on loopback, and a target that it scrapes; for tests and for the dashboard's picture."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

import prometheus_client
import yaml

HOW = "needs the programs prometheus and promtool (Debian: apt-get install prometheus)"
JOB = "llm_unified"
_SECONDS = 60.0  # an honest machine needs less than one


def missing() -> bool:
    return shutil.which("prometheus") is None or shutil.which("promtool") is None


class Target:
    """Serves a registry, and counts the scrapes."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._scrapes = 0
        self._changed = threading.Condition()
        registry.register(self)
        self._server, self._thread = prometheus_client.start_http_server(
            0, addr="127.0.0.1", registry=registry
        )
        self.address = f"127.0.0.1:{self._server.server_port}"

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> list[Any]:
        with self._changed:
            self._scrapes += 1
            self._changed.notify_all()
        return []

    def scraped(self) -> None:
        """Wait until everything that is counted now is in Prometheus: the second scrape from now on begins when the
        first one, which began later than this, has been stored."""
        with self._changed:
            enough = self._scrapes + 2
            assert self._changed.wait_for(lambda: self._scrapes >= enough, _SECONDS)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Prometheus:
    """The program, with a folder of its own."""

    def __init__(self, target: Target, *, every: str = "250ms", rules: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        configuration = {
            "global": {"scrape_interval": every, "evaluation_interval": every},
            "scrape_configs": [
                {"job_name": JOB, "static_configs": [{"targets": [target.address]}]}
            ],
            "rule_files": [str(rules)] if rules else [],
        }
        file = Path(self._folder.name, "prometheus.yml")
        file.write_text(yaml.safe_dump(configuration))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={self._folder.name}/data",
                f"--web.listen-address={self.address}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "Server is ready" in line:
                break
        else:
            raise AssertionError("prometheus did not start")
        self._log = threading.Thread(target=self._process.stderr.read)  # so that it never blocks
        self._log.start()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector that this is now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def series(
        self, expression: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """The vectors that this was, as a matrix."""
        found: list[dict[str, Any]] = self.get(
            "query_range", query=expression, start=start, end=end, step=step
        )["result"]
        return found

    def value(self, expression: str) -> float:
        """Of the only element; 0.0 where there is none."""
        return sum(float(each["value"][1]) for each in self.query(expression))

    def get(self, what: str, **parameters: Any) -> dict[str, Any]:
        """The data of an answer of its HTTP interface."""
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
            return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)
        self._log.join()
        self._process.stderr.close()
        self._folder.cleanup()


def expressions(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """All queries of a Grafana dashboard, ``(panel, query)``, with its variables as Grafana would fill them."""
    return [
        (panel["title"], filled(target["expr"]))
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def filled(expression: str, interval: str = "1m") -> str:
    """The query with ``All`` for each variable."""
    for name, value in (("$__rate_interval", interval), ("$job", ".*"), ("$llm_service", ".*")):
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression
