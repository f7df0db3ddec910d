"""Verdicts on made-up runs."""

import math

import msgspec
import numpy as np
import pytest
import sample_runs as runs
import stored_runs

from amx_suite.core.conditions import CONDITIONS
from amx_suite.core.instance import Instance
from amx_suite.core.precision import Precision
from amx_suite.core.verdict import Verdict
from amx_suite.core.whole_machine import InstanceRate, Throughput
from amx_suite.errors import ResultsFileError
from amx_suite.history import compare as history
from amx_suite.history.change import Change
from amx_suite.history.render import render_markdown, render_terminal
from amx_suite.history.store import StoredRun, load_run

pytestmark = pytest.mark.selftest

GATE = "resnet50-inference-bf16-amx-ipex-vs-fp32"


def compare(*nights, **options):
    return history.compare(nights[:-1], nights[-1], **{"margin": 0.05, **options})


def noise(seed, rounds=12, deviation=0.01):
    return stored_runs.LEVEL + np.random.default_rng(seed).normal(0, deviation, rounds)


@pytest.fixture
def run(tmp_path):
    def make(name, logs, **more):
        path = tmp_path / f"{name}.json"
        return load_run(stored_runs.write(path, stored_runs.summary(logs, **more)))

    return make


@pytest.fixture
def base(run):
    return run("base", noise(1))


@pytest.fixture
def bases(run):
    """Three base runs whose levels scatter by 1 %."""
    return [run(f"base-{n}", noise(n) + 0.01 * (n - 1)) for n in range(3)]


def only(comparison):
    (gate,) = comparison.gates
    return gate


def other_case(run, **parts):
    """The run with its arms' cases changed in these parts."""
    (row,) = run.rows
    case = msgspec.structs.replace(row.case, **parts)
    return msgspec.structs.replace(run, rows=(msgspec.structs.replace(row, case=case),))


def both(one, other):
    return msgspec.structs.replace(one, rows=one.rows + other.rows)


@pytest.mark.parametrize(
    ("shift", "change", "code"),
    [
        (0.0, Change.UNCHANGED, 0),
        (-math.log(1.10), Change.WORSE, 1),
        (0.3, Change.BETTER, 0),
    ],
)
def test_change_has_size_and_side(run, base, shift, change, code):
    found = compare(base, run("new", noise(2) + shift))
    gate = only(found)
    assert (gate.gate, gate.change, found.exit_code) == (GATE, change, code)
    assert gate.low < math.exp(shift) < gate.high
    assert gate.base == pytest.approx(4.0, rel=0.02)
    assert gate.new == pytest.approx(gate.base * gate.ratio)


def test_slower_machine_changes_nothing(run, base):
    new = run("new", noise(2), drift=np.linspace(1.0, 1.6, 12))
    assert only(compare(base, new)).change is Change.UNCHANGED


def test_one_base_cannot_show_small_change(run):
    """Known-bad: the interval of the rounds alone, which excludes no change."""
    base, new = run("base", noise(1, deviation=0.001)), noise(2, deviation=0.001) - 0.051
    assert only(compare(base, run("new", new))).change is Change.INCONCLUSIVE


@pytest.mark.parametrize(
    ("logs", "more", "why"),
    [
        (noise(2, rounds=9), {}, "has 9 quiet rounds, 10 are needed"),
        (noise(2), {"disturbed": 3}, "has 9 quiet rounds, 10 are needed"),
        (noise(2, deviation=0.1), {}, "the interval is too wide"),
        (noise(2) - 0.3 * (np.arange(12) % 2 > 0), {}, "the interval is too wide"),
        (noise(2), {"verdict": Verdict.NO_EVIDENCE}, "does not prove what ran"),
    ],
    ids=["few rounds", "disturbed", "noisy", "bimodal", "no evidence"],
)
def test_inconclusive_gives_its_reason(run, base, logs, more, why):
    found = compare(base, run("new", logs, **more))
    gate = only(found)
    assert (gate.change, found.exit_code) == (Change.INCONCLUSIVE, 4)
    assert gate.reason.removeprefix(f"{found.new.path} ").startswith(why)
    assert gate.reason in render_terminal(found, width=150)
    assert gate.reason in render_markdown(found)


