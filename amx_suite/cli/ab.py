"""``amx-suite ab``: the arms of two builds take turns, so that the machine's noise cancels."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Self

import msgspec

from amx_suite.ab.comparison import BASE, NEW, Comparison, Side, pairs_of, parse_arm
from amx_suite.ab.judge import Report, judge
from amx_suite.ab.measure import LAUNCHES, ROUNDS, Measured, Measurer
from amx_suite.ab.render import render_markdown, render_terminal
from amx_suite.cli import changes, signals
from amx_suite.cli.sides import Sides, engines_of
from amx_suite.core.case import Arm
from amx_suite.core.trial import Trial
from amx_suite.errors import UnknownNameError, UsageError
from amx_suite.host.facts import HostFacts
from amx_suite.host.fingerprint import host_traits
from amx_suite.host.lock import MachineLock
from amx_suite.host.support import detect
from amx_suite.plugin.option_values import whole_number
from amx_suite.plugin.options import Settings, add_options
from amx_suite.plugin.outcome import why_not_usable
from amx_suite.plugin.progress import LiveLine, can_rewrite
from amx_suite.plugin.selection import level_of, trials_of
from amx_suite.trial.design_time import Part, launches_time, load_figures
from amx_suite.trial.interval import CONFIDENCE
from amx_suite.trial.session import TrialSession
from amx_suite.worker.process import IsaWorker
from amx_suite.worker.unit_probe import UnitProbe
from amx_suite.workloads import WORKLOADS
from amx_suite.workloads.base import Inputs

#: More would take hours, and each has a process for each side.
_MOST_LAUNCHES = 100
_OPTIONS = ("level", "engine", "wait", "cores", "seed", "budget", "data", "download", "weights")
_SAME = (
    "both sides are the same: name another Python with --base or --new, another engine with "
    "--base-engine or --new-engine, or another arm with --base-arm or --new-arm; or measure the "
    "noise with --control"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 nothing got worse, 1 something got worse, 2 usage, 3 all that was asked for "
        "needs AMX, which is not usable here, 4 undecided."
    )
    for side in (BASE, NEW):
        parser.add_argument(
            f"--{side}",
            metavar="PYTHON",
            help=f"the Python of the {side} side, or the folder of its virtual environment. "
            "Default: this one.",
        )
    for side in (BASE, NEW):
        parser.add_argument(
            f"--{side}-engine",
            metavar="NAME",
            help=f"the engine of the {side} side. Default: that of --engine.",
        )
        parser.add_argument(
            f"--{side}-arm",
            metavar="ARM",
            help=f"the only arm of the {side} side, such as bf16@amx. Default: that of the other "
            "side, else every arm.",
        )
    parser.add_argument(
        "--workload",
        metavar="NAME",
        action="append",
        help="a model, or one with its mode, such as bert-inference; repeatable. Default: all of "
        "the level.",
    )
    parser.add_argument(
        "--control",
        action="store_true",
        help="time the base against itself, too, and say what a change must exceed",
    )
    parser.add_argument(
        "--launches",
        metavar="N",
        default=str(LAUNCHES),
        help=f"launches of each comparison, in fresh processes; more of them find smaller changes. "
        f"Default: {LAUNCHES}.",
    )
    changes.declare(parser)
    add_options(parser.add_argument, "", _OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    """Compare the sides, print the table, and write the files that were asked for."""
    margin = changes.margin_of(arguments)
    settings = Settings.read(arguments)
    launches = whole_number(LAUNCHES, _MOST_LAUNCHES)(arguments.launches, "--launches")
    sides = Sides.read(arguments)
    engines = engines_of(arguments, settings, sides)
    comparisons = _comparisons(arguments, settings, sides, engines)
    changes.check_files(arguments)
    for model, weights in settings.weights:
        WORKLOADS[model].check_weights(weights)
    facts, support = detect()
    lacking = {c.name: c for c in comparisons if _needs_amx(c) and not support.usable}
    measurable = [c for c in comparisons if c.name not in lacking]
    measured: list[Measured] = []
    quiet = changes.goes_to_stdout(arguments)
    started, ended_by = datetime.now(UTC).isoformat(timespec="seconds"), ""
    with _Progress(measurable, settings, launches, quiet=quiet) as progress:
        measurer = _measurer(settings, sides, facts, progress, launches)
        if measurable:
            with MachineLock().acquire(settings.wait, progress.say):
                ended_by = _measure(measurer, measurable, sides, facts)
        measured = measurer.measured
    signals.only_results_are_left()
    judged = judge(measured, margin)
    without_amx = dict.fromkeys(lacking, why_not_usable(support))
    base, new = (
        Side(python.path, python.version, python.packages, ", ".join(dict.fromkeys(names)))
        for python, names in zip(
            (sides.by_name[BASE], sides.by_name[NEW]), zip(*engines, strict=True), strict=True
        )
    )
    report = Report(
        base,
        new,
        started,
        host_traits(facts),
        margin,
        CONFIDENCE,
        judged.spread,
        judged.pairs,
        skipped={**judged.skipped, **without_amx},
        lacks_amx=bool(lacking) and not measurable,
        ended_by=ended_by,
        launches=launches,
    )
    changes.publish(arguments, report, render_terminal, render_markdown)
    return report.exit_code


def _comparisons(
    arguments: argparse.Namespace,
    settings: Settings,
    sides: Sides,
    engines: Sequence[tuple[str, str]],
) -> list[Comparison]:
    """What to compare; raises UsageError where there is nothing, or the sides are the same."""
    base_arm, new_arm = (
        parse_arm(text, f"--{side}-arm") if (text := getattr(arguments, f"{side}_arm")) else None
        for side in (BASE, NEW)
    )
    other_arm = base_arm is not None and new_arm is not None and base_arm != new_arm
    other_engine = any(base != new for base, new in engines)
    if sides.same and not other_engine and not other_arm and not arguments.control:
        raise UsageError(_SAME)
    found = [
        comparison
        for base_engine, new_engine in engines
        for base, new in zip(
            _trials(arguments, settings, base_engine),
            _trials(arguments, settings, new_engine),
            strict=True,
        )
        for comparison in pairs_of(
            base, new, base_arm=base_arm, new_arm=new_arm, control=arguments.control
        )
    ]
    if not found:
        named = " and ".join(f"{a.precision}@{a.isa}" for a in (base_arm, new_arm) if a)
        raise UsageError(
            f"no workload of level {settings.level} has the arms {named or '(any)'} on this CPU; "
            "amx-suite list shows those that there are"
        )
    return found


def _trials(arguments: argparse.Namespace, settings: Settings, engine: str) -> list[Trial]:
    """The level's trials, without those of the levels below where it has its own."""
    every = trials_of(msgspec.structs.replace(settings, engines=(engine,)))
    own = [trial for trial in every if level_of(trial) == settings.level] or list(every)
    known = {name for t in every for name in (t.workload.model, str(t.workload))}
    for name in arguments.workload or ():
        if name not in known:
            raise UnknownNameError(f"workload of level {settings.level}", name, known)
    if arguments.workload:
        wanted = set(arguments.workload)
        return [t for t in every if wanted & {t.workload.model, str(t.workload)}]
    return own


