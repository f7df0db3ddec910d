from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from amx_suite.folders import holds_programs, home_folder, user_folder

pytestmark = pytest.mark.selftest


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_CACHE_HOME": "/cache", "HOME": "/home/joe"}, "/cache/amx-suite"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/joe"}, "/home/joe/.cache/amx-suite"),
        ({"XDG_CACHE_HOME": "", "HOME": "/"}, "/.cache/amx-suite"),
    ],
)
def test_the_users_folder_is_absolute(environ: dict[str, str], folder: str) -> None:
    assert user_folder("XDG_CACHE_HOME", ".cache", environ) == Path(folder)


def test_a_user_may_have_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    assert home_folder({"HOME": "relative"}) == Path(pwd.getpwuid(os.getuid()).pw_dir)
    monkeypatch.setattr(os, "getuid", lambda: 4_123_456_789)
    assert home_folder({}) is None
    assert home_folder({"HOME": "/home/joe"}) == Path("/home/joe")
    assert user_folder("XDG_CACHE_HOME", ".cache", {}) is None
    assert user_folder("XDG_CACHE_HOME", ".cache", {"XDG_CACHE_HOME": "/c"}) == Path("/c/amx-suite")


def test_programs_need_a_writable_executable_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = SimpleNamespace(f_flag=0)
    monkeypatch.setattr(os, "statvfs", lambda path: mount)
    assert holds_programs(tmp_path / "new" / "deep")
    assert not holds_programs(Path("/proc/self"))
    (tmp_path / "file").touch()
    assert not holds_programs(tmp_path / "file" / "below")
    mount.f_flag = os.ST_NOEXEC
    assert not holds_programs(tmp_path)
