"""`llm-unified report`: one page from the lines of a watch or of a log, whatever else is in the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llm_unified.cli import main
from tests import browser

NAMES = ("openai", "groq", "anthropic")
EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


def rounds(
    count: int = 120, *, names: tuple[str, ...] = NAMES, down: range = range(0)
) -> list[dict[str, Any]]:
    """A watch of so many rounds, half a minute apart; the first provider is down for some of them."""
    found = []
    for number in range(count):
        rows = {
            name: {
                "up": not (name == names[0] and number in down),
                "ms": 100.0 + 50 * place + number % 7,
                "tokens": 10 * (number + 1),
                "cost_usd": 0.001 * (number + 1),
                "problem": "server, HTTP 500" if name == names[0] and number in down else None,
            }
            for place, name in enumerate(names)
        }
        at = f"2026-11-25T{9 + number // 120:02}:{number // 2 % 60:02}:{number % 2 * 30:02}+01:00"
        answers = names[1] if number in down else names[0]
        found.append(
            {
                "round": number,
                "time": at,
                "chain": list(names),
                "answers": answers,
                "providers": rows,
            }
        )
    return found


def event(name: str, second: int, **fields: Any) -> dict[str, Any]:
    return {"event": name, "timestamp": f"2026-11-25T09:00:{second:02}Z", **fields}


LOG = [
    event(
        "call_answered",
        1,
        provider="openai",
        seconds=0.5,
        prompt_tokens=20,
        completion_tokens=10,
        cost_usd=0.01,
    ),
    event("call_answered", 2, provider="openai", seconds=0.7),
    event("attempt_failed", 2, provider="openai", kind="server", status=500, seconds=0.1),
    event("fallback", 3, wanted="openai", answered="groq", attempts=2, seconds=0.3),
    event("call_answered", 3, provider="groq", seconds=0.2, prompt_tokens=20, cost_usd=0.002),
    event("provider_misconfigured", 4, provider="groq", kind="auth", status=401, seconds=0.1),
    event("request_started", 5, path="/"),
]


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Write these lines, run the command: (page, output, remarks)."""

    def run(lines: list[Any], *options: str) -> tuple[str, str, str]:
        file = tmp_path / "providers.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        file.write_text("\n".join(texts), "utf-8", errors="surrogatepass")
        assert main(["report", str(file), *options]) == 0
        said = capsys.readouterr()
        return (tmp_path / "providers.html").read_text("utf-8"), said.out, said.err

    return run


def test_a_watch_becomes_one_page_that_needs_nothing_else(report: Any) -> None:
    """Everything is inside; the verdict, the figures and the outage are in words."""
    page, out, err = report(rounds(down=range(100, 120)))
    assert out.rstrip().endswith("providers.html")
    assert err == ""
    assert not re.search(r"<(script|link|img|iframe|object)|url\(|@import|https?:", page)
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert "openai has failed since" in page
    assert "Calls go to groq." in page
    for words in ("83.33 %", "9 min 30 s", "$0.36", "3,600", "20"):
        assert words in page, words


def test_a_log_becomes_a_page_too(report: Any) -> None:
    """structlog's JSON lines: answers, failures, fallbacks; other programs' events are counted apart."""
    page, _, err = report(LOG)
    assert err == ""
    assert "server, HTTP 500" in page
    assert "groq has failed since" in page
    assert "Events of another kind: 1." in page
    assert "$0.012" in page


def test_a_log_of_failures_only_is_no_outage(report: Any) -> None:
    """Above level debug answers are not logged: the page says so, and claims no availability."""
    page, _, _ = report([line for line in LOG if line["event"] != "call_answered"])
    assert "This log tells of failures only." in page
    assert "has failed since" not in page
    assert "<b>–</b><span>answered</span>" in page


def test_lines_that_say_nothing_are_counted_and_named(report: Any) -> None:
    """Not one of them is fatal, and the first ones are named with their number and the reason."""
    bad = [
        "{",
        "[1]",
        '{"a": 1}',
        '{"event": "attempt_failed"}',
        '{"providers": {"x": 1}, "time": "2026-11-25T09:00:00Z"}',
        '{"providers": {}, "time": "yesterday"}',
        "[" * 5000,
        '{"providers": {}, "time": 1e999}',
        "x" * 200_000,
        "1" * 10_000,
    ]
    page, out, err = report([*rounds(3), *bad], "--json")
    found = json.loads(out)
    assert (found["lines"], found["bad"]["lines"]) == (13, 10)
    assert found["bad"]["first"][0] == {"line": 4, "why": "not JSON"}
    assert len(found["bad"]["first"]) == 8
    assert err == ""
    assert "10 of them say nothing (line 4: not JSON; line 5: not a JSON object;" in page
    assert "and 2 more" in page