def _needs_amx(comparison: Comparison) -> bool:
    return comparison.base.isa.allows_amx or comparison.new.isa.allows_amx


def _measure(
    measurer: Measurer, comparisons: Sequence[Comparison], sides: Sides, facts: HostFacts
) -> str:
    """Measure all, but what a side cannot run; the signal that ended it early, else empty."""
    try:
        for comparison in comparisons:
            missing = dict(_missing(comparison, sides, facts))
            if missing:
                measurer.measured.append(Measured(comparison, missing=missing))
            else:
                measurer.measure(comparison)
    except KeyboardInterrupt as interrupt:
        return str(interrupt) or "SIGINT"
    return ""


def _missing(comparison: Comparison, sides: Sides, facts: HostFacts) -> Iterator[tuple[str, str]]:
    """The ids of the arms that a side cannot run, with the reasons."""
    for arm in (comparison.base, comparison.new):
        reason = sides.why_not(arm)
        flags = facts.cpuinfo.flags
        if reason is None and flags and not arm.isa.runs_on(flags):
            lacking = ", ".join(flag for flag in arm.isa.spec.cpu_flags if flag not in flags)
            reason = f"this CPU lacks {lacking}"
        if reason is not None:
            yield arm.id, reason


def _measurer(
    settings: Settings, sides: Sides, facts: HostFacts, progress: _Progress, launches: int
) -> Measurer:
    cpus, inputs = settings.instance.cpus, _inputs(settings)

    def start(case: Arm) -> IsaWorker:
        python = sides.other(case.side)
        return IsaWorker(case.isa, case.engine, cpus=cpus, label=case.id, python=python)

    def open_session(trial: Trial) -> TrialSession:
        return TrialSession(
            trial,
            (),
            start=start,
            start_probe=lambda: UnitProbe(cpus),
            host=host_traits(facts),
            cpus=cpus,
            budget_seconds=settings.budget_of(level_of(trial)),
            inputs=inputs,
            reference=None,
            rounds=ROUNDS,
            show=progress.show,
        )

    return Measurer(
        open_session,
        start,
        inputs,
        same_build=sides.same,
        launches=launches,
        begin=progress.begin,
    )


def _inputs(settings: Settings) -> Inputs:
    return Inputs(None if settings.data is None else str(settings.data), settings.download)


class _Progress:
    """A live line on a terminal, else a line for each launch; to standard error if ``quiet``."""

    def __init__(
        self, comparisons: Sequence[Comparison], settings: Settings, launches: int, *, quiet: bool
    ) -> None:
        self._comparisons = comparisons
        self._settings = settings
        self._launches = launches
        self._stream = sys.stderr if quiet else sys.stdout
        self._is_live = not quiet and can_rewrite(sys.stdout.isatty())
        self._line = LiveLine()
        self._launch = ""
        if comparisons:
            count = f"{len(comparisons)} comparison{'s' * (len(comparisons) > 1)}"
            self.say(
                f"amx-suite: {count}, {launches} launches of at most {ROUNDS} rounds each, about "
                f"{self._time(comparisons)} by design"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.clear()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._line.clear()
        print(text, file=self._stream, flush=True)

    def begin(self, comparison: Comparison, number: int) -> None:
        """Say which launch begins."""
        place = self._comparisons.index(comparison)
        self._launch = f"launch {number + 1} of {self._launches}"
        if number == 0:
            left = self._time(self._comparisons[place:])
            where = f"comparison {place + 1} of {len(self._comparisons)}"
            self.say(f"{where}: {comparison.name} {comparison.base.shape}, about {left} left")
        elif not self._is_live:
            self.say(f"  {self._launch}")

    def show(self, text: str, *, seldom: bool = False, keep: bool = False) -> None:
        """What a session shows; ``seldom`` is for the live line alone."""
        if keep:
            self.say(text)
        elif self._is_live:
            self._line.show(f"{self._launch}: {text}")

    def _time(self, comparisons: Sequence[Comparison]) -> str:
        trials = [comparison.trial() for comparison in comparisons]
        parts = [Part(trial, self._settings.budget_of(level_of(trial))) for trial in trials]
        return str(launches_time(parts, load_figures(), launches=self._launches, rounds=ROUNDS))
