"""The fixtures that the plugin offers to every test in the same environment.

docs/extending.md lists them.
"""

from __future__ import annotations

__all__ = [
    "amx_cycles",
    "amx_engine",
    "amx_host",
    "amx_mismatch",
    "amx_peaks",
    "amx_progress",
    "amx_row",
    "amx_settings",
    "amx_support",
    "amx_trial",
    "amx_whole_machine",
    "isa_worker",
    "isa_workers",
    "tile_worker",
]

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import pytest

from amx_suite.child.handle import Child, most_children
from amx_suite.core.isa import Isa
from amx_suite.errors import OutputError
from amx_suite.plugin.hooks import suite_run
from amx_suite.plugin.outcome import why_not_usable
from amx_suite.plugin.rows import AmxRow, VirtualClock
from amx_suite.plugin.run import HostView, Run
from amx_suite.plugin.whole_machine import AmxWholeMachine
from amx_suite.report.mismatch import store_mismatch

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from amx_suite.core.peaks import CoreCycles, Peaks
    from amx_suite.plugin.options import Settings
    from amx_suite.plugin.trials import AmxTrial
    from amx_suite.tmul.batch import BatchResult, TileWorker
    from amx_suite.worker.process import IsaWorker

_Key = TypeVarTuple("_Key")
_Child = TypeVar("_Child", bound=Child)


@pytest.fixture(scope="session")
def _amx_run(pytestconfig: pytest.Config) -> Run:
    """What this pytest run knows; the fixtures below are parts of it."""
    return suite_run(pytestconfig)


@pytest.fixture(scope="session")
def amx_settings(_amx_run: Run) -> Settings:
    """What the user asked for, with defaults filled in."""
    return _amx_run.settings


@pytest.fixture(scope="session")
def amx_host(request: pytest.FixtureRequest, _amx_run: Run) -> HostView:
    """The host as detected, with AMX or without.

    A CPU whose AMX computes wrong fails the test. AMX that the user requires and that is not
    usable ends the run at once.
    """
    support = _amx_run.host.support
    if support.defective:
        pytest.fail(why_not_usable(support), pytrace=False)
    if not support.usable and _amx_run.settings.require:
        request.session.shouldfail = "AMX is required, and it is not usable here"
        pytest.fail(f"AMX is required: {why_not_usable(support)}", pytrace=False)
    return _amx_run.host


@pytest.fixture(scope="session")
def amx_support(amx_host: HostView) -> HostView:
    """``amx_host``, which skips the test where AMX is not usable."""
    if not amx_host.support.usable:
        pytest.skip(why_not_usable(amx_host.support))
    return amx_host


@pytest.fixture(scope="session")
def amx_progress(_amx_run: Run) -> Callable[..., None]:
    """Say how far a long test is, on one line of the terminal: ``amx_progress("3 of 8")``."""
    return _amx_run.progress.show


@pytest.fixture(scope="session")
def amx_peaks(amx_support: HostView, _amx_run: Run) -> Peaks:
    """The highest rates of the units of this run's CPUs, all CPUs at once."""
    return _amx_run.peaks


@pytest.fixture
def amx_cycles(
    amx_support: HostView, _amx_run: Run
) -> Iterator[Callable[[Sequence[int]], tuple[CoreCycles, ...]]]:
    """A function from CPUs to what the units of each did per cycle, one CPU after the other."""
    with _amx_run.start_probe(amx_support.facts.allowed_cpus) as probe:
        yield probe.read_cycles


@pytest.fixture
def amx_engine(request: pytest.FixtureRequest, _amx_run: Run) -> str:
    """The name of an engine; the test runs once for each of the run's."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def isa_workers(amx_support: HostView, _amx_run: Run) -> Iterator[Callable[[Isa, str], IsaWorker]]:
    """A function from (ceiling, engine name) to a worker, one subprocess for each, kept."""

    def start(isa: Isa, engine: str) -> IsaWorker:
        return _amx_run.start_worker(isa, engine)

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
def amx_mismatch(amx_support: HostView, _amx_run: Run) -> Callable[[BatchResult], str]:
    """Store a wrong tile result at once; returns a sentence on it for the test's message."""

    def store(result: BatchResult) -> str:
        if result.first is None:
            return str(result)
        try:
            path = store_mismatch(_amx_run.folder, amx_support.fingerprint, result)
        except OutputError as error:
            return f"{result}; it was not stored: {error}"
        return f"{result}; run it again with: amx-suite replay {path}"

    return store


@pytest.fixture(scope="session")
def tile_worker(amx_support: HostView) -> Iterator[Callable[[int], TileWorker]]:
    """A function from a CPU to a worker that is bound to it and may use tiles, kept."""
    from amx_suite.tmul.batch import TileWorker

    with _kept(lambda cpu: TileWorker(cpu)) as workers:
        yield workers


@contextmanager
def _kept(start: Callable[[*_Key], _Child]) -> Iterator[Callable[[*_Key], _Child]]:
    """``start``, but with the same child for the same arguments; all are closed at the end.

    At the limit of this process's descriptors, the child that was used longest ago is closed.
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


@pytest.fixture
def amx_trial(request: pytest.FixtureRequest, amx_host: HostView, _amx_run: Run) -> AmxTrial:
    """One trial of the run; its workers start when something is asked of it.

    Where AMX is not usable it has no arms with AMX, and what is asked of these skips the test.
    """
    return _amx_run.trials.open(request.param)


@pytest.fixture
def amx_whole_machine(
    request: pytest.FixtureRequest, amx_host: HostView, _amx_run: Run
) -> AmxWholeMachine:
    """One case on all cores of the machine; only a case of AMX is skipped where there is none."""
    case = request.param
    if case.isa.allows_amx:
        request.getfixturevalue("amx_support")
    return AmxWholeMachine(case, _amx_run)


@pytest.fixture
def _amx_clock(request: pytest.FixtureRequest, _amx_run: Run) -> VirtualClock:
    if _amx_run.benchmarks is None:
        pytest.fail(
            "timed tests need pytest-benchmark: run them without -p no:benchmark", pytrace=False
        )
    # pytest-benchmark reads its timer from the marker when its fixture is made, after this one.
    clock = VirtualClock()
    group = request.node.get_closest_marker("benchmark")
    chosen = group.kwargs if group else {}
    request.node.add_marker(pytest.mark.benchmark(**{**chosen, "timer": clock}), append=False)
    return clock


@pytest.fixture
def amx_row(
    _amx_clock: VirtualClock,
    benchmark: BenchmarkFixture,
    _amx_run: Run,
    pytestconfig: pytest.Config,
) -> AmxRow:
    """This test's row in pytest-benchmark, filled from measured seconds.

    Fails under xdist's ``-n``: pytest-benchmark would silently stop timing, and parallel processes
    slow each other.
    """
    if hasattr(pytestconfig, "workerinput") and not pytestconfig.getoption("benchmark_disable"):
        pytest.fail(
            "timed tests need the machine to themselves: run them without -n, or leave speed out "
            "with --benchmark-disable",
            pytrace=False,
        )
    return AmxRow(benchmark, _amx_clock, _amx_run)
