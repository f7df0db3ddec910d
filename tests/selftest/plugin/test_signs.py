"""What a failing test notes for the question which layer is to blame, in junit.xml and summary."""

from xml.etree import ElementTree as ET

import pytest

pytestmark = pytest.mark.selftest

TESTS = """
import pytest

from amx_suite.plugin.outcome import record_cpus

pytestmark = pytest.mark.correctness


def test_amx_alone(amx_trial, amx_arm):
    assert not amx_arm.isa.allows_amx, "wrong with AMX"


def test_every_arm(amx_trial, amx_arm):
    assert False, "wrong everywhere"


@pytest.mark.instruction
@pytest.mark.parametrize("wrong", [(), (1,)])
def test_cpus(wrong, record_property):
    record_cpus(wrong, (0, 1), record_property)
    assert not wrong, "wrong product"
"""
AMX, OTHER = "gemm-inference-bf16-amx-ipex", "gemm-inference-bf16-avx512_bf16-ipex"


@pytest.fixture(scope="module")
def done(run_suite_in, tmp_path_factory):
    """Properties of each test, and the summary."""
    folder = tmp_path_factory.mktemp("signs")
    tests = folder / "test_it.py"
    tests.write_text(TESTS)
    run_suite_in(folder, "--junitxml", "junit.xml", "--amx-output", "out", tests=tests)
    found = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in ET.parse(folder / "junit.xml").iter("testcase")
    }
    return found, (folder / "out" / "summary.md").read_text()


def test_amx_arm_notes_its_peer(done):
    assert done[0][f"test_amx_alone[{AMX}]"] == {"amx_without_amx": "passed"}
    assert done[0][f"test_every_arm[{AMX}]"] == {"amx_without_amx": "failed"}


def test_arm_without_amx_notes_itself(done):
    assert done[0][f"test_every_arm[{OTHER}]"] == {"amx_without_amx": "failed"}
    assert done[0][f"test_amx_alone[{OTHER}]"] == {}


def test_wrong_cpus_are_noted(done):
    names = {"amx_cpus_wrong": "1", "amx_cpus_tried": "0 1"}
    assert done[0]["test_cpus[wrong1]"] == names
    assert done[0]["test_cpus[wrong0]"] == {}


def test_summary_blames(done):
    assert "to blame: this machine alone: the same check is wrong on CPU 1 and right" in done[1]
    assert "to blame: tile instruction: checks of the tile instructions alone failed" in done[1]
    assert "to blame: library: the same check fails where the kernel refuses AMX" in done[1]
