"""What a run reads is damaged, missing or something else: files, weights, replies of children."""

import json
import os
import pickle

import pytest
from fake_trial import FakeProber, FakeWorker, World
from harness import Place, run
from run_cases import case_of

from amx_suite.cli import calibrate
from amx_suite.core.isa import Isa
from amx_suite.core.quiet import CALIBRATION_SCHEMA
from amx_suite.core.units import PER_CYCLE
from amx_suite.errors import UsageError
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.worker.process import IsaWorker
from amx_suite.workloads.base import Inputs

pytestmark = pytest.mark.selftest

CPUS = tuple(sorted(os.sched_getaffinity(0)))[:1]
DEEP = b'{"a": ' * 100_000
#: What is done to a file, by name.
DAMAGE = {
    "absent": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 16),
    "deep": lambda path: path.write_bytes(DEEP),
    "deep table": lambda path: path.write_bytes(b"a = " + b"[" * 100_000),
    "latin": lambda path: path.write_bytes(b"# caf\xe9\n"),
    "page": lambda path: path.write_bytes(b"<!DOCTYPE html>\n<html>Not found</html>\n"),
    "LFS": lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "large": lambda path: os.truncate(path, 2**40),
    "unreadable": lambda path: path.chmod(0),
    "newer": lambda path: change(path, ("schema_version",), CALIBRATION_SCHEMA + 1),
    "of another machine": lambda path: change(path, ("machine", "kernel"), "another"),
    "NaN rate": lambda path: change(path, ("reference", "rates", "tile"), float("nan")),
}


def change(path, keys, value):
    content = part = json.loads(path.read_bytes())
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(content))


def damage(path, how):
    if how == "unreadable" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    DAMAGE[how](path)


@pytest.fixture(scope="session")
def first_run(checkout, tmp_path_factory):
    """The place of a run that has stored a quiet reference."""
    place = Place(tmp_path_factory.mktemp("first"), checkout)
    run(place, "qualify").check(0, "^amx-suite: QUALIFIED")
    return place


@pytest.fixture
def stored(place, first_run):
    """The quiet reference of an earlier run, at its place in the user's data folder."""
    (source,) = first_run.data.rglob("references/*.json")
    path = place.data / source.relative_to(first_run.data)
    path.parent.mkdir(parents=True)
    path.write_bytes(source.read_bytes())
    return path


