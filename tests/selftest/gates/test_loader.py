"""Tables of minimum speedups: what they may say, and how a mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from amx_suite.core.case import Mode, RunCase, Shape, Workload
from amx_suite.core.gate import DEFAULT_AMX_SHARE, Versus
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.errors import GateTableError
from amx_suite.gates import loader
from amx_suite.gates.loader import gates_that_fit, load_gates, read_gates
from amx_suite.host.cpuid import Cpuid

pytestmark = pytest.mark.selftest

GOOD = """[[gate]]
model = "resnet50"
mode = "inference"
precision = "bf16"
versus = "fp32"
shape = "b16x224"
minimum = 2.0
source = "a quiet night"
"""


def table(folder: Path, text: str) -> Path:
    path = folder / "gates.toml"
    path.write_text(text)
    return path


def test_gate_without_engine_covers_every_engine(tmp_path: Path) -> None:
    (gate,) = read_gates(table(tmp_path, GOOD))
    assert gate.workload == Workload("resnet50", Mode.INFERENCE)
    assert (gate.precision, gate.versus) == (Precision.BF16, Versus.FP32)
    assert (gate.shape, gate.minimum, gate.source) == (Shape(16, 224), 2.0, "a quiet night")
    assert gate.amx_share == DEFAULT_AMX_SHARE
    for engine in ("ipex", "eager"):
        case = RunCase(gate.workload, engine, Precision.BF16, Isa.AMX, Shape(16, 224), 2)
        assert gate.covers(case)


def test_list_makes_a_gate_of_each_value(tmp_path: Path) -> None:
    text = GOOD.replace('"bf16"', '["bf16", "int8"]')
    text = text.replace('"b16x224"', '["b16x224", "b1x224"]')
    assert [gate.id for gate in read_gates(table(tmp_path, text))] == [
        "resnet50-inference-bf16-vs-fp32-b16x224",
        "resnet50-inference-bf16-vs-fp32-b1x224",
        "resnet50-inference-int8-vs-fp32-b16x224",
        "resnet50-inference-int8-vs-fp32-b1x224",
    ]


def test_users_gates_come_behind_shipped(tmp_path: Path) -> None:
    merged = load_gates(table(tmp_path, GOOD))
    assert merged[:-1] == load_gates(None)
    assert merged[-1].minimum == 2.0


def test_gate_may_be_for_some_cpus(tmp_path: Path) -> None:
    rapids = ("AMX-TILE", "AMX-BF16", "AMX-INT8")
    text = f'{GOOD}cpu = ["AMX-INT8", "AMX-TILE", "AMX-BF16"]\n'
    (gate,) = read_gates(table(tmp_path, text))
    assert gate.cpu == rapids
    assert gate.id.endswith("-amx-tile-amx-bf16-amx-int8")
    assert gate.fits(reversed(rapids))
    assert not gate.fits((*rapids, "AMX-FP16"))
    assert not gate.fits(())


def test_gate_for_another_cpu_judges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = read_gates(table(tmp_path, f'{GOOD}cpu = ["AMX-FP8"]\n{GOOD}'))
    monkeypatch.setattr(loader, "read_cpuid", Cpuid)  # without AMX
    assert gates_that_fit(gates) == gates[1:]


@pytest.mark.parametrize(
    ("text", "cores", "covered"),
    [("2", (2, 2), {2}), ("[1, 4]", (1, 4), {1, 2, 4}), ("[4, 99]", (4, 99), {4, 56})],
)
def test_gate_may_be_for_some_cores(
    tmp_path: Path, text: str, cores: tuple[int, int], covered: set[int]
) -> None:
    (gate,) = read_gates(table(tmp_path, f"{GOOD}cores = {text}\n"))
    assert gate.cores == cores
    assert gate.id.endswith("-b16x224-c" + "-".join(map(str, dict.fromkeys(cores))))
    cases = [
        RunCase(gate.workload, "ipex", Precision.BF16, Isa.AMX, Shape(16, 224), count)
        for count in (1, 2, 4, 56)
    ]
    assert {case.cores for case in cases if gate.covers(case)} == covered


def test_gate_may_have_its_own_share(tmp_path: Path) -> None:
    (strict,) = read_gates(table(tmp_path, GOOD + "amx_share = 0.9\n"))
    assert strict.amx_share == 0.9


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ('"resnet50"', '"resnet51"', "model", "gemm, resnet50, bert, found 'resnet51'"),
        ('"inference"', '"serving"', "mode", "one of inference, training, found 'serving'"),
        (
            '"bf16"',
            '"fp32"',
            "precision",
            "one of bf16, int8, fp16 (inference with AMX), found 'fp32'",
        ),
        (
            '"inference"\nprecision = "bf16"',
            '"training"\nprecision = "int8"',
            "precision",
            "one of bf16 (training with AMX), found 'int8'",
        ),
        ('"fp32"', '"avx"', "versus", "one of fp32, no-amx, found 'avx'"),
        ('"fp32"', '"control"', "versus", "one of fp32, no-amx, found 'control'"),
        ('"b16x224"', '"16x224"', "shape", "shape '16x224' is not of the form b16x224"),
        ("2.0", "0", "minimum", "expected `float` > 0.0, found 0"),
        ("2.0", "inf", "minimum", "expected `float`"),
        ('"a quiet night"', '"  "', "source", "matching regex"),
        ("minimum = 2.0", "minimum = 2.0\nminimun = 2.0", "", "unknown field `minimun`"),
        ("minimum = 2.0", "engine = 'nope'\nminimum = 2.0", "engine", "ipex, inductor, eager"),
        ("minimum = 2.0", "amx_share = 1\nminimum = 2.0", "amx_share", "expected `float` < 1"),
        ("2.0", "2.0\ncores = 0", "cores", "expected `int` >= 1"),
        ("2.0", "2.0\ncores = [1]", "cores", "expected `array` of length >= 2"),
        ("2.0", "2.0\ncores = [4, 1]", "cores", "expected [fewest, most], found [4, 1]"),
        ("2.0", '2.0\ncpu = ["amx"]', "cpu", "expected one of AMX-TILE, AMX-BF16"),
        ('"resnet50"', "[]", "model", "expected `array` of length >= 1"),
        ("minimum = 2.0\n", "", "", "missing required field `minimum`"),
    ],
)
def test_wrong_value_is_named(tmp_path: Path, old: str, new: str, place: str, said: str) -> None:
    """Known-bad: each in the second of two gates, whose number and key the error names."""
    assert old in GOOD
    other = GOOD.replace("b16x224", "b1x1")
    path = table(tmp_path, f"{other}\n{GOOD.replace(old, new, 1)}")
    with pytest.raises(GateTableError) as caught:
        load_gates(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: gate 2{place and ', '}{place}")
    assert said in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD.replace('"bf16"', '"bf16').encode(), "is not valid TOML"),
        (GOOD.replace("[[gate]]", "[[gates]]").encode(), "unknown field `gates`"),
        (GOOD.replace("[[gate]]", "[gate]").encode(), "expected `array`, got `object`"),
        (b"# fine\n# \xff\n", "is not valid TOML in UTF-8"),
        ((GOOD + GOOD).encode(), "resnet50-inference-bf16-vs-fp32-b16x224 is there twice"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
        (b"a = " + b"{a=" * 50_000, "is nested too deeply"),
        (b"a = 1" + b"0" * 5_000, "is not valid TOML in UTF-8: Exceeds the limit"),
    ],
    ids=["syntax", "other table", "no array", "latin", "twice", "arrays", "tables", "digits"],
)
def test_malformed_table_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "gates.toml"
    path.write_bytes(content)
    with pytest.raises(GateTableError) as caught:
        load_gates(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert len(read_gates(path)) == 1


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_unreadable_table_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(GateTableError, match=r"cannot be read: .*; expected a TOML table of gates"):
        load_gates(tmp_path / name)
