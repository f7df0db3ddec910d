"""Verdicts on made-up nights."""

import functools
import math

import msgspec
import nights
import numpy as np
import pytest
import sample_runs as runs

from amx_suite import history
from amx_suite.core.verdict import Verdict
from amx_suite.errors import ResultsFileError
from amx_suite.history import load_night, render_markdown, render_terminal
from amx_suite.history.compare import Change

pytestmark = pytest.mark.selftest

compare = functools.partial(history.compare, margin=0.05)

GATE = "resnet50-inference-bf16-amx-ipex-vs-fp32"


def noise(seed, rounds=20, deviation=0.01):
    return nights.LEVEL + np.random.default_rng(seed).normal(0, deviation, rounds)


@pytest.fixture
def night(tmp_path):
    def make(name, logs, **more):
        return load_night(nights.write(tmp_path / f"{name}.json", nights.summary(logs, **more)))

    return make


def only(comparison):
    (gate,) = comparison.gates
    return gate


@pytest.mark.parametrize(
    ("shift", "change", "code"),
    [
        (0.0, Change.UNCHANGED, 0),
        (-0.01, Change.UNCHANGED, 0),
        (-math.log(1.05), Change.WORSE, 1),
        (-0.5, Change.WORSE, 1),
        (0.3, Change.BETTER, 0),
    ],
)
def test_a_change_is_named_by_its_size_and_side(night, shift, change, code):
    found = compare(night("base", noise(1)), night("new", noise(2) + shift))
    gate = only(found)
    assert (gate.gate, gate.change, found.exit_code) == (GATE, change, code)
    assert gate.low < math.exp(shift) < gate.high
    assert gate.base == pytest.approx(4.0, rel=0.02)
    assert gate.new == pytest.approx(gate.base * gate.ratio)


def test_a_machine_that_slows_down_both_arms_changes_nothing(night):
    drift = np.linspace(1.0, 1.6, 20)
    found = compare(night("base", noise(1)), night("new", noise(2), drift=drift))
    assert only(found).change is Change.UNCHANGED


def test_the_margin_is_the_users(night):
    base, new = night("base", noise(1)), night("new", noise(2) - 0.08)
    assert only(compare(base, new)).change is Change.WORSE
    assert only(compare(base, new, margin=0.12)).change is Change.UNCHANGED


@pytest.mark.parametrize(
    ("logs", "why"),
    [
        (noise(2, rounds=3), "the new run has 3 rounds, 6 are needed"),
        (noise(2) - 0.1 * (np.arange(20) >= 10), "the new run went from 4"),
        (noise(2) - 0.3 * (np.arange(20) % 4 > 0), "the new run has rounds at 2.9"),
        (noise(2) - 0.3 * (np.arange(20) % 2 > 0), ("the new run", "neither within")),
        (noise(2, rounds=8, deviation=0.06), "neither within the margin nor surely changed"),
    ],
    ids=["3 rounds", "step", "bistable", "bimodal", "noisy"],
)
def test_what_cannot_be_known_is_inconclusive_with_the_reason(night, logs, why):
    found = compare(night("base", noise(1)), night("new", logs))
    gate = only(found)
    assert (gate.change, found.exit_code) == (Change.INCONCLUSIVE, 4)
    assert gate.reason.startswith(why)
    assert gate.reason in render_terminal(found, width=150)
    assert gate.reason in render_markdown(found)


def test_speed_without_evidence_is_no_basis(night):
    found = compare(night("base", noise(1)), night("new", noise(2), verdict=Verdict.NO_EVIDENCE))
    assert only(found).change is Change.INCONCLUSIVE
    assert "does not prove what ran" in only(found).reason


def test_a_gate_that_vanished_is_reported_and_not_0(night):
    base = night("base", noise(1))
    new = msgspec.structs.replace(night("new", noise(2)), rows={})
    found = compare(base, new)
    assert (only(found).change, found.exit_code) == (Change.VANISHED, 4)
    assert f"{GATE}: the new run does not have it" in render_terminal(found, width=150)
    gone = night("gone", [], verdict=Verdict.NOT_APPLICABLE)
    assert only(compare(base, gone)).reason.startswith("NOT_APPLICABLE: ")


