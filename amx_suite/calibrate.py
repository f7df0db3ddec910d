"""``amx-suite calibrate``: this machine's quiet reference, and the suite's proof of itself."""

from __future__ import annotations

__all__ = ["DEFAULT_SECONDS", "DEFAULT_TRIALS", "calibrate", "prove"]

import functools
import sys
from collections.abc import Collection
from typing import TextIO

from amx_suite.calibration.calibrate import calibrate as find_quiet_state
from amx_suite.calibration.calibrate import describe, is_busier
from amx_suite.calibration.prove import Kind, known_trials, proven_case, summarize
from amx_suite.calibration.storage import default_path, load_calibration, save_calibration
from amx_suite.core.case import Mode, Precision, RunCase, Shape
from amx_suite.core.exit_codes import exit_code
from amx_suite.errors import EngineUnavailableError, UsageError
from amx_suite.host import detect, host_traits
from amx_suite.options import Settings
from amx_suite.testing.selection import bound_cpus
from amx_suite.trial.progress import InWords
from amx_suite.worker.messages import SLICE_SECONDS, Prepared
from amx_suite.worker.process import IsaWorker
from amx_suite.worker.unit_probe import UnitProbe
from amx_suite.workloads import workload
from amx_suite.workloads.base import Inputs

#: Some hundred readings, over several spells of a few seconds.
DEFAULT_SECONDS = 60.0
DEFAULT_TRIALS = 10

#: As long as a trial of level 3 may take: proofs are run seldom.
_BUDGET_SECONDS = 240.0


class _Line:
    """How far it is, on one line of a terminal that the next thing said wipes out.

    Nothing is written where the stream is no terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()

    def show(self, text: str, *, seldom: bool = False, keep: bool = False) -> None:
        """Write over the line, if it can be done; ``keep`` makes it a line that stays."""
        if keep:
            self.say(text)
        elif self._live:
            print(f"\r{text}\x1b[K", end="", file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """Write what stays."""
        self.show("")
        print(text, file=self._stream, flush=True)


def calibrate(settings: Settings, seconds: float) -> int:
    """Find and store the quiet state; exit code 0, or 4 if what is stored was taken when quieter.

    Raises NotQuietError if the quiet state was hardly met.
    """
    facts, support = detect()
    machine, threads = host_traits(facts), settings.threads
    place = settings.reference or default_path(machine, threads)
    stored = load_calibration(place, machine, threads) if place.exists() else None
    line = _Line(sys.stdout)
    line.say(f"reading {threads} CPUs for {seconds:g} s ...")
    if not support.usable:
        line.say(f"the tile unit is not read: AMX is not usable here ({support.reason})")
    with _prober(settings) as prober:
        found = find_quiet_state(
            prober,
            seconds,
            machine=machine,
            threads=threads,
            progress=lambda passed: line.show(f"{passed:.0f} of {seconds:g} s"),
        )
    if stored is not None and is_busier(found, stored):
        line.say(
            f"this machine was busier all the while than when the reference in {place} was taken "
            f"({stored.taken}), which is kept; remove the file to start anew"
        )
        return exit_code(undecided=True)
    save_calibration(found, place)
    line.say(describe(found, place))
    return 0


def _shape(model: str) -> Shape:
    """The shape of the model's inference trial of the lowest level."""
    shapes = sorted(
        (level, shape)
        for (mode, level), shape in workload(model).shapes.items()
        if mode is Mode.INFERENCE
    )
    if not shapes:
        raise UsageError(
            f"--model: no level has an inference trial of '{model}' (see amx-suite list); name one "
            "that has"
        )
    return shapes[0][1]


def prove(settings: Settings, trials: int, model: str, kinds: Collection[Kind]) -> int:
    """Run trials of these kinds; exit code 0, 1 after a false verdict, 4 if none was decided.

    Raises UsageError for a model of which no level has an inference trial, and
    EngineUnavailableError where there is no engine to run them with.
    """
    shape = _shape(model)
    if not settings.engines:
        raise EngineUnavailableError("no engine is available here (see amx-suite list)")
    facts, support = detect()
    machine, engine = host_traits(facts), settings.engines[0]
    stored = load_calibration(settings.reference, machine, settings.threads)
    case = proven_case(
        model,
        engine,
        shape,
        threads=settings.threads,
        seed=settings.seed,
        amx=support.usable,
        flags=facts.cpuinfo.flags,
    )
    line = _Line(sys.stdout)
    line.say(f"{case.id}: {', '.join(kinds)}")
    if not support.usable:
        line.say(
            "AMX is not usable here; the method is the same for any arm, so this one has to serve"
        )
    if Kind.SPEEDUP in kinds and case.precision is Precision.FP32:
        line.say(f"{engine} has nothing but FP32 here, so there is no speedup over FP32")
    if stored is None:
        line.say(
            "no quiet reference is stored: quiet is the best state that each trial sees (weaker)"
        )
    found = []
    for done in known_trials(
        case,
        functools.partial(_start, settings),
        functools.partial(_prober, settings),
        trials=trials,
        budget_seconds=settings.budget_seconds or _BUDGET_SECONDS,
        reference=None if stored is None else stored.reference,
        host=machine,
        cpus=bound_cpus(settings.threads),
        kinds=kinds,
        progress=InWords(line.show),
    ):
        found.append(done)
        line.say(
            f"{done.words}: {done.verdict} in {done.seconds:.0f} s after {done.prepare_seconds:.0f}"
            f" s of preparation: {done.reason}"
        )
    line.say(summarize(found))
    return exit_code(
        failed=any(trial.is_false for trial in found),
        undecided=all(trial.is_undecided for trial in found),
    )


class _SlowedWorker(IsaWorker):
    """A worker whose steps are slower by a known share."""

    slowdown = 0.0

    def prepare(
        self,
        case: RunCase,
        inputs: Inputs,
        *,
        slice_seconds: float = SLICE_SECONDS,
        slowdown: float = 0.0,
    ) -> Prepared:
        share = slowdown or self.slowdown
        return super().prepare(case, inputs, slice_seconds=slice_seconds, slowdown=share)


def _start(settings: Settings, case: RunCase, slowdown: float) -> IsaWorker:
    threads = settings.threads
    worker = _SlowedWorker(
        case.isa, case.engine, threads=threads, cpus=bound_cpus(threads), label=case.id
    )
    worker.slowdown = slowdown
    return worker


def _prober(settings: Settings) -> UnitProbe:
    return UnitProbe(bound_cpus(settings.threads))
