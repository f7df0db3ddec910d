"""Where a user's folders are, also for a user without an account, a home or a variable."""

from __future__ import annotations

__all__ = ["holds_programs", "home_folder", "temporary_folder", "user_folder"]

import os
import pwd
import tempfile
from collections.abc import Mapping
from pathlib import Path

from amx_suite.errors import OutputError


def home_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """HOME if that is an absolute path, else the account's folder, None for a user without one."""
    named = Path(environ.get("HOME", ""))
    if named.is_absolute():
        return named
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def user_folder(
    variable: str, default: str, environ: Mapping[str, str] = os.environ
) -> Path | None:
    """The suite's folder in the one that ``variable`` names, else in ``default`` of the home.

    None for a user without a home. Source: the XDG Base Directory Specification, which says to
    ignore a relative path.
    """
    named, home = Path(environ.get(variable, "")), home_folder(environ)
    if named.is_absolute():
        return named / "amx-suite"
    return None if home is None else home / default / "amx-suite"


def temporary_folder() -> Path:
    """The folder of temporary files; raises OutputError where there is none."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise OutputError(
            "no folder for temporary files can be written (tried TMPDIR, /tmp, /var/tmp and the "
            "working folder): name one in TMPDIR, or free space in it"
        ) from error


def holds_programs(folder: Path) -> bool:
    """Whether this user can write files in the folder, which need not exist, and execute them."""
    # Not Path.exists, which raises where a folder above may not be searched.
    while not os.path.exists(folder):  # noqa: PTH110
        folder = folder.parent
    mount = os.statvfs(folder)
    return os.access(folder, os.W_OK | os.X_OK) and not mount.f_flag & os.ST_NOEXEC