def test_nothing_of_the_file_gets_into_the_page_as_html(report: Any) -> None:
    """Names, problems and moments are escaped; control characters and lone surrogates do not break it."""
    lines = rounds(5, names=(EVIL, "a\x00\x1b[31m\u202e", "b\ud800"), down=range(5))
    lines[0]["providers"][EVIL]["problem"] = EVIL
    page, _, _ = report(lines)
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"[\x00\x1b\u202e]", page)


@pytest.mark.parametrize(
    "change",
    [
        {"ms": 1e308, "tokens": 1e308, "cost_usd": 1e308},
        {"ms": -1, "tokens": "many", "cost_usd": None},
        {"ms": 0, "tokens": 0, "cost_usd": 0},
    ],
    ids=["huge", "wrong", "zero"],
)
def test_absurd_figures_are_drawn_all_the_same(report: Any, change: dict[str, Any]) -> None:
    """Nothing in a figure ends the command."""
    lines = rounds(3)
    lines[1]["providers"]["openai"].update(change)
    lines[2]["time"] = "9999-12-31T23:59:59Z"
    lines[0]["time"] = "0001-01-01T00:00:00Z"
    page, _, _ = report(lines)
    assert "nan" not in page.lower().replace("finance", "")


def test_a_second_watch_in_the_same_file_starts_its_sums_anew(report: Any) -> None:
    """`--json >> file` twice: tokens and costs of both count."""
    page, _, _ = report([*rounds(10), *rounds(10)])
    assert "<b>600</b><span>tokens</span>" in page


def test_only_so_many_providers_are_drawn(report: Any) -> None:
    """A foreign file of ten thousand names makes no page of ten thousand rows."""
    page, _, _ = report(rounds(2, names=tuple(f"p{number}" for number in range(300))))
    assert "288 providers that were asked least are not shown." in page
    assert len(page) < 100_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jsonl"], "No such file"),
        (["."], "directory"),
        (["empty.jsonl"], "nothing to draw: none of its 0 lines"),
        (["other.jsonl"], "line 1: not JSON"),
        (["good.html"], "this is the file to read"),
        (["good.jsonl", "-o", "no/where.html"], "--output no/where.html: No such file"),
    ],
)
def test_what_cannot_be_read_or_written_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    """Exit code 2, one line, the next step."""
    monkeypatch.chdir(tmp_path)
    good = "\n".join(map(json.dumps, rounds(2)))
    for name, text in (
        ("empty.jsonl", ""),
        ("other.jsonl", "x"),
        ("good.html", good),
        ("good.jsonl", good),
    ):
        Path(name).write_text(text)
    assert main(["report", *arguments]) == 2
    assert words in capsys.readouterr().err


MEASURE = """(d, w) => {
  const shapes = [...d.querySelectorAll("svg rect, svg path:not(.grid)")];
  const seen = shapes.filter(s => { const b = s.getBoundingClientRect(); return b.width + b.height > 1; });
  const plots = [...d.querySelectorAll("figure")].filter(f => f.querySelector("svg"));
  const edge = d.documentElement.clientWidth;
  return {
    wide: edge,
    overflow: d.documentElement.scrollWidth - edge,
    outside: [...d.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > edge + 1).length,
    plots: plots.map(f => f.id),
    empty: plots.filter(f => !seen.some(s => f.contains(s))).map(f => f.id),
    heights: plots.map(f => f.querySelector("svg").getBoundingClientRect().height),
    back: getComputedStyle(d.body).backgroundColor,
    hidden: [...d.querySelectorAll("h1, h2, b")].filter(e => !e.getBoundingClientRect().width && e.textContent).length,
  };
}"""


@pytest.mark.skipif(browser.missing(), reason=browser.HOW)
@pytest.mark.parametrize("lines", [rounds(down=range(40, 70)), LOG], ids=["watch", "log"])
def test_a_real_browser_draws_every_plot_on_a_phone_and_on_a_desk(report: Any, lines: Any) -> None:
    """Availability, latency, fallbacks, cost and failures are drawn; at 390 and 1280 pixels nothing sticks out."""
    page, _, _ = report(lines)
    for dark in (False, True):
        for found, width in zip(
            browser.measured(page, (390, 1280), MEASURE, dark=dark), (390, 1280), strict=True
        ):
            assert found["wide"] == width
            assert found["plots"] == ["availability", "latency", "fallbacks", "cost", "failures"]
            assert (found["empty"], found["overflow"], found["outside"], found["hidden"]) == (
                [],
                0,
                0,
                0,
            )
            assert min(found["heights"]) >= 20
            brightness = sum(map(int, re.findall(r"\d+", found["back"])))
            assert (brightness < 150) is dark
