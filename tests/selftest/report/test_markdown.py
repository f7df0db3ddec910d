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
def test_every_run_has_all_sections(summary: RunSummary) -> None:
    text = render_markdown(summary)
    assert f"**{summary.qualification}: " in text
    assert text.count("\n## ") == 12
    assert "\n\n\n" not in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("Run", ["resnet50-inference b16x224"]),
        ("Host", ["a CPU"]),
        ("Data", ["synthetic images; random weights, seed 0"]),
        (
            "Environment",
            ["kernel: 6.1", "torch 2.8.0", "OMP_NUM_THREADS 7", "CPUs of the workers: 0, 1"],
        ),
        ("Evidence", ["54 x convolution brgconv:avx512_core_amx", "jail held; tile permission"]),
        ("Where the time went", ["faster tiles alone could reach"]),
        ("Findings", ["- Note: resnet50-inference-ipex: bf16@amx lost 3 rounds"]),
    ],
)
def test_page_holds_the_facts_of_run(name: str, facts: list[str]) -> None:
    trial = runs.trial_result(runs.gate_result(Verdict.FAIL), notes=("bf16@amx lost 3 rounds",))
    evidence = msgspec.structs.replace(runs.AMX_EVIDENCE, step_milliseconds=250.0)
    arms = (*trial.measurement.arms[:2], runs.arm(runs.AMX, evidence))
    text = section(render_markdown(runs.summary(trials=(runs.measured(trial, arms=arms),))), name)
    for fact in facts:
        assert fact in text


def test_checks_are_grouped_by_reason() -> None:
    skips = [Check(f"test_{n}", CheckOutcome.SKIPPED, "level 3 only") for n in range(3)]
    text = section(render_markdown(runs.summary(runs.FAILED, *skips)), "Checks skipped")
    assert text.count("level 3 only") == 1
    assert "level 3 only (3):" in text
    assert all(f"- test_{n}" in text for n in range(3))


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
    assert "<td>a | b<br># not a heading `x` &lt;script&gt; *bold*</td>" in page


def test_trials_share_one_environment_section() -> None:
    one = runs.trial_result()
    elsewhere = msgspec.structs.replace(one.measurement.environment, cpus=(2, 3))
    trials = (one, one, runs.measured(one, environment=elsewhere))
    text = section(render_markdown(runs.summary(trials=trials)), "Environment")
    assert text.count("torch 2.8.0") == 1
    assert "workers: 0, 1" in text
    assert "workers: 2, 3" in text


def test_health_has_its_section() -> None:
    run = runs.with_health(runs.QUALIFIED, runs.HOT, runs.SLOW_GOVERNOR)
    page = render_markdown(run)
    found, text = section(page, "Findings"), section(page, "Host health")
    assert "- Warning: the CPUs were hot; what to do: check the fans" in found
    assert "- Note: the governor is powersave; what to do: use performance" in found
    assert "- Before the run: CPUs online 2; turbo on" in text
    assert "- Over the run (100 s, on average): other processes used 0.20 of 2 CPUs" in text
    assert section(render_markdown(runs.QUALIFIED), "Host health").strip() == "None."
