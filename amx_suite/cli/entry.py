"""Runs the command that the user chose, and turns errors into one line and an exit code.

A command is a module of this package with two functions: ``configure`` declares its arguments, and
``run`` runs it and returns its exit code. Only the module of the chosen command is imported, so
that ``doctor`` starts without pytest.
"""

from __future__ import annotations

__all__ = ["COMMANDS", "main"]

import argparse
import importlib
import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from amx_suite import __version__
from amx_suite.child.limits import OF_LIMITS, limit_of
from amx_suite.cli import signals
from amx_suite.core.run import ExitCode, exit_code
from amx_suite.errors import (
    AmxSuiteError,
    LimitReachedError,
    MachineChangedError,
    OutputError,
    UsageError,
)
from amx_suite.streams import mended_streams

#: Each command with its one line of help.
COMMANDS = {
    "doctor": "say whether AMX is usable here, and if not why and what to do",
    "qualify": "run the conformance tests and write results.json, reports and junit.xml",
    "report": "make report.html again from the results.json of a run",
    "list": "show every run case with its gates and needs",
    "calibrate": "measure and store the quiet rates of this machine's units",
    "compare": "say what changed since one or more earlier runs of qualify, gate by gate",
    "export": "write results for Apache Otava or Prometheus",
    "fleet": "judge many machines together, from the results.json of each",
    "ab": "time two builds in turns, and say what changed",
    "baseline": "make a gate table from the results of accepted machines",
    "replay": "run a wrong tile result again that an instruction test stored",
}

#: The exit code of a shell for a process that SIGPIPE ended (128 + 13).
_BROKEN_PIPE = 141


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are the suite's."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; an error of the suite is one line.

    Its code is USAGE where the user can put it right (an option, a folder that cannot be written),
    UNDECIDED where the machine changed meanwhile or a limit was reached, otherwise FAILED. Standard
    output and error may be closed, full or ASCII only.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    with mended_streams():
        return _run(words)


def _run(words: Sequence[str]) -> int:
    try:
        with warnings.catch_warnings(), signals.handled():
            if sys.warnoptions:
                # PYTHONWARNINGS=error would make a failure of a library's announcement.
                warnings.simplefilter("default")
            # It announces each time that it found no home to keep its list of fonts in.
            logging.getLogger("matplotlib").setLevel(logging.ERROR)
            _check_working_folder()
            arguments = _parser(words).parse_args(words)
            code: int = arguments.run(arguments)
    except SystemExit as stop:  # argparse, after --help and --version
        return stop.code if isinstance(stop.code, int) else 0
    except AmxSuiteError as error:
        usage = isinstance(error, UsageError | OutputError)
        limit = isinstance(error, LimitReachedError)
        undecided = limit or isinstance(error, MachineChangedError)
        # The reason is known, so that what the child said adds nothing.
        text = str(error).partition("\n")[0] if limit else str(error)
        print(f"amx-suite: error: {text}", file=sys.stderr)
        return exit_code(usage=usage, failed=not usage and not undecided, undecided=undecided)
    except BrokenPipeError:  # the reader of what a program was to get has gone
        return _BROKEN_PIPE
    except OF_LIMITS as error:
        found = limit_of(error)
        if found is None:
            raise
        print(f"amx-suite: error: {found[1]}", file=sys.stderr)
        return ExitCode.UNDECIDED
    except KeyboardInterrupt as interrupt:
        name = str(interrupt) or signal.SIGINT.name
        print(f"amx-suite: interrupted by {name}", file=sys.stderr)
        return ExitCode.UNDECIDED
    return code


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the working folder cannot be used ({error.strerror}): change to one that exists"
        ) from error


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="amx-suite",
        description="Is Intel AMX present, exact, used, accurate and fast here, in PyTorch?",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"amx-suite {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=line, allow_abbrev=False)
        if name == chosen:
            module = importlib.import_module(f"amx_suite.cli.{name}")
            module.configure(command)
            command.set_defaults(run=module.run)
    return parser
