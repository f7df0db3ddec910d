"""A trial as it runs: prepare all arms, take turns in rounds, gather evidence, judge."""

from __future__ import annotations

__all__ = ["MIN_ROUNDS", "TrialSession"]

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from amx_suite.core.case import Mode, Precision, RunCase
from amx_suite.core.evidence import Evidence
from amx_suite.core.gate import DEFAULT_AMX_SHARE, Gate
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Environment, Measurement, Round, Slice, pairs_in
from amx_suite.core.trial import Trial, TrialResult
from amx_suite.errors import CeilingIgnoredError, NotApplicableError
from amx_suite.trial.groups import group_arms
from amx_suite.trial.judge import gates_of, is_decided, judge
from amx_suite.trial.pool import MachineMemory, StartWorker, WorkerPool, available_bytes
from amx_suite.trial.progress import Progress, Silent
from amx_suite.trial.proof import Doubt, doubt_arm
from amx_suite.trial.schedule import orders
from amx_suite.workloads.base import Inputs

#: Rounds without which the sign e-process can decide nothing, so fewer are never planned for.
MIN_ROUNDS = 8


class TrialSession:
    """One trial's workers and what they measured.

    ``result`` measures once and remembers; a failure is remembered too, so that every test of a
    broken trial reports the same error instead of starting the trial anew. ``rounds`` limits the
    number of rounds: 1 serves runs in which speed is not judged.
    """

    def __init__(
        self,
        trial: Trial,
        gates: Sequence[Gate],
        *,
        start: StartWorker,
        host: dict[str, str],
        cpus: tuple[int, ...],
        budget_seconds: float,
        inputs: Inputs,
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
        self._budget = budget_seconds
        self._round_limit = rounds
        self._checkpoints = checkpoints
        self._progress = progress or Silent()
        self._clock = clock
        self._pool = WorkerPool(start, inputs, memory, clock)
        self._rounds: list[Round] = []
        self._notes: list[str] = []
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
                self._pool.kill()
                raise
            self._result = self.so_far()
        return self._result

    @property
    def has_rounds(self) -> bool:
        """Whether at least one round was finished."""
        return bool(self._rounds)

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
            ),
            arms=tuple(
                self._pool.facts[case.id] for case in self.arms if case.id in self._pool.facts
            ),
            rounds=tuple(self._rounds),
            notes=tuple(self._notes),
            beyond_ceiling={k: error.what for k, error in self._pool.beyond_ceiling.items()},
        )
        return TrialResult(
            measurement, judge(self.trial, self._gates, measurement, self._pool.unavailable)
        )

    def why_missing(self, case: RunCase) -> str | None:
        """Why the engine does not have this arm, or None; known once the trial is prepared."""
        return self._pool.unavailable.get(case.id)

    def evidence(self, case: RunCase) -> Evidence:
        """What the arm provably ran: the measured trial's, else of one untimed step.

        Raises NotApplicableError if the engine does not have the arm.
        """
        self._pool.worker(case)
        known = self._pool.facts[case.id].evidence
        return known or self._prove(case)

    def doubt(self, case: RunCase, evidence: Evidence) -> Doubt | None:
        """What the evidence leaves unproven of the arm, by the strictest share of its gates."""
        shares = [gate.amx_share for gate in self._gates if gate.covers(case)]
        return doubt_arm(case, evidence, max(shares, default=DEFAULT_AMX_SHARE))

    def outputs(self, case: RunCase) -> Any:
        """The arm's logits, from the very model that is or was measured; asked of it once."""
        if case.id not in self._outputs:
            self._outputs[case.id] = self._pool.worker(case).outputs()
        return self._outputs[case.id]

    def losses(self, case: RunCase, *, steps: int, batch: int) -> Any:
        """The arm's losses over the first training steps."""
        return self._pool.worker(case).losses(steps=steps, batch=batch)

    def gradients(self, case: RunCase, *, batch: int) -> dict[str, Any]:
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
    def _arbiter(self) -> RunCase:
        """The case that is right by definition; prepared when asked and not kept."""
        return msgspec.structs.replace(self.arms[0], precision=Precision.FP64, isa=Isa.AVX512)

    def close(self) -> None:
        """End all workers."""
        self._pool.close()

    def kill(self) -> None:
        """End all workers at once."""
        self._pool.kill()

    def _measure(self) -> None:
        groups = self._prepare()
        for group in groups:
            if len(groups) > 1:
                self._pool.keep_only(group)
                for case in self._cases(group - self._pool.live):
                    with contextlib.suppress(CeilingIgnoredError):
                        self._pool.start(case)
            self._run_rounds(group, self._budget / len(groups))
            self._gather_evidence(group)

    def _prepare(self) -> tuple[frozenset[str], ...]:
        """Prepare every arm, or as many as memory holds; the groups in which to measure them."""
        for number, case in enumerate(self.arms, start=1):
            if not self._pool.has_room():
                return self._split()
            self._progress.preparing(self.trial, case, number, len(self.arms))
            with contextlib.suppress(NotApplicableError, CeilingIgnoredError):
                self._pool.start(case)
        return (self._pool.live,)

    def _split(self) -> tuple[frozenset[str], ...]:
        self._pool.require_pair()
        capacity = len(self._pool.live)
        pairs = [
            frozenset({candidate.id, baseline.id})
            for _, candidate, baseline in gates_of(self.trial, self._gates)
        ]
        # Arms under no gate still run beside the trial's first arm.
        first = self.arms[0].id
        paired = frozenset().union(*pairs)
        pairs += [frozenset({case.id, first}) for case in self.arms if case.id not in paired]
        groups = group_arms([pair for pair in pairs if len(pair) == 2], capacity)
        note = (
            f"memory holds {capacity} of {len(self.arms)} arms at a time, so they ran in "
            f"{len(groups)} groups, each candidate beside its baseline"
        )
        self._notes.append(note)
        self._progress.note(self.trial, note)
        return groups

    def _run_rounds(self, group: frozenset[str], budget: float) -> None:
        cases = [case for case in self._cases(group) if case.id in self._pool.live]
        by_id = {case.id: case for case in cases}
        began = self._clock()
        endless = orders([case.id for case in cases], self.trial.seed)
        for done, order in enumerate(endless, start=1):
            # An arm may have died of its own instructions; the others go on without it.
            living = [by_id[case_id] for case_id in order if case_id in self._pool.live]
            if not living:
                return
            pieces = [piece for case in living if (piece := self._take_slice(case)) is not None]
            self._rounds.append(Round(len(self._rounds), tuple(pieces)))
            decided, gates = self._decided(group)
            elapsed = self._clock() - began
            self._progress.round_done(self.trial, done, decided, gates, elapsed, budget)
            settled = decided == gates and done >= MIN_ROUNDS
            if settled or elapsed >= budget or done == self._round_limit:
                return

    def _take_slice(self, case: RunCase) -> Slice | None:
        """One arm's turn, None if it died in it of an instruction beyond its ceiling.

        Whatever must surround a slice has its place here.
        """
        try:
            taken = self._pool.worker(case).take_slice(self._pool.facts[case.id].iterations)
        except CeilingIgnoredError as error:
            self._pool.give_up(case, error)
            return None
        return Slice(case.id, taken.seconds, taken.iterations)

    def _decided(self, group: frozenset[str]) -> tuple[int, int]:
        """How many of the group's gates the rounds decide, and how many there are.

        Evidence is gathered after the rounds, so only speed is asked here.
        """
        decided = [
            is_decided(gate, pairs_in(self._rounds, baseline.id, candidate.id))
            for gate, candidate, baseline in gates_of(self.trial, self._gates)
            if {candidate.id, baseline.id} <= group & self._pool.live
        ]
        return sum(decided), len(decided)

    def _gather_evidence(self, group: frozenset[str]) -> None:
        for case in self._cases(group & self._pool.live):
            try:
                self._prove(case)
            except CeilingIgnoredError as error:
                self._pool.give_up(case, error)
                continue
            if self._checkpoints is not None and case.workload.mode is Mode.TRAINING:
                path = self._checkpoints / f"{case.id}.pt"
                self._pool.worker(case).checkpoint(str(path))

    def _prove(self, case: RunCase) -> Evidence:
        self._progress.proving(self.trial, case)
        proof = self._pool.worker(case).prove()
        facts = self._pool.facts[case.id]
        self._pool.facts[case.id] = msgspec.structs.replace(
            facts,
            evidence=proof.evidence,
            peak_bytes=max(facts.peak_bytes, proof.peak_bytes),
        )
        return proof.evidence

    def _cases(self, ids: frozenset[str]) -> list[RunCase]:
        return [case for case in self.arms if case.id in ids]
