"""Figures as people read them."""

from __future__ import annotations

from typing import Final

__all__ = ["count", "duration", "money", "percent", "seconds"]

_DIME: Final = 0.1  # dollars; less needs more digits
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def seconds(value: float | None) -> str:
    """``"120 ms"``, ``"1.2 s"``."""
    if value is None:
        return "–"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms" if value else "0"


def money(value: float) -> str:
    """``"$0.0012"``."""
    return "$0" if value == 0 else f"${value:,.2f}" if value >= _DIME else f"${value:.2g}"


def count(value: float) -> str:
    """``"12,000"``."""
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def percent(share: float | None) -> str:
    """``"99.9 %"``; never 100 % where something failed."""
    if share is None:
        return "–"
    return "100 %" if share == 1 else f"{min(share * 100, 99.99):.4g} %"


def duration(value: float) -> str:
    """``"2 h 5 min"``."""
    parts = []
    for length, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s")):
        number, value = divmod(value, length)
        if number:
            parts.append(f"{number:.0f} {name}")
    return " ".join(parts[:2]) or "0 s"
