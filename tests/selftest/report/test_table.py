from __future__ import annotations

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.evidence import Evidence, Jail
from amx_suite.core.gate import Versus
from amx_suite.core.isa import Isa
from amx_suite.core.verdict import Speedup, Verdict
from amx_suite.report import render_table
from amx_suite.report.rows import arm_rows, evidence_text, speedup_text

pytestmark = pytest.mark.selftest


def test_a_row_has_the_median_step_its_throughput_and_its_gates() -> None:
    result = runs.gate_result()
    fp32, bf16, amx = arm_rows(runs.trial_result(result))
    assert amx.seconds == pytest.approx(0.2)
    assert amx.throughput == pytest.approx(16 / 0.2)
    assert amx.gates == (result,)
    assert fp32.gates == bf16.gates == ()


def test_each_arm_is_compared_with_the_baselines_that_it_has() -> None:
    fp32, bf16, amx = arm_rows(runs.trial_result())
    assert fp32.versus_fp32 is None
    assert fp32.versus_no_amx is None
    assert bf16.versus_no_amx is None
    assert bf16.versus_fp32 is not None
    assert bf16.versus_fp32.speedup is not None
    assert bf16.versus_fp32.speedup.ratio == pytest.approx(0.8)
    assert amx.versus_no_amx is not None
    assert amx.versus_no_amx.speedup is not None
    assert amx.versus_no_amx.speedup.ratio == pytest.approx(5.0)


def test_the_table_shows_speedups_gates_and_evidence_on_whole_lines() -> None:
    trial = runs.trial_result(
        runs.gate_result(), runs.gate_result(Verdict.FAIL, versus=Versus.NO_AMX)
    )
    lines = render_table(trial, width=100).splitlines()
    amx = next(line for line in lines if line.strip().startswith("bf16@amx"))
    for text in ("200.0", "80.0 images/s", "4.00x [3.90, 4.10]", "5.00x [4.90, 5.10]", "AMX 99 %"):
        assert text in amx
    below = lines[lines.index(amx) + 1]
    assert ">= 2.39 PASS" in below
    assert ">= 2.39 FAIL" in below
    assert max(map(len, lines)) <= 100


def test_a_trial_whose_arms_had_no_turn_still_has_a_table() -> None:
    text = render_table(runs.trial_result(rounds=0))
    assert "bf16@amx" in text
    assert "images/s" not in text
    assert "0 rounds" in text


def test_a_trial_without_arms_says_so() -> None:
    assert "no arm of this trial ran" in render_table(runs.empty_trial_result())


def test_colour_only_where_asked() -> None:
    trial = runs.trial_result(runs.gate_result())
    assert "\x1b[" in render_table(trial, colour=True)
    assert "\x1b[" not in render_table(trial)


def test_speedups_without_an_interval_tell_how_few_rounds_there_were() -> None:
    assert speedup_text(Speedup(3.0, None, None, 0.95, 4)) == "3.00x (4 rounds)"
    assert speedup_text(None) == "-"


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (None, "none"),
        (runs.JAILED, "no AMX: jail held"),
        (Evidence(Isa.AVX512_BF16, Jail.UNAVAILABLE, False), "no AMX: never permitted"),
        (Evidence(Isa.AVX512_BF16, Jail.UNAVAILABLE, None), "unproven: kernel does not say"),
        (Evidence(Isa.AVX512_BF16, Jail.HELD, True), "AMX possible: permission held"),
    ],
)
def test_evidence_of_an_arm_without_amx(evidence: Evidence | None, expected: str) -> None:
    assert evidence_text(runs.BF16, evidence) == expected


def test_evidence_of_an_amx_arm_is_rounded_down() -> None:
    assert evidence_text(runs.AMX, runs.AMX_EVIDENCE) == "AMX 99 %"
    without = msgspec.structs.replace(runs.AMX_EVIDENCE, kernels=())
    assert evidence_text(runs.AMX, without) == "AMX 0 %"
