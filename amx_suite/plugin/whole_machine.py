"""The whole machine as a test sees it: measure a case on all cores, and end the test."""

from __future__ import annotations

__all__ = ["AmxWholeMachine"]

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from amx_suite.core.case import Arm
from amx_suite.core.instance import Instance
from amx_suite.core.verdict import Decision
from amx_suite.core.whole_machine import Latency, Throughput
from amx_suite.host.instance import node_instances, small_instances
from amx_suite.plugin.outcome import end
from amx_suite.plugin.rows import AmxRow
from amx_suite.trial.pool import available_bytes
from amx_suite.trial.whole_machine import (
    THROUGHPUT_SECONDS,
    judge_evidence,
    judge_throughput,
    latency_case,
    measure_latency,
    measure_throughput,
)

if TYPE_CHECKING:
    from amx_suite.plugin.run import Run
    from amx_suite.worker.process import IsaWorker


class AmxWholeMachine:
    """One case; each method measures, fills the row, keeps the result, and ends the test.

    A test passes if every instance provably ran the case and none is an outlier; no gate judges
    the speed. Where nothing is timed, as under ``--benchmark-disable``, it is skipped.
    """

    def __init__(self, case: Arm, run: Run) -> None:
        self._case = case
        self._run = run

    def throughput_of_nodes(self, row: AmxRow) -> None:
        """One instance on each NUMA node, all at once."""
        self._throughput(self._nodes, "one per NUMA node", row)

    def throughput_of_small_instances(self, row: AmxRow) -> None:
        """Instances of 4 cores, or fewer on a small machine, on all cores at once."""
        facts = self._run.host.facts
        self._throughput(small_instances(facts.topology, facts.limits), "on all cores", row)

    def latency(self, row: AmxRow) -> None:
        """One item at a time on this run's instance, step by step."""
        self._begin(row)
        found = measure_latency(
            latency_case(self._case),
            self._run.settings.instance,
            start=self._start,
            inputs=self._run.inputs,
            show=self._run.progress.show,
        )
        self._end(found, judge_evidence(found.case, found.evidence), row, found.seconds, 1)

    def _throughput(self, instances: Sequence[Instance], layout: str, row: AmxRow) -> None:
        self._begin(row)
        run = self._run
        usable, used = (sum(i.cores for i in each) for each in (self._nodes, instances))
        found = measure_throughput(
            self._case,
            instances,
            layout=layout,
            start=self._start,
            inputs=run.inputs,
            seconds=min(THROUGHPUT_SECONDS, run.settings.budget_of(run.settings.level)),
            memory=available_bytes,
            idle_cores=usable - used,
            show=run.progress.show,
        )
        decision = judge_throughput(found, virtual=run.host.facts.cpuid.virtual)
        seconds_per_item = [1 / rate for rate in found.tenths]
        self._end(found, decision, row, seconds_per_item, len(instances))

    @property
    def _nodes(self) -> tuple[Instance, ...]:
        return node_instances(self._run.host.facts.topology, self._run.host.facts.limits)

    def _begin(self, row: AmxRow) -> None:
        """Skip the test where nothing is timed; end the workers that an earlier trial left."""
        if row.why_not_judged:
            pytest.skip(row.why_not_judged)
        self._run.trials.close()

    def _start(self, case: Arm, instance: Instance) -> IsaWorker:
        label = f"{case.id} on {instance}"
        return self._run.start_worker(case.isa, case.engine, label, instance.cpus)

    def _end(
        self,
        found: Throughput | Latency,
        decision: Decision,
        row: AmxRow,
        seconds: Sequence[float],
        instances: int,
    ) -> None:
        self._run.whole_machine.append(found)
        case = found.case
        many = {**case.conditions, "cores": f"{instances} x {case.cores}"}
        row.fill(seconds, f"{instances} x {case.id}", **many)
        strict = self._run.settings.strict
        end(decision.verdict, decision.reason, decision.remedy, strict=strict)
