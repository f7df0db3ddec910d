"""Standard streams that are closed, full, narrow in their letters, or slow."""

import io
import os
import sys
import threading
from pathlib import Path

import pytest
from processes import Forked

from amx_suite.errors import OutputError
from amx_suite.streams import mended_streams, write_data

pytestmark = pytest.mark.selftest

TEXT = "── 2 é ü \udcff"


@pytest.fixture
def put(monkeypatch, tmp_path):
    """Makes a file standard output or standard error, by its name.

    Called in the test, because pytest puts its own streams in place before each phase.
    """

    def put(name, *, path=None, encoding="utf-8"):
        opened = (path or tmp_path / name).open("w", encoding=encoding)
        monkeypatch.setattr(sys, name, opened)

    return put


FULL = Path("/dev/full")


class TestLetters:
    @pytest.mark.parametrize(
        ("encoding", "expected"),
        [
            ("ascii", b"-- 2 \\xe9 \\xfc \\udcff\n"),
            ("latin-1", b"-- 2 \xe9 \xfc \\udcff\n"),
            ("utf-8", "── 2 é ü \\udcff\n".encode()),
        ],
    )
    def test_unknown_ones_are_spelled(self, put, tmp_path, encoding, expected):
        put("stdout", encoding=encoding)
        with mended_streams():
            print(TEXT)
        assert (tmp_path / "stdout").read_bytes() == expected

    def test_data_is_always_utf8(self, put, tmp_path):
        put("stdout", encoding="ascii")
        with mended_streams():
            print("first")
            write_data("── ü\n")
        assert (tmp_path / "stdout").read_bytes() == "first\n── ü\n".encode()


class TestFullDisk:
    def test_text_is_lost_with_a_warning(self, put, tmp_path):
        put("stdout", path=FULL)
        put("stderr")
        with mended_streams():
            print("lost")
            sys.stdout.flush()
            print("lost")
        assert (tmp_path / "stderr").read_text() == (
            "amx-suite: warning: standard output cannot be written (No space left on device), so "
            "what was printed is not complete\n"
        )

    def test_lost_data_is_an_error(self, put, tmp_path):
        put("stdout", path=FULL)
        put("stderr")
        message = r"standard output cannot be written \(No space left on device\); send it to"
        with mended_streams(), pytest.raises(OutputError, match=message):
            write_data("{}")
        assert (tmp_path / "stderr").read_text() == "", "it is said once"

    def test_full_standard_error_harms_nothing(self, put):
        put("stderr", path=FULL)
        with mended_streams():
            print("lost", file=sys.stderr)


def print_with_closed_streams():
    """In a fork that looks as if it was started with all three closed; returns a descriptor."""
    sys.stdin = sys.stdout = sys.stderr = None
    for descriptor in range(3):
        os.close(descriptor)
    try:
        with mended_streams():
            print("lost")
            print("lost too", file=sys.stderr)
            with pytest.raises(OutputError, match="it is closed"):
                write_data("{}")
            return os.open(os.devnull, os.O_RDONLY)
    finally:
        sys.stdout = sys.stderr = io.StringIO()  # the fork flushes them


def test_closed_descriptors_are_opened(tmp_path):
    """So what is opened next is none of the standard ones."""
    assert Forked(print_with_closed_streams, tmp_path, {}).wait().returncode >= 3


class TestPipe:
    @pytest.fixture
    def put_pipe(self, monkeypatch):
        """Makes a pipe standard output, and returns its end to read from.

        It is non-blocking, as a terminal is that another process made so.
        """

        def put():
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
            monkeypatch.setattr(sys, "stdout", os.fdopen(writing, "w"))
            return os.fdopen(reading)

        return put

    def test_slow_reader_gets_all(self, put_pipe):
        """Of more than a pipe holds."""
        text, found = "a" * 10**6, []
        end = put_pipe()
        reader = threading.Thread(target=lambda: found.append(end.read()))
        with mended_streams():
            reader.start()
            print(text, end="")
        sys.stdout.close()
        reader.join()
        end.close()
        assert [len(each) for each in found] == [len(text)]

    def test_gone_reader_is_no_news(self, put_pipe, put, tmp_path):
        put_pipe().close()
        put("stderr")
        with mended_streams():
            print("lost")
            with pytest.raises(BrokenPipeError):
                write_data("{}")
        assert (tmp_path / "stderr").read_text() == ""


def test_stand_ins_stay_as_they_are(monkeypatch):
    stand_in = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stand_in)
    with mended_streams():
        assert sys.stdout is stand_in
        print(TEXT)
    assert stand_in.getvalue() == TEXT + "\n"
