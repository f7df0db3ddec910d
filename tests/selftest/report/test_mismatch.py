"""A wrong tile is stored in a file and read back; other files are refused."""

import json

import msgspec
import pytest

from amx_suite.errors import ResultsFileError
from amx_suite.report.mismatch import read_mismatch, store_mismatch
from amx_suite.tmul.batch import BatchResult, Mismatch, TileBatch

pytestmark = pytest.mark.selftest

RESULT = BatchResult(
    TileBatch("tdpbssd", "wrap", 3, tiles=2),
    cpu=7,
    elements=512,
    wrong=1,
    first=Mismatch(
        1, 0, 5, 0x80000000, 0x7FFFFFFF, bytes(range(256)) * 4, b"b" * 1024, b"c" * 1024
    ),
)


def test_stored_mismatch_is_read_back(tmp_path):
    path = store_mismatch(tmp_path / "new", {"cpu": "fake"}, RESULT)
    stored = read_mismatch(path)
    assert (stored.result, stored.machine) == (RESULT, {"cpu": "fake"})
    assert path.name.startswith("mismatch-tdpbssd-cpu7-")
    assert store_mismatch(path.parent, {}, RESULT) != path


def test_other_files_are_refused_by_name(tmp_path):
    path = tmp_path / "results.json"
    for content, why in (
        (b'{"benchmarks": []}', "no stored mismatch"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(ResultsFileError, match=rf"results\.json is {why}.*give a"):
            read_mismatch(path)
    with pytest.raises(ResultsFileError, match="cannot be read"):
        read_mismatch(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("result", "changes", "why"),
    [
        (RESULT, {"schema_version": 99}, "schema version 99, expected 1"),
        (msgspec.structs.replace(RESULT, first=None), {}, "no operands"),
    ],
)
def test_file_that_cannot_be_replayed_is_refused(tmp_path, result, changes, why):
    path = store_mismatch(tmp_path, {}, result)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ResultsFileError, match=why):
        read_mismatch(path)