def test_vanished_gate_is_not_0(run, base):
    found = compare(base, StoredRun("new.json", runs.summary(runs.PASSED), (), ""))
    assert (only(found).change, found.exit_code) == (Change.VANISHED, 4)
    assert f"{GATE}: the new run does not have it" in render_terminal(found, width=150)
    gone = run("gone", [], verdict=Verdict.NOT_APPLICABLE)
    assert only(compare(base, gone)).reason.startswith("NOT_APPLICABLE: ")


def test_new_gate_is_noted(run, base):
    new = run("new", noise(2))
    found = compare(base, both(new, other_case(new, precision=Precision.INT8)))
    assert found.notes == (f"only the new run has {GATE.replace('bf16', 'int8')}",)
    assert found.exit_code == 0


def test_base_without_gates_is_not_0(run):
    found = compare(run("base", []), run("new", noise(2)))
    assert found.exit_code == 4
    for text in (render_terminal(found, width=100), render_markdown(found)):
        assert "no base run measured a gate in a quiet round; run qualify again" in text
        assert "Nothing to compare." in text


def test_same_run_twice_is_refused(run, bases):
    with pytest.raises(ResultsFileError, match=r"base-1.json and .*copy.json hold the same run"):
        compare(*bases, run("copy", noise(1)))


def test_later_base_run_is_noted(run, bases):
    late = run("late", noise(4), started="2025-11-23T08:00:00+00:00")
    new = run("new", noise(3))
    assert compare(*bases, late, new).notes[0].startswith(f"{late.path} is later than the new run")


def test_three_bases_measure_the_spread(run, bases):
    new = run("new", noise(3) - 0.3)
    found = compare(*bases, new)
    assert found.spread.degrees == 6
    assert f"{found.spread.deviation:.1%}, from 3 base runs" in render_terminal(found, width=150)
    ratios = [base.rows[0].speedup.ratio for base in bases]
    assert only(found).base == pytest.approx(math.prod(ratios) ** (1 / 3))
    assert only(found).base_rounds == (12, 12, 12)
    assert only(found).change is Change.WORSE
    assumed = render_terminal(compare(*bases[:2], new), width=150)
    assert "2.0%, assumed: name three or more base runs" in assumed


def test_scattered_bases_prove_little(run):
    """Known-bad: the assumed spread, by which this change is sure."""
    scattered = [run(f"base-{n}", noise(n) + 0.08 * (n - 1)) for n in range(3)]
    new = run("new", noise(3) - 0.2)
    assert only(compare(scattered[1], new)).change is Change.WORSE
    assert only(compare(*scattered, new)).change is Change.INCONCLUSIVE


def test_unusable_base_is_named(run, bases):
    new = run("new", noise(3))
    short = run("short", noise(4, rounds=9))
    found = compare(*bases[:2], short, new)
    assert only(found).reason == f"{short.path} has 9 quiet rounds, 10 are needed"
    assert "12, 12, 9, 12" in render_terminal(found, width=150)
    assert found.spread.degrees is None
    found = compare(msgspec.structs.replace(bases[0], rows=()), *bases[1:], new)
    assert only(found).reason == f"{bases[0].path} did not measure it"
    assert only(found).base_rounds == (0, 12, 12)


