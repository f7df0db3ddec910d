"""Waivers: what they cover, until when, and what is wrong with a table."""

import datetime as dt

import pytest

from amx_suite.errors import GateTableError
from amx_suite.gates.waivers import load_waivers, waiver_of, warnings_of

pytestmark = pytest.mark.selftest

DAY = dt.date(2026, 12, 31)
GOOD = """[[waiver]]
id = "gemm-inference-bf16-vs-fp32-b16x128-c1-4"
reason = "power cap"
owner = "lab-2"
expires = 2026-12-31
"""
TEST = "tests/performance/test_speed.py::test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]"
MESSAGE = "FAIL: gemm-inference-bf16-vs-fp32-b16x128-c1-4: 1.10x"


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "waivers.toml"
        path.write_text(text)
        return load_waivers(path)

    return load


@pytest.mark.parametrize("name", [None, TEST, "gemm-inference-bf16-amx-ipex-vs-fp32"])
def test_gate_or_test_may_be_named(load, name):
    text = GOOD if name is None else GOOD.replace("gemm-inference-bf16-vs-fp32-b16x128-c1-4", name)
    (waiver,) = load(text)
    assert waiver_of([waiver], TEST, MESSAGE, DAY) == waiver
    assert waiver_of([waiver], TEST.replace("bf16", "int8"), "FAIL: another gate: 1x", DAY) is None


def test_holds_on_its_last_day_only(load):
    waivers = load(GOOD)
    assert waiver_of(waivers, TEST, MESSAGE, DAY)
    assert waiver_of(waivers, TEST, MESSAGE, DAY + dt.timedelta(1)) is None


def test_expired_and_needless_ones_warn(load):
    waivers = load(GOOD)
    assert warnings_of(waivers, waivers, DAY) == ()
    assert "was not needed" in warnings_of(waivers, [], DAY)[0]
    assert "expired on 2026-12-31" in warnings_of(waivers, [], DAY + dt.timedelta(1))[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('owner = "lab-2"\n', "", "missing required field `owner`"),
        ("2026-12-31", '"soon"', "expires"),
        ('"power cap"', '" "', "reason"),
        ("[[waiver]]", "[[waivers]]", "unknown field `waivers`"),
        ("owner =", "owner", "is not valid TOML"),
    ],
)
def test_wrong_table_is_named(load, tmp_path, old, new, said):
    with pytest.raises(GateTableError, match=said) as caught:
        load(GOOD.replace(old, new))
    assert str(caught.value).startswith(str(tmp_path / "waivers.toml"))


def test_absent_table_is_named(tmp_path):
    with pytest.raises(
        GateTableError, match=r"cannot be read: No such file .*; expected \[\[waiver\]\]"
    ):
        load_waivers(tmp_path / "none.toml")
    assert load_waivers(None) == ()
