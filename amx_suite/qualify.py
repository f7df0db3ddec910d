"""One whole qualification: the conformance tests through pytest, then the result files."""

from __future__ import annotations

__all__ = ["RESULT_FILES", "conformance_folders", "qualify"]

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

import amx_suite
from amx_suite.child.handle import scratch_folder
from amx_suite.core.exit_codes import exit_code
from amx_suite.core.run import RunSummary
from amx_suite.errors import AmxSuiteError, UsageError
from amx_suite.options import DEFAULT_OUTPUT, Settings
from amx_suite.plugin import SUMMARY
from amx_suite.report import closing_lines, ensure_writable, render_markdown, write_atomically
from amx_suite.report.files import move_into_place, remove_files
from amx_suite.testing.state import OUTPUT

#: What a run writes, the summary last: where it is, the others are complete.
RESULT_FILES = ("results.json", "junit.xml", "summary.md")

_FOLDERS = ("detection", "instructions", "dispatch", "correctness", "performance")

#: The user's shell may narrow pytest's runs with these; a qualification is always the whole.
_PYTEST_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")


def qualify(settings: Settings) -> int:
    """Run the conformance tests, write the result files, and return the contract's exit code.

    Results of an earlier run are removed when the first test is about to run, so that a run that
    dies leaves none and one that is refused leaves them. Raises UsageError where the tests are not
    there, OutputError where the folder cannot be written, and AmxSuiteError if pytest broke down
    before anything could be summed up.
    """
    root = _checkout()
    folders = conformance_folders(root)
    output = settings.output or DEFAULT_OUTPUT.absolute()
    ensure_writable(output)
    with scratch_folder(output, ".unfinished-") as unfinished:
        ended, summary = _run_pytest(settings, root, folders, unfinished)
        if ended == pytest.ExitCode.USAGE_ERROR:
            return exit_code(usage=True)
        if summary is None:
            raise AmxSuiteError(
                f"pytest ended early ({_words(ended)}) and there is nothing to report; its own "
                "message is above"
            )
        if ended in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
            summary = msgspec.structs.replace(summary, interrupted=True)
        _publish(unfinished, output, summary)
    print(f"amx-suite: results in {output}: {', '.join(RESULT_FILES)}")
    answer, *details = closing_lines(summary)
    print("\n".join([*details, f"amx-suite: {answer}"]))
    return _exit_code(ended, summary)


def conformance_folders(root: Path) -> tuple[Path, ...]:
    """The folders of conformance tests in a checkout; raises UsageError if there are none."""
    folders = tuple(root / "tests" / name for name in _FOLDERS)
    found = tuple(folder for folder in folders if folder.is_dir())
    if not found:
        raise UsageError(
            f"the conformance tests are not in {root / 'tests'}: they are part of the checkout, "
            "not of the package; run `make qualify` there, or `pip install -e` it"
        )
    return found


class _Gatherer:
    """Tells pytest's run of the folder, clears it, and takes the summary that the plugin leaves."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self.summary: RunSummary | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[OUTPUT] = self._output

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        remove_files(self._output, RESULT_FILES)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        self.summary = config.stash.get(SUMMARY, None)


def _checkout() -> Path:
    return Path(amx_suite.__file__).resolve().parents[1]


def _run_pytest(
    settings: Settings, root: Path, folders: Sequence[Path], unfinished: Path
) -> tuple[int, RunSummary | None]:
    gatherer = _Gatherer(unfinished.parent)
    # The summary is written here, after the other files; an empty option hides the environment's.
    options = msgspec.structs.replace(settings, output=None).argv()
    arguments = [
        f"--config-file={root / 'pytest.ini'}",
        f"--rootdir={root}",
        "--verbose",
        # The checkout may belong to somebody else, and a qualification has no use for the cache.
        "-pno:cacheprovider",
        # The plugin is imported before pytest can rewrite its asserts, of which it has none.
        "-Wignore::pytest.PytestAssertRewriteWarning",
        f"--benchmark-json={unfinished / 'results.json'}",
        f"--junitxml={unfinished / 'junit.xml'}",
        *options,
        *map(str, folders),
    ]
    with _without_variables(_PYTEST_VARIABLES), warnings.catch_warnings():
        # Where nothing was timed pytest-benchmark says so; results.json is then written here.
        warnings.filterwarnings("ignore", message="Not saving anything")
        ended = pytest.main(arguments, plugins=[gatherer])
    return int(ended), gatherer.summary


@contextlib.contextmanager
def _without_variables(names: Sequence[str]) -> Iterator[None]:
    removed = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)


def _publish(unfinished: Path, output: Path, summary: RunSummary) -> None:
    for name in RESULT_FILES[:-1]:
        if (unfinished / name).is_file():
            move_into_place(unfinished / name, output / name)
    if not (output / "results.json").exists():
        write_atomically(output / "results.json", _results_without_rows(summary))
    write_atomically(output / "summary.md", render_markdown(summary))


def _results_without_rows(summary: RunSummary) -> str:
    """pytest-benchmark's layout; it writes no file of its own where nothing was timed."""
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


def _exit_code(ended: int, summary: RunSummary) -> int:
    """The summary's code, except that a pytest that did not end well is never 0."""
    if ended == pytest.ExitCode.INTERNAL_ERROR:
        print("amx-suite: pytest broke down; its message is above")
        return exit_code(failed=True)
    code = summary.qualification.exit_code
    if code == 0 and ended != pytest.ExitCode.OK:
        print(f"amx-suite: not accepted all the same: pytest ended with {_words(ended)}")
        return exit_code(failed=True)
    return code


def _words(ended: int) -> str:
    try:
        return pytest.ExitCode(ended).name.lower().replace("_", " ")
    except ValueError:
        return f"exit code {ended}"
