"""The prepared workers of a trial, as many as memory holds, and which arms share it."""

from __future__ import annotations

__all__ = ["StartWorker", "WorkerPool", "available_bytes", "place"]

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence

from amx_suite.core.case import Arm, RunCase
from amx_suite.core.measurement import ArmFacts
from amx_suite.errors import CeilingIgnoredError, NotApplicableError, OutOfMemoryError
from amx_suite.worker.process import IsaWorker
from amx_suite.workloads.base import Inputs

#: An arm is started only if this many times the largest arm's peak is available.
_HEADROOM = 1.25

StartWorker = Callable[[Arm], IsaWorker]


def available_bytes() -> int:
    """Memory that new processes can use without swapping, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)


def place(
    arms: Sequence[RunCase], pairs: Iterable[tuple[RunCase, RunCase]], capacity: int
) -> tuple[frozenset[str], ...]:
    """Ids of the arms in groups of at most ``capacity``, which is 2 or more, found by first fit.

    The two arms of each pair share a group; an arm without a pair runs beside the first arm.
    """
    wanted = [frozenset({one.id, other.id}) for one, other in pairs]
    paired = frozenset().union(*wanted)
    wanted += [frozenset({arm.id, arms[0].id}) for arm in arms[1:] if arm.id not in paired]
    groups: list[frozenset[str]] = []
    for pair in wanted:
        for index, group in enumerate(groups):
            if len(group | pair) <= capacity:
                groups[index] |= pair
                break
        else:
            groups.append(pair)
    return tuple(groups)


class WorkerPool:
    """Starts, prepares and keeps one worker per arm.

    ``facts`` holds what is known of each arm prepared so far, ``versions`` the children's packages.
    ``given_up`` maps the id of each arm that cannot run to the error: NotApplicableError if the
    engine does not have it, CeilingIgnoredError if it went beyond its ceiling.
    """

    def __init__(
        self,
        start: StartWorker,
        inputs: Inputs,
        memory: Callable[[], int] = available_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._inputs = inputs
        self._memory = memory
        self._clock = clock
        self._workers: dict[str, IsaWorker] = {}
        self._largest_peak = 0
        self.given_up: dict[str, NotApplicableError | CeilingIgnoredError] = {}
        self.facts: dict[str, ArmFacts] = {}
        self.versions: dict[str, str] = {}
        self.removed_variables: dict[str, str] = {}

    @property
    def live(self) -> frozenset[str]:
        """Ids of the arms that are prepared now."""
        return frozenset(self._workers)

    def worker(self, case: Arm) -> IsaWorker:
        """The arm's prepared worker; starts it, and makes room for it, where needed."""
        if case.id not in self._workers:
            while self._workers and not self.has_room():
                self.discard(next(iter(self._workers)))
            self.start(case)
        return self._workers[case.id]

    def has_room(self) -> bool:
        """Whether memory holds one more arm as large as the largest so far."""
        return self._memory() >= _HEADROOM * self._largest_peak

    def start(self, case: Arm) -> None:
        """Start and prepare the arm's worker.

        Raises NotApplicableError if the engine does not have the arm, and CeilingIgnoredError if
        the worker executes an instruction beyond its ceiling; both also on each later call.
        """
        if case.id in self.given_up:
            raise self.given_up[case.id]
        began = self._clock()
        try:
            with contextlib.ExitStack() as on_error:
                worker = on_error.enter_context(contextlib.closing(self._start(case)))
                prepared = worker.prepare(case, self._inputs)
                on_error.pop_all()
        except (NotApplicableError, CeilingIgnoredError) as error:
            self.given_up[case.id] = error
            raise
        self._workers[case.id] = worker
        self._largest_peak = max(self._largest_peak, prepared.peak_bytes)
        self.versions.update(prepared.versions)
        self.removed_variables.update(worker.environment.removed)
        self.facts[case.id] = ArmFacts(
            case=case,
            prepare_seconds=self._clock() - began,
            iterations=prepared.iterations,
            items_per_step=prepared.items_per_step,
            operations_per_step=prepared.operations_per_step,
            unit=prepared.unit,
            peak_bytes=prepared.peak_bytes,
            data=prepared.data,
            variables=worker.environment.chosen,
        )

    def keep_only(self, ids: Iterable[str]) -> None:
        """Close the workers of all other arms."""
        for case_id in self.live - frozenset(ids):
            self.discard(case_id)

    def release_all(self) -> None:
        """Free every worker's prepared model, to make room for another."""
        for worker in self._workers.values():
            worker.release()

    def discard(self, case_id: str) -> None:
        """Close the arm's worker, if it has one."""
        worker = self._workers.pop(case_id, None)
        if worker is not None:
            worker.close()

    def give_up(self, case: Arm, error: CeilingIgnoredError) -> None:
        """Close the arm's worker for good."""
        self.given_up[case.id] = error
        self.discard(case.id)

    def require_pair(self) -> None:
        """Raise OutOfMemoryError if fewer than two arms fit into memory."""
        if len(self._workers) < 2:
            needed = _HEADROOM * self._largest_peak / 2**30
            raise OutOfMemoryError(
                next(iter(self._workers), "trial"),
                f"memory does not hold two arms at a time: {needed:.1f} GiB more are needed, "
                f"{self._memory() / 2**30:.1f} GiB are available; free memory or choose a lower "
                "level",
            )

    def close(self) -> None:
        """Close every worker."""
        self.keep_only(())
