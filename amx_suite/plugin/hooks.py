"""What pytest calls; the logic is in the modules that these hooks call."""

from __future__ import annotations

__all__: list[str] = []

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from amx_suite.accuracy.known_defects import stale
from amx_suite.core.run import CheckOutcome
from amx_suite.errors import AmxSuiteError
from amx_suite.plugin import baseline, outcome, selection, terminal
from amx_suite.plugin.options import add_options
from amx_suite.plugin.run import RUN, Run


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn the suite's errors into pytest's usage errors: one line and exit code 4."""
    try:
        yield
    except AmxSuiteError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the suite's options."""
    add_options(parser.getgroup("amx", "Intel AMX conformance").addoption, "amx-")


def pytest_configure(config: pytest.Config) -> None:
    """Read settings and gates; a bad one is a usage error before anything runs."""
    for line in selection.MARKER_LINES:
        config.addinivalue_line("markers", line)
    with _usage_errors():
        run = config.stash[RUN] = Run(config)
    config.pluginmanager.register(run.outcomes, "amx_suite.outcomes")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a baseline that pytest-benchmark could not read."""
    with _usage_errors():
        baseline.check_loaded(session.config.stash[RUN].benchmarks)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Describe the host, its quiet reference and the run."""
    with _usage_errors():
        return config.stash[RUN].header


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each trial, arm, gate, engine or ceiling that a test asks for."""
    run = metafunc.config.stash[RUN]
    with _usage_errors():
        selection.parametrize(metafunc, run.settings, run.gates)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests above the level; keep the tests of one trial together."""
    items[:], above = selection.select(items, config.stash[RUN].settings.level)
    if above:
        config.hook.pytest_deselected(items=above)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Lock the machine if a test times it; where another run holds the lock, refuse or wait."""
    with _usage_errors():
        session.config.stash[RUN].take_machine(session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run the tests of trials here: those that lacked quiet run again at the end of the run."""
    trial = selection.trial_of(item)
    if trial is None:
        return None
    item.config.stash[RUN].trials.run_test(item, trial, nextitem)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Turn errors of a trial's arms into outcomes."""
    with outcome.errors_end_test(selection.trial_of(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mark outcomes of our own; keep rows of tests that did not pass out of baselines."""
    report = yield
    outcome.classify(report, call, strict=item.config.stash[RUN].settings.strict)
    row = getattr(item, "funcargs", {}).get("benchmark")
    if row is not None and not report.passed:
        row.has_error = True
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Give outcomes of our own their own letter and their own count in the last line."""
    own = {
        CheckOutcome.INCONCLUSIVE: ("inconclusive", "I", "INCONCLUSIVE"),
        CheckOutcome.KNOWN_DEFECT: ("known defect", "D", "KNOWN DEFECT"),
    }
    found = outcome.own_outcome(report)
    return None if found is None else own[found]


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    """Give stable facts only. The first answer counts, and other plugins may answer too."""
    return baseline.machine_info(config.stash[RUN].host.fingerprint)


def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: Mapping[str, Any], compared_benchmark: Mapping[str, Any]
) -> None:
    """Refuse a baseline of another machine or of other software, unless the user allowed it."""
    run = config.stash[RUN]
    theirs = compared_benchmark.get("machine_info", {})
    with _usage_errors():
        notes = baseline.check_machine(machine_info, theirs, run.settings.across)
    run.notes.update(dict.fromkeys(notes))


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Put the whole run, raw rounds included, beside pytest-benchmark's rows."""
    output_json[baseline.OUR_KEY] = msgspec.to_builtins(config.stash[RUN].summary())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End all workers and write the summary."""
    session.config.stash[RUN].finish(exitstatus)


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the tables of arms and gates, the baseline's differences, and what is undecided.

    First, because pytest-benchmark ends the run in this hook where it finds a regression.
    """
    run = config.stash[RUN]
    warnings = stale(run.outcomes.passed)
    terminal.write_summary(terminalreporter, run.summary(), run.baseline_lines(), warnings)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the machine to the next run."""
    run = config.stash.get(RUN, None)
    if run is not None:
        run.release_machine()
