"""The shape of a vendor fact: under which signs a vendor's refusal is of which kind."""

from __future__ import annotations

import re
from collections.abc import Container
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Literal, get_args

from llm_unified.response import FailureKind

__all__ = ["EVERY_VENDOR", "SUCCESS", "Vendor", "VendorFact"]

Vendor = Literal["openai", "azure", "groq", "anthropic", "other"]
"""Who speaks: the wire protocol of the provider. Any compatible server may stand behind ``"openai"``."""

EVERY_VENDOR: Final[frozenset[str]] = frozenset(get_args(Vendor))
SUCCESS: Final = range(200, 300)
"""Statuses of an answer that promised well and holds an error: an event of a stream, or a whole body."""


@dataclass(frozen=True, slots=True)
class VendorFact:
    """One row: all signs that it names must be there. ``None`` and an empty set ask for nothing."""

    kind: FailureKind
    source: str
    """Where it is published, or ``"reported: owner/repository#number"``."""
    vendors: frozenset[str] = EVERY_VENDOR
    status: Container[int] | None = None
    codes: frozenset[str] = frozenset()
    """In the vendor's spelling; one of them stands in a code or type field. Case does not matter."""
    text: re.Pattern[str] | None = None
    """Searched in the message, where the vendor gives no code. Linear in the message's length, and
    anchored (``\\A``) wherever the kind cools down a key: a message may quote the prompt."""
    param: re.Pattern[str] | None = None
    says: str = ""
    """What it means, in a few words of ours, where no code of the vendor says it."""

    def matches(
        self, vendor: str, status: int, codes: AbstractSet[str], message: str, param: str | None
    ) -> bool:
        """Say whether a refusal shows every sign of this row. ``codes`` are in lower case."""
        return (
            vendor in self.vendors
            and (self.status is None or status in self.status)
            and (not self.codes or any(code.lower() in codes for code in self.codes))
            and (self.text is None or self.text.search(message) is not None)
            and (self.param is None or (param is not None and self.param.search(param) is not None))
        )
