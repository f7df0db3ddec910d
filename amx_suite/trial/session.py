"""A trial as it runs: prepare all arms, take turns in rounds, gather evidence, judge."""

from __future__ import annotations

__all__ = ["TrialSession"]

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from amx_suite.core.case import Arm, Mode, Precision
from amx_suite.core.evidence import Evidence
from amx_suite.core.gate import DEFAULT_AMX_SHARE, Gate
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Environment, Measurement, pairs_in
from amx_suite.core.noise import Reference
from amx_suite.core.peaks import Peaks
from amx_suite.core.trial import Trial, TrialResult
from amx_suite.errors import AmxSuiteError, CeilingIgnoredError, NotApplicableError
from amx_suite.trial.groups import group_arms
from amx_suite.trial.judge import judge
from amx_suite.trial.pool import (
    MachineMemory,
    StartProber,
    StartWorker,
    WorkerPool,
    available_bytes,
)
from amx_suite.trial.progress import Progress, Silent
from amx_suite.trial.proof import Doubt, doubt_arm
from amx_suite.trial.rounds import Rounds
from amx_suite.trial.ruling import MIN_PAIRS, WANTED_PAIRS, Ruling, Standing, gates_of, rule
from amx_suite.trial.schedule import orders
from amx_suite.workloads.base import Inputs

#: Share of the budget within which a trial whose gates are settled goes on for more quiet rounds:
#: with the evidence taken, a gate far from its value is answered in a minute at level 3.
_WANTED_WITHIN = 0.2

_NO_REFERENCE = (
    "no quiet reference of this machine is stored, so quiet is judged by the best state that this "
    "trial saw, which is weaker: a host that is always busy looks quiet. Run amx-suite calibrate"
)


