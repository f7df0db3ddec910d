"""What a report says besides verdicts: one thing that was seen, how bad it is, what to do."""

from __future__ import annotations

__all__ = ["Finding", "Severity"]

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How bad a finding is, worst first.

    An error means that the hardware or the result cannot be trusted, a warning that something may
    have changed a figure, a note that the machine could be set up better for measuring.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was seen, as a sentence with its figures; ``remedy`` says what to do.

    Both are plain text without a full stop at the end; ``remedy`` may be empty.
    """

    severity: Severity
    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        """All of it in one line."""
        remedy = f"; what to do: {self.remedy}" if self.remedy else ""
        return f"{self.severity.capitalize()}: {self.sentence}{remedy}"
