from __future__ import annotations

import os
from pathlib import Path

import pytest

from amx_suite.errors import OutputError
from amx_suite.files import (
    ensure_writable,
    move_into_place,
    remove_files,
    scratch_folder,
    write_atomically,
)

pytestmark = pytest.mark.selftest


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
    assert [entry.name for entry in path.parent.iterdir()] == ["summary.md"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.md"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.md"]


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
    assert list((tmp_path / "new" / "results").iterdir()) == []
    with pytest.raises(OutputError, match="cannot write in /proc"):
        ensure_writable(Path("/proc"))


def test_moving_replaces_the_old_file(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("new")
    target.write_text("old")
    move_into_place(source, target)
    assert target.read_text() == "new"
    assert not source.exists()
    with pytest.raises(OutputError, match="cannot write in"):
        move_into_place(source, target)


def test_only_named_files_are_removed(tmp_path: Path) -> None:
    for name in ("summary.md", "mine.txt"):
        (tmp_path / name).touch()
    remove_files(tmp_path, ["summary.md", "absent.json"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "summary.md").mkdir()
    with pytest.raises(OutputError):
        remove_files(tmp_path, ["summary.md"])


def test_scratch_folders_and_old_leftovers_go(tmp_path: Path) -> None:
    for name in ("half-old", "half-new", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "half-old" / "file").touch()
    os.utime(tmp_path / "half-old", (0, 0))
    with scratch_folder(tmp_path, "half-") as folder:
        assert folder.parent == tmp_path
        (folder / "file").touch()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["half-new", "mine"]
