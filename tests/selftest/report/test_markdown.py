from __future__ import annotations

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.report.markdown import render_markdown

pytestmark = pytest.mark.selftest


def section(text: str, name: str) -> str:
    """The text under a second-level heading."""
    return text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize(
    "summary",
    [
        runs.QUALIFIED,
        runs.NOT_QUALIFIED,
        runs.NOT_USABLE,
        runs.INCONCLUSIVE,
        runs.summary(),
        runs.summary(runs.PASSED, interrupted=True),
        runs.summary(trials=(runs.empty_trial_result(), runs.trial_result(rounds=0))),
    ],
    ids=["qualified", "failed", "no-amx", "open", "nothing", "interrupted", "no-rounds"],
)
def test_every_run_has_a_page(summary: RunSummary) -> None:
    text = render_markdown(summary)
    assert f"**{summary.qualification}: " in text
    assert text.count("\n## ") == 3
    assert "\n\n\n" not in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_page_holds_the_facts_of_run() -> None:
    gate = runs.gate_result(Verdict.FAIL)
    trial = runs.trial_result(gate, notes=("bf16@amx lost 3 rounds",))
    text = render_markdown(runs.summary(runs.FAILED, runs.PASSED, trials=(trial,)))
    assert "- Note: resnet50-inference-ipex: bf16@amx lost 3 rounds" in section(text, "Findings")
    assert "| bf16@amx |" in section(text, "Speed")
    run = section(text, "Run")
    for fact in (
        "a CPU",
        "checks: 1 passed, 1 failed",
        "accuracy: 0 of 1 figures within their limits",
        "synthetic images; random weights, seed 0",
    ):
        assert fact in run


def test_skipped_checks_are_counted_not_listed() -> None:
    skips = [Check(f"test_{n}", CheckOutcome.SKIPPED, "level 3 only") for n in range(200)]
    text = render_markdown(runs.summary(runs.PASSED, *skips))
    assert "checks: 1 passed, 200 skipped" in text
    assert "test_7" not in text
    assert len(text) < 2000


def test_reason_cannot_break_the_page() -> None:
    from markdown_it import MarkdownIt

    reason = "a | b\n# not a heading `x` <script> *bold*"
    failed = msgspec.structs.replace(runs.gate_result(Verdict.FAIL), reason=reason)
    check = Check("t", CheckOutcome.FAILED, reason)
    text = render_markdown(runs.summary(check, trials=(runs.trial_result(failed),)))
    page = MarkdownIt("commonmark").enable("table").render(text)
    assert page.count("<h1>") == 1
    assert "<script>" not in page
    assert "<em>" not in page
    assert "a | b # not a heading `x` &lt;script&gt; *bold*" in page


def test_health_is_among_the_findings() -> None:
    run = runs.with_health(runs.QUALIFIED, runs.HOT, runs.SLOW_GOVERNOR)
    found = section(render_markdown(run), "Findings")
    assert "- Warning: the CPUs were hot; what to do: check the fans" in found
    assert "- Note: the governor is powersave; what to do: use performance" in found
