"""Result files that cannot be compared with are refused by name."""

import json
import math

import nights
import pytest

from amx_suite.core.verdict import Verdict
from amx_suite.errors import ResultsFileError
from amx_suite.history import load_night

pytestmark = pytest.mark.selftest


@pytest.fixture
def written(tmp_path):
    return nights.write(tmp_path / "night.json", nights.summary([nights.LEVEL] * 12))


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_run_is_read_back_with_its_rows(written):
    night = load_night(written)
    (row,) = night.rows.values()
    assert row.name == "resnet50-inference-bf16-amx-ipex-vs-fp32"
    assert row.speedup.ratio == pytest.approx(4)
    assert row.speedup.pairs == 12
    assert row.environment.versions == {"torch": "2.8.0"}
    assert night.engines == ("ipex",)


def test_unmeasured_gate_is_kept_with_its_reason(tmp_path):
    run = nights.summary([], verdict=Verdict.NOT_APPLICABLE)
    night = load_night(nights.write(tmp_path / "night.json", run))
    assert night.rows == {}
    ((over, why),) = night.unmeasured.items()
    assert " over " in over
    assert why.startswith("NOT_APPLICABLE: ")


def test_nan_elsewhere_does_no_harm(written):
    changed(written, lambda content: content.update(benchmarks=[{"ops": math.nan}]))
    assert load_night(written).rows


def trial(content):
    return content["amx_suite"]["trials"][0]


def as_in_older(content, version):
    """Until version 4 each trial had the version, and the run none."""
    del content["amx_suite"]["schema_version"]
    trial(content)["measurement"]["schema_version"] = version


@pytest.mark.parametrize(
    ("change", "version"),
    [
        (lambda c: c["amx_suite"].update(schema_version=6), 6),
        (lambda c: as_in_older(c, 3), 3),
        (lambda c: c["amx_suite"].pop("schema_version"), 0),
    ],
    ids=["newer", "older", "none"],
)
def test_other_schema_is_refused_by_name(written, change, version):
    with pytest.raises(ResultsFileError) as caught:
        load_night(changed(written, change))
    assert str(caught.value).startswith(
        f"{written} has schema version {version}, this suite reads versions 4 and 5; "
    )
    assert "`amx-suite qualify`" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.pop("amx_suite"), "was not written by amx-suite"),
        (lambda c: c.update(amx_suite="text"), "is damaged: .*amx_suite"),
        (lambda c: c["amx_suite"].pop("trials"), "is damaged: .*trials"),
        (lambda c: trial(c)["measurement"].pop("rounds"), "is damaged: .*rounds"),
        (
            lambda c: trial(c)["measurement"]["rounds"][3]["slices"][0].update(seconds=0.0),
            r"damaged: Expected `float` > 0.*slices\[0\]\.seconds",
        ),
    ],
    ids=["plain pytest-benchmark", "text", "no trials", "no rounds", "zero"],
)
def test_unusable_file_is_named_with_remedy(written, change, complaint):
    with pytest.raises(ResultsFileError, match=complaint) as caught:
        load_night(changed(written, change))
    assert str(caught.value).startswith(str(written))
    assert "amx-suite qualify" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "\xff\xfe", "[" * 100_000, '"text"', "[]", "null"])
def test_garbage_is_refused(tmp_path, text):
    path = tmp_path / "garbage.json"
    path.write_text(text)
    with pytest.raises(ResultsFileError, match=r"garbage.json (is not JSON|is damaged)"):
        load_night(path)


def test_absent_file_or_folder_is_refused(tmp_path):
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(ResultsFileError, match="cannot be read"):
            load_night(path)
