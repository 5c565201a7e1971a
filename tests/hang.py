"""How long anything may take before a test calls it hanging. No promise about speed."""

from __future__ import annotations

from typing import Final

HANG_SECONDS: Final = 600.0