class TrialSession:
    """One trial's workers and what they measured.

    ``result`` measures once and remembers; a failure is remembered too, so that every test of a
    broken trial reports the same error instead of starting the trial anew. Where engines are
    compared, an error of one costs its own arm only, and ``why_lost`` has it. ``budget_seconds``
    bounds the rounds, not the preparation. ``reference`` is the machine's stored quiet reference
    and ``elsewhere`` the e-values for FAIL of the session's gates in other trials, 0 for those not
    yet measured. ``rounds`` limits their number: 1 serves runs in which speed is not judged.
    """

    def __init__(
        self,
        trial: Trial,
        gates: Sequence[Gate],
        *,
        start: StartWorker,
        start_prober: StartProber,
        host: dict[str, str],
        cpus: tuple[int, ...],
        peaks: Peaks | None = None,
        budget_seconds: float,
        inputs: Inputs,
        reference: Reference | None = None,
        elsewhere: Iterable[float] = (),
        rounds: int | None = None,
        checkpoints: Path | None = None,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
        memory: MachineMemory = available_bytes,
    ) -> None:
        self.trial = trial
        self.arms = trial.arms
        self._gates = tuple(gate for gate, _, _ in gates_of(trial, gates))
        self._host = host
        self._cpus = cpus
        self._peaks = peaks
        self._budget = budget_seconds
        self._round_limit = rounds
        self._checkpoints = checkpoints
        self._progress = progress or Silent()
        self._clock = clock
        self._reference = reference
        self._elsewhere = tuple(elsewhere)
        survivable = AmxSuiteError if trial.engines else CeilingIgnoredError
        self._pool = WorkerPool(start, inputs, memory, clock, survivable)
        self._rounds = Rounds(self._pool, start_prober, reference)
        self._notes: list[str] = [] if reference else [_NO_REFERENCE]
        self._outputs: dict[str, Any] = {}
        self._started = ""
        self._result: TrialResult | None = None
        self._failure: BaseException | None = None

    def result(self) -> TrialResult:
        """Measure, on the first call, and return the trial's result."""
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
            self._rounds.close()
            self._result = self.so_far()
        return self._result

    @property
    def has_rounds(self) -> bool:
        """Whether at least one round was finished."""
        return bool(self._rounds.taken)

    def so_far(self) -> TrialResult:
        """What has been measured until now, judged as it stands."""
        measurement = Measurement(
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
            arms=tuple(
                self._pool.facts[case.id]
                for case in self.trial.turns
                if case.id in self._pool.facts
            ),
            rounds=tuple(self._rounds.taken),
            notes=(*self._notes, *self._losses()),
            beyond_ceiling={
                case_id: error.what
                for case_id, error in self._pool.lost.items()
                if isinstance(error, CeilingIgnoredError)
            },
            reference=self._reference,
            engines=self.trial.engines,
        )
        return TrialResult(
            measurement, judge(self.trial, self._gates, measurement, self.missing, self._elsewhere)
        )

    @property
    def missing(self) -> Mapping[str, str]:
        """Ids of the arms that the engine does not have, with why; known once it is prepared."""
        return self._pool.unavailable

    def why_missing(self, case: Arm) -> str | None:
        """Why the engine does not have this arm, or None; known once the trial is prepared."""
        return self.missing.get(case.id)

    def why_lost(self, case: Arm) -> AmxSuiteError | None:
        """The error that cost the trial this arm and no other, or None.

        A death by an instruction beyond the ceiling is none: the measurement itself has it.
        """
        error = self._pool.lost.get(case.id)
        return None if isinstance(error, CeilingIgnoredError) else error

    def evidence(self, case: Arm) -> Evidence:
        """What the arm provably ran: the measured trial's, else of one untimed step.

        Raises NotApplicableError if the engine does not have the arm.
        """
        self._pool.worker(case)
        known = self._pool.facts[case.id].evidence
        return known or self._prove(case)

    def doubt(self, case: Arm, evidence: Evidence) -> Doubt | None:
        """What the evidence leaves unproven of the arm, by the strictest share of its gates."""
        shares = [gate.amx_share for gate in self._gates if gate.covers(case)]
        return doubt_arm(case, evidence, max(shares, default=DEFAULT_AMX_SHARE))

    def outputs(self, case: Arm) -> Any:
        """The arm's logits, from the very model that is or was measured; asked of it once."""
        if case.id not in self._outputs:
            self._outputs[case.id] = self._pool.worker(case).outputs()
        return self._outputs[case.id]

    def losses(self, case: Arm, *, steps: int, batch: int) -> Any:
        """The arm's losses over the first training steps."""
        return self._pool.worker(case).losses(steps=steps, batch=batch)

    def gradients(self, case: Arm, *, batch: int) -> dict[str, Any]:
        """The arm's gradients in the first training step."""
        return self._pool.worker(case).gradients(batch=batch)

    def arbiter_outputs(self) -> Any:
        """The FP64 logits of the same model and data."""
        outputs = self.outputs(self._arbiter)
        self._pool.discard(self._arbiter)
        return outputs

    def arbiter_gradients(self, *, batch: int) -> dict[str, Any]:
        """The FP64 gradients of the first training step; the arms make room for the arbiter."""
        self._pool.release_all()
        gradients = self.gradients(self._arbiter, batch=batch)
        self._pool.discard(self._arbiter)
        return gradients

    @property
    def _arbiter(self) -> Arm:
        """The case that is right by definition; prepared when asked and not kept."""
        return msgspec.structs.replace(self.arms[0], precision=Precision.FP64, isa=Isa.AVX512)

    def close(self) -> None:
        """End all workers."""
        self._rounds.close()
        self._pool.close()

    def _measure(self) -> None:
        groups = self._prepare()
        for number, group in enumerate(groups):
            if number > 0:
                self._rounds.launch += 1
            if len(groups) > 1:
                self._pool.keep_only(group)
                self._start(case for case in self._cases(group - self._pool.live))
            left = self._run_rounds(group, self._budget / len(groups), first=True)
            again = self._to_start_anew(group)
            if again and left > 0:
                self._start_anew(again)
                self._run_rounds(again, left, first=False)
            self._gather_evidence(group)

    def _prepare(self) -> tuple[frozenset[str], ...]:
        """Prepare every case, or as many as memory holds; the groups in which to measure them."""
        cases = self.trial.turns
        for number, case in enumerate(cases, start=1):
            if not self._pool.has_room():
                return self._split()
            self._progress.preparing(self.trial, case, number, len(cases))
            self._start([case])
        return (self._pool.live,)

    def _start(self, cases: Iterable[Arm]) -> None:
        for case in cases:
            with contextlib.suppress(NotApplicableError, self._pool.survivable):
                self._pool.start(case)

    def _split(self) -> tuple[frozenset[str], ...]:
        self._pool.require_pair()
        capacity = len(self._pool.live)
        pairs = [
            frozenset({candidate.id, baseline.id})
            for _, candidate, baseline in gates_of(self.trial, self._gates)
        ]
        # What is under no gate still runs: the twin beside its arm, others beside the first.
        if self.trial.twin is not None:
            pairs.append(frozenset({self.trial.twin.id, Arm.of(self.trial.twin).id}))
        first = self.arms[0].id
        paired = frozenset().union(*pairs)
        pairs += [frozenset({case.id, first}) for case in self.arms if case.id not in paired]
        groups = group_arms([pair for pair in pairs if len(pair) == 2], capacity)
        self._note(
            f"memory holds {capacity} of {len(self.trial.turns)} arms at a time, so they ran in "
            f"{len(groups)} groups, each candidate beside its baseline"
        )
        return groups

    def _run_rounds(self, ids: frozenset[str], budget: float, *, first: bool) -> float:
        """Rounds until every gate is settled or the budget is spent; returns the seconds left.

        Without gates, until each arm had as many quiet rounds beside the first as a gate needs.
        What is settled goes on for a while, as far as ``WANTED_PAIRS`` asks. A ``first`` launch
        ends as well when all that is unsettled is a FAIL that has to recur in fresh processes, and
        leaves half of the budget for it where other gates are still open.
        """
        by_id = {case.id: case for case in self._cases(ids) if case.id in self._pool.live}
        self._rulings(ids)  # imports numpy before the clock runs
        began = self._clock()
        for done, order in enumerate(orders(list(by_id), self.trial.seed), start=1):
            # An arm may have died of its own instructions; the others go on without it.
            living = [by_id[case_id] for case_id in order if case_id in self._pool.live]
            if not living or (self.trial.engines and not self._pairs_with_first()):
                return 0.0
            self._rounds.take(living)
            rulings = self._rulings(ids & self._pool.live)
            asked = [ruling.standing for ruling in rulings]
            settled = sum(standing.settled for standing in asked)
            pairs = self._least_pairs(rulings)
            elapsed = self._clock() - began
            self._progress.round_done(self.trial, done, settled, len(asked), elapsed, budget)
            to_recur = asked.count(Standing.TO_RECUR) if first else 0
            half_spent = elapsed >= budget / 2
            answered = settled + to_recur == len(asked) and (asked or pairs >= MIN_PAIRS)
            enough = pairs >= WANTED_PAIRS or elapsed >= budget * _WANTED_WITHIN
            if done >= MIN_PAIRS and answered and (to_recur or enough):
                return budget - elapsed
            if (to_recur and half_spent) or elapsed >= budget or done == self._round_limit:
                return budget - elapsed
        return 0.0

    def _pairs_with_first(self) -> list[tuple[Arm, Arm]]:
        """The first arm with each other one, where both are prepared."""
        first, *others = self.arms
        live = self._pool.live
        return [(first, other) for other in others if {first.id, other.id} <= live]

    def _least_pairs(self, rulings: Sequence[Ruling]) -> int:
        """Quiet rounds behind each gate, or without gates behind each arm beside the first."""
        if rulings:
            return min(len(ruling.pairs) for ruling in rulings)
        quiet = self._rounds.quiet
        found = [len(pairs_in(quiet, a.id, b.id)) for a, b in self._pairs_with_first()]
        return min(found, default=WANTED_PAIRS)

    def _rulings(self, ids: frozenset[str]) -> list[Ruling]:
        """What the quiet pairs say of the gates whose candidate and baseline are among ``ids``.

        Evidence is gathered after the rounds, so only speed is asked here.
        """
        rulings = rule(self.trial, self._gates, self._rounds.quiet, self._elsewhere)
        return [r for r in rulings if {r.candidate.id, r.baseline.id} <= ids]

    def _to_start_anew(self, group: frozenset[str]) -> frozenset[str]:
        """Ids of the arms of all unsettled gates, if the FAIL of one must recur."""
        unsettled = [r for r in self._rulings(group & self._pool.live) if not r.standing.settled]
        if all(ruling.standing is not Standing.TO_RECUR for ruling in unsettled):
            return frozenset()
        return frozenset(case.id for r in unsettled for case in (r.candidate, r.baseline))

    def _start_anew(self, ids: frozenset[str]) -> None:
        cases = self._cases(ids)
        names = ", ".join(case.arm for case in cases)
        self._note(f"a FAIL near its gate must recur in fresh processes: {names} started anew")
        for case in cases:
            self._pool.discard(case)
        self._start(cases)
        self._rounds.launch += 1

    def _note(self, sentence: str) -> None:
        self._notes.append(sentence)
        self._progress.note(self.trial, sentence)

    def _losses(self) -> list[str]:
        """A sentence for each arm that was lost by an error of its own."""
        lost = [(self.trial.label(case), self.why_lost(case)) for case in self.arms]
        # The end of a worker's stderr stands below the first line.
        return [f"{name} was given up: {str(e).splitlines()[0]}" for name, e in lost if e]

    def _gather_evidence(self, group: frozenset[str]) -> None:
        for case in self._cases(group & self._pool.live):
            try:
                self._prove(case)
            except self._pool.survivable as error:
                self._pool.give_up(case, error)
                continue
            if case.is_copy:
                self._pool.discard(case)
            elif self._checkpoints is not None and case.workload.mode is Mode.TRAINING:
                path = self._checkpoints / f"{case.id}.pt"
                self._pool.worker(case).checkpoint(str(path))

    def _prove(self, case: Arm) -> Evidence:
        self._progress.proving(self.trial, case)
        proof = self._pool.worker(case).prove()
        facts = self._pool.facts[case.id]
        self._pool.facts[case.id] = msgspec.structs.replace(
            facts,
            evidence=proof.evidence,
            peak_bytes=max(facts.peak_bytes, proof.peak_bytes),
        )
        return proof.evidence

    def _cases(self, ids: frozenset[str]) -> list[Arm]:
        return [case for case in self.trial.turns if case.id in ids]
