"""How close a result came to its reference: one figure against its limit."""

from __future__ import annotations

__all__ = ["Agreement", "Threshold", "worst"]

import math
from collections.abc import Iterable

import msgspec


class Threshold(msgspec.Struct, frozen=True):
    """A limit and its source."""

    value: float
    source: str


class Agreement(msgspec.Struct, frozen=True):
    """A judgement: the figure and its limit, both in ``unit``, which is ``dB`` or empty.

    ``figure`` is None where the arrays could not be trusted or it is not finite; ``note`` then says
    why. It must be ``at_least`` the limit, or else at most.
    """

    measure: str
    passed: bool
    figure: float | None
    limit: Threshold
    at_least: bool = False
    unit: str = ""
    note: str = ""

    @property
    def figure_text(self) -> str:
        """The figure with its unit and the note, or the note alone where there is none."""
        figure = "" if self.figure is None else f"{self.figure:.5g} {self.unit}".rstrip()
        return ", ".join(filter(None, (figure, self.note)))

    @property
    def limit_text(self) -> str:
        """Such as ``at least 30 dB``."""
        side = "at least" if self.at_least else "at most"
        return f"{side} {self.limit.value:g} {self.unit}".rstrip()

    @property
    def sentence(self) -> str:
        """One line for an assertion message or a report."""
        verdict = "passes" if self.passed else "fails"
        return (
            f"{self.measure} {verdict} with {self.figure_text} against {self.limit_text} "
            f"({self.limit.source})"
        )

    @property
    def share_of_allowed(self) -> float:
        """The error over the largest that the limit allows: above 1 fails, near 1 is close.

        The error that a signal-to-noise ratio of d dB stands for is 10^(-d/20) of the signal; what
        else must reach a limit is a share or a cosine, of which 1 is without error.
        """
        if self.figure is None:
            return 0.0 if self.passed else math.inf
        error, allowed = self.figure, self.limit.value
        if self.unit == "dB":
            return float(10 ** ((allowed - error) / 20))
        if self.at_least:
            error, allowed = 1 - error, 1 - allowed
        if allowed > 0:
            return error / allowed
        return math.inf if error > allowed else 0.0


def worst(agreements: Iterable[Agreement]) -> tuple[Agreement, ...]:
    """Of each measure with each limit the one that is the closest to failing, or failed most."""
    found: dict[tuple[str, Threshold], Agreement] = {}
    for each in agreements:
        key = each.measure, each.limit
        if key not in found or each.share_of_allowed > found[key].share_of_allowed:
            found[key] = each
    return tuple(found.values())
