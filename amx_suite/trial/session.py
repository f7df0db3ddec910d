"""A trial as it runs: prepare all arms, take turns in rounds, gather evidence, judge."""

from __future__ import annotations

__all__ = ["TrialSession"]

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from amx_suite.core.case import Arm, Mode
from amx_suite.core.evidence import Evidence
from amx_suite.core.gate import DEFAULT_AMX_SHARE, Gate
from amx_suite.core.measurement import Environment, Measurement, Round
from amx_suite.core.peaks import Peaks
from amx_suite.core.precision import Precision
from amx_suite.core.quiet import Reference
from amx_suite.core.trial import Trial, TrialResult
from amx_suite.core.verdict import Decision
from amx_suite.errors import (
    CeilingIgnoredError,
    ChildError,
    MachineChangedError,
    NotApplicableError,
    OutputError,
)
from amx_suite.host.limits import throttled_seconds
from amx_suite.host.standstill import suspended_seconds
from amx_suite.trial.decide import ROUNDS, gates_of, judge, speaks_against
from amx_suite.trial.interval import paired_speedup
from amx_suite.trial.measure import Launch
from amx_suite.trial.pool import StartWorker, WorkerPool, available_bytes, place
from amx_suite.trial.unproven import why_unproven
from amx_suite.workloads.base import Inputs

if TYPE_CHECKING:
    from amx_suite.worker.unit_probe import UnitProbe

#: With less of its memory on its own NUMA node an arm waits for the way to another one.
_LEAST_MEMORY_SHARE = 0.95


