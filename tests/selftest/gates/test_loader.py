from __future__ import annotations

from pathlib import Path

import pytest

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.gate import DEFAULT_AMX_SHARE, Versus
from amx_suite.core.isa import Isa
from amx_suite.errors import GateTableError
from amx_suite.gates import DEFAULT_TABLE, load_gates, read_gates

pytestmark = pytest.mark.selftest

#: A good entry; its keys stand on lines 2 to 8.
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


def test_a_gate_without_an_engine_covers_every_engine(tmp_path: Path) -> None:
    (gate,) = read_gates(table(tmp_path, GOOD))
    assert gate.workload == Workload("resnet50", Mode.INFERENCE)
    assert (gate.precision, gate.versus) == (Precision.BF16, Versus.FP32)
    assert (gate.shape, gate.minimum, gate.source) == (Shape(16, 224), 2.0, "a quiet night")
    for engine in ("ipex", "eager"):
        case = RunCase(gate.workload, engine, Precision.BF16, Isa.AMX, Shape(16, 224), 2)
        assert gate.covers(case)


def test_a_list_stands_for_one_gate_with_each_of_its_values(tmp_path: Path) -> None:
    lists = ('"bf16"', '["bf16", "int8"]'), ('"b16x224"', '["b16x224", "b1x224"]')
    text = GOOD
    for one, several in lists:
        text = text.replace(one, several)
    assert [gate.id for gate in read_gates(table(tmp_path, text))] == [
        "resnet50-inference-bf16-vs-fp32-b16x224",
        "resnet50-inference-bf16-vs-fp32-b1x224",
        "resnet50-inference-int8-vs-fp32-b16x224",
        "resnet50-inference-int8-vs-fp32-b1x224",
    ]


def test_the_users_table_replaces_its_scopes_and_adds_the_others(tmp_path: Path) -> None:
    shipped = load_gates(None)
    same = GOOD.replace('"b16x224"', '"b16x224"\nengine = "ipex"')
    other = GOOD.replace("b16x224", "b64x224")
    merged = load_gates(table(tmp_path, f"{same}\n{other}"))
    assert len(merged) == len(shipped) + 1
    changed = [new for new, old in zip(merged, shipped, strict=False) if new != old]
    assert [(gate.id, gate.minimum) for gate in changed] == [
        ("resnet50-inference-bf16-vs-fp32-b16x224-ipex", 2.0)
    ]
    assert merged[-1].shape == Shape(64, 224)
    assert merged[-1].engine is None


def test_an_empty_table_changes_nothing(tmp_path: Path) -> None:
    assert load_gates(table(tmp_path, "# nothing yet\n")) == load_gates(None)


def test_a_gate_may_ask_for_its_own_share_of_amx(tmp_path: Path) -> None:
    (plain,) = read_gates(table(tmp_path, GOOD))
    (strict,) = read_gates(table(tmp_path, GOOD + "amx_share = 0.9\n"))
    assert (plain.amx_share, strict.amx_share) == (DEFAULT_AMX_SHARE, 0.9)