def test_a_gate_that_only_the_new_run_has_is_a_note(night):
    base, new = night("base", noise(1)), night("new", noise(2))
    more = new.rows | {"other": msgspec.structs.replace(new.rows[GATE], name="other")}
    found = compare(base, msgspec.structs.replace(new, rows=more))
    assert found.notes == ("only the new run has other",)
    assert found.exit_code == 0


def test_a_base_without_gates_is_not_0(night):
    empty = night("base", [])
    found = compare(empty, night("new", noise(2)))
    assert found.exit_code == 4
    assert "the base has no gate" in render_terminal(found, width=100)
    assert "no measured gate" in render_markdown(found)


def test_the_same_run_twice_is_refused(night):
    base = night("base", noise(1))
    with pytest.raises(ResultsFileError, match="hold the same run"):
        compare(base, night("copy", noise(1)))


def test_the_later_run_as_the_base_is_said(night):
    base = night("base", noise(1), started="2025-11-23T08:00:00+00:00")
    assert "the base is the later run" in compare(base, night("new", noise(2))).notes[0]


def other_case(night, **parts):
    """The night with its arms' cases changed in these parts."""
    (row,) = night.rows.values()
    case = msgspec.structs.replace(row.case, **parts)
    row = msgspec.structs.replace(row, case=case, name=f"{case.name}-vs-{row.result.gate.versus}")
    return msgspec.structs.replace(night, rows={row.name: row})


DIFFERING = {
    "machine": (lambda make: make(host={"kernel": "7.0"}), "kernel was '6.1', is '7.0'"),
    "software": (lambda make: make(versions={"torch": "2.9.0"}), "torch was '2.8.0', is '2.9.0'"),
    "engine": (lambda make: other_case(make(), engine="eager"), "engine was 'ipex', is 'eager'"),
    "shape": (
        lambda make: other_case(make(), shape=runs.Shape(64, 224)),
        "shape was 'b16x224', is 'b64x224'",
    ),
    "threads": (lambda make: other_case(make(), threads=8), "threads was '2', is '8'"),
    "seed": (lambda make: other_case(make(), seed=3), "seed was '0', is '3'"),
    "weights": (lambda make: other_case(make(), weights="x"), "weights was 'random', is 'x'"),
}


@pytest.mark.parametrize("kind", DIFFERING)
def test_another_condition_is_refused_by_name_unless_it_is_asked_for(night, kind):
    change, words = DIFFERING[kind]
    base = night("base", noise(1))
    new = change(lambda **environment: night("new", noise(2), **environment))
    others = [other for other in DIFFERING if other != kind]
    with pytest.raises(ResultsFileError) as caught:
        compare(base, new, across=others)
    assert f"another {kind} ({words})" in str(caught.value)
    assert f"--across {kind}" in str(caught.value)
    found = compare(base, new, across=[kind])
    assert only(found).change is Change.UNCHANGED
    assert found.notes == (f"compared all the same with another {kind} ({words})",)


def test_every_difference_is_named_at_once(night):
    new = night("new", noise(2), host={"kernel": "7.0"}, versions={"torch": "2.9.0"})
    with pytest.raises(ResultsFileError, match="--across machine --across software"):
        compare(night("base", noise(1)), new)


def test_several_engines_cannot_be_matched_across(night):
    base, new = night("base", noise(1)), other_case(night("new", noise(2)), engine="eager")
    inductor = other_case(night("third", noise(3)), engine="inductor")
    both = msgspec.structs.replace(new, rows=new.rows | inductor.rows)
    with pytest.raises(ResultsFileError, match="name runs of one engine each"):
        compare(base, both, across=["engine"])


def test_a_comparison_survives_its_json(night):
    found = compare(night("base", noise(1)), night("new", noise(2) - 0.2))
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_table_and_page_show_the_change_with_its_interval(night):
    found = compare(night("base", noise(1)), night("new", noise(2) - 0.2))
    for text in (render_terminal(found, width=150), render_markdown(found)):
        assert GATE in text
        assert "-18." in text
        assert "WORSE: 1 worse" in text
        assert "margin: 5.0%, confidence: 99.5%" in text
    assert render_terminal(found, width=150).endswith("amx-suite: WORSE: 1 worse\n")
    assert "\x1b[" in render_terminal(found, width=150, colour=True)
