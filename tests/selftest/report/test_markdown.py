from __future__ import annotations

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.report import render_markdown

pytestmark = pytest.mark.selftest


def section(text: str, name: str) -> str:
    """The text under a second-level heading."""
    return text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]


def html(text: str) -> str:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").render(text)


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
def test_every_run_has_a_page_with_all_sections(summary: RunSummary) -> None:
    text = render_markdown(summary)
    assert f"**{summary.qualification}: " in text
    assert text.count("\n## ") == 15
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_the_page_says_where_and_with_what_it_was_measured() -> None:
    text = render_markdown(runs.QUALIFIED)
    assert "resnet50-inference b16x224" in section(text, "Run")
    assert "a CPU" in section(text, "Host")
    environment = section(text, "Environment")
    for fact in ("kernel: 6.1", "torch 2.8.0", "OMP\\_NUM\\_THREADS 7", "workers: 0, 1"):
        assert fact.replace("\\", "") in environment.replace("\\", "")
    assert "synthetic images; random weights, seed 0" in section(text, "Data")


def test_gates_come_with_minimum_verdict_reason_remedy_and_source() -> None:
    failed = runs.gate_result(Verdict.FAIL, remedy="check the power limits")
    row = section(render_markdown(runs.summary(trials=(runs.trial_result(failed),))), "Gates")
    for text in (failed.gate.id, "2.39", "FAIL", failed.reason, failed.remedy, failed.gate.source):
        assert text in row


def test_speedups_of_the_table_are_those_of_the_trial() -> None:
    row = next(
        line
        for line in section(render_markdown(runs.QUALIFIED), "Speed").splitlines()
        if line.startswith("| bf16@amx |")
    )
    for text in ("200.0", "80.0 images/s", "4.00x [3.90, 4.10], >= 2.39 PASS", "AMX 99 %"):
        assert text in row


def test_the_evidence_names_the_kernels_that_took_the_time() -> None:
    text = section(render_markdown(runs.QUALIFIED), "Evidence")
    assert "54 x convolution brgconv:avx512_core_amx" in text
    assert "jail held; tile permission never granted" in text


def test_checks_are_grouped_by_reason() -> None:
    skips = [Check(f"test_{n}", CheckOutcome.SKIPPED, "level 3 only") for n in range(3)]
    text = section(render_markdown(runs.summary(runs.FAILED, *skips)), "Checks skipped")
    assert text.count("level 3 only") == 1
    assert "level 3 only (3):" in text
    assert all(f"`test_{n}`" in text for n in range(3))


def test_a_reason_cannot_break_the_page() -> None:
    reason = "a | b\n# not a heading `x` <script> *bold*"
    failed = msgspec.structs.replace(runs.gate_result(Verdict.FAIL), reason=reason)
    check = Check("t", CheckOutcome.FAILED, reason)
    page = html(render_markdown(runs.summary(check, trials=(runs.trial_result(failed),))))
    assert page.count("<h1>") == 1
    assert "<script>" not in page
    assert "<em>" not in page
    cell = "<td>a | b # not a heading `x` &lt;script&gt; *bold*</td>"
    assert cell in page


def test_trials_of_one_environment_share_one_account_of_it() -> None:
    same = render_markdown(runs.summary(trials=(runs.trial_result(), runs.trial_result())))
    assert section(same, "Environment").count("torch 2.8.0") == 1
    moved = runs.trial_result()
    environment = msgspec.structs.replace(moved.measurement.environment, cpus=(2, 3))
    moved = msgspec.structs.replace(
        moved, measurement=msgspec.structs.replace(moved.measurement, environment=environment)
    )
    two = section(render_markdown(runs.summary(trials=(runs.trial_result(), moved))), "Environment")
    assert "workers: 0, 1" in two
    assert "workers: 2, 3" in two


def test_notes_are_kept() -> None:
    trial = runs.trial_result(notes=("bf16@amx lost 3 rounds",))
    assert "bf16@amx lost 3 rounds" in section(
        render_markdown(runs.summary(trials=(trial,))), "Notes"
    )
