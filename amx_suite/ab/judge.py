"""The verdicts on what was measured, from stored values alone.

Proof comes before speed: a new side that is no longer proven to run its kernels is worse, however
fast. Then the rule of ``history.change`` holds, with the speed of new over base in each launch. A
control's launches help to measure the spread, because they are launches of the same thing.
"""

from __future__ import annotations

__all__ = ["Judged", "Pair", "Report", "judge"]

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from amx_suite.ab.comparison import Side
from amx_suite.ab.kernels import kernel_shares, what_changed
from amx_suite.ab.measure import LAUNCHES, Ended, Measured
from amx_suite.ab.numbers import Accuracy
from amx_suite.core.case import Arm
from amx_suite.core.evidence import Evidence
from amx_suite.core.gate import DEFAULT_AMX_SHARE
from amx_suite.core.measurement import Measurement
from amx_suite.core.run import ExitCode, exit_code
from amx_suite.core.verdict import Decision, Speedup, Verdict
from amx_suite.history.change import (
    Change,
    Estimate,
    Spread,
    change_over,
    spread_between,
    verdict_on,
)
from amx_suite.trial.interval import paired_speedup
from amx_suite.trial.unproven import why_beyond_ceiling, why_unproven

#: Raised whenever a written report changes its meaning or layout.
_SCHEMA_VERSION = 1
#: Launches without which nothing is decided: two give only one difference.
_LEAST_LAUNCHES = 3
_TOO_WIDE = (
    "the interval is too wide to tell a change from none; take more launches with --launches, or "
    "run it where it is quieter"
)


