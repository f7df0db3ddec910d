"""What one node's job brought back: whether it counts, its decided speedups, and what to tell."""

from __future__ import annotations

__all__ = ["EXIT_LINE", "NODE_LINE", "NodeResult", "judge_node", "node_name"]

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from amx_suite.core.finding import Severity
from amx_suite.core.run import CheckOutcome, ExitCode, Qualification, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.errors import ResultsFileError
from amx_suite.history.store import load_summary
from amx_suite.report.closing import headline

#: The job prints these before and after ``qualify``: not every scheduler tells the exit code.
NODE_LINE = "amx-suite: this node is "
EXIT_LINE = "amx-suite: qualify ended with exit code "

#: The marker of the tests that judge speed.
_PERFORMANCE = "performance"


class NodeResult(msgspec.Struct, frozen=True):
    """What a job's output and its results.json say.

    ``fault`` says why the run does not count, empty where it does. ``speedups`` have the ratio and
    the gate's minimum of each decided gate, by the name of its arm and baseline; a gate that could
    not be decided is in ``messages`` only.
    """

    fault: str = ""
    speedups: dict[str, tuple[float, float]] = {}
    messages: tuple[str, ...] = ()


def node_name(output: str) -> str:
    """The node that the job's output names, empty if none."""
    return _last_after(NODE_LINE, output)


def judge_node(output: str, results: Path) -> NodeResult:
    """Judge a job by what it printed and by the file that it left.

    A run counts if it ended, left whole results of the same answer, and qualified, or missed
    nothing but minimum speedups: these are then in ``speedups``. So no run is accepted that did not
    qualify.
    """
    code = _last_after(EXIT_LINE, output)
    if not code:
        return NodeResult(f"qualify did not end, the job was killed or never ran{_said(output)}")
    if code == str(int(ExitCode.USAGE)):
        return NodeResult(f"qualify refused to run (exit code {code}){_said(output)}")
    try:
        run, _ = load_summary(results)
    except ResultsFileError as error:
        return NodeResult(f"exit code {code}, but no usable results: {error}{_said(output)}")
    answer = run.qualification
    messages, speedups = _messages(run), _speedups(run)
    if code != str(int(answer.exit_code)):
        fault = f"qualify ended with exit code {code}, but results.json says {answer}"
    elif answer is Qualification.QUALIFIED or _only_slow(run, speedups):
        fault = ""
    else:
        fault = f"{answer} (exit code {code}): {headline(run)}"
    return NodeResult(fault, speedups, messages)


def _last_after(start: str, output: str) -> str:
    found = re.findall(f"^{re.escape(start)}(\\S+)$", output, flags=re.MULTILINE)
    return found[-1] if found else ""


def _said(output: str) -> str:
    own = (NODE_LINE, EXIT_LINE)
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith(own)]
    return f"; it said last: {lines[-1].strip()}" if lines else "; it said nothing"


def _speedups(run: RunSummary) -> dict[str, tuple[float, float]]:
    return {
        f"{result.candidate_id}-vs-{result.gate.versus}": (
            result.speedup.ratio,
            result.gate.minimum,
        )
        for trial in run.trials
        for result in trial.gates
        if result.verdict in (Verdict.PASS, Verdict.FAIL) and result.speedup is not None
    }


def _only_slow(run: RunSummary, speedups: Mapping[str, tuple[float, float]]) -> bool:
    """Whether nothing failed but minimum speedups, which are among these."""
    failed = run.checks_that(CheckOutcome.FAILED)
    verdicts = [result.verdict for trial in run.trials for result in trial.gates]
    return (
        run.qualification is Qualification.NOT_QUALIFIED
        and run.amx_usable
        and not run.interrupted
        and not run.findings_of(Severity.ERROR)
        and any(ratio < minimum for ratio, minimum in speedups.values())
        and Verdict.NO_EVIDENCE not in verdicts
        and all(check.question == _PERFORMANCE for check in failed)
    )


def _messages(run: RunSummary) -> tuple[str, ...]:
    """Gates that were not decided, and what the machine's health says but for notes."""
    undecided = (
        f"not decided: {result.candidate_id} vs {result.gate.versus}: {result.reason}"
        for trial in run.trials
        for result in trial.gates
        if result.verdict not in (Verdict.PASS, Verdict.FAIL)
    )
    health = (str(each) for each in run.findings_of(Severity.ERROR, Severity.WARNING))
    return (*health, *undecided)
