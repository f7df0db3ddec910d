"""The fixtures that the plugin offers to the suite's tests and to everyone else's.

``amx_support`` gates a test on AMX being usable. ``isa_worker`` runs it once under each ceiling,
each in its own subprocess; ``isa_workers`` is the same as a function, for tests that compare
ceilings. ``amx_trial`` runs it once for each trial of the run. ``amx_row`` feeds pytest-benchmark.
``tile_worker`` is a subprocess on one CPU for single tile instructions, and ``amx_mismatch`` stores
a wrong result of it. ``amx_progress`` says on the terminal how far a long test is.
"""

from __future__ import annotations

__all__ = [
    "AmxRow",
    "TrialAccess",
    "amx_cycles",
    "amx_mismatch",
    "amx_peaks",
    "amx_progress",
    "amx_row",
    "amx_settings",
    "amx_support",
    "amx_trial",
    "isa_worker",
    "isa_workers",
    "tile_worker",
]

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple

import pytest

from amx_suite.child.handle import Child
from amx_suite.child.limits import most_children
from amx_suite.core.case import Arm, Precision
from amx_suite.core.isa import Isa
from amx_suite.core.verdict import Decision, Verdict
from amx_suite.errors import AmxSuiteError, CeilingIgnoredError, NotApplicableError
from amx_suite.report.mismatch import store_mismatch
from amx_suite.testing import again, baseline, state
from amx_suite.testing.outcome import why_not_usable
from amx_suite.testing.rows import VirtualClock, replay
from amx_suite.testing.terminal import ProgressLine
from amx_suite.trial.decide import decide_pair
from amx_suite.trial.unproven import why_beyond_ceiling

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from amx_suite.core.evidence import Evidence
    from amx_suite.core.gate import Gate
    from amx_suite.core.peaks import CpuCycles, Peaks
    from amx_suite.core.trial import TrialResult
    from amx_suite.core.verdict import GateResult
    from amx_suite.options import Settings
    from amx_suite.tmul.batch import BatchResult
    from amx_suite.tmul.tile_worker import TileWorker
    from amx_suite.trial.session import TrialSession
    from amx_suite.worker.process import IsaWorker

_Key = TypeVarTuple("_Key")
_Child = TypeVar("_Child", bound=Child)


@pytest.fixture(scope="session")
def amx_settings(pytestconfig: pytest.Config) -> Settings:
    """What the user asked for, every default filled in."""
    return pytestconfig.stash[state.SETTINGS]


@pytest.fixture(scope="session")
def amx_support(pytestconfig: pytest.Config) -> state.HostView:
    """The host as detected; skips where AMX is not usable, fails there with ``--amx-require``.

    A CPU that has AMX and computes wrong or faults is no reason to skip: it fails every test.
    """
    view = state.host(pytestconfig)
    if not view.support.usable:
        text = why_not_usable(view.support)
        if view.support.defective:
            pytest.fail(text, pytrace=False)
        if pytestconfig.stash[state.SETTINGS].require:
            pytest.fail(f"AMX is required: {text}", pytrace=False)
        pytest.skip(text)
    return view


