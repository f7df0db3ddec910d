"""What counts as a node's result: ended, whole, of one answer, and qualified or only slow."""

from __future__ import annotations

import msgspec
import pytest
import sample_runs as runs
from stored_runs import write

from amx_suite.core.verdict import Verdict
from amx_suite.fleet.node_result import EXIT_LINE, NODE_LINE, judge_node, node_name

pytestmark = pytest.mark.selftest

SLOW_GATE = msgspec.structs.replace(runs.gate_result(Verdict.FAIL), gate=runs.gate(minimum=5.0))
SLOW_CHECK = msgspec.structs.replace(runs.FAILED, question="performance")


def slow(**changes):
    run = runs.summary(runs.PASSED, SLOW_CHECK, trials=(runs.trial_result(SLOW_GATE),))
    return msgspec.structs.replace(run, **changes)


@pytest.fixture
def judge(tmp_path):
    def judged(run, code, *, cut=None):
        path = write(tmp_path / "results.json", run)
        path.write_text(path.read_text()[:cut])
        return judge_node(f"{NODE_LINE}n1\nworking\n{EXIT_LINE}{code}\n", path)

    return judged


def test_qualified_node_has_its_speedups(judge):
    result = judge(runs.QUALIFIED, 0)
    assert result.fault == ""
    (pair,) = result.speedups.values()
    assert pair == (4.0, 2.39)
    assert next(iter(result.speedups)).endswith("-vs-fp32")


def test_slow_node_is_left_to_references(judge):
    result = judge(slow(), 1)
    assert result.fault == ""
    assert list(result.speedups.values()) == [(4.0, 5.0)]


WRONG = msgspec.structs.replace(runs.FAILED, question="instruction")


@pytest.mark.parametrize(
    "run",
    [
        slow(checks=(SLOW_CHECK, WRONG)),
        slow(findings=(runs.FAULT,)),
        slow(interrupted=True),
        slow(trials=(runs.trial_result(SLOW_GATE, runs.gate_result(Verdict.NO_EVIDENCE)),)),
        # Nothing for a reference to refuse.
        slow(trials=()),
        slow(trials=(runs.trial_result(runs.gate_result(Verdict.FAIL)),)),
    ],
    ids=["wrong", "faulty", "interrupted", "unproven", "ungated", "above"],
)
def test_failed_node_is_never_only_slow(judge, run):
    assert judge(run, 1).fault.startswith("NOT QUALIFIED (exit code 1): ")


def test_undecided_gate_is_neither_pass_nor_slow(judge):
    run = runs.summary(
        runs.PASSED,
        runs.UNDECIDED,
        trials=(runs.trial_result(runs.gate_result(Verdict.INCONCLUSIVE)),),
    )
    result = judge(run, 4)
    assert result.fault.startswith("INCONCLUSIVE (exit code 4): ")
    assert result.speedups == {}
    assert any(message.startswith("not decided: ") for message in result.messages)


def test_unusable_node_is_named(judge):
    run = runs.summary(runs.PASSED, amx_reason=runs.NO_AMX)
    assert judge(run, 3).fault.startswith("AMX NOT USABLE (exit code 3): ")


def test_health_is_told(judge):
    messages = judge(runs.with_health(runs.QUALIFIED, runs.HOT, runs.SLOW_GOVERNOR), 0).messages
    assert messages == ("Warning: the CPUs were hot; what to do: check the fans",)


def test_exit_code_must_match_results(judge):
    fault = judge(runs.QUALIFIED, 1).fault
    assert fault == "qualify ended with exit code 1, but results.json says QUALIFIED"


def test_cut_results_do_not_count(judge):
    fault = judge(runs.QUALIFIED, 0, cut=500).fault
    assert fault.startswith("exit code 0, but no usable results: ")
    assert fault.endswith("it said last: working")


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("", "qualify did not end, the job was killed or never ran; it said nothing"),
        (f"{NODE_LINE}n1\nat work\n", "the job was killed or never ran; it said last: at work"),
        (f"no such option\n{EXIT_LINE}2\n", "qualify refused to run (exit code 2); it said last"),
        (f"not found\n{EXIT_LINE}127\n", "exit code 127, but no usable results: "),
    ],
)
def test_job_without_results_says_why(tmp_path, output, says):
    assert says in judge_node(output, tmp_path / "results.json").fault


def test_output_names_its_node():
    assert node_name(f"Welcome!\n{NODE_LINE}n7\n{EXIT_LINE}0\n") == "n7"
    assert node_name("slurmstepd: error") == ""
