"""Verdicts on made-up runs."""

import math

import msgspec
import numpy as np
import pytest
import sample_runs as runs
import stored_runs

from amx_suite.core.verdict import Verdict
from amx_suite.errors import ResultsFileError
from amx_suite.history import compare as history
from amx_suite.history.change import Change, Spread
from amx_suite.history.render import render_markdown, render_terminal
from amx_suite.history.store import load_run

pytestmark = pytest.mark.selftest

GATE = "resnet50-inference-bf16-amx-ipex-vs-fp32"


def compare(*nights, **options):
    return history.compare(nights[:-1], nights[-1], **{"margin": 0.05, **options})


def noise(seed, rounds=12, deviation=0.01):
    return stored_runs.LEVEL + np.random.default_rng(seed).normal(0, deviation, rounds)


@pytest.fixture
def run(tmp_path):
    def make(name, logs, **more):
        return load_run(
            stored_runs.write(tmp_path / f"{name}.json", stored_runs.summary(logs, **more))
        )

    return make


@pytest.fixture
def bases(run):
    """Three base runs whose levels scatter by 1 %."""
    return [run(f"base-{n}", noise(n) + 0.01 * (n - 1)) for n in range(3)]


def only(comparison):
    (gate,) = comparison.gates
    return gate


@pytest.mark.parametrize(
    ("shift", "change", "code"),
    [
        (0.0, Change.UNCHANGED, 0),
        (-math.log(1.10), Change.WORSE, 1),
        (0.3, Change.BETTER, 0),
    ],
)
def test_change_has_size_and_side(run, shift, change, code):
    found = compare(run("base", noise(1)), run("new", noise(2) + shift))
    gate = only(found)
    assert (gate.gate, gate.change, found.exit_code) == (GATE, change, code)
    assert gate.low < math.exp(shift) < gate.high
    assert gate.base == pytest.approx(4.0, rel=0.02)
    assert gate.new == pytest.approx(gate.base * gate.ratio)


def test_slower_machine_changes_nothing(run):
    drift = np.linspace(1.0, 1.6, 12)
    found = compare(run("base", noise(1)), run("new", noise(2), drift=drift))
    assert only(found).change is Change.UNCHANGED


def test_margin_decides_between_worse_and_unchanged(run):
    base, new = run("base", noise(1)), run("new", noise(2) - 0.08)
    assert only(compare(base, new)).change is Change.WORSE
    assert only(compare(base, new, margin=0.12)).change is Change.UNCHANGED


def test_one_base_cannot_show_small_change(run):
    """Known-bad: the interval of the rounds alone, which excludes no change."""
    base, new = run("base", noise(1, deviation=0.001)), noise(2, deviation=0.001) - 0.051
    found = compare(base, run("new", new))
    assert (only(found).change, found.exit_code) == (Change.INCONCLUSIVE, 4)


@pytest.mark.parametrize(
    ("logs", "more", "why"),
    [
        (noise(2, rounds=9), {}, "the new run has 9 quiet rounds, 10 are needed"),
        (noise(2), {"disturbed": 3}, "the new run has 9 quiet rounds, 10 are needed"),
        (noise(2, deviation=0.1), {}, "the interval is too wide"),
        (noise(2) - 0.3 * (np.arange(12) % 2 > 0), {}, "the interval is too wide"),
        (noise(2), {"verdict": Verdict.NO_EVIDENCE}, "the new run does not prove what ran"),
    ],
    ids=["few rounds", "disturbed", "noisy", "bimodal", "no evidence"],
)
def test_inconclusive_gives_its_reason(run, logs, more, why):
    found = compare(run("base", noise(1)), run("new", logs, **more))
    gate = only(found)
    assert (gate.change, found.exit_code) == (Change.INCONCLUSIVE, 4)
    assert gate.reason.startswith(why)
    assert gate.reason in render_terminal(found, width=150)
    assert gate.reason in render_markdown(found)


def test_vanished_gate_is_not_0(run):
    base = run("base", noise(1))
    new = msgspec.structs.replace(run("new", noise(2)), rows={})
    found = compare(base, new)
    assert (only(found).change, found.exit_code) == (Change.VANISHED, 4)
    assert f"{GATE}: the new run does not have it" in render_terminal(found, width=150)
    gone = run("gone", [], verdict=Verdict.NOT_APPLICABLE)
    assert only(compare(base, gone)).reason.startswith("NOT_APPLICABLE: ")


def test_new_gate_is_noted(run):
    base, new = run("base", noise(1)), run("new", noise(2))
    more = new.rows | {"other": msgspec.structs.replace(new.rows[GATE], name="other")}
    found = compare(base, msgspec.structs.replace(new, rows=more))
    assert found.notes == ("only the new run has other",)
    assert found.exit_code == 0


def test_base_without_gates_is_not_0(run):
    found = compare(run("base", []), run("new", noise(2)))
    assert found.exit_code == 4
    for text in (render_terminal(found, width=100), render_markdown(found)):
        assert "no base run has a gate" in text
        assert "No base run has a measured gate." in text


def test_same_run_twice_is_refused(run, bases):
    with pytest.raises(ResultsFileError, match=r"base-1.json and .*copy.json hold the same run"):
        compare(*bases, run("copy", noise(1)))