class TrialSession:
    """One trial's workers and what they measured.

    ``budget_seconds`` is for the rounds of one launch (``trial.decide``), without the preparation.
    A launch takes so many ``rounds``. ``reference`` is what quiet means here, and only quiet rounds
    count; without one all count, and speed is not judged. ``show`` gets a line of progress, between
    slices only; ``seldom=True`` marks lines that come often, ``keep=True`` those that the report
    repeats.
    """

    def __init__(
        self,
        trial: Trial,
        gates: Sequence[Gate],
        *,
        start: StartWorker,
        start_probe: Callable[[], UnitProbe],
        host: dict[str, str],
        cpus: tuple[int, ...],
        peaks: Peaks | None = None,
        budget_seconds: float,
        inputs: Inputs,
        reference: Reference | None,
        rounds: int = ROUNDS,
        checkpoints: Path | None = None,
        show: Callable[..., None] = lambda text, **marks: None,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], int] = available_bytes,
        throttled: Callable[[], float] = throttled_seconds,
        suspended: Callable[[], float] = suspended_seconds,
    ) -> None:
        self.trial = trial
        self.arms = trial.arms
        self._judged = gates_of(trial, gates)
        self._host = host
        self._cpus = cpus
        self._peaks = peaks
        self._budget = budget_seconds
        self._checkpoints = checkpoints
        self._show = show
        self._reference = None if reference is None else reference.only(trial.units)
        self._wanted = rounds
        self._pool = WorkerPool(start, start_probe, inputs, memory, throttled, suspended, clock)
        self._rounds: list[Round] = []
        self._notes: list[str] = []
        self._outputs: dict[str, Any] = {}
        self._losses: dict[tuple[Arm, int, int], Any] = {}
        self._started = ""
        self._result: TrialResult | None = None
        self._failure: BaseException | None = None

    def result(self) -> TrialResult:
        """The trial's result, measured on the first call.

        An error of the first call is raised again by each later one: every test of a broken trial
        reports it, and none starts the trial anew.
        """
        if self._failure is not None:
            raise self._failure
        if self._result is None:
            self._started = datetime.now(UTC).isoformat(timespec="seconds")
            try:
                self._measure()
            except BaseException as error:
                self._failure = error
                self.close()
                raise
            self._pool.end_probe()
            self._result = self.so_far()
        return self._result

    def so_far(self) -> TrialResult:
        """The result, or what has been measured until now with its verdicts."""
        if self._result is not None:
            return self._result
        measurement = self._measured()
        missing = self.missing
        gates = tuple(judge(each, measurement, missing) for each in self._judged)
        return TrialResult(measurement, gates)

    @property
    def is_complete(self) -> bool:
        """Whether all of it has been measured."""
        return self._result is not None

    @property
    def missing(self) -> Mapping[str, str]:
        """Ids of the arms that the engine does not have, with the reasons; known once prepared."""
        given_up = self._pool.given_up.items()
        return {c.id: str(error) for c, error in given_up if isinstance(error, NotApplicableError)}

    def evidence(self, case: Arm) -> Evidence:
        """What the arm provably ran, in the measured trial or else in one untimed step.

        Raises NotApplicableError if the engine does not have the arm.
        """
        self._pool.worker(case)
        known = self._pool.facts[case].evidence
        return known or self._prove(case)

    def why_unproven(self, case: Arm, evidence: Evidence) -> Decision | None:
        """``unproven.why_unproven`` with the highest share that one of the arm's gates asks for."""
        shares = [gate.amx_share for gate, candidate, _ in self._judged if candidate == case]
        return why_unproven(case, evidence, max(shares, default=DEFAULT_AMX_SHARE))

    def outputs(self, case: Arm) -> Any:
        """The arm's logits, from the model that is or was measured; computed once."""
        if case.id not in self._outputs:
            self._outputs[case.id] = self._pool.worker(case).outputs()
        return self._outputs[case.id]

    def losses(self, case: Arm, *, steps: int, batch: int, again: bool = False) -> Any:
        """The arm's losses over the first training steps; computed once, or ``again``."""
        key = case, steps, batch
        if again or key not in self._losses:
            self._losses[key] = self._pool.worker(case).losses(steps=steps, batch=batch)
        return self._losses[key]

    def gradients(self, case: Arm, *, batch: int) -> dict[str, Any]:
        """The arm's gradients in the first training step."""
        return self._pool.worker(case).gradients(batch=batch)

    def fp64_outputs(self) -> Any:
        """The FP64 logits of the same model and data."""
        outputs = self.outputs(self._fp64)
        self._pool.discard(self._fp64)
        return outputs

    def fp64_gradients(self, *, batch: int) -> dict[str, Any]:
        """The FP64 gradients of the first training step; the arms free their models for it."""
        self._pool.release_all()
        gradients = self.gradients(self._fp64, batch=batch)
        self._pool.discard(self._fp64)
        return gradients

    @property
    def _fp64(self) -> Arm:
        """The FP64 reference: no arm of the trial, prepared when needed."""
        return msgspec.structs.replace(self.arms[0], precision=Precision.FP64)

    def close(self) -> None:
        """End all workers."""
        self._pool.close()

    def _measured(self) -> Measurement:
        failure = self._failure
        return Measurement(
            trial=self.trial.name,
            seed=self.trial.seed,
            started=self._started,
            environment=Environment(
                host=self._host,
                versions=dict(self._pool.versions),
                removed_variables=dict(self._pool.removed_variables),
                cpus=self._cpus,
                peaks=self._peaks,
            ),
            arms=tuple(self._pool.facts[case] for case in self.arms if case in self._pool.facts),
            rounds=tuple(self._rounds),
            notes=tuple(self._notes),
            beyond_ceiling={
                case.id: error.what
                for case, error in self._pool.given_up.items()
                if isinstance(error, CeilingIgnoredError)
            },
            reference=self._reference,
            changed=failure.what if isinstance(failure, MachineChangedError) else "",
        )

    def _measure(self) -> None:
        for unit, share in (self._reference.below if self._reference else {}).items():
            self._note(
                f"the {unit} unit never gave more than {share:.0%} of its theory, so the best that "
                "was read is its reference"
            )
        # A test may have asked for an arm before; what is timed runs in fresh processes.
        self._pool.hold(())
        groups = self._prepare()
        budget = self._budget / len(groups)
        for group in groups:
            if len(groups) > 1:
                self._pool.hold(group)
            self._take_rounds(group, budget, number=0)
            again = self._to_confirm(group)
            if again:
                self._discard(again)
                self._pool.hold(group)
                self._take_rounds(again, budget, number=1)
            self._gather_evidence(group)

    def _prepare(self) -> Sequence[Sequence[Arm]]:
        """Prepare every arm, or as many as memory holds; the groups in which to measure them."""
        for number, case in enumerate(self.arms, start=1):
            if not self._pool.has_room():
                return self._split()
            self._say(f"preparing {self._place(case)}")
            self._pool.hold(self.arms[:number])
        return [self.arms]

    def _split(self) -> Sequence[Sequence[Arm]]:
        self._pool.require_pair()
        capacity = len(self._pool.live)
        pairs = [(candidate, baseline) for _, candidate, baseline in self._judged]
        groups = place(self.arms, pairs, capacity)
        self._note(
            f"memory holds {capacity} of {len(self.arms)} arms at a time, so they ran in "
            f"{len(groups)} groups, each candidate beside its baseline"
        )
        return groups

    def _take_rounds(self, group: Sequence[Arm], budget: float, number: int) -> None:
        say = functools.partial(self._say, seldom=True)
        launch = Launch(self._pool, self._reference, budget, self._wanted, say)
        arms, seed = self._pool.living(group), self.trial.seed + number
        self._pool.align_slices(arms)
        for round_ in launch.rounds(arms, number=number, seed=seed, first=len(self._rounds)):
            self._rounds.append(round_)

    def _to_confirm(self, group: Sequence[Arm]) -> list[Arm]:
        """The arms whose gate the first launch speaks against."""
        measurement, live = self._measured(), set(self._pool.living(group))
        slow: set[Arm] = set()
        for gate, candidate, baseline in self._judged:
            speedup = paired_speedup(measurement.pairs(baseline.id, candidate.id))
            if {candidate, baseline} <= live and speaks_against(speedup, gate.minimum):
                slow |= {candidate, baseline}
        return [case for case in group if case in slow]

    def _discard(self, cases: Sequence[Arm]) -> None:
        names = ", ".join(case.arm for case in cases)
        self._note(f"below a gate, so measured again in fresh processes: {names}")
        for case in cases:
            self._pool.discard(case)

    def _gather_evidence(self, group: Sequence[Arm]) -> None:
        for case in self._pool.living(group):
            try:
                self._prove(case)
            except CeilingIgnoredError as error:
                self._pool.give_up(case, error)
                continue
            if self._checkpoints is not None and case.workload.mode is Mode.TRAINING:
                self._save_checkpoint(case, self._checkpoints / f"{case.id}.pt")

    def _save_checkpoint(self, case: Arm, path: Path) -> None:
        """Save it, or note why not: what was measured stands without it."""
        try:
            self._pool.worker(case).checkpoint(str(path))
        except OutputError as error:
            self._note(f"{case.arm}: {error}")
        except ChildError as error:
            self._note(f"{case.arm}: the checkpoint was not written: {error.what}")
            # What is asked of the arm next is asked of a new child.
            self._pool.discard(case)

    def _prove(self, case: Arm) -> Evidence:
        self._say(f"taking evidence of {self._place(case)}")
        proof = self._pool.worker(case).prove()
        facts = self._pool.facts[case]
        self._pool.facts[case] = msgspec.structs.replace(
            facts,
            evidence=proof.evidence,
            peak_bytes=max(facts.peak_bytes, proof.peak_bytes),
        )
        share = proof.evidence.memory_share
        if share is not None and share < _LEAST_MEMORY_SHARE:
            self._note(f"{case.arm}: only {share:.0%} of its memory lies on its NUMA node")
        return proof.evidence

    def _place(self, case: Arm) -> str:
        """The arm with its number."""
        return f"{case.arm} ({self.arms.index(case) + 1} of {len(self.arms)})"

    def _note(self, sentence: str) -> None:
        self._notes.append(sentence)
        self._say(sentence, keep=True)

    def _say(self, text: str, **marks: bool) -> None:
        self._show(f"{self.trial.name} {self.trial.shape}: {text}", **marks)
