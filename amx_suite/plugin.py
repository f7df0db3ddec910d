"""The pytest plugin: hooks without logic; what they call is in ``testing`` and ``report``."""

from __future__ import annotations

__all__ = ["SUMMARY"]

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from amx_suite.accuracy.known_defects import stale
from amx_suite.core.run import RunSummary
from amx_suite.errors import AmxSuiteError
from amx_suite.extensions import refusals
from amx_suite.gates import load_gates
from amx_suite.options import Settings, add_options
from amx_suite.report import ensure_writable, render_markdown, write_atomically
from amx_suite.testing import again, baseline, locking, outcome, parametrize, selection, show, state
from amx_suite.testing.collector import Collector

pytest_plugins = ["amx_suite.fixtures"]

#: Where a finished run leaves its summary in ``config.stash``.
SUMMARY = pytest.StashKey[RunSummary]()


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
    """Read settings and gates once; a bad one is a usage error before anything runs."""
    for line in selection.MARKER_LINES:
        config.addinivalue_line("markers", line)
    config.stash[state.COLLECTOR] = collector = Collector()
    config.pluginmanager.register(collector, "amx_suite.collector")
    with _usage_errors():
        settings = config.stash[state.SETTINGS] = Settings.from_pytest(config)
        state.check_engines(settings)
        config.stash[state.GATES] = load_gates(settings.gates)
        if settings.reference is not None:
            state.calibration(config)
        baseline.check_argument(config.getoption("benchmark_compare"))
        config.stash[state.NOTES] = {}
        state.keep_machines_apart(config)
        if settings.output is not None:
            ensure_writable(settings.output)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a baseline that pytest-benchmark could not read."""
    with _usage_errors():
        baseline.check_loaded(session.config._benchmarksession)  # type: ignore[attr-defined]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """About the host, its quiet reference, the run, and rows that packages could not add."""
    settings = config.stash[state.SETTINGS]
    refused = [f"amx refused: {refusal}" for refusal in refusals()]
    about = [state.reference_line(config), state.run_line(settings)]
    return [*state.host(config).header, *about, *refused]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each trial, arm, gate, engine or ceiling that a test asks for."""
    stash = metafunc.config.stash
    with _usage_errors():
        parametrize.generate(metafunc, stash[state.SETTINGS], stash[state.GATES])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what lies above the level; keep the tests of one trial together."""
    kept, above = selection.split_by_level(items, config.stash[state.SETTINGS].level)
    if above:
        config.hook.pytest_deselected(items=above)
    items[:] = selection.trials_first(kept)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Take the machine for tests that time it; a second run that does is refused, or waits."""
    config = session.config
    with _usage_errors():
        locking.take(config, session.items, wait=config.stash[state.SETTINGS].wait)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run timed tests of trials ourselves: those that lacked quiet are put off to the end."""
    return again.run_protocol(item, nextitem) or None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mark outcomes of our own; keep a row of a test that did not pass from being a baseline."""
    report = yield
    outcome.mark(report, call)
    outcome.excuse(report, strict=item.config.stash[state.SETTINGS].strict)
    row = getattr(item, "funcargs", {}).get("benchmark")
    if row is not None and not report.passed:
        row.has_error = True
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Give outcomes of our own their own letter and their own count in the last line."""
    if outcome.is_inconclusive(report):
        return "inconclusive", "I", "INCONCLUSIVE"
    if outcome.is_known_defect(report):
        return "known defect", "D", "KNOWN DEFECT"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    """Stable facts only. The first answer counts, and which plugin comes first is chance."""
    return baseline.machine_info(state.host(config).fingerprint)


def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: Mapping[str, Any], compared_benchmark: Mapping[str, Any]
) -> None:
    """Refuse a baseline of another machine or of other software, unless the user allowed it."""
    theirs = compared_benchmark.get("machine_info", {})
    with _usage_errors():
        notes = baseline.check_machine(machine_info, theirs, config.stash[state.SETTINGS].across)
    config.stash[state.NOTES].update(dict.fromkeys(notes))


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Put the whole run, raw rounds included, beside pytest-benchmark's rows."""
    output_json[baseline.OUR_KEY] = msgspec.to_builtins(state.summary(config))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End all workers and leave the summary for whoever started pytest.

    A run that was refused leaves the files of the one before as they are.
    """
    config = session.config
    state.store(config).close()
    summary = config.stash[SUMMARY] = state.summary(config)
    output = config.stash[state.SETTINGS].output
    if output is not None and exitstatus != pytest.ExitCode.USAGE_ERROR:
        write_atomically(output / "summary.md", render_markdown(summary))


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the table of arms and gates, what is to be known of the baseline, and what is undecided.

    First, since pytest-benchmark ends the run in this hook where it finds a regression.
    """
    show.results(terminalreporter, state.summary(config))
    show.baseline(terminalreporter, state.baseline_lines(config))
    show.listed(terminalreporter, "inconclusive")
    show.listed(terminalreporter, "known defect", stale(state.passed(config)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the machine to the next run."""
    locking.release(config)