def test_later_base_run_is_noted(run, bases):
    late = run("late", noise(4), started="2025-11-23T08:00:00+00:00")
    new = run("new", noise(3))
    assert compare(late, new).notes[0].startswith("the base run is later than the new run")
    assert compare(*bases, late, new).notes[0].startswith("base run 4 is later")


class TestSeveralBases:
    def test_spread_is_measured_and_shown(self, run, bases):
        found = compare(*bases, run("new", noise(3)))
        logs = [math.log(base.rows[GATE].speedup.ratio) for base in bases]
        variance = (4 * 0.02**2 + 2 * 2 * np.var(logs, ddof=1)) / 6
        assert found.spread == Spread(pytest.approx(math.sqrt(variance)), 6)
        shown = render_terminal(found, width=150)
        assert f"{found.spread.deviation:.1%}, from 3 base runs" in shown
        ratios = [base.rows[GATE].speedup.ratio for base in bases]
        assert only(found).base == pytest.approx(math.prod(ratios) ** (1 / 3))
        assert only(found).base_rounds == (12, 12, 12)

    def test_worse_is_found(self, run, bases):
        found = compare(*bases, run("new", noise(3) - 0.3))
        assert (only(found).change, found.exit_code) == (Change.WORSE, 1)

    def test_scattered_bases_prove_little(self, run):
        """Known-bad: the assumed spread, by which this change is sure."""
        scattered = [run(f"base-{n}", noise(n) + 0.08 * (n - 1)) for n in range(3)]
        new = run("new", noise(3) - 0.2)
        assert only(compare(scattered[1], new)).change is Change.WORSE
        assert only(compare(*scattered, new)).change is Change.INCONCLUSIVE

    def test_two_bases_do_not_measure_spread(self, run, bases):
        found = compare(*bases[:2], run("new", noise(3)))
        assert found.spread == Spread(0.02)
        assert "2.0%, assumed: name three or more base runs" in render_terminal(found, width=150)

    def test_unusable_base_is_named(self, run, bases):
        new = run("new", noise(3))
        found = compare(*bases[:2], run("short", noise(4, rounds=9)), new)
        assert only(found).reason == "base run 3 has 9 quiet rounds, 10 are needed"
        assert "9-12, 12" in render_terminal(found, width=150)
        found = compare(msgspec.structs.replace(bases[0], rows={}), *bases[1:], new)
        assert only(found).reason == "base run 1 did not measure it"
        assert only(found).base_rounds == (0, 12, 12)

    def test_bases_must_match_each_other(self, run, bases):
        other = run("other", noise(4), versions={"torch": "2.9.0"})
        with pytest.raises(ResultsFileError, match=r"another software.*--across software"):
            compare(*bases, other, run("new", noise(3)))
        found = compare(*bases, other, run("new", noise(3)), across=["software"])
        assert "torch was '2.8.0', is '2.9.0'" in found.notes[0]


def other_case(run, **parts):
    """The run with its arms' cases changed in these parts."""
    (row,) = run.rows.values()
    case = msgspec.structs.replace(row.case, **parts)
    row = msgspec.structs.replace(row, case=case, name=f"{case.name}-vs-{row.result.gate.versus}")
    return msgspec.structs.replace(run, rows={row.name: row})


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
def test_difference_is_refused_unless_allowed(run, kind):
    change, words = DIFFERING[kind]
    base = run("base", noise(1))
    new = change(lambda **environment: run("new", noise(2), **environment))
    others = [other for other in DIFFERING if other != kind]
    with pytest.raises(ResultsFileError) as caught:
        compare(base, new, across=others)
    assert f"another {kind} ({words})" in str(caught.value)
    assert f"--across {kind}" in str(caught.value)
    found = compare(base, new, across=[kind])
    assert only(found).change is Change.UNCHANGED
    assert found.notes == (f"compared all the same with another {kind} ({words})",)


def test_every_difference_is_named_at_once(run):
    new = run("new", noise(2), host={"kernel": "7.0"}, versions={"torch": "2.9.0"})
    with pytest.raises(ResultsFileError, match="--across machine --across software"):
        compare(run("base", noise(1)), new)


def test_several_engines_cannot_be_matched(run):
    base, new = run("base", noise(1)), other_case(run("new", noise(2)), engine="eager")
    inductor = other_case(run("third", noise(3)), engine="inductor")
    both = msgspec.structs.replace(new, rows=new.rows | inductor.rows)
    with pytest.raises(ResultsFileError, match="name runs of one engine each"):
        compare(base, both, across=["engine"])


def test_json_table_and_page_agree(run):
    found = compare(run("base", noise(1)), run("new", noise(2) - 0.2))
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found
    for text in (render_terminal(found, width=150), render_markdown(found)):
        assert GATE in text
        assert "-18." in text
        assert "WORSE: 1 worse" in text
        assert "margin: 5.0%, confidence: 99%" in text
    assert render_terminal(found, width=150).endswith("amx-suite: WORSE: 1 worse\n")
    assert "\x1b[" in render_terminal(found, width=150, colour=True)
