"""``amx-suite qualify``: the conformance tests through pytest, then the result files."""

from __future__ import annotations

__all__ = ["CONFORMANCE_FOLDERS", "RESULT_FILES", "configure", "run"]

import argparse
import contextlib
import hashlib
import io
import json
import os
import sys
import warnings
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest

import amx_suite
from amx_suite.cli import signals
from amx_suite.core.run import Qualification, RunSummary, exit_code
from amx_suite.errors import AmxSuiteError, OutputError, UsageError
from amx_suite.files import (
    check_file,
    ensure_writable,
    locked_folder,
    memory_file,
    new_temporary_folder,
    replace_files,
)
from amx_suite.folders import temporary_folder
from amx_suite.plugin.options import COMPARE_OPTIONS, DEFAULT_OUTPUT, OPTIONS, Settings, add_options
from amx_suite.plugin.run import QUIET, RUN, SETTINGS
from amx_suite.report.checks import skip_lines
from amx_suite.report.closing import closing_lines, last_line
from amx_suite.report.markdown import render_markdown
from amx_suite.report.rows import result_table
from amx_suite.report.table import terminal_width
from amx_suite.report.whole_machine import whole_machine_tables

#: What a run writes; where the last of them is, the others are complete.
RESULT_FILES = ("results.json", "junit.xml", "report.html", "summary.md")

#: The folders of conformance tests; setup.py puts the same into a wheel.
CONFORMANCE_FOLDERS = ("detection", "instructions", "dispatch", "correctness", "performance")

#: With these a user's shell may narrow pytest's runs; a qualification must not be narrowed.
_PYTEST_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")

#: With these pytest and pytest-benchmark print nothing but broken runs; ``plugin.quiet`` prints.
_QUIET_OPTIONS = ("-qq", "--no-summary", "--benchmark-quiet")
#: Columns of the result table and of the reasons for skips.
_WIDTH = 110


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 qualified, 1 a check failed, 2 usage, 3 AMX not usable here, 4 inconclusive."
    )
    names = [option.name for option in OPTIONS if option.name not in COMPARE_OPTIONS]
    add_options(parser.add_argument, "", names)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="print each test, each reason for a skip, and a table for each trial",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the conformance tests, write the result files, and return the exit code.

    An earlier run's results stay until those of this run are complete. Raises UsageError where the
    tests are missing, OutputError where the folder cannot be written or another run has it, and
    AmxSuiteError if pytest broke down before there was anything to report.
    """
    settings = Settings.read(arguments)
    root = _tests_root()
    folders = [root / "tests" / name for name in CONFORMANCE_FOLDERS]
    folders = [folder for folder in folders if folder.is_dir()]
    if not folders:
        raise UsageError(
            f"the conformance tests are not in {root / 'tests'}, where this installation should "
            "have them; install amx-suite again, or run `make qualify` in a clone"
        )
    output = settings.output or DEFAULT_OUTPUT.absolute()
    settings = msgspec.structs.replace(settings, output=output)
    ensure_writable(output)
    temporary_folder()  # pytest needs one at once
    for name in RESULT_FILES:
        check_file(output / name)
    # pytest and pytest-benchmark write where no full disk makes them lose the run.
    with (
        locked_folder(output, partial(print, flush=True) if settings.wait else None),
        memory_file() as rows,
        memory_file() as junit,
    ):
        ended, summary = _run_pytest(
            settings, root, folders, rows, junit, verbose=arguments.verbose
        )
        if ended == pytest.ExitCode.USAGE_ERROR:
            return exit_code(usage=True)
        if summary is None:
            raise AmxSuiteError(
                f"pytest ended early ({getattr(ended, 'name', ended)}) and there is nothing to "
                "report; its own message is above"
            )
        if ended in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
            summary = msgspec.structs.replace(summary, interrupted=True)
        files = _result_files(summary, _content(rows), _content(junit))
        folder = _publish(output, files)
    if not arguments.verbose:
        _print_results(summary)
    _print_end(ended, summary, folder, [name for name in files if files[name]])
    return _exit_code(ended, summary)


class _Qualification:
    """A pytest plugin that hands over the settings and takes the summary."""

    def __init__(self, settings: Settings, *, verbose: bool) -> None:
        self._settings = settings
        self._verbose = verbose
        self.summary: RunSummary | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[SETTINGS] = self._settings
        config.stash[QUIET] = not self._verbose

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        signals.only_results_are_left()
        return (yield)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        if RUN in config.stash:
            self.summary = config.stash[RUN].summary()


def _tests_root() -> Path:
    """The folder with pytest.ini and ``tests``: the checkout, or what the wheel carries."""
    package = Path(amx_suite.__file__).resolve().parent
    carried = package / "conformance"
    return carried if carried.is_dir() else package.parent


def _run_pytest(
    settings: Settings,
    root: Path,
    folders: Sequence[Path],
    rows: io.FileIO,
    junit: io.FileIO,
    *,
    verbose: bool,
) -> tuple[int, RunSummary | None]:
    qualification = _Qualification(settings, verbose=verbose)
    arguments = [
        f"--config-file={root / 'pytest.ini'}",
        f"--rootdir={root}",
        *(("--verbose",) if verbose else _QUIET_OPTIONS),
        # The checkout may be another user's.
        "-pno:cacheprovider",
        # The plugin is imported before pytest can rewrite its asserts; it has none.
        "-Wignore::pytest.PytestAssertRewriteWarning",
        # It makes this folder where it is missing, by default one in the user's.
        f"--benchmark-storage={root}",
        f"--benchmark-json=/proc/self/fd/{rows.fileno()}",
        f"--junitxml=/proc/self/fd/{junit.fileno()}",
        *map(str, folders),
    ]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name in _PYTEST_VARIABLES:
            patch.delenv(name, raising=False)
        # Hypothesis would make a folder for what it has read; it goes on without one.
        patch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", os.devnull)
        # pytest-benchmark warns where nothing was timed; results.json is then written here.
        warnings.filterwarnings("ignore", message="Not saving anything")
        ended = pytest.main(arguments, plugins=[qualification])
    return ended, qualification.summary


def _content(file: io.FileIO) -> str:
    file.seek(0)
    return file.read().decode()


def _result_files(summary: RunSummary, rows: str, junit: str) -> dict[str, str]:
    """The content of each of ``RESULT_FILES``, empty for what there is none of."""
    try:
        json.loads(rows)
    except ValueError:
        # Nothing was timed, or no memory was left for it.
        rows = _results_without_rows(summary)
    page = _report(summary, hashlib.sha256(rows.encode()).hexdigest())
    contents = rows, junit, page, render_markdown(summary)
    return dict(zip(RESULT_FILES, contents, strict=True))


def _report(summary: RunSummary, digest: str) -> str:
    """The report, empty where it cannot be made: the other files stand without it."""
    try:
        # Here, because it imports matplotlib, for which a run that is refused need not wait.
        from amx_suite.report.html import render_html

        return render_html(summary, sha256=digest)
    except (OSError, MemoryError) as error:  # matplotlib needs memory and a folder of its own
        _complain(f"no report.html: {error!r}; `amx-suite report` makes it from results.json")
        return ""


def _publish(output: Path, files: Mapping[str, str]) -> Path | None:
    """Write the files into the folder, else into a temporary one; print the summary else.

    Returns the folder in which they are.
    """
    try:
        replace_files(output, files)
        return output
    except OutputError as error:
        _complain(f"{error}; what is there is not of this run")
    try:
        folder = new_temporary_folder("amx-results-")
        try:
            replace_files(folder, files)
        except OutputError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        return folder
    except OutputError as error:
        _complain(str(error))
    print(files["summary.md"], end="")
    return None


def _complain(text: str) -> None:
    print(f"amx-suite: error: {text}", file=sys.stderr)


def _results_without_rows(summary: RunSummary) -> str:
    """The file in pytest-benchmark's layout, which itself writes none where nothing was timed."""
    import pytest_benchmark

    results = {
        "machine_info": {},
        "commit_info": {},
        "benchmarks": [],
        "datetime": summary.started,
        "version": pytest_benchmark.__version__,
        "amx_suite": summary,
    }
    return msgspec.json.format(msgspec.json.encode(results)).decode() + "\n"


