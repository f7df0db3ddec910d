"""The section of summary.md that holds each arm against what its products could reach here."""

from __future__ import annotations

__all__ = ["RooflineRow", "roofline_blocks", "roofline_rows"]

import statistics
from collections.abc import Sequence

import msgspec

from amx_suite.core.measurement import ArmFacts, Measurement
from amx_suite.core.roofline import Roofline, bytes_in, roofline
from amx_suite.core.trial import TrialResult
from amx_suite.report.markup import plain, table
from amx_suite.report.rows import share_text, trial_title

_HEADER = (
    "arm",
    "operations/byte",
    "attained, 10^12/s",
    "attainable, 10^12/s",
    "attained/attainable",
    "limit",
)

_EXPLANATION = (
    "Attainable is what the roofline model gives the arm's matrix products: each takes the longer "
    "of its operations at the unit's peak and its bytes at the rate at which memory is read. Limit "
    "is which of the two that is for most of the attainable time, with its share of it. It is a "
    "model and not a bound: every operand is taken to come from memory and every result to go "
    "there once, in the arm's own format, so that caches and fused kernels can beat it; and what "
    "is no matrix product is not counted, so that most arms stay below it."
)


class RooflineRow(msgspec.Struct, frozen=True):
    """One arm: operations a byte, what it attained in operations a second, and the model's figures.

    ``intensity`` is None where the arm has no products, ``attained`` also where it had no turn,
    ``attainable`` and all after it where a peak was not read. ``memory_share`` is of the attainable
    seconds.
    """

    arm: str
    intensity: float | None
    attained: float | None
    attainable: float | None
    memory_share: float | None

    @property
    def share(self) -> float | None:
        """Attained over attainable; None where either is."""
        if self.attained is None or self.attainable is None:
            return None
        return self.attained / self.attainable


def roofline_blocks(trials: Sequence[TrialResult]) -> list[str]:
    """A table for each trial of one engine, and what its figures mean."""
    blocks = []
    for trial in (trial for trial in trials if not trial.measurement.engines):
        rows = [_cells(row) for row in roofline_rows(trial.measurement)]
        blocks.append(f"### {plain(trial_title(trial.measurement))}")
        blocks.append(table(_HEADER, rows) if rows else "No arm of this trial ran.")
    return [*blocks, _EXPLANATION] if blocks else ["No trial ran."]


def roofline_rows(measurement: Measurement) -> tuple[RooflineRow, ...]:
    """The rows of a trial, in the order of its arms."""
    return tuple(_row(measurement, facts) for facts in measurement.arms)


def _row(measurement: Measurement, facts: ArmFacts) -> RooflineRow:
    series = measurement.series(facts.case.id)
    operations = facts.operations_per_step
    model = _model(measurement, facts)
    return RooflineRow(
        arm=facts.case.arm,
        intensity=operations / bytes_in(facts.products, facts.case) if operations else None,
        attained=operations / statistics.median(series) if operations and series else None,
        attainable=operations / model.seconds if model else None,
        memory_share=model.memory_share if model else None,
    )


def _model(measurement: Measurement, facts: ArmFacts) -> Roofline | None:
    peaks = measurement.environment.peaks
    return None if peaks is None else roofline(peaks, facts.case, facts.products)


def _cells(row: RooflineRow) -> tuple[str, ...]:
    return (
        row.arm,
        "-" if row.intensity is None else f"{row.intensity:.0f}",
        _rate(row.attained),
        _rate(row.attainable),
        share_text(row.share),
        _limit(row.memory_share),
    )


def _rate(operations_per_second: float | None) -> str:
    return "-" if operations_per_second is None else f"{operations_per_second / 1e12:.3f}"


def _limit(memory_share: float | None) -> str:
    if memory_share is None:
        return "-"
    if memory_share > 0.5:
        return f"memory, {share_text(memory_share)}"
    return f"unit, {share_text(1 - memory_share)}"
