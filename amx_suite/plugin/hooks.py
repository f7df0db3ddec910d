"""What pytest calls; the logic is in the modules that these hooks call.

pytest loads the plugin in every run of the environment. So the functions here change no run of
another project, and all other hooks are methods of ``RunHooks``, which only a run of the suite has.
"""

from __future__ import annotations

__all__ = ["RunHooks", "suite_run"]

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from _pytest.junitxml import xml_key

import amx_suite
from amx_suite.core.run import CheckOutcome
from amx_suite.plugin import baseline, outcome, selection, terminal
from amx_suite.plugin.options import OPTIONS, add_options
from amx_suite.plugin.quiet import QuietHooks
from amx_suite.plugin.run import RUN, SETTINGS, Run

_PACKAGE = Path(amx_suite.__file__).resolve().parent
#: Where the suite's own tests have their pytest.ini: in a checkout, or in a wheel.
_OWN_ROOTS = (_PACKAGE.parent, _PACKAGE / "conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the suite's options."""
    add_options(parser.getgroup("amx", "Intel AMX conformance").addoption, "amx-")


def pytest_configure(config: pytest.Config) -> None:
    """Begin at once if the run is known to be the suite's, and declare the markers.

    Another project's markers may have the same names, and those that it does not declare are its
    errors.
    """
    given = any(getattr(config.option, f"amx_{option.name}") is not None for option in OPTIONS)
    if given or SETTINGS in config.stash or config.rootpath in _OWN_ROOTS:
        suite_run(config)
        for line in selection.MARKER_LINES:
            config.addinivalue_line("markers", line)
        if not config.pluginmanager.hasplugin("benchmark"):
            # For --strict-markers; timed tests then say that they need the plugin.
            config.addinivalue_line("markers", "benchmark: see pytest-benchmark")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each trial, arm, gate, engine or ceiling that a test asks for."""
    if selection.is_ours(metafunc):
        run = suite_run(metafunc.config)
        selection.parametrize(metafunc, run.settings, run.gates)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Give outcomes of our own their own letter and their own count in the last line."""
    own = {
        CheckOutcome.INCONCLUSIVE: ("inconclusive", "I", "INCONCLUSIVE"),
        CheckOutcome.KNOWN_DEFECT: ("known defect", "D", "KNOWN DEFECT"),
        CheckOutcome.WAIVED: ("waived", "W", "WAIVED"),
    }
    found = outcome.own_outcome(report)
    return None if found is None else own[found]


def suite_run(config: pytest.Config) -> Run:
    """The suite's run, begun on the first call; a bad setting is a usage error."""
    if RUN not in config.stash:
        with outcome.usage_errors():
            run = config.stash[RUN] = Run(config)
            config.pluginmanager.register(RunHooks(run), "amx_suite.run")
            if run.is_quiet:
                quiet = QuietHooks(run, config.pluginmanager)
                config.pluginmanager.register(quiet, "amx_suite.quiet")
            run.narrow_storage()
    return config.stash[RUN]


class RunHooks:
    """The hooks of one run of the suite."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def pytest_report_header(self) -> list[str]:
        """Describe the host, its quiet reference and the run."""
        with outcome.usage_errors():
            return self._run.header

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out the tests above the level; keep the tests of one trial together."""
        items[:], above = selection.select(items, self._run.settings.level)
        if above:
            config.hook.pytest_deselected(items=above)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what the user left out of the run."""
        self._run.deselected.update(item.nodeid for item in items)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse a baseline that was not read; lock the machine if a test times it."""
        with outcome.usage_errors():
            baseline.check_loaded(self._run.benchmarks)
            self._run.take_machine(session.items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Read the machine's health before the first and after the last test."""
        with self._run.watch_health():
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run the tests of trials here: those that lacked quiet run again at the end of the run."""
        trial = selection.trial_of(item)
        if trial is None:
            return None
        self._run.trials.run_test(item, trial, nextitem)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Turn errors of a test's arms into outcomes; keep the figures that it judges."""
        arms, strict = selection.arms_of(item), self._run.settings.strict
        with outcome.keep_figures(item), outcome.errors_end_test(arms, strict=strict):
            return (yield)

    #: Fixtures start children too.
    pytest_runtest_setup = pytest_runtest_call

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Mark outcomes of our own; keep rows of tests that did not pass out of baselines."""
        self._run.progress.clear()  # pytest is going to print the outcome
        report = yield
        strict = self._run.settings.strict
        outcome.classify(report, call, self._run.find_waiver, strict=strict)
        outcome.note_peer(item, report, self._run.checks)
        row = getattr(item, "funcargs", {}).get("benchmark")
        if row is not None and not report.passed:
            row.has_error = True
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep how each conformance test ended."""
        outcome.keep(report, self._run.checks)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that the run ended early, and by which signal."""
        self._run.interrupted = True
        self._run.ended_by = outcome.signal_of(excinfo.value)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_benchmark_generate_machine_info(self) -> dict[str, Any]:
        """Give stable facts only. The first answer counts, and other plugins may answer too."""
        return baseline.machine_info(self._run.host.fingerprint)

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_compare_machine_info(
        self, machine_info: Mapping[str, Any], compared_benchmark: Mapping[str, Any]
    ) -> None:
        """Refuse a baseline of another machine or of other software, unless the user allowed it."""
        with outcome.usage_errors():
            theirs = baseline.stored_machine(compared_benchmark)
            notes = baseline.check_machine(machine_info, theirs, self._run.settings.across)
        self._run.notes.update(dict.fromkeys(notes))

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Put the whole run, raw rounds included, beside pytest-benchmark's rows."""
        output_json[baseline.OUR_KEY] = msgspec.to_builtins(self._run.summary())

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, object, object]:
        """Describe the run in junit.xml before pytest writes it; then end it, and its summary.

        Around pytest-benchmark's own, whose rows may find the disk full: the verdicts stand, and
        pytest's summary follows.
        """
        # Private, but what pytest's own fixture ``record_testsuite_property`` uses.
        xml = session.config.stash.get(xml_key, None)
        if xml is not None:
            for name, value in outcome.suite_properties(self._run.summary()).items():
                xml.add_global_property(name, value)
        result: object = None
        try:
            result = yield
        except OSError as error:
            text = f"amx-suite: error: pytest's files are incomplete: {error}"
            terminal.write_line(session.config, text)
        self._run.finish(exitstatus)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the tables of arms and gates, the baseline's differences, and what is undecided.

        First, because pytest-benchmark ends the run in this hook where it finds a regression.
        """
        run = self._run
        if not run.is_quiet:
            summary = run.summary() if run.has_results else None
            terminal.write_summary(terminalreporter, summary, run.baseline_lines(), run.warnings)

    def pytest_unconfigure(self) -> None:
        """Leave the machine to the next run."""
        self._run.release_machine()