@pytest.fixture
def inputs(first_run, tmp_path):
    """Good files that a user may name, by option or command."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    (reference,) = first_run.data.rglob("references/*.json")
    texts = {"reference": reference.read_text(), "gates": "", "waivers": "", "weights.pt": ""}
    texts |= {"results": (first_run.output / "results.json").read_text(), "replay": "{}"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


#: Stage: start. A run goes on without a stored reference that it cannot use, and replaces it.
STORED = [
    ("absent", "no reference of this machine is stored"),
    ("empty", "is empty"),
    ("cut", "is not JSON"),
    ("deep", "is nested too deeply"),
    ("unreadable", "cannot be read: Permission denied"),
    ("newer", f"has schema version {CALIBRATION_SCHEMA + 1}, not {CALIBRATION_SCHEMA}"),
    ("of another machine", "is of another machine"),
    ("NaN rate", r"is damaged: .*rates.*nan"),
]


@pytest.mark.parametrize(("how", "says"), STORED, ids=[how for how, _ in STORED])
def test_stored_reference_is_measured_anew(place, stored, how, says):
    good = json.loads(stored.read_bytes())
    damage(stored, how)
    ended = run(place, "qualify")
    ended.check(0, (rf"^amx quiet: .*{says}.*, so its units are read for 30 s", "QUALIFIED"))
    assert json.loads(stored.read_bytes())["reference"] == good["reference"]


@pytest.mark.parametrize(
    ("how", "says", "kept"),
    [
        ("folder", "cannot be read: it is a folder", "a folder"),
        ("pipe", "is empty", "a pipe"),
        ("device", "cannot be read: it is a device", "a symbolic link"),
    ],
)
def test_no_file_in_the_references_place(place, stored, how, says, kept):
    """It is neither read nor replaced."""
    damage(stored, how)
    before = stored.lstat()
    ended = run(place, "qualify")
    not_stored = f"reference was not stored: .* is {kept}, which is not replaced"
    ended.check(0, (f"^amx quiet: .*{says}, so", not_stored))
    assert stored.lstat() == before


#: Stage: start. What the user named is refused, and nothing is measured.
NAMED = [
    ("reference", "absent", "cannot be read: No such file .*leave the option out"),
    ("reference", "empty", "is empty; make a new file"),
    ("reference", "large", "cannot be read: it is larger than 64 MiB; make a new file"),
    ("reference", "of another machine", r"is of another machine \(kernel was 'another'"),
    ("gates", "absent", "cannot be read: No such file .*; expected a TOML table of gates"),
    ("gates", "device", "cannot be read: it is a device; expected"),
    ("gates", "deep table", "is nested too deeply; expected"),
    ("gates", "latin", "is not valid TOML in UTF-8: .*; expected"),
    ("weights.pt", "page", "' is a web page: download the file itself"),
    ("weights.pt", "empty", "' is empty: copy or download it again"),
    ("weights.pt", "LFS", "' is a Git LFS pointer .*git lfs pull"),
    ("waivers", "deep table", r"is nested too deeply; expected \[\[waiver\]\]"),
    ("waivers", "unreadable", r"cannot be read: Permission denied; expected \[\[waiver\]\]"),
]


@pytest.mark.parametrize(
    ("option", "how", "says"), NAMED, ids=[f"{option} {how}" for option, how, _ in NAMED]
)
def test_named_file_is_refused(place, inputs, option, how, says):
    damage(inputs / option, how)
    value = f"resnet50={inputs / option}" if option == "weights.pt" else inputs / option
    ended = run(place, "qualify", f"--{option.removesuffix('.pt')}", value)
    ended.check(2, rf"{inputs / option}:? ?{says}", results="earlier")


#: Stage: report. Commands that read a run's files.
READ = [
    ("report", "empty", "is empty; name a results.json"),
    ("report", "cut", "is not JSON: .*; name a results.json"),
    ("report", "deep", "is nested too deeply; name a results.json"),
    ("report", "pipe", "is empty; name a results.json"),
    ("compare", "binary", "is not JSON: .*; name a results.json"),
    ("compare", "large", "cannot be read: it is larger than 64 MiB"),
    ("baseline", "page", "is not JSON: .*; name a results.json"),
    ("export", "cut", "is not JSON: .*; name a results.json"),
    ("export", "folder", "cannot be read: it is a folder; name a results.json"),
    ("replay", "deep", r"is nested too deeply; give a mismatch-\*.json"),
]


@pytest.mark.parametrize(
    ("command", "how", "says"), READ, ids=[f"{command} {how}" for command, how, _ in READ]
)
def test_command_refuses_damaged_file(place, inputs, command, how, says):
    path = inputs / "results"
    damage(path, how)
    others = {
        "compare": [place.output / "results.json"],
        "baseline": [path, path],
        "export": ["--format=otava"],
    }
    ended = run(place, command, path, *others.get(command, ()))
    ended.check(2, f"^amx-suite: error: {path} {says}", results="earlier")


#: Stage: report. Numbers of a results file that cannot be.
NUMBERS = [
    ("report", 0.0),
    ("report", -1.0),
    ("report", 5e-324),
    ("report", float("nan")),
    ("report", 10**400),
    ("compare", 5e-324),
    ("compare", float("inf")),
]


@pytest.mark.parametrize(
    ("command", "number"), NUMBERS, ids=[f"{command} {str(n)[:9]}" for command, n in NUMBERS]
)
def test_impossible_slice_is_refused(place, inputs, command, number):
    path = inputs / "results"
    keys = ("amx_suite", "trials", 0, "measurement", "rounds", 0, "slices", 0, "seconds")
    change(path, keys, number)
    ended = run(place, command, path, *[path] * (command == "compare"))
    says = rf"^amx-suite: error: {path} is damaged: .*slices\[0\]\.seconds"
    ended.check(2, says, results="earlier")


def _fake_calibration():
    """Have calibrate read the fake machine."""
    from fake_machine import _detect

    calibrate.detect, calibrate.theory_of = _detect, lambda facts: PER_CYCLE
    calibrate.UnitProbe = lambda cpus: FakeProber(World())


@pytest.mark.parametrize("how", ["absent", "empty", "deep", "newer", "NaN rate"])
def test_calibrate_replaces_stored_reference(place, stored, how):
    """Stage: report."""
    damage(stored, how)
    ended = run(place, "calibrate", "--seconds", "0.01", fault=_fake_calibration)
    says = [f"stored in {stored}"]
    says += [f"^the stored reference {stored} .*, so it is not used"] * (how != "absent")
    ended.check(0, says, results="earlier")
    assert json.loads(stored.read_bytes())["schema_version"] == CALIBRATION_SCHEMA


def test_calibrate_overwrites_no_other_file(place, inputs):
    """Stage: report. A file of the user's that is named by mistake."""
    before = (inputs / "results").read_bytes()
    arguments = ("--reference", inputs / "results", "--seconds", "0.01")
    ended = run(place, "calibrate", *arguments, fault=_fake_calibration)
    ended.check(2, "has schema version 0, not .*; make a new file", results="earlier")
    assert (inputs / "results").read_bytes() == before


