"""Files that cannot be used are refused in one sentence, whatever is wrong with them."""

import datetime as dt
import json
import os
import threading

import msgspec
import pytest

from amx_suite import documents
from amx_suite.documents import convert, parse_json, parse_toml, read_bytes
from amx_suite.errors import ResultsFileError

pytestmark = pytest.mark.selftest


class Row(msgspec.Struct, forbid_unknown_fields=True):
    share: float = 1.0
    day: dt.date | None = None
    parts: dict[str, int] = {}


def refused(work, *arguments):
    with pytest.raises(ResultsFileError) as caught:
        work(*arguments, ResultsFileError)
    text = str(caught.value)
    assert len(text) < 500
    assert text.isprintable(), "one line, and no escape sequence"
    return text


def test_files_and_pipes_are_read(tmp_path):
    path, pipe = tmp_path / "file", tmp_path / "pipe"
    path.write_bytes(b"content")
    os.mkfifo(pipe)
    assert read_bytes(path, ResultsFileError) == b"content"
    writer = threading.Thread(target=pipe.write_bytes, args=(b"content",))
    # The pipe has its writer before it is read.
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer.start()
    writer.join(5)
    assert read_bytes(pipe, ResultsFileError) == b"content"
    os.close(held)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("absent", "No such file or directory"),
        ("folder", "it is a folder"),
        ("folder/below/file", "No such file or directory"),
        ("file/below", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("large", "it is larger than 1 MiB"),
        ("/dev/zero", "it is a device"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, monkeypatch, name, why):
    monkeypatch.setattr(documents, "_MOST_BYTES", 2**20)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(2**20 + 1)
    assert refused(read_bytes, tmp_path / name) == f"cannot be read: {why}"


def test_unreadable_file_is_refused(tmp_path):
    path, user = tmp_path / "secret", os.geteuid()
    path.touch(0)
    if not user:
        try:
            os.seteuid(65534)  # root may read everything
        except OSError:
            pytest.skip("root may become no other user here")
    try:
        assert refused(read_bytes, path) == "cannot be read: Permission denied"
    finally:
        os.seteuid(user)


def test_pipe_without_writer_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    content = read_bytes(tmp_path / "pipe", ResultsFileError)
    assert refused(parse_json, content) == "is empty"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b" \n", "is empty"),
        (b"\x7fELF\x00\xff", "is not JSON: "),
        (b'{"a": 1', "is not JSON: Expecting ',' delimiter: line 1 column 8"),
        (b"1" * 5000, "is not JSON: Exceeds the limit"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
    ],
    ids=["blank", "binary", "cut", "digits", "lists", "objects"],
)
def test_broken_json_is_refused(content, why):
    assert refused(parse_json, content).startswith(why)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a = \xff", "is not valid TOML in UTF-8: 'utf-8' codec"),
        (b"a = [1", "is not valid TOML in UTF-8: "),
        (b"a = 1" + b"0" * 5000, "is not valid TOML in UTF-8: Exceeds the limit"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
        (b"a = " + b"{a=" * 100_000, "is nested too deeply"),
    ],
    ids=["latin", "cut", "digits", "arrays", "tables"],
)
def test_broken_toml_is_refused(content, why):
    assert refused(parse_toml, content).startswith(why)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"share": "all"}, "is damaged: Expected `float`, got `str` - at `$.share`, found 'all'"),
        (
            {"parts": {"a": 2.5}},
            "Expected `int`, got `float` - at `$.parts[...]`, found {'a': 2.5}",
        ),
        ({"shore\n\x1b[2J": 1}, "is damaged: Object contains unknown field `shore [2J`"),
        ({"x" * 10_000: 1}, "is damaged: Object contains unknown field ..."),
        ({"share": "x" * 10_000}, "found 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
        ([], "is damaged: Expected `object`, got `array`"),
    ],
    ids=["type", "key", "escape", "long name", "long value", "list"],
)
def test_wrong_value_is_shown(content, why):
    assert why in refused(convert, content, Row)


def test_right_content_is_read():
    text = '{"share": NaN, "parts": {"a": 2}}'
    found = convert(parse_json(text.encode("utf-16"), ResultsFileError), Row, ResultsFileError)
    assert found.parts == json.loads(text)["parts"]
    toml = parse_toml(b"\xef\xbb\xbfday = 2026-12-31", ResultsFileError)
    assert convert(toml, Row, ResultsFileError).day == dt.date(2026, 12, 31)
