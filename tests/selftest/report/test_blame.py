"""Each row of the table of blame, from a run made up for it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import sample_runs as runs

from amx_suite.accuracy import known_defects
from amx_suite.core.run import Check, CheckOutcome, RunSummary, Sign
from amx_suite.report.blame import TILE_RATE_TEST, blame
from amx_suite.report.closing import closing_lines
from amx_suite.report.markdown import render_markdown

pytestmark = pytest.mark.selftest

ROOT = Path(__file__).resolve().parents[3]
ROW = known_defects.KnownDefect(
    ("test_listed",), "rows [3]", "made-up", ">=1", "issue 7", "harms nobody", "today"
)
WITHOUT = {outcome: {str(Sign.WITHOUT_AMX): outcome} for outcome in ("passed", "failed")}


def failed(
    question: str, reason: str = "wrong", name: str = "test_a", **signs: str
) -> tuple[Check, ...]:
    return (Check(f"tests/test_x.py::{name}", CheckOutcome.FAILED, reason, question, signs),)


def instructions(outcome: CheckOutcome) -> tuple[Check, ...]:
    return (Check("tests/test_y.py::test_y", outcome, "", "instruction"),)


def tile_rate(outcome: CheckOutcome) -> tuple[Check, ...]:
    return (Check(f"tests/test_z.py::{TILE_RATE_TEST}", outcome, "", "performance"),)


def on_cpus(wrong: str, tried: str) -> dict[str, str]:
    return {str(Sign.CPUS_WRONG): wrong, str(Sign.CPUS_TRIED): tried}


PASSED, FAILED, SKIPPED = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.SKIPPED
EXACT, INEXACT, NOT_RUN = instructions(PASSED), instructions(FAILED), instructions(SKIPPED)
GATE_MISSED = failed("performance", "FAIL: bf16-vs-fp32: 1.1x is below the minimum")
NO_EVIDENCE = failed("dispatch", "Failed: NO_EVIDENCE: bf16@amx: 0% were on AMX kernels")


@pytest.mark.parametrize(
    ("checks", "layer", "words"),
    [
        (failed("correctness", "rows [3]", "test_listed"), "library", "known"),
        (
            failed("instruction", **on_cpus("3", "0 1 2 3")),
            "this machine alone",
            "wrong on CPU 3 and right on CPU 0, 1, 2",
        ),
        (failed("instruction", **on_cpus("0 1", "0 1")), "tile instruction", "on every CPU"),
        (
            failed("instruction", **on_cpus("0", "0")),
            "cannot be told",
            "tried on CPU 0 alone: run `amx-suite qualify --level 2`",
        ),
        (failed("detection"), "this machine alone", "its CPU, firmware, hypervisor or kernel"),
        (failed("performance", name=TILE_RATE_TEST), "this machine alone", "clock, power limits"),
        (failed("instruction"), "cannot be told", "does not say on which CPUs"),
        (
            failed("correctness", **WITHOUT["passed"]) + INEXACT,
            "tile instruction",
            "first see what those blame",
        ),
        (NO_EVIDENCE + INEXACT, "tile instruction", "failed too"),
        (NO_EVIDENCE + EXACT, "library", "the tile instructions are right here"),
        (NO_EVIDENCE + NOT_RUN, "cannot be told", "run `amx-suite qualify --level 1`"),
        (
            GATE_MISSED + tile_rate(PASSED),
            "library, or this machine alone",
            "the tile units are healthy (test_every_tile_unit passed)",
        ),
        (GATE_MISSED + tile_rate(FAILED), "this machine alone", "a tile unit alone is too slow"),
        (GATE_MISSED + EXACT, "cannot be told", "run `amx-suite qualify --level 2`"),
        (GATE_MISSED + tile_rate(SKIPPED), "cannot be told", "qualify --level 2`"),
        (failed("correctness", **WITHOUT["failed"]) + EXACT, "library", "so it is not AMX"),
        (failed("correctness", **WITHOUT["failed"]) + INEXACT, "library", "so it is not AMX"),
        (failed("correctness", **WITHOUT["passed"]) + EXACT, "kernel", "passes without AMX"),
        (
            failed("correctness", **WITHOUT["passed"]) + NOT_RUN,
            "cannot be told",
            "run `amx-suite qualify --level 1`",
        ),
        (failed("correctness") + EXACT, "cannot be told", "not tried without AMX: run"),
        (failed("performance", "it died") + EXACT, "cannot be told", "no sign says"),
    ],
)
def test_signs_name_the_layer(
    checks: tuple[Check, ...], layer: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_defects, "known_defects", lambda: (ROW,))
    sentence = blame(checks[0], runs.summary(*checks))
    assert sentence.startswith(f"{layer}: ")
    assert words in sentence


def test_unusable_amx_blames_the_machine() -> None:
    (check,) = failed("detection")
    sentence = blame(check, runs.summary(check, amx_reason=runs.NO_AMX))
    assert sentence.startswith("this machine alone: AMX is not usable on it")
    (check,) = failed("correctness", **WITHOUT["failed"])
    sentence = blame(check, runs.summary(check, amx_reason=runs.NO_AMX))
    assert sentence.startswith("library: the same check fails where the kernel refuses AMX")


def test_reports_show_it_with_each_failure() -> None:
    (check,) = failed("correctness", **WITHOUT["passed"])
    summary = runs.summary(check, *EXACT)
    for text in (*closing_lines(summary)[:1], render_markdown(summary)):
        assert "wrong; to blame: kernel: " in text


def test_signs_survive_storing() -> None:
    summary = runs.summary(*failed("correctness", **WITHOUT["passed"]))
    stored = msgspec.json.decode(msgspec.json.encode(summary), type=RunSummary)
    assert stored.checks == summary.checks


def test_tile_rate_test_has_that_name() -> None:
    text = (ROOT / "tests" / "performance" / "test_ceiling.py").read_text()
    assert f"def {TILE_RATE_TEST}(" in text
