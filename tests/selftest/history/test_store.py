"""Results files are read back, and refused by name where that is not possible."""

import json
import math

import pytest
import sample_runs as runs
import stored_runs

from amx_suite.errors import ResultsFileError
from amx_suite.history.store import load_run

pytestmark = pytest.mark.selftest


@pytest.fixture
def written(tmp_path):
    return stored_runs.write(tmp_path / "run.json", stored_runs.summary([stored_runs.LEVEL] * 12))


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def trial(content):
    return content["amx_suite"]["trials"][0]


def test_measured_gate_is_read_back(written):
    run = load_run(written)
    (row,) = run.rows
    assert row.name == "resnet50-inference-bf16-amx-ipex-vs-fp32"
    assert row.speedup.ratio == pytest.approx(4)
    assert row.speedup.pairs == 12
    assert row.environment.versions == {"torch": "2.8.0"}
    assert run.engines == ("ipex",)


def former_fields(content):
    """What versions of the suite wrote that this one has no use for."""
    content["benchmarks"] = [{"ops": math.nan}]
    for arm in trial(content)["measurement"]["arms"]:
        arm["products"] = [{"operations": 2, "elements": 3, "count": 1}]
        del arm["operations_per_step"]


def test_unknown_fields_do_no_harm(written):
    assert load_run(changed(written, former_fields)).rows


def test_health_is_read_back(tmp_path):
    run = runs.with_health(stored_runs.summary([stored_runs.LEVEL] * 12), runs.HOT, runs.FAULT)
    assert load_run(stored_runs.write(tmp_path / "run.json", run)).summary == run


def without_health(content):
    """What the suite wrote before it read the machine's health."""
    for key in ("health_before", "health_after", "findings", "identity"):
        del content["amx_suite"][key]


def test_file_without_health_is_read(written):
    run = load_run(changed(written, without_health)).summary
    assert (run.health_before, run.findings) == (None, ())


def seconds(value):
    def change(content):
        trial(content)["measurement"]["rounds"][3]["slices"][0]["seconds"] = value

    return change


def huge_count(content):
    trial(content)["measurement"]["arms"][0]["operations_per_step"] = 10**400


def half_a_character(content):
    trial(content)["measurement"]["arms"] = "\ud800"


_IMPOSSIBLE = r"is damaged: Expected `float` >= 1e-09.*slices\[0\]\.seconds`"
_OTHER_SCHEMA = "has schema version {}, this suite reads versions 5 and 6; "


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c["amx_suite"].update(schema_version=7), _OTHER_SCHEMA.format(7)),
        (lambda c: c["amx_suite"].update(schema_version=4), _OTHER_SCHEMA.format(4)),
        (lambda c: c["amx_suite"].pop("schema_version"), _OTHER_SCHEMA.format(0)),
        (lambda c: c.pop("amx_suite"), "was not written by amx-suite"),
        (lambda c: c.update(amx_suite="text"), "is damaged: .*got `str`"),
        (lambda c: c["amx_suite"].pop("trials"), "is damaged: .*trials"),
        (lambda c: trial(c)["measurement"].pop("rounds"), "is damaged: .*rounds"),
        (lambda c: trial(c)["measurement"]["arms"].clear(), "is damaged: its arm .* is missing"),
        (seconds(0.0), rf"{_IMPOSSIBLE}, found 0\.0"),
        (seconds(5e-324), rf"{_IMPOSSIBLE}, found 5e-324"),
        (seconds(math.nan), rf"{_IMPOSSIBLE}, found nan"),
        (lambda c: c["amx_suite"].update(elapsed_seconds=math.inf), "is damaged: .*found inf"),
        (huge_count, "is damaged: .*operations_per_step"),
        (half_a_character, "is damaged"),
    ],
    ids=[
        "newer",
        "older",
        "none",
        "plain pytest-benchmark",
        "text",
        "no trials",
        "no rounds",
        "no arms",
        "0",
        "least",
        "NaN",
        "infinite",
        "huge",
        "half a character",
    ],
)
def test_unusable_file_is_named_with_remedy(written, change, complaint):
    with pytest.raises(ResultsFileError, match=f"{written} {complaint}.*`amx-suite qualify`"):
        load_run(changed(written, change))


DEEP = '{"a": ' * 100_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("\xff\xfe", "is not JSON"),
        (DEEP, "is nested too deeply"),
        ('"text"', "was not written by amx-suite"),
        ("[]", "was not written by amx-suite"),
        ("null", "was not written by amx-suite"),
    ],
    ids=["empty", "cut", "binary", "deep", "text", "list", "null"],
)
def test_garbage_is_refused(tmp_path, text, why):
    path = tmp_path / "garbage.json"
    path.write_text(text)
    with pytest.raises(ResultsFileError, match=rf"garbage.json {why}.*name a results\.json"):
        load_run(path)


def test_absent_file_or_folder_is_refused(tmp_path):
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(ResultsFileError, match="cannot be read"):
            load_run(path)
