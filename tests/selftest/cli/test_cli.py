"""Every command's exit codes and messages."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import stored_runs
from recorded_hosts import host

import amx_suite
from amx_suite import cli
from amx_suite.cli import doctor
from amx_suite.core.run import exit_code
from amx_suite.engines import ENGINES
from amx_suite.errors import AmxSuiteError, ChildError, OutputError
from amx_suite.gates.loader import load_gates
from amx_suite.host.reasons import Support
from amx_suite.host.support import judge

pytestmark = pytest.mark.selftest


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        (["usage", "failed", "not_usable", "undecided"], 2),
        (["failed", "not_usable", "undecided"], 1),
        (["not_usable", "undecided"], 3),
        (["undecided"], 4),
        ([], 0),
    ],
)
def test_first_exit_code_that_holds_wins(holds: list[str], expected: int) -> None:
    assert exit_code(**dict.fromkeys(holds, True)) == expected


@pytest.mark.parametrize(("name", "code"), [("sapphire-rapids", 0), ("ice-lake", 3)])
def test_doctor_json_agrees_with_exit_code(
    name: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = host(name).facts
    support = judge(facts) if code else Support()
    monkeypatch.setattr(doctor, "detect", lambda: (facts, support))
    assert cli.main(["doctor"]) == code
    capsys.readouterr()
    assert cli.main(["doctor", "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["usable"] is (code == 0)
    assert answer["usable"] or answer["reason"]


def test_list_has_every_case_and_gate(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--cores", "1", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    cases = {case["id"]: case for case in listing["cases"]}
    assert len(cases) == len(listing["cases"])
    assert {case["engine"] for case in cases.values()} == set(ENGINES)
    amx = cases["resnet50-inference-bf16-amx-ipex-b16x224-c1-s0"]
    assert amx["level"] == 3
    assert amx["gates"] == [
        "resnet50-inference-bf16-vs-fp32-b16x224",
        "resnet50-inference-bf16-vs-no-amx-b16x224",
    ]
    assert "amx_tile" in amx["cpu_flags"]
    fp32 = cases["resnet50-inference-fp32-no_amx-ipex-b16x224-c1-s0"]
    assert fp32["gates"] == []
    assert "amx_tile" not in fp32["cpu_flags"]
    assert listing["idle_gates"] == []
    assert len(listing["gates"]) == len(load_gates(None))


def test_list_has_cases_of_whole_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--cores", "1", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in listing["whole_machine"]}
    amx = rows["resnet50-inference-bf16-amx-ipex"]
    assert (amx["throughput"], amx["latency"]) == ("b64x224", "b1x224")
    assert "bert-inference-int8-avx512_vnni-ipex" in rows
    assert not [name for name in rows if "fp32" in name or "training" in name or "gemm" in name]
    assert cli.main(["list", "--cores", "1"]) == 0
    shown = "resnet50-inference-bf16-amx-ipex b64x224 b1x224 amx "
    assert shown in " ".join(capsys.readouterr().out.split())


def test_list_folds_no_id_on_narrow_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert cli.main(["list", "--cores", "1"]) == 0
    words = capsys.readouterr().out.split()
    assert cli.main(["list", "--cores", "1", "--json"]) == 0
    for case in json.loads(capsys.readouterr().out)["cases"]:
        assert {case["id"], *case["gates"]} <= set(words)


def test_list_has_every_levels_design_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--cores", "1", "--json"]) == 0
    levels = json.loads(capsys.readouterr().out)["levels"]
    assert [(row["level"], row["engine"]) for row in levels] == [
        (level, engine) for level in (1, 2, 3, 4) for engine in ENGINES
    ]
    assert all(0 < row["time"]["quiet_seconds"] < row["time"]["most_seconds"] for row in levels)
    assert cli.main(["list", "--cores", "1", "--budget", "5"]) == 0
    out = capsys.readouterr().out
    assert (
        len(re.findall(r"^level \d, engine \w+, cores 1: by design \d+ to", out, re.MULTILINE))
        == 12
    )
    assert "level 3, engine eager, cores 1: by design" in out


def test_list_says_what_an_engine_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.15.0")
    assert cli.main(["list", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert listing["idle_gates"] == []
    judged = {gate for case in listing["cases"] for gate in case["gates"]}
    assert "resnet50-inference-bf16-vs-fp32-b16x224" in judged
    assert not any("-int8-" in case["id"] for case in listing["cases"] if "-eager-" in case["id"])
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    assert "engine eager has no int8 inference: torch 2.15.0 runs" in out
    assert "judges no case" not in out


def test_list_names_idle_gates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "gates.toml"
    table.write_text(
        '[[gate]]\nmodel = "bert"\nmode = "training"\nprecision = "bf16"\nversus = "fp32"\n'
        'shape = "b17x128"\nminimum = 1.5\nsource = "a slip"\n'
    )
    assert cli.main(["list", "--gates", str(table)]) == 0
    out = capsys.readouterr().out
    assert "gate bert-training-bf16-vs-fp32-b17x128: judges no case" in out
    assert "engine ipex: " in out
    assert "amx needs the CPU flags avx512f" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "arguments are required: COMMAND"),
        (["measure"], "invalid choice: 'measure'"),
        (["qualify", "--level", "9"], "--level: got '9', expected a whole number from 1 to 4"),
        (["qualify", "--lev", "2"], "unrecognized arguments: --lev"),
        (["qualify", "--engine", "nope"], "unknown engine in --engine 'nope'"),
        (["qualify", "--engine", "all", "--engine", "ipex"], "--engine (or AMX_SUITE_ENGINE): got"),
        (["list", "--gates", "/absent.toml"], "/absent.toml: cannot be read: No such file"),
        (["calibrate", "--seconds", "0"], "--seconds: got '0', expected a number of seconds"),
    ],
)
def test_usage_error_is_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("amx-suite: error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutputError("cannot write"), 2),
        (ChildError("case", "died"), 1),
        (AmxSuiteError("other"), 1),
        (KeyboardInterrupt(), 4),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(doctor, "detect", fail)
    assert cli.main(["doctor"]) == code
    err = capsys.readouterr().err
    assert err.startswith("amx-suite: ")
    assert "Traceback" not in err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"amx-suite {amx_suite.__version__}\n"
    assert cli.main(["qualify", "--help"]) == 0
    assert "AMX_SUITE_BUDGET" in capsys.readouterr().out


TIMED_TESTS = Path(__file__).parents[3] / "tests" / "performance"
HEAVY = {"torch", "transformers", "torchvision", "intel_extension_for_pytorch"}
#: What only a report needs.
OF_REPORTS = {"matplotlib", "jinja2"}


def test_quick_commands_import_little(tmp_path: Path) -> None:
    """One process runs them in turn: none imports what a later one may not."""
    code = (
        "import sys; from amx_suite.cli import main\n"
        "def check(argv, codes, absent):\n"
        "    assert main(argv) in codes, argv\n"
        "    assert not absent & set(sys.modules), (argv, absent & set(sys.modules))\n"
        f"heavy, reports = {HEAVY}, {OF_REPORTS}\n"
        "import amx_suite.host.doctor, amx_suite.host.support\n"
        # LLVM is loaded when CPUID is read, not before.
        "check(['--help'], [0], {*heavy, 'llvmlite', 'numpy', 'scipy', 'pytest', 'rich'})\n"
        "check(['doctor'], [0, 3], {*heavy, 'numpy', 'scipy', 'pytest', 'rich'})\n"
        "check(['list'], [0], {*heavy, 'numpy'})\n"
        "check(['compare', *sys.argv[1:]], [0], heavy | reports)\n"
        "check(['report', '--help'], [0], heavy | reports)\n"
        "check(['report', 'absent.json'], [2], heavy | reports)\n"
        "import pytest; main = pytest.main\n"
        f"argv = ['--collect-only', '-q', '-p', 'no:cacheprovider', {str(TIMED_TESTS)!r}]\n"
        "check(argv, [0], reports)\n"
    )
    logs = [[stored_runs.LEVEL + 0.01 * (n % k) for n in range(12)] for k in (3, 4)]
    paths = [
        stored_runs.write(tmp_path / f"{k}.json", stored_runs.summary(log))
        for k, log in enumerate(logs)
    ]
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "test_speedup" in ended.stdout, "tests were collected"


def test_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    listing = subprocess.Popen(
        [sys.executable, "-m", "amx_suite", "list", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert listing.stdout is not None
    assert listing.stderr is not None
    listing.stdout.close()
    assert listing.stderr.read() == b""
    listing.stderr.close()
    assert listing.wait() == 141


def test_a_folder_that_is_gone_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert cli.main(["doctor"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("amx-suite: error: the working folder cannot be used (No such file")
    assert message.count("\n") == 1


def test_warnings_as_errors_end_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known-bad: PYTHONWARNINGS=error and a library that announces a change."""

    def announce(arguments: object) -> int:
        warnings.warn("soon", DeprecationWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(doctor, "run", announce)
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cli.main(["doctor"]) == 0
        with pytest.raises(DeprecationWarning):
            announce(None)
