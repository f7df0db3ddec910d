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


def _stored(tmp_path, **changes):
    path = store_mismatch(tmp_path, {}, RESULT)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def test_other_files_are_refused_by_name(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('{"benchmarks": []}')
    with pytest.raises(ResultsFileError, match=r"results\.json' is no stored mismatch.*give a"):
        read_mismatch(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ResultsFileError, match="is no stored mismatch"):
        read_mismatch(path)
    with pytest.raises(ResultsFileError, match="cannot be read"):
        read_mismatch(tmp_path / "absent.json")


def test_other_schema_is_refused(tmp_path):
    with pytest.raises(ResultsFileError, match="schema version 99, expected 1"):
        read_mismatch(_stored(tmp_path, schema_version=99))


def test_file_without_operands_is_refused(tmp_path):
    bare = json.loads(msgspec.json.encode(msgspec.structs.replace(RESULT, first=None)))
    with pytest.raises(ResultsFileError, match="no operands"):
        read_mismatch(_stored(tmp_path, result=bare))