@pytest.mark.parametrize(
    ("kind", "environment", "case", "words"),
    [
        ("machine", {"host": {"kernel": "7.0"}}, {}, "kernel was '6.1', is '7.0'"),
        ("software", {"versions": {"torch": "2.9"}}, {}, "torch was '2.8.0', is '2.9'"),
        ("engine", {}, {"engine": "eager"}, "engine was 'ipex', is 'eager'"),
        ("shape", {}, {"shape": runs.Shape(64, 224)}, "shape was 'b16x224', is 'b64x224'"),
        ("cores", {}, {"cores": 8}, "cores was '2', is '8'"),
        ("seed", {}, {"seed": 3}, "seed was '0', is '3'"),
        ("weights", {}, {"weights": "x"}, "weights was 'random', is 'x'"),
    ],
)
def test_difference_is_refused_unless_allowed(run, base, kind, environment, case, words):
    new = other_case(run("new", noise(2), **environment), **case)
    with pytest.raises(ResultsFileError) as caught:
        compare(base, new, across=set(CONDITIONS) - {kind})
    assert f"another {kind} ({words})" in str(caught.value)
    assert f"--across {kind}" in str(caught.value)
    found = compare(base, new, across=[kind])
    assert only(found).change is Change.UNCHANGED
    assert found.notes == (f"compared all the same with another {kind} ({words})",)


def test_every_difference_of_any_base_is_named(run, base):
    other = run("other", noise(4), host={"kernel": "7.0"}, versions={"torch": "2.9.0"})
    with pytest.raises(ResultsFileError, match="--across machine --across software"):
        compare(base, other, run("new", noise(2)))


def test_runs_of_several_engines_need_one_in_common(run, base):
    eager = other_case(run("eager", noise(2)), engine="eager")
    inductor = other_case(run("inductor", noise(3)), engine="inductor")
    with pytest.raises(ResultsFileError, match="name runs of one engine each"):
        compare(base, both(eager, inductor), across=["engine"])
    found = compare(base, both(run("new", noise(2)), inductor))
    assert (only(found).change, only(found).new_rounds) == (Change.UNCHANGED, 12)
    assert found.notes == (f"only the new run has {inductor.rows[0].name}",)


def throughput(scale=1.0, **changes):
    instances = tuple(
        InstanceRate(Instance((n,)), 100.0 * scale, 600, runs.AMX_EVIDENCE) for n in range(4)
    )
    found = Throughput(runs.AMX, "on all cores", "images", 600.0, (400.0,) * 10, instances)
    return msgspec.structs.replace(found, **changes)


def with_throughput(run, *found, **more):
    summary = msgspec.structs.replace(run.summary, whole_machine=found, **more)
    return msgspec.structs.replace(run, summary=summary)


def test_whole_machine_is_shown_not_judged(run, bases):
    earlier = [with_throughput(base, throughput(1.0 + 0.1 * n)) for n, base in enumerate(bases)]
    new = with_throughput(run("new", noise(3)), throughput(0.5), throughput(layout="other"))
    found = compare(*earlier[:2], bases[2], new)
    (one,) = found.throughput
    assert one.base == pytest.approx(400.0 * math.sqrt(1.1)), "of the base runs that have it"
    assert one.new == 200.0
    assert found.exit_code == 0, "half as fast, and no gate judges it"
    row = "resnet50-inference-bf16-amx-ipex b16x224 4 x 2 cores, on all cores"
    for text in (render_terminal(found, width=200), render_markdown(found).replace("|", " ")):
        assert f"{row} 419.5 images/s 200.0 images/s -52.3%" in " ".join(text.split())
    assert "whole machine" not in render_terminal(compare(*bases, new), width=200)


def test_throughput_of_another_machine_is_refused(run, bases):
    base = with_throughput(bases[0], throughput(), machine={"kernel": "6.1"})
    new = with_throughput(run("new", noise(3)), throughput(), machine={"kernel": "7.0"})
    with pytest.raises(ResultsFileError, match="--across machine"):
        compare(base, new)
    assert compare(base, new, across=["machine"]).throughput
    other = with_throughput(new, throughput(layout="other"), machine={"kernel": "7.0"})
    assert not compare(base, other).throughput


def test_answer_is_the_last_line(run, base):
    found = compare(base, run("new", noise(2) - 0.2))
    shown = render_terminal(found, width=150, colour=True)
    assert shown.endswith("amx-suite: WORSE: 1 worse\n")
    assert "\x1b[" in shown
    assert "margin: 5.0%, confidence: 99%" in shown
