from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from amx_suite.errors import OutputError
from amx_suite.files import (
    check_file,
    check_outputs,
    descriptor_of,
    ensure_writable,
    locked_folder,
    memory_file,
    new_file,
    new_temporary_folder,
    replace_files,
    scratch_folder,
    write_atomically,
    write_output,
)

pytestmark = pytest.mark.selftest

FULL = OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no file can be written to its end."""

    def full(descriptor: int) -> None:
        raise FULL

    monkeypatch.setattr(os, "fsync", full)


def test_written_file_is_whole_and_for_others_too(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "summary.md"
    before = os.umask(0o022)
    try:
        write_atomically(path, "one\n")
        write_atomically(path, "two\n")
    finally:
        os.umask(before)
    assert path.read_text() == "two\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(path.parent) == ["summary.md"]


def test_text_that_is_no_unicode_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "host \udcff and \N{MICRO SIGN}")
    assert (tmp_path / "a").read_text("utf-8") == "host \\udcff and \N{MICRO SIGN}"


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, full_disk: None) -> None:
    path = tmp_path / "summary.md"
    path.write_text("old")
    told = r"cannot write in .*: No space left on device, on the file system /.*; free space there"
    with pytest.raises(OutputError, match=told):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["summary.md"]
    with pytest.raises(OutputError, match=told):
        ensure_writable(tmp_path)
    assert names(tmp_path) == ["summary.md"]


def test_a_block_that_raises_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "arm.pt"
    path.write_text("old")
    with contextlib.suppress(KeyError), new_file(path) as stream:
        stream.write(b"half")
        raise KeyError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["arm.pt"]


@pytest.mark.parametrize("action", [ensure_writable, lambda f: write_atomically(f / "a", "b")])
def test_a_file_instead_of_the_folder(tmp_path: Path, action: object) -> None:
    place = tmp_path / "results"
    place.write_text("in the way")
    with pytest.raises(OutputError) as caught:
        action(place)  # type: ignore[operator]
    assert str(place) in str(caught.value)
    assert "choose a folder that can be written" in str(caught.value)
    assert place.read_text() == "in the way"


def test_writable_folder_stays_empty_and_others_are_named(tmp_path: Path) -> None:
    ensure_writable(tmp_path / "new" / "results")
    assert names(tmp_path / "new" / "results") == []
    with pytest.raises(OutputError, match="cannot write in /proc"):
        ensure_writable(Path("/proc"))


@pytest.fixture(params=["a folder", "a symbolic link", "a device", "a pipe", "a socket"])
def obstacle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """What is no regular file, by what it is called and where it is."""
    path = tmp_path / "obstacle"
    match request.param:
        case "a folder":
            path.mkdir()
        case "a symbolic link":
            path.symlink_to(tmp_path / "elsewhere")
        case "a device":
            # Broken code could replace /dev/null; nobody can make files beside a terminal.
            ours, theirs = os.openpty()
            yield request.param, Path(os.ttyname(theirs))
            os.close(ours)
            os.close(theirs)
            return
        case "a pipe":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                yield request.param, path
            return
    yield request.param, path


def test_only_regular_files_are_replaced(obstacle: tuple[str, Path]) -> None:
    kind, path = obstacle
    before = path.lstat()[:3]
    for action in (check_file, lambda path: write_atomically(path, "x")):
        with pytest.raises(OutputError, match=f"{path}' is {kind}, which is not replaced; name"):
            action(path)
    assert path.lstat()[:3] == before
    assert not (path.parent / "elsewhere").exists()
    if kind != "a pipe":
        with pytest.raises(OutputError, match="is not replaced"):
            write_output(path, "x")
        with pytest.raises(OutputError, match="is not replaced"):
            check_outputs({"--json": path})


def test_a_name_nobody_can_foretell(tmp_path: Path) -> None:
    with new_file(tmp_path / "a"):
        (first,) = names(tmp_path)
    with new_file(tmp_path / "a"):
        second, _ = names(tmp_path)
    assert first != second


@pytest.mark.parametrize(
    ("name", "number"),
    [("-", 1), ("/dev/stdout", 1), ("/dev/stderr", 2), ("/dev/fd/63", 63), ("/proc/self/fd/7", 7)],
)
def test_streams_have_names(name: str, number: int) -> None:
    assert descriptor_of(Path(name)) == number
    assert descriptor_of(Path(f"x{name}")) is None


def test_a_stream_keeps_what_it_holds(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    with log.open("w") as stream:
        stream.write("before\n")
        stream.flush()
        write_output(Path(f"/dev/fd/{stream.fileno()}"), "text\n")
        stream.write("after\n")
    assert log.read_text() == "before\ntext\nafter\n"
    write_output(Path("-"), "printed")
    write_output(Path("/dev/fd/2"), "told")
    assert capfd.readouterr() == ("printed", "told")


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_outputs({"--json": pipe})
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_output(pipe, "text")
    reader.join()
    assert read == ["text"]


def test_a_stream_that_is_closed_is_named() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        write_output(Path(f"/dev/fd/{writing}"), "x")
    os.close(writing)
    with pytest.raises(OutputError, match=f"cannot write to /dev/fd/{writing}: Bad file"):
        write_output(Path(f"/dev/fd/{writing}"), "x")


def test_an_input_is_no_output(tmp_path: Path) -> None:
    read, link, other = tmp_path / "in", tmp_path / "hard", tmp_path / "out"
    read.write_text("precious")
    link.hardlink_to(read)
    for path in (read, link, tmp_path / "x" / ".." / "in"):
        with pytest.raises(OutputError, match=f"--json: '{path}' is also read; name another"):
            check_outputs({"--json": path}, [other, read])
    check_outputs({"--json": None, "--markdown": other}, [read])
    for path in (other, Path("-")):
        with pytest.raises(OutputError, match=r"--markdown: .* is also written by --json"):
            check_outputs({"--json": path, "--markdown": path})
    assert read.read_text() == "precious"


NEW = {"results.json": "new", "junit.xml": "", "summary.md": "new"}


def test_files_of_a_run_replace_each_other(tmp_path: Path) -> None:
    for name in (*NEW, "mine.txt"):
        (tmp_path / name).write_text("old")
    replace_files(tmp_path, NEW)
    assert names(tmp_path) == ["mine.txt", "results.json", "summary.md"]
    assert (tmp_path / "results.json").read_text() == (tmp_path / "summary.md").read_text() == "new"
    replace_files(tmp_path / "gone", NEW)
    assert names(tmp_path / "gone") == ["results.json", "summary.md"]


def test_old_results_outlive_a_full_disk(tmp_path: Path, full_disk: None) -> None:
    for name in NEW:
        (tmp_path / name).write_text("old")
    with pytest.raises(OutputError, match="No space left on device"):
        replace_files(tmp_path, NEW)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(NEW, "old")


def test_an_obstacle_leaves_all_old_files(tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text("old")
    (tmp_path / "junit.xml").mkdir()
    with pytest.raises(OutputError, match="is a folder, which is not replaced"):
        replace_files(tmp_path, NEW)
    assert names(tmp_path) == ["junit.xml", "summary.md"]


def test_no_summary_beside_half_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last file shows that the others are complete."""
    (tmp_path / "summary.md").write_text("old")

    def interrupted(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_files(tmp_path, NEW)
    assert names(tmp_path) == []


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    said: list[str] = []
    with locked_folder(tmp_path, None):
        with (
            pytest.raises(OutputError, match=r"another run writes .*; choose another folder"),
            locked_folder(tmp_path, None),
        ):
            pass
        assert names(tmp_path) == []

    def wait() -> None:
        with locked_folder(tmp_path, said.append):
            said.append("mine")

    with locked_folder(tmp_path, None):
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not said:
            pass
        said.append("released")
    waiting.join()
    assert said[1:] == ["released", "mine"]
    assert "another run writes its results into" in said[0]


def test_a_folder_that_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, which locks files that are open for writing only."""

    def refused(descriptor: int, how: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("fcntl.flock", refused)
    with locked_folder(tmp_path, None), locked_folder(tmp_path, None):
        pass


def test_memory_holds_what_others_write() -> None:
    with memory_file() as file:
        Path(f"/proc/self/fd/{file.fileno()}").write_text("text")
        file.seek(0)
        assert file.read() == b"text"


def test_missing_temporary_folder_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    with pytest.raises(OutputError, match=r"cannot write in .*/gone: .*; set TMPDIR to a folder"):
        new_temporary_folder("x-")


def test_scratch_folders_and_old_leftovers_go(tmp_path: Path) -> None:
    for name in ("half-old", "half-new", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "half-old" / "file").touch()
    os.utime(tmp_path / "half-old", (0, 0))
    with scratch_folder(tmp_path, "half-") as folder:
        assert folder.parent == tmp_path
        (folder / "file").touch()
    assert names(tmp_path) == ["half-new", "mine"]