@pytest.mark.parametrize(
    ("old", "new", "line", "expected", "found"),
    [
        ('"resnet50"', '"resnet51"', 2, '"bert", "gemm", "resnet50"', "model = 'resnet51'"),
        ('"inference"', '"serving"', 3, '"inference", "training"', "mode = 'serving'"),
        ('"bf16"', '"fp32"', 4, 'one of "bf16", "int8"', "precision = 'fp32'"),
        ('"bf16"', '"fp64"', 4, 'one of "bf16", "int8"', "precision = 'fp64'"),
        ('"fp32"', '"avx"', 5, 'one of "fp32", "no-amx"', "versus = 'avx'"),
        ('"b16x224"', '"16x224"', 6, 'a shape like "b16x224"', "shape = '16x224'"),
        ('"b16x224"', '"b0x224"', 6, 'a shape like "b16x224"', "shape = 'b0x224'"),
        ('"b16x224"', "16", 6, 'a shape like "b16x224"', "shape = 16"),
        ("2.0", "0", 7, "a finite number above 0", "minimum = 0"),
        ("2.0", "-1.5", 7, "a finite number above 0", "minimum = -1.5"),
        ("2.0", "inf", 7, "a finite number above 0", "minimum = inf"),
        ("2.0", "nan", 7, "a finite number above 0", "minimum = nan"),
        ("2.0", "true", 7, "a finite number above 0", "minimum = True"),
        ("2.0", '"2.0"', 7, "a finite number above 0", "minimum = '2.0'"),
        ("2.0", "1" + "0" * 400, 7, "a finite number above 0", "minimum = 1000"),
        ('"a quiet night"', '"  "', 8, "where the figure is from", "source = '  '"),
        ('"a quiet night"', "7", 8, "where the figure is from", "source = 7"),
        ("minimum = 2.0", "minimun = 2.0", 7, "only the keys model, mode", "'minimun'"),
        ("minimum = 2.0", "engine = 'nope'\nminimum = 2.0", 7, '"ipex"', "engine = 'nope'"),
        ("minimum = 2.0", "engine = 3\nminimum = 2.0", 7, '"ipex"', "engine = 3"),
        ("minimum = 2.0", "amx_share = 1\nminimum = 2.0", 7, "at least 0 and below 1", "= 1"),
        ("minimum = 2.0", "amx_share = -1\nminimum = 2.0", 7, "at least 0 and below 1", "= -1"),
        ("minimum = 2.0", "amx_share = 'all'\nminimum = 2.0", 7, "below 1", "amx_share = 'all'"),
        ("minimum = 2.0", "amx_share = nan\nminimum = 2.0", 7, "below 1", "amx_share = nan"),
        ('"resnet50"', "[]", 2, "at least one value in a list", "model = []"),
        ('"resnet50"', '["bert", "nope"]', 2, 'one of "bert"', "model = 'nope'"),
        ('"fp32"', '["fp32", "fp32"]', 1, "one gate for each scope", "b16x224 again (line"),
        ("2.0", "[2.0, 3.0]", 7, "a finite number above 0", "minimum = [2.0, 3.0]"),
        ("minimum = 2.0\n", "", 1, "the key 'minimum' in this [[gate]]", "none"),
        ('"bf16"', '"bf16', 4, "valid TOML", "Illegal character"),
        ("[[gate]]", "[[gates]]", 1, "[[gate]] tables only", "'gates'"),
        ("[[gate]]", "[gate]", 1, "an array of tables, [[gate]]", "another kind of 'gate'"),
    ],
)
@pytest.mark.parametrize("before", ["", "# a comment\n\n"], ids=["first", "shifted"])
def test_a_malformed_table_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, expected: str, found: str, before: str
) -> None:
    assert old in GOOD
    text = before + GOOD.replace(old, new, 1)
    path = table(tmp_path, text)
    at = line + before.count("\n")
    with pytest.raises(GateTableError) as caught:
        load_gates(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{at}: expected ")
    wanted, _, got = message.partition(", found ")
    assert expected in wanted
    assert found in got


def test_the_line_is_that_of_the_entry_at_fault(tmp_path: Path) -> None:
    bad = GOOD.replace("b16x224", "b1x1").replace("2.0", "-2.0")
    path = table(tmp_path, f"{GOOD}\n{bad}")
    with pytest.raises(GateTableError, match=rf"^{path}:16: expected a finite number"):
        load_gates(path)


def test_one_scope_twice_in_one_table_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, f"{GOOD}\n{GOOD.replace('2.0', '3.0')}")
    with pytest.raises(GateTableError, match=rf"^{path}:10: expected one gate.*line 1\)"):
        load_gates(path)


def test_training_has_no_int8_gate(tmp_path: Path) -> None:
    text = GOOD.replace("inference", "training").replace('"bf16"', '"int8"')
    with pytest.raises(GateTableError, match=r':4: expected one of "bf16" \(training with AMX\)'):
        load_gates(table(tmp_path, text))


def test_headers_that_lines_cannot_tell_apart_are_placed_at_the_first(tmp_path: Path) -> None:
    text = GOOD.replace('"a quiet night"', "'''\n[[gate]]\n'''").replace("2.0", "0")
    with pytest.raises(GateTableError, match=r"gates\.toml:\d: expected a finite number"):
        load_gates(table(tmp_path, text))


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateTableError, match=r"absent\.toml: expected a readable TOML table"):
        load_gates(tmp_path / "absent.toml")
    with pytest.raises(GateTableError, match="expected a readable TOML table"):
        load_gates(tmp_path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# fine\n# \xff\n")
    with pytest.raises(GateTableError, match=rf"^{path}:2: expected UTF-8 text, found byte 0xff"):
        load_gates(path)


def test_the_shipped_table_is_part_of_the_package() -> None:
    assert DEFAULT_TABLE.parent.joinpath("loader.py").is_file()
    assert read_gates(DEFAULT_TABLE) == load_gates(None)