def _lying_arm():
    """Have a real child, without torch, take the slices of each arm."""
    os.environ["FAKE_LIE"] = "tiny slice"

    def take_slice(self, iterations):
        with IsaWorker(
            Isa.AVX2, "eager", cpus=CPUS, label=self.case.id, module="fake_liar"
        ) as liar:
            return liar.take_slice(iterations)

    FakeWorker.take_slice = take_slice


def test_lie_of_an_arm_is_named(place):
    """Stage: measure. With a real child."""
    ended = run(place, "qualify", fault=_lying_arm)
    says = r"child process gemm-\S+: its answer cannot be read: .*seconds`, found 5e-324"
    ended.check(1, (says, "^amx-suite: NOT QUALIFIED"))


#: Stage: prepare. With a real child and torch: the endings of files, their content, what is said.
WEIGHTS = [
    (".pt", pickle.dumps(Isa.AMX, protocol=2), "holds an object of amx_suite.core.isa.Isa, .*save"),
    (".pth", b"PK\x03\x04 cut", "is cut off or damaged"),
    (
        ".safetensors",
        bytes([9, *[0] * 7]) + b"{}",
        "is not valid safetensors: .*; copy or download",
    ),
]


def _prepare_with_weights(folder):
    """Ask one arm for each of the weights; as the command line, it prints the errors."""
    with IsaWorker(Isa.AVX2, "eager", cpus=CPUS) as worker:
        for number, (ending, content, _) in enumerate(WEIGHTS):
            path = folder / f"{number}{ending}"
            path.write_bytes(content)
            try:
                worker.prepare(case_of("resnet50", isa=Isa.AVX2, weights=str(path)), Inputs())
            except UsageError as error:
                print(error)
    return 0


@pytest.mark.skipif(
    not set(Isa.AVX2.spec.cpu_flags).issubset(read_cpuinfo().flags), reason="needs AVX2 and FMA"
)
def test_wrong_weights_are_told(place, tmp_path):
    ended = run(place, work=lambda: _prepare_with_weights(tmp_path))
    says = [rf"{number}{ending}' {what}" for number, (ending, _, what) in enumerate(WEIGHTS)]
    ended.check(0, says, results="earlier")
    assert "weights_only" not in ended.text
