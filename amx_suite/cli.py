"""The command line: ``doctor``, ``qualify``, ``list``, ``calibrate``, ``compare`` and ``replay``.

Errors of the suite become one line on standard error and an ``ExitCode``: USAGE for what the user
can put right (a bad option, a folder that cannot be written), FAILED for the rest.
"""

from __future__ import annotations

__all__ = ["main"]

import argparse
import math
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from amx_suite import __version__
from amx_suite.core.exit_codes import ExitCode, exit_code
from amx_suite.errors import AmxSuiteError, OutputError, UsageError

#: What a shell reports for a process that a pipe's closed end ended (128 + SIGPIPE).
_BROKEN_PIPE = 141

#: Columns of a listing that goes into a file or a pipe.
_WIDE = 130

#: What ``list`` can vary; the other options do not change a run case.
_LIST_OPTIONS = ("gates", "threads", "seed", "weights")

#: What matters to ``calibrate``.
_CALIBRATE_OPTIONS = ("reference", "threads", "wait")

#: What a change of speedup must exceed to be called one. Two launches of the same thing differ by
#: some per cent (docs/verdicts.md), so a smaller change can seldom be told.
_MARGIN_PERCENT = "5"

#: What only ``compare`` (and pytest) can make use of.
_COMPARE_OPTIONS = ("across",)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are the suite's."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never raises for the user's mistakes."""
    try:
        arguments = _parser().parse_args(argv)
        command: Callable[[argparse.Namespace], int] = arguments.command
        code = command(arguments)
        sys.stdout.flush()
    except SystemExit as stop:  # argparse ends --help and --version so
        return stop.code if isinstance(stop.code, int) else 0
    except AmxSuiteError as error:
        print(f"amx-suite: error: {error}", file=sys.stderr)
        usage = isinstance(error, UsageError | OutputError)
        return exit_code(usage=usage, failed=not usage)
    except BrokenPipeError:
        # Else the interpreter would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        print("amx-suite: interrupted", file=sys.stderr)
        return ExitCode.UNDECIDED
    return code


def _parser() -> argparse.ArgumentParser:
    from amx_suite.options import add_options

    parser = _Parser(
        prog="amx-suite",
        description="Is Intel AMX present, exact, used, accurate and fast here, in PyTorch?",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"amx-suite {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    doctor = commands.add_parser(
        "doctor",
        help="say whether AMX is usable here, and if not why and what to do",
        epilog="Exit codes: 0 usable, 3 not usable.",
        allow_abbrev=False,
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.set_defaults(command=_doctor)

    qualify = commands.add_parser(
        "qualify",
        help="run the conformance tests and write results.json, junit.xml and summary.md",
        epilog="Exit codes: 0 qualified, 1 a check failed, 2 usage, 3 AMX not usable here, "
        "4 inconclusive.",
        allow_abbrev=False,
    )
    add_options(qualify.add_argument, "", _qualify_options())
    qualify.set_defaults(command=_qualify)

    listing = commands.add_parser(
        "list", help="show every run case with its gates and needs", allow_abbrev=False
    )
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(listing.add_argument, "", _LIST_OPTIONS)
    listing.set_defaults(command=_list)

    calibrate = commands.add_parser(
        "calibrate",
        help="read what this machine's units give when nobody contends for them, and store it",
        epilog="Exit codes: 0 stored, 2 usage, 4 the host was never quiet.",
        allow_abbrev=False,
    )
    calibrate.add_argument(
        "--seconds", metavar="N", default=None, help="How long to read. Default: 30."
    )
    add_options(calibrate.add_argument, "", _CALIBRATE_OPTIONS)
    calibrate.set_defaults(command=_calibrate)

    compare = commands.add_parser(
        "compare",
        help="say what changed since one or more earlier runs of qualify, gate by gate",
        epilog="Exit codes: 0 nothing got worse, 1 a gate got worse, 2 usage, 4 cannot say, as "
        "when a gate vanished.",
        allow_abbrev=False,
    )
    compare.add_argument(
        "bases",
        metavar="BASE",
        type=Path,
        nargs="+",
        help="results.json of an earlier run; three or more measure how much launches differ",
    )
    compare.add_argument("new", metavar="NEW", type=Path, help="results.json of the later run")
    compare.add_argument(
        "--margin",
        metavar="PERCENT",
        type=_margin,
        default=_margin(_MARGIN_PERCENT),
        help="what a change of speedup must exceed to be worse or better. Default: "
        f"{_MARGIN_PERCENT}.",
    )
    compare.add_argument("--json", metavar="FILE", type=Path, help="write the comparison as JSON")
    compare.add_argument("--markdown", metavar="FILE", type=Path, help="write it as a page")
    add_options(compare.add_argument, "", _COMPARE_OPTIONS)
    compare.set_defaults(command=_compare)

    replay = commands.add_parser(
        "replay",
        help="run a wrong tile result again that an instruction test stored",
        epilog="Exit codes: 0 right each time, 1 wrong again, 2 usage, 3 AMX not usable here.",
        allow_abbrev=False,
    )
    replay.add_argument("file", metavar="FILE", help="a mismatch-*.json")
    replay.set_defaults(command=_replay)
    return parser


def _qualify_options() -> tuple[str, ...]:
    from amx_suite.options import OPTIONS

    return tuple(option.name for option in OPTIONS if option.name not in _COMPARE_OPTIONS)


def _margin(text: str) -> float:
    """Read a percentage above 0 and below 100 as a share."""
    try:
        percent = float(text)
    except ValueError:
        percent = math.nan
    if not 0 < percent < 100:
        raise UsageError(f"--margin: got '{text}', expected a percentage above 0 and below 100")
    return percent / 100


def _doctor(arguments: argparse.Namespace) -> int:
    from amx_suite.host import detect
    from amx_suite.host.doctor import render_json, render_text

    facts, support = detect()
    render = render_json if arguments.json else render_text
    print(render(facts, support).rstrip("\n"))
    return exit_code(not_usable=not support.usable)


def _qualify(arguments: argparse.Namespace) -> int:
    from amx_suite.options import Settings
    from amx_suite.qualify import qualify

    return qualify(Settings.from_namespace(arguments))


def _replay(arguments: argparse.Namespace) -> int:
    from amx_suite.replay import replay

    return replay(Path(arguments.file))


def _list(arguments: argparse.Namespace) -> int:
    import msgspec

    from amx_suite.engines import ENGINES
    from amx_suite.extensions import refusals
    from amx_suite.gates import load_gates
    from amx_suite.options import Settings
    from amx_suite.report.listing import case_rows, idle_gates, lacks, render_listing
    from amx_suite.workloads import WORKLOADS

    settings = Settings.from_namespace(arguments)
    gates = load_gates(settings.gates)
    rows = case_rows(
        ENGINES,
        WORKLOADS,
        gates,
        threads=settings.threads,
        seed=settings.seed,
        weights=dict(settings.weights),
    )
    idle, lacked = idle_gates(rows, gates, ENGINES), lacks(ENGINES)
    if arguments.json:
        listing = {
            "cases": rows,
            "gates": gates,
            "idle_gates": idle,
            "lacks": lacked,
            "refused": refusals(),
        }
        print(msgspec.json.format(msgspec.json.encode(listing)).decode())
    else:
        print(render_listing(rows, idle, (*lacked, *refusals()), width=_width()), end="")
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    from amx_suite.calibrate import calibrate
    from amx_suite.calibration.calibrate import DEFAULT_SECONDS
    from amx_suite.option_values import to_seconds
    from amx_suite.options import Settings

    settings = Settings.from_namespace(arguments)
    return calibrate(settings, to_seconds(arguments.seconds or str(DEFAULT_SECONDS), "--seconds"))


def _compare(arguments: argparse.Namespace) -> int:
    import msgspec

    from amx_suite.history import compare, load_night, render_markdown, render_terminal
    from amx_suite.options import Settings
    from amx_suite.report import write_atomically

    across = Settings.from_namespace(arguments).across
    bases = [load_night(path) for path in arguments.bases]
    found = compare(bases, load_night(arguments.new), margin=arguments.margin, across=across)
    if arguments.json is not None:
        text = msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"
        write_atomically(arguments.json, text)
    if arguments.markdown is not None:
        write_atomically(arguments.markdown, render_markdown(found))
    print(render_terminal(found, width=_width(), colour=sys.stdout.isatty()), end="")
    return found.exit_code


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