def _print_end(ended: int, summary: RunSummary, folder: Path | None, names: Sequence[str]) -> None:
    """Print the findings, where the results are, and the verdict with its exit code."""
    for line in closing_lines(summary):
        print(line)
    if folder is None:
        print("amx-suite: no results were written: the summary is above")
        report = "the summary above"
    else:
        shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        print(f"amx-suite: results in {shown}: {', '.join(names)}")
        report = str(shown / ("report.html" if "report.html" in names else "summary.md"))
    if _is_refused(ended, summary):
        name = getattr(ended, "name", ended)
        code = _exit_code(ended, summary)
        print(f"amx-suite: NOT QUALIFIED (exit code {code:d}): pytest ended with {name}")
    else:
        print(f"amx-suite: {last_line(summary, report)}")


def _print_results(summary: RunSummary) -> None:
    colour = sys.stdout.isatty()
    if summary.trials:
        print(result_table(summary.trials).terminal(width=_WIDTH, colour=colour))
    if summary.whole_machine:
        for table in whole_machine_tables(summary.whole_machine):
            print(table.terminal(width=terminal_width(), colour=colour))
    for line in skip_lines(summary, width=_WIDTH):
        print(line)


def _is_refused(ended: int, summary: RunSummary) -> bool:
    """Whether pytest did not end well, so that the summary's answer does not count."""
    accepted = summary.qualification is Qualification.QUALIFIED
    return ended == pytest.ExitCode.INTERNAL_ERROR or (accepted and ended != pytest.ExitCode.OK)


def _exit_code(ended: int, summary: RunSummary) -> int:
    """The summary's code, except that a pytest that did not end well is never 0."""
    refused = _is_refused(ended, summary)
    return exit_code(failed=True) if refused else summary.qualification.exit_code
