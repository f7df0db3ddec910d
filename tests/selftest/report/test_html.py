"""``report.html``: what it says, and that nothing in a results file can break it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.evidence import Family, KernelUse
from amx_suite.core.finding import Finding, Severity
from amx_suite.core.health import Identity
from amx_suite.core.measurement import Environment
from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import Verdict
from amx_suite.report.html import render_html

pytestmark = pytest.mark.selftest

DIGEST = "0123456789abcdef" * 4
#: Elements without an end tag.
VOID = {"meta", "path", "use", "rect"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += f" {data}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def render(summary: RunSummary, **options: bool) -> str:
    return render_html(summary, sha256=DIGEST, **options)


def text_of(page: str) -> str:
    return " ".join(Page(page).text.split())


@pytest.fixture(scope="module")
def whole() -> str:
    return render(runs.WHOLE)


def test_first_screen_has_verdict_and_digest(whole: str) -> None:
    first = text_of(whole).partition("Findings")[0]
    for words in (
        "NOT QUALIFIED checks: 1 passed, 1 failed, 1 skipped, 1 inconclusive; gates passed: 1 of 2",
        f"SHA-256 of results.json {DIGEST}",
        "Microcode 0x2b000590",
        "56 cores, 112 CPUs, 1 NUMA node",
        "Memory 512 GiB",
        "amx-suite 0.1.0, torch 2.8.0",
        "Duration 2 min 5 s",
        "Is it accurate? no",
        "Is it fast? undecided",
    ):
        assert words in first


def test_page_says_what_was_found(whole: str) -> None:
    text = text_of(whole)
    for words in (
        f"Error: {runs.FAILED.reason}",
        "What to do: run one of these checks alone",
        "CPUID: AMX-TILE AMX-BF16",
        "/proc/cpuinfo: amx_bf16 amx_tile",
        "Tile permission: granted to 1 of 1 arms with AMX, and to 0 of 2 arms without",
        "4.00x [4.00, 4.00]",
        ">= 2.39 PASS",
        "0 of 1 figures within their limits",
        "SQNR 12 dB at least 30 dB 794% ours",
        "AMX 99%",
        "convolution brgconv:avx512_core_amx",
        "level 3 only 1 dispatch/test_b.py::test_b",
        "Level 2 leaves out level 3 (ResNet50 and BERT), level 4 (the published shapes",
        "Speed was measured on 2 of the 112 CPUs that the run could use: 0, 1.",
        "synthetic images; random weights, seed 0",
    ):
        assert words in text


def test_charts_say_the_same_in_words(whole: str) -> None:
    words = [e["aria-label"] or "" for e in Page(whole).all("div") if e.get("role") == "img"]
    assert [text.partition(".")[0] for text in words] == [
        "Speedups",
        "Where the time went",
        "Rounds over time",
    ]
    assert "bf16@amx over fp32@no_amx: 4.00x [4.00, 4.00], minimum 2.39, PASS" in words[0]
    assert "bf16@amx over bf16@avx512_bf16: 5.00x [5.00, 5.00], minimum 2.39, INCONC" in words[0]
    assert "bf16@amx, of 250.0 ms: convolution AMX 80%, unseen 20%" in words[1]
    assert "9 rounds with 27 quiet and 1 disturbed slices" in words[2]


def test_page_needs_nothing_else(whole: str) -> None:
    page = Page(whole)
    assert not page.open, "every element is closed"
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object"}
    references = [
        value
        for _, attributes in page.elements
        for key, value in attributes.items()
        if key in ("href", "src", "xlink:href")
    ]
    assert all((reference or "").startswith("#") for reference in references)
    assert not re.search(r"url\((?!#)|@import", whole)


def test_structure_is_readable_without_eyes(whole: str) -> None:
    page = Page(whole)
    headings = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert headings[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(headings))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert page.all("html")[0]["lang"] == "en"


def test_same_run_gives_the_same_bytes(whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    # A style of the user's own, and another day.
    monkeypatch.setitem(mpl.rcParams, "font.size", 30)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert render(runs.WHOLE) == whole
    assert mpl.rcParams["font.size"] == 30


EVIL = "<script>alert(1)</script> & \"q\" 'a' $x^2$ {{ 1 }} \ud800\n# h"


def test_odd_names_are_text() -> None:
    check = Check(f"tests/correctness/test_a.py::{EVIL}", CheckOutcome.FAILED, EVIL)
    kernel = KernelUse(EVIL, EVIL, Family.AMX, 1, 1.0, EVIL)
    trial = runs.timed_trial(Verdict.FAIL)
    evidence = msgspec.structs.replace(
        runs.AMX_EVIDENCE, kernels=(kernel,), read_back={EVIL: EVIL}, step_milliseconds=2.0
    )
    gate = msgspec.structs.replace(trial.gates[0], reason=EVIL, remedy=EVIL)
    odd = msgspec.structs.replace(runs.AMX, engine=EVIL)
    trial = TrialResult(trial.measurement, (gate,))
    trial = runs.measured(
        trial,
        trial=EVIL,
        notes=(EVIL,),
        arms=(runs.arm(odd, evidence), runs.arm(runs.AMX, evidence)),
    )
    summary = msgspec.structs.replace(
        runs.summary(check, trials=(trial,)),
        engines=(EVIL,),
        host=(EVIL,),
        started=EVIL,
        machine=dict.fromkeys(runs.WHOLE.machine, EVIL),
        versions={EVIL: EVIL},
        presence=(Finding(Severity.NOTE, EVIL, EVIL),),
    )
    for anonymous in (False, True):
        page = render(summary, anonymous=anonymous)
        assert not Page(page).all("script")
        assert not Page(page).open
        assert "&lt;script&gt;" in page
        assert page.encode(), "no half of a surrogate pair, which no file can hold"


@pytest.mark.parametrize(
    "summary",
    [
        runs.QUALIFIED,
        runs.NOT_USABLE,
        runs.INCONCLUSIVE,
        runs.summary(),
        runs.summary(runs.PASSED, interrupted=True),
        runs.summary(trials=(runs.empty_trial_result(), runs.trial_result(rounds=0))),
        runs.summary(trials=(runs.measured(runs.timed_trial(), arms=(runs.arm(runs.AMX, None),)),)),
        msgspec.structs.replace(runs.QUALIFIED, host=()),
        runs.summary(trials=(runs.measured(runs.timed_trial(Verdict.NOT_APPLICABLE), arms=()),)),
    ],
    ids=[
        *("qualified", "no-amx", "open", "nothing", "interrupted", "no-rounds"),
        *("no-evidence", "no-host", "no-arm"),
    ],
)
def test_every_run_has_a_report(summary: RunSummary) -> None:
    page = render(summary)
    assert f"<strong>{summary.qualification}</strong>" in page
    assert page.count("<h2>") == 7


def test_anonymous_report_names_no_machine() -> None:
    case = msgspec.structs.replace(runs.AMX, weights="/home/joe/bert")
    arm = msgspec.structs.replace(runs.arm(case, None), data="images of /home/joe/bert")
    trial = runs.measured(runs.trial_result(), arms=(arm,), notes=(f"{case.id} was slow",))
    environment = msgspec.structs.replace(
        trial.measurement.environment, removed_variables={"LD_PRELOAD": "/home/joe/x.so"}
    )
    summary = msgspec.structs.replace(
        runs.WHOLE, trials=(runs.measured(trial, environment=environment),)
    )
    identity = Identity(serial_number="serial 4711", host_name="rack 7")
    summary = msgspec.structs.replace(summary, identity=identity)
    named, left_out = render(summary), render(summary, anonymous=True)
    for secret in (
        "/home/joe/bert",
        "/home/joe/x.so",
        "machine 0123456789ab",
        "serial 4711",
        "rack 7",
    ):
        assert secret in named
        assert secret not in left_out
    for kept in ("LD_PRELOAD", "0x2b000590", DIGEST):
        assert kept in left_out


def test_only_listed_variables_show_values() -> None:
    """The others' may be passwords; files of earlier versions hold them."""
    given = {"OMP_NUM_THREADS": "7", "TORCH_TOKEN": "hf_secret", "LD_AUDIT": "/home/joe/x.so"}
    trial = runs.trial_result()
    stored = msgspec.to_builtins(trial.measurement.environment) | {"removed_variables": given}
    environment = msgspec.convert(stored, Environment)
    assert environment.removed_variables == {**dict.fromkeys(given, ""), "OMP_NUM_THREADS": "7"}
    summary = msgspec.structs.replace(
        runs.WHOLE, trials=(runs.measured(trial, environment=environment),)
    )
    page = render(summary)
    assert "LD_AUDIT, OMP_NUM_THREADS 7, TORCH_TOKEN" in page
    assert "secret" not in page
    assert "joe" not in page


def test_large_run_stays_small() -> None:
    kernels = tuple(
        KernelUse("convolution", f"brgconv:avx512_core_amx_{n}", Family.AMX, 9, 1.0, "bf16", 9)
        for n in range(60)
    )
    evidence = msgspec.structs.replace(runs.AMX_EVIDENCE, kernels=kernels, step_milliseconds=99.0)
    trial = runs.timed_trial(Verdict.PASS, Verdict.PASS)
    arms = tuple(runs.arm(facts.case, evidence) for facts in trial.measurement.arms)
    checks = [
        Check(f"tests/correctness/test_a.py::test[{n}]", CheckOutcome.PASSED) for n in range(400)
    ]
    trials = tuple(runs.measured(trial, trial=f"trial-{n}", arms=arms) for n in range(5))
    page = render(runs.summary(*checks, trials=trials))
    assert len(page.encode()) < 2 * 10**6
