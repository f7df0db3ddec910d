"""The children of a trial: prepared workers, as many as memory holds, and the probe."""

from __future__ import annotations

__all__ = ["HEADROOM", "StartWorker", "WorkerPool", "available_bytes", "place"]

import contextlib
from collections.abc import Callable, Iterable, KeysView, Sequence
from typing import TYPE_CHECKING

import msgspec

from amx_suite.core.case import Arm
from amx_suite.core.measurement import ArmFacts
from amx_suite.core.quiet import Reading
from amx_suite.errors import CeilingIgnoredError, NotApplicableError, OutOfMemoryError
from amx_suite.host.limits import memory_left
from amx_suite.worker.process import IsaWorker
from amx_suite.workloads.base import Inputs

if TYPE_CHECKING:
    from amx_suite.worker.unit_probe import UnitProbe

#: An arm is started only if this many times the largest arm's peak is available.
HEADROOM = 1.25

StartWorker = Callable[[Arm], IsaWorker]


def available_bytes() -> int:
    """Memory that new processes can use without swapping, in bytes, within the control groups'."""
    import psutil

    available, left = int(psutil.virtual_memory().available), memory_left()
    return available if left is None else min(available, left)


def place(arms: Sequence[Arm], pairs: Iterable[tuple[Arm, Arm]], capacity: int) -> list[list[Arm]]:
    """The arms in groups of at most ``capacity``, which is 2 or more, found by first fit.

    The two arms of each pair share a group; an arm without a pair runs beside the first arm.
    """
    wanted = [set(pair) for pair in pairs]
    paired = set().union(*wanted)
    wanted += [{arm, arms[0]} for arm in arms[1:] if arm not in paired]
    groups: list[set[Arm]] = []
    for pair in wanted:
        for group in groups:
            if len(group | pair) <= capacity:
                group.update(pair)
                break
        else:
            groups.append(pair)
    return [[arm for arm in arms if arm in group] for group in groups]


class WorkerPool:
    """Starts, prepares and keeps one worker per arm, and the probe that reads the units.

    ``facts`` holds what is known of each arm prepared so far, ``versions`` the children's packages.
    ``given_up`` maps each arm that cannot run to the error: NotApplicableError if the engine does
    not have it, CeilingIgnoredError if it went beyond its ceiling.
    """

    def __init__(
        self,
        start: StartWorker,
        start_probe: Callable[[], UnitProbe],
        inputs: Inputs,
        memory: Callable[[], int],
        throttled: Callable[[], float],
        suspended: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._start = start
        self._start_probe = start_probe
        self._probe: UnitProbe | None = None
        self._inputs = inputs
        self._memory = memory
        #: Seconds for which a CPU quota has stopped this process's control groups so far.
        self.throttled = throttled
        self.suspended = suspended
        self.clock = clock
        self._workers: dict[Arm, IsaWorker] = {}
        self._largest_peak = 0
        self.given_up: dict[Arm, NotApplicableError | CeilingIgnoredError] = {}
        self.facts: dict[Arm, ArmFacts] = {}
        self.versions: dict[str, str] = {}
        self.removed_variables: dict[str, str] = {}

    @property
    def live(self) -> KeysView[Arm]:
        """The arms that are prepared now."""
        return self._workers.keys()

    def living(self, cases: Iterable[Arm]) -> list[Arm]:
        """Those of the arms that are prepared now."""
        return [case for case in cases if case in self._workers]

    def read(self) -> Reading:
        """Read the units; the probe starts when it is first needed."""
        self._probe = self._probe or self._start_probe()
        return self._probe.probe()

    def worker(self, case: Arm) -> IsaWorker:
        """The arm's prepared worker; starts it, and makes room for it, where needed.

        Raises NotApplicableError if the engine does not have the arm, and CeilingIgnoredError if
        the worker executes an instruction beyond its ceiling; both also on each later call.
        """
        if case not in self._workers:
            while self._workers and not self.has_room():
                self.discard(next(iter(self._workers)))
            self._prepare(case)
        return self._workers[case]

    def has_room(self) -> bool:
        """Whether memory holds one more arm as large as the largest so far."""
        return self._memory() >= HEADROOM * self._largest_peak

    def _prepare(self, case: Arm) -> None:
        if case in self.given_up:
            raise self.given_up[case]
        began = self.clock()
        try:
            worker = self._workers[case] = self._start(case)
            prepared = worker.prepare(case, self._inputs)
        except BaseException as error:
            self.discard(case)
            if isinstance(error, (NotApplicableError, CeilingIgnoredError)):
                self.given_up[case] = error
            raise
        self._largest_peak = max(self._largest_peak, prepared.peak_bytes)
        self.versions.update(prepared.versions)
        self.removed_variables.update(worker.environment.removed)
        self.facts[case] = ArmFacts(
            case=case,
            prepare_seconds=self.clock() - began,
            iterations=prepared.iterations,
            items_per_step=prepared.items_per_step,
            operations_per_step=prepared.operations_per_step,
            unit=prepared.unit,
            peak_bytes=prepared.peak_bytes,
            data=prepared.data,
            variables=worker.environment.chosen,
        )

    def hold(self, cases: Sequence[Arm]) -> None:
        """Have a worker for each of these arms that can run, and for no other."""
        for case in self.live - set(cases):
            self.discard(case)
        for case in cases:
            if case not in self._workers:
                with contextlib.suppress(NotApplicableError, CeilingIgnoredError):
                    self._prepare(case)

    def align_slices(self, cases: Sequence[Arm]) -> None:
        """Let arms of the same name, two sides or an A/A control, take slices of as many steps.

        The first step of a slice finds the caches as another arm left them, so that it counts for
        less in a longer slice.
        """
        for case in cases:
            same = (self.facts[other].iterations for other in cases if other.name == case.name)
            self.facts[case] = msgspec.structs.replace(self.facts[case], iterations=max(same))

    def release_all(self) -> None:
        """Free every worker's prepared model, to make room for another."""
        for worker in self._workers.values():
            worker.release()

    def discard(self, case: Arm) -> None:
        """Close the arm's worker, if it has one."""
        worker = self._workers.pop(case, None)
        if worker is not None:
            worker.close()

    def give_up(self, case: Arm, error: CeilingIgnoredError) -> None:
        """Close the arm's worker for good."""
        self.given_up[case] = error
        self.discard(case)

    def require_pair(self) -> None:
        """Raise OutOfMemoryError if fewer than two arms fit into memory."""
        if len(self._workers) < 2:
            needed = HEADROOM * self._largest_peak / 2**30
            raise OutOfMemoryError(
                next((case.id for case in self._workers), "trial"),
                f"memory does not hold two arms at a time: {needed:.1f} GiB more are needed, "
                f"{self._memory() / 2**30:.1f} GiB are available; free memory or choose a lower "
                "level",
            )

    def end_probe(self) -> None:
        """End the probe, if it was started."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def close(self) -> None:
        """End every child."""
        self.end_probe()
        self.hold(())