@pytest.fixture(scope="session")
def amx_progress(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Say how far a long test is, on one line of the terminal: ``amx_progress("3 of 8")``."""
    return ProgressLine(pytestconfig).show


@pytest.fixture(scope="session")
def amx_peaks(amx_support: state.HostView, pytestconfig: pytest.Config) -> Peaks:
    """What the units of this run's CPUs give at most, all at once."""
    return state.peaks(pytestconfig)


@pytest.fixture
def amx_cycles(
    amx_support: state.HostView, pytestconfig: pytest.Config
) -> Iterator[Callable[[float], tuple[CpuCycles, ...]]]:
    """A function from seconds to the most that each unit of each CPU did per cycle meanwhile."""
    with state.start_cycle_probe(pytestconfig) as probe:
        yield probe.read_cycles


@pytest.fixture(scope="session")
def isa_workers(
    amx_support: state.HostView, pytestconfig: pytest.Config
) -> Iterator[Callable[[Isa, str], IsaWorker]]:
    """A function from (ceiling, engine name) to a worker, one subprocess for each, kept."""

    def start(isa: Isa, engine: str) -> IsaWorker:
        return state.worker_on(pytestconfig, isa, engine)

    with _kept(start) as workers:
        yield workers


@pytest.fixture
def isa_worker(
    request: pytest.FixtureRequest,
    isa_workers: Callable[[Isa, str], IsaWorker],
    amx_engine: str,
) -> IsaWorker:
    """A worker under one ceiling; the test runs once for each ceiling and engine."""
    return isa_workers(request.param, amx_engine)


@pytest.fixture(scope="session")
def amx_mismatch(
    amx_support: state.HostView, pytestconfig: pytest.Config
) -> Callable[[BatchResult], str]:
    """Store a wrong tile result at once; returns what to say of it."""

    def store(result: BatchResult) -> str:
        if result.first is None:
            return str(result)
        folder = state.output_folder(pytestconfig)
        path = store_mismatch(folder, amx_support.fingerprint, result)
        return f"{result}; run it again with: amx-suite replay {path}"

    return store


@pytest.fixture(scope="session")
def tile_worker(amx_support: state.HostView) -> Iterator[Callable[[int], TileWorker]]:
    """A function from a CPU to a worker that is bound to it and may use tiles; they are kept."""
    from amx_suite.tmul.tile_worker import TileWorker

    with _kept(lambda cpu: TileWorker(cpu)) as workers:
        yield workers


@contextmanager
def _kept(start: Callable[[*_Key], _Child]) -> Iterator[Callable[[*_Key], _Child]]:
    """``start``, which gives the same child for the same arguments; all are closed at the end.

    If there are more than this process has descriptors for, the one that was used longest ago is
    closed for the next.
    """
    children: dict[tuple[*_Key], _Child] = {}
    most, lock = most_children(), threading.Lock()

    def child(*key: *_Key) -> _Child:
        with lock:
            if key in children:
                children[key] = children.pop(key)  # the last one now
                return children[key]
            while len(children) >= most:
                children.pop(next(iter(children))).close()
        started = start(*key)
        with lock:
            children[key] = started
        return started

    yield child
    for started in children.values():
        started.close()


class TrialAccess:
    """What a test may ask of a trial; it is measured when its speed is first asked for.

    ``look_again`` is told of the measured session, and ends the test where the trial is to be
    measured once more at the end of the run.
    """

    def __init__(self, session: TrialSession, look_again: Callable[[TrialSession], None]) -> None:
        self._session = session
        self._look_again = look_again
        self.trial = session.trial
        self.arms = session.arms

    def arm(self, precision: Precision, isa: Isa) -> Arm:
        """The arm of that precision and ceiling; KeyError if the trial has none."""
        for case in self.arms:
            if case.precision is precision and case.isa is isa:
                return case
        raise KeyError(f"{precision}@{isa}")

    def seconds(self, case: Arm) -> tuple[float, ...]:
        """Seconds per step of the arm, one for each round; skips if the engine has no such arm."""
        measurement = self._result().measurement
        missing = self._session.why_missing(case)
        if missing is not None:
            pytest.skip(f"NOT_APPLICABLE: {case.name}: {missing}")
        if case.id in measurement.beyond_ceiling:
            _fail_for_want_of_evidence(case, measurement.beyond_ceiling[case.id])
        return measurement.series(case.id)

    def pairs(self, baseline_id: str, candidate_id: str) -> tuple[tuple[float, float], ...]:
        """(baseline, candidate) seconds per step of the rounds that had both."""
        return self._result().measurement.pairs(baseline_id, candidate_id)

    def verdict(self, gate: Gate) -> GateResult:
        """The verdict on one of the trial's gates."""
        return next(result for result in self._result().gates if result.gate == gate)

    def beside_first(self, rival: Arm) -> Decision:
        """Whether the arm's figures beside the first engine's can be trusted.

        Raises the error that cost the trial either of them.
        """
        measurement = self._result().measurement
        both = (self.arms[0], rival)
        for case in both:
            error = self._session.why_lost(case)
            if error is not None:
                raise error
        return decide_pair(*both, measurement, self._session.missing)

    def why_unproven(self, case: Arm, evidence: Evidence) -> Decision | None:
        """What the evidence leaves unproven of the arm, or None."""
        return self._session.why_unproven(case, evidence)

    def evidence(self, case: Arm) -> Evidence:
        """What the arm provably ran; skips if the engine has no such arm."""
        try:
            with _skipping(case):
                return self._session.evidence(case)
        except CeilingIgnoredError as error:
            _fail_for_want_of_evidence(case, error.what)

    def outputs(self, case: Arm) -> Any:
        """Logits, float32 or float64, shape [batch, ...]; skips if the engine has no such arm."""
        with _skipping(case):
            return self._session.outputs(case)

    def losses(self, case: Arm, *, steps: int, batch: int) -> Any:
        """Losses of the first training steps, shape [steps]; skips if there is no such arm."""
        with _skipping(case):
            return self._session.losses(case, steps=steps, batch=batch)

    def gradients(self, case: Arm, *, batch: int) -> dict[str, Any]:
        """Gradients of the first step, by parameter name; skips if there is no such arm."""
        with _skipping(case):
            return self._session.gradients(case, batch=batch)

    def arbiter_outputs(self) -> Any:
        """FP64 logits of the same model and data, shape [batch, ...]."""
        return self._session.arbiter_outputs()

    def arbiter_gradients(self, *, batch: int) -> dict[str, Any]:
        """FP64 gradients of the first training step, by parameter name."""
        return self._session.arbiter_gradients(batch=batch)

    def _result(self) -> TrialResult:
        result = self._session.result()
        self._look_again(self._session)
        return result


@contextmanager
def _skipping(case: Arm) -> Iterator[None]:
    try:
        yield
    except NotApplicableError as error:
        pytest.skip(f"NOT_APPLICABLE: {case.name}: {error}")


def _fail_for_want_of_evidence(case: Arm, how_it_died: str) -> NoReturn:
    found = why_beyond_ceiling(case, how_it_died)
    pytest.fail(f"{Verdict.NO_EVIDENCE}: {found.reason}; {found.remedy}", pytrace=False)


@pytest.fixture
def amx_trial(
    request: pytest.FixtureRequest, amx_support: state.HostView, pytestconfig: pytest.Config
) -> TrialAccess:
    """One trial of the run; its workers start when something is asked of it."""
    session = state.store(pytestconfig).session(request.param)
    return TrialAccess(session, again.second_looks(pytestconfig).look_again)


class AmxRow:
    """A pytest-benchmark row whose times were measured in a child."""

    def __init__(self, benchmark: BenchmarkFixture, clock: VirtualClock, config: Any) -> None:
        self._benchmark = benchmark
        self._clock = clock
        self._config = config

    @property
    def judged(self) -> bool:
        """Whether this run judges speed: not under ``--benchmark-disable``."""
        return not self._benchmark.disabled

    def fill(self, seconds: Sequence[float], case_id: str, **facts: object) -> None:
        """Fill the row with one round for each figure; ``facts`` go into its extra_info.

        Fails the test if the baseline compared with measured another case. A case's ``conditions``
        among the facts let the message say what differs, and ``--amx-across`` allow it.
        """
        self._benchmark.extra_info.update({"case": case_id, **facts})
        try:
            notes = baseline.check_row(
                self._config._benchmarksession,
                self._benchmark.fullname,
                self._benchmark.extra_info,
                self._config.stash[state.SETTINGS].across,
            )
        except AmxSuiteError as error:
            self._benchmark.has_error = True
            pytest.fail(str(error), pytrace=False)
        self._config.stash[state.NOTES].update(dict.fromkeys(notes))
        replay(self._benchmark, self._clock, seconds)


@pytest.fixture
def _amx_clock(request: pytest.FixtureRequest) -> VirtualClock:
    # pytest-benchmark reads its timer from the marker when its fixture is made, after this one.
    clock = VirtualClock()
    group = request.node.get_closest_marker("benchmark")
    chosen = group.kwargs if group else {}
    request.node.add_marker(pytest.mark.benchmark(**{**chosen, "timer": clock}), append=False)
    return clock


@pytest.fixture
def amx_row(
    _amx_clock: VirtualClock, benchmark: BenchmarkFixture, pytestconfig: pytest.Config
) -> AmxRow:
    """This test's row in pytest-benchmark, filled from measured seconds.

    Fails under xdist's ``-n``: pytest-benchmark would silently stop timing, and processes that run
    beside each other time each other.
    """
    if hasattr(pytestconfig, "workerinput") and not pytestconfig.getoption("benchmark_disable"):
        pytest.fail(
            "timed tests need the machine to themselves: run them without -n, or leave speed out "
            "with --benchmark-disable",
            pytrace=False,
        )
    return AmxRow(benchmark, _amx_clock, pytestconfig)