class Pair(msgspec.Struct, frozen=True):
    """One comparison: how the speed of new over base changed, and what both sides ran.

    ``ratio`` is below 1 where new is slower, with its interval ``low`` to ``high``.
    ``base_seconds`` and ``new_seconds`` are medians of a step. ``control`` is the base over itself,
    and ``noise`` the share that a change must exceed here, whatever the margin: both None without a
    control.
    Each is None where it was not measured. ``kernels`` says how the kernels changed, empty if they
    did not; ``launches`` are the raw rounds.
    """

    name: str
    change: Change
    reason: str
    base_seconds: float | None = None
    new_seconds: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    control: Estimate | None = None
    noise: float | None = None
    kernels: str = ""
    accuracy: Accuracy | None = None
    launches: tuple[Measurement, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """A whole run.

    ``skipped`` are the comparisons that a side cannot run, by name, with the reasons;
    ``lacks_amx`` says that all of these lack AMX. ``margin`` is the share that a change must
    exceed, ``launches`` how many were asked for, ``ended_by`` the signal that ended the run early,
    empty if none did.
    """

    base: Side
    new: Side
    started: str
    machine: dict[str, str]
    margin: float
    confidence: float
    spread: Spread
    pairs: tuple[Pair, ...]
    skipped: dict[str, str] = {}
    lacks_amx: bool = False
    ended_by: str = ""
    launches: int = LAUNCHES
    schema_version: int = _SCHEMA_VERSION

    @property
    def failed_accuracy(self) -> int:
        """How many comparisons failed in what they compute."""
        return self._with(Verdict.FAIL)

    @property
    def exit_code(self) -> ExitCode:
        """FAILED if something is worse, UNDECIDED if it may be or nothing was measured, else OK."""
        found = {pair.change for pair in self.pairs}
        decided = found and found.isdisjoint({Change.INCONCLUSIVE, Change.VANISHED})
        return exit_code(
            failed=Change.WORSE in found or self.failed_accuracy > 0,
            not_usable=not found and self.lacks_amx and not self.ended_by,
            undecided=not decided or bool(self.ended_by) or self._with(Verdict.INCONCLUSIVE) > 0,
        )

    def _with(self, verdict: Verdict) -> int:
        found = (pair.accuracy for pair in self.pairs)
        return sum(each is not None and each.verdict is verdict for each in found)


class Judged(NamedTuple):
    """The spread between launches of a run, its verdicts, and why others were skipped."""

    spread: Spread
    pairs: tuple[Pair, ...]
    skipped: dict[str, str]


class _Ratios(msgspec.Struct, frozen=True):
    """Speed of a candidate over its baseline: by launch, and over all rounds together."""

    launches: tuple[Speedup, ...]
    rounds: Speedup | None

    @property
    def enough(self) -> bool:
        """Whether they have an interval."""
        has_interval = self.rounds is not None and self.rounds.low is not None
        return len(self.launches) >= _LEAST_LAUNCHES and has_interval

    def change(self, spread: Spread) -> Estimate:
        """With ``enough`` of them."""
        assert self.rounds is not None
        return change_over(self.launches, self.rounds, spread)


def judge(found: Sequence[Measured], margin: float) -> Judged:
    """Judge all comparisons of a run together."""
    skipped = {each.comparison.name: why for each in found if (why := _why_skipped(each))}
    measured = [each for each in found if each.comparison.name not in skipped]
    ratios = [_ratios(each, each.comparison.new) for each in measured]
    controls = [_control(each) for each in measured]
    samples = [each.launches for each in (*ratios, *controls) if each is not None and each.enough]
    spread = spread_between(samples)
    each = zip(measured, ratios, controls, strict=True)
    return Judged(spread, tuple(_pair(*one, spread, margin) for one in each), skipped)


def _why_skipped(measured: Measured) -> str:
    """Why a side cannot run its arm, where that is no loss; else empty.

    It is a loss where the base has the arm and new had the same one.
    """
    comparison, missing = measured.comparison, measured.missing
    optional = [comparison.base]
    if comparison.base.name != comparison.new.name:
        optional.append(comparison.new)
    return "; ".join(f"{arm.arm}: {missing[arm.id]}" for arm in optional if arm.id in missing)


def _ratios(measured: Measured, candidate: Arm) -> _Ratios:
    both = measured.comparison.base.id, candidate.id
    pairs = [launch.pairs(*both) for launch in measured.launches]
    launches = filter(None, map(paired_speedup, pairs))
    return _Ratios(tuple(launches), paired_speedup([pair for each in pairs for pair in each]))


def _control(measured: Measured) -> _Ratios | None:
    copy = measured.comparison.copy
    return _ratios(measured, copy) if copy else None


def _pair(
    measured: Measured, ratios: _Ratios, control: _Ratios | None, spread: Spread, margin: float
) -> Pair:
    comparison = measured.comparison
    estimate = ratios.change(spread) if ratios.enough else None
    itself = control.change(spread) if control is not None and control.enough else None
    ended = (
        measured.ended
        or _unproven(measured)
        or _noisy(itself, margin)
        or _by_speed(ratios, estimate, margin)
    )
    return Pair(
        name=comparison.name,
        change=ended.change,
        reason=ended.reason,
        base_seconds=_seconds(measured, comparison.base),
        new_seconds=_seconds(measured, comparison.new),
        **(estimate._asdict() if estimate else {}),
        control=itself,
        noise=max(itself.half_width, estimate.half_width) if itself and estimate else None,
        kernels=_kernels(measured),
        accuracy=measured.accuracy,
        launches=measured.launches,
    )


def _unproven(measured: Measured) -> Ended | None:
    """Whether new lacks the arm, or one side is not proven, the base before new."""
    base, new = measured.comparison.base, measured.comparison.new
    if new.id in measured.missing:
        return Ended(Change.VANISHED, f"{new.arm}: {measured.missing[new.id]}")
    for arm, change in ((base, Change.INCONCLUSIVE), (new, Change.WORSE)):
        for launch in measured.launches:
            decision = _why_unproven(arm, launch)
            if decision is not None:
                return Ended(change, f"{decision.verdict}: {decision.reason}; {decision.remedy}")
    return None


def _why_unproven(arm: Arm, launch: Measurement) -> Decision | None:
    if arm.id in launch.beyond_ceiling:
        return why_beyond_ceiling(arm, launch.beyond_ceiling[arm.id])
    evidence = _evidence(launch, arm)
    return None if evidence is None else why_unproven(arm, evidence, DEFAULT_AMX_SHARE)


def _noisy(control: Estimate | None, margin: float) -> Ended | None:
    """A control that finds a difference where there is none makes every other one doubtful."""
    if control is None or verdict_on(control, margin) not in (Change.WORSE, Change.BETTER):
        return None
    return Ended(
        Change.INCONCLUSIVE,
        f"the control found {control.ratio - 1:+.1%} between the base and itself, so this run "
        "cannot tell a change from noise; run it again where it is quieter",
    )


def _by_speed(ratios: _Ratios, estimate: Estimate | None, margin: float) -> Ended:
    if estimate is None:
        rounds = 0 if ratios.rounds is None else ratios.rounds.pairs
        return Ended(
            Change.INCONCLUSIVE,
            f"{len(ratios.launches)} launches were measured, in {rounds} rounds, and "
            f"{_LEAST_LAUNCHES} launches of some rounds are needed; give them more time with "
            "--budget, and let it run to its end",
        )
    change = verdict_on(estimate, margin)
    return Ended(change, _TOO_WIDE if change is Change.INCONCLUSIVE else "")


def _seconds(measured: Measured, arm: Arm) -> float | None:
    series = [seconds for launch in measured.launches for seconds in launch.series(arm.id)]
    return statistics.median(series) if series else None


def _kernels(measured: Measured) -> str:
    """How the kernels changed in the first launch that has the evidence of both."""
    comparison = measured.comparison
    for launch in measured.launches:
        both = [_evidence(launch, arm) for arm in (comparison.base, comparison.new)]
        base, new = (None if each is None else kernel_shares(each) for each in both)
        if base is not None and new is not None:
            return what_changed(base, new)
    return ""


def _evidence(launch: Measurement, arm: Arm) -> Evidence | None:
    return next((facts.evidence for facts in launch.arms if facts.case.id == arm.id), None)
