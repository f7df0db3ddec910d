"""Text for Prometheus: what its own parser reads in it, and the rules of ``promtool`` on names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sample_runs as runs
import stored_runs
from prometheus_client.parser import text_string_to_metric_families

from amx_suite.core.health import Identity
from amx_suite.core.run import RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.export.prometheus import prometheus_text
from amx_suite.history.store import StoredRun, load_run

pytestmark = pytest.mark.selftest

CASE = {"case": runs.AMX.id, "versus": "fp32"}

#: Of promlint (``promtool check metrics``): units that are not base units, with their prefixes, ...
OTHER_UNITS = re.compile(
    "(pico|nano|micro|milli|centi|deci|deca|hecto|kilo|kibi|mega|mibi|giga|gibi|tera|tebi|peta|pebi)?"
    "(amperes|bytes|celsius|grams|joules|kelvin|meters|metres|seconds|volts)"
    "|(minutes|hours|days|weeks|kelvins|fahrenheit|rankine|inches|yards|miles|bits|calories|pounds"
    "|ounces)"
)
#: ... units in short, and parts of names that are the types'.
SHORT_UNITS = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}
TYPES = {"counter", "gauge", "summary", "untyped", "histogram"}


def problems(text: str) -> Iterator[str]:
    """What promlint says of the text's gauges."""
    for family in text_string_to_metric_families(text):
        name, parts = family.name, family.name.split("_")
        units = [found for part in parts if (found := OTHER_UNITS.fullmatch(part))]
        if not family.documentation:
            yield f"{name}: no help text"
        if any(unit[1] or unit[3] for unit in units):
            yield f"{name}: use the base unit"
        if family.type == "counter" or parts[-1] in ("total", "bucket", "count", "sum"):
            yield f"{name}: a suffix of another type"
        if SHORT_UNITS & set(parts):
            yield f"{name}: abbreviated unit"
        if TYPES & set(parts[1:]):
            yield f"{name}: type in the name"
        labels = {label for sample in family.samples for label in sample.labels}
        if any(re.search("[a-z][A-Z]", each) for each in (name, *labels)) or ":" in name:
            yield f"{name}: not in snake_case"
        if labels & {"le", "quantile", "job", "instance"}:
            yield f"{name}: a label that has a meaning already"


def stored(folder: Path, run: RunSummary, name: str = "one") -> StoredRun:
    run = msgspec.structs.replace(run, identity=Identity(host_name=name))
    return load_run(stored_runs.write(folder / f"{name}-{run.started[:10]}.json", run))


def value(text: str, metric: str, **labels: str) -> float | None:
    """The value of the one sample with these labels, None if there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"amx_suite_{metric}" and labels.items() <= sample.labels.items()
    ]
    assert len(found) < 2, found
    return found[0] if found else None


def test_alert_finds_what_it_needs(tmp_path: Path) -> None:
    text = prometheus_text([stored(tmp_path, runs.with_health(runs.NOT_QUALIFIED, runs.HOT))])
    assert value(text, "exit_code") == 1
    assert value(text, "qualification", state="NOT QUALIFIED") == 1
    assert value(text, "qualification", state="QUALIFIED") == 0
    assert value(text, "findings", severity="warning") == 1
    assert value(text, "checks", outcome="failed") == 1
    assert value(text, "run_start_timestamp_seconds") == 1763798400
    assert value(text, "gate_verdict", verdict="PASS", **CASE) == 1
    assert value(text, "gate_verdict", verdict="NO_EVIDENCE", **CASE) == 0
    assert value(text, "gate_speedup_ratio", **CASE) == 4
    assert value(text, "gate_speedup_low_ratio", **CASE) == 3.9
    assert value(text, "gate_speedup_high_ratio", **CASE) == 4.1
    assert value(text, "gate_minimum_ratio", **CASE) == 2.39
    assert value(text, "step_seconds", case=runs.AMX.id) == 0.2


def test_only_the_latest_run_of_each_machine(tmp_path: Path) -> None:
    old, new = (
        stored(tmp_path, stored_runs.summary([1.0] * 12, started=f"2026-01-0{day}T00:00:00+00:00"))
        for day in (1, 2)
    )
    text = prometheus_text([new, old, stored(tmp_path, runs.QUALIFIED, "two")])
    assert value(text, "run_start_timestamp_seconds", machine="one") == 1767312000
    assert value(text, "exit_code", machine="two") == 0


def test_unmeasured_gate_has_no_speedup(tmp_path: Path) -> None:
    gate = msgspec.structs.replace(runs.gate_result(Verdict.INCONCLUSIVE), speedup=None)
    run = runs.summary(runs.PASSED, trials=(runs.trial_result(gate),))
    text = prometheus_text([stored(tmp_path, run)])
    assert value(text, "gate_speedup_ratio") is None
    assert value(text, "gate_verdict", verdict="INCONCLUSIVE") == 1


def test_any_name_comes_back_unchanged(tmp_path: Path) -> None:
    name = 'a"b\\n\nc\\'
    odd = stored(tmp_path, runs.QUALIFIED)
    summary = msgspec.structs.replace(odd.summary, identity=Identity(host_name=name))
    text = prometheus_text([msgspec.structs.replace(odd, summary=summary)])
    assert value(text, "exit_code", machine=name) == 0


def test_names_follow_the_rules_of_promtool(tmp_path: Path) -> None:
    text = prometheus_text([stored(tmp_path, runs.with_health(runs.QUALIFIED, runs.HOT))])
    assert list(problems(text)) == []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z_]+\{.*\} [0-9.e+-]+", line) for line in lines), "no timestamp"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a_ms", "abbreviated unit"),
        ("a_milliseconds", "base unit"),
        ("a_hours", "base unit"),
        ("a_total", "suffix"),
        ("a_gauge", "type in the name"),
        ("aB", "snake_case"),
    ],
)
def test_bad_names_are_found(name: str, problem: str) -> None:
    (found,) = problems(f"# HELP {name} Some.\n# TYPE {name} gauge\n{name} 1\n")
    assert problem in found
