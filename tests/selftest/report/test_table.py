from __future__ import annotations

import msgspec
import pytest
import sample_runs as runs
from rich.text import Text

from amx_suite.core.evidence import Evidence, Jail
from amx_suite.core.gate import Versus
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Round, Slice
from amx_suite.core.peaks import Peaks, Spread
from amx_suite.core.units import Unit
from amx_suite.core.verdict import Speedup, Verdict
from amx_suite.report.rows import (
    evidence_text,
    gate_table,
    result_table,
    speed_table,
    speedup_text,
)
from amx_suite.report.table import Column, Table

pytestmark = pytest.mark.selftest

TABLE = Table(
    (Column("id", wraps=True), Column("n", align_right=True)),
    (("a_b|[c]:x:" * 4, ""), (Text("two\nlines", "bold red"), "20")),
    empty="Nothing.",
    title="The [title]",
)


def test_terminal_folds_and_never_cuts() -> None:
    text = TABLE.terminal(width=14)
    assert max(map(len, text.splitlines())) <= 14
    assert "a_b|[c]:x:" * 4 in "".join(text.split())
    assert "[title]" in text


def test_colour_only_if_asked() -> None:
    assert "\x1b[1;31m" in TABLE.terminal(width=80, colour=True)
    assert "\x1b" not in TABLE.terminal(width=80)


def test_markdown_escapes_and_keeps_lines() -> None:
    assert TABLE.markdown().splitlines() == [
        "### The [title]",
        "",
        "| id | n |",
        "| --- | ---: |",
        "| " + "a_b\\|[c]:x:" * 4 + " |  |",
        "| two<br>lines | 20 |",
    ]


def test_empty_table_is_a_sentence() -> None:
    empty = TABLE._replace(rows=())
    assert empty.terminal(width=80) == "The [title]\nNothing.\n"
    assert empty.markdown() == "### The [title]\n\nNothing."


def test_speed_table_shows_speedups_and_gates() -> None:
    trial = runs.trial_result(
        runs.gate_result(), runs.gate_result(Verdict.FAIL, versus=Versus.NO_AMX)
    )
    lines = speed_table(trial).terminal(width=100).splitlines()
    amx = next(line for line in lines if line.strip().startswith("bf16@amx"))
    for text in ("200.0", "80.0 images/s", "4.00x [4.00, 4.00]", "5.00x [5.00, 5.00]", "AMX 99%"):
        assert text in amx
    below = lines[lines.index(amx) + 1]
    assert ">= 2.39 PASS" in below
    assert ">= 2.39 FAIL" in below
    assert max(map(len, lines)) <= 100


def test_arms_have_only_their_baselines() -> None:
    over = [[str(cell) for cell in row[4:6]] for row in speed_table(runs.trial_result()).rows]
    assert over == [
        ["", ""],
        ["0.80x [0.80, 0.80]", ""],
        ["4.00x [4.00, 4.00]", "5.00x [5.00, 5.00]"],
    ]


@pytest.mark.parametrize(("operations", "share"), [(10**9, "50%"), (10**10, "-"), (0, "-")])
def test_share_of_peak_is_known_and_possible(operations: int, share: str) -> None:
    trial = runs.trial_result()
    peaks = Peaks((0, 1), {Unit.FMA: Spread(2e9, 1.5e9, 2.5e9)})
    environment = msgspec.structs.replace(trial.measurement.environment, peaks=peaks)
    arms = tuple(
        msgspec.structs.replace(arm, operations_per_step=operations)
        for arm in trial.measurement.arms
    )
    table = speed_table(runs.measured(trial, environment=environment, arms=arms))
    assert [row[3] for row in table.rows] == [share, "-", "-"]


def test_trial_without_rounds_has_its_arms() -> None:
    text = speed_table(runs.trial_result(rounds=0)).terminal(width=112)
    assert "bf16@amx" in text
    assert "images/s" not in text
    assert "0 rounds" in text
    assert "No arm of this trial ran." in speed_table(runs.empty_trial_result()).terminal(width=80)


def test_gate_table_has_reason_remedy_and_source() -> None:
    failed = runs.gate_result(Verdict.FAIL, remedy="check the power limits")
    text = gate_table([failed]).markdown()
    for part in (failed.gate.id, "2.39", "4.00x [3.90, 4.10]", "FAIL", failed.reason):
        assert part in text
    assert "; next: check the power limits" in text
    assert failed.gate.source in text


def test_speedup_without_interval_has_its_rounds() -> None:
    assert speedup_text(Speedup(3.0, None, None, 0.95, 4)) == "3.00x (4 rounds)"
    assert speedup_text(Speedup(5.74, None, None, 0.95, 1)) == "5.74x (1 round)"
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
def test_evidence_of_arm_without_amx(evidence: Evidence | None, expected: str) -> None:
    assert evidence_text(runs.BF16, evidence) == expected


def test_amx_share_is_rounded_down() -> None:
    assert evidence_text(runs.AMX, runs.AMX_EVIDENCE) == "AMX 99%"


def test_result_table_at_its_widest_folds_nothing() -> None:
    """Long names, five-digit times and the longest verdict in both cells."""
    engine = "inductor"
    verdicts = [
        runs.gate_result(Verdict.INCONCLUSIVE, versus=versus)
        for versus in (Versus.FP32, Versus.NO_AMX)
    ]
    trial = runs.trial_result(*verdicts)
    arms = tuple(
        msgspec.structs.replace(facts, case=msgspec.structs.replace(facts.case, engine=engine))
        for facts in trial.measurement.arms
    )
    slow = tuple(
        Round(number, tuple(Slice(facts.case.id, 123.4, 2) for facts in arms))
        for number in range(8)
    )
    found = tuple(
        msgspec.structs.replace(result, candidate_id=arms[2].case.id) for result in trial.gates
    )
    name = f"resnet50-inference-{engine}"
    trial = runs.measured(trial, trial=name, arms=arms, rounds=slow)
    table = result_table([msgspec.structs.replace(trial, gates=found)])
    lines = table.terminal(width=110).splitlines()
    assert len(lines) == 2 + 3, "one line for each arm"
    assert lines[-1].split()[1:] == [
        *("61700.0", "1.00x", "INCONCLUSIVE", "1.00x", "INCONCLUSIVE", "AMX", "99%")
    ]
    assert max(map(len, lines)) <= 110


def test_results_without_evidence_are_unproven() -> None:
    trial = runs.trial_result()
    fp32, bf16, amx = trial.measurement.arms
    open_ = msgspec.structs.replace(runs.JAILED, amx_permission=True)
    arms = (
        msgspec.structs.replace(fp32, evidence=open_),
        msgspec.structs.replace(bf16, evidence=None),
        amx,
    )
    rows = result_table([runs.measured(trial, arms=arms)]).rows
    assert [row[-1] for row in rows] == ["unproven", "none", "AMX 99%"]
