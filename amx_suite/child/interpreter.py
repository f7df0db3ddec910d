"""Another Python, in which a child runs with that Python's packages and this package."""

from __future__ import annotations

__all__ = ["PACKAGES", "Interpreter"]

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

import msgspec

from amx_suite.child.environment import child_variables
from amx_suite.documents import in_one_line
from amx_suite.errors import UsageError
from amx_suite.folders import temporary_folder

#: The packages whose versions are asked for, as named in the index: those of engines and workloads,
#: and those that every arm needs.
PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "msgspec",
    "numpy",
    "intel-extension-for-pytorch",
    "torchao",
)
_NEEDED = ("torch", "msgspec", "numpy")
#: The oldest Python that can read this package (pyproject.toml, requires-python).
_OLDEST = (3, 11)
#: For an interpreter on a slow network file system; most take less than a second.
_SECONDS_TO_ANSWER = 60.0
_LONGEST_FAULT = 200

#: In words that every Python understands, so that an old one can say how old it is. A start-up file
#: of the user may have printed something before.
_QUESTION = """
import json, sys
found = {}
if sys.version_info >= (3, 8):
    from importlib import metadata
    for name in sys.argv[1:]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
print("")
print(json.dumps({"version": sys.version_info[:3], "packages": found}))
"""


class _Answer(msgspec.Struct, frozen=True):
    version: tuple[int, int, int]
    #: None for a package whose metadata names no version.
    packages: dict[str, str | None]


class Interpreter(msgspec.Struct, frozen=True):
    """A Python that can run an arm.

    ``path`` is absolute, and keeps the links of a virtual environment. ``version`` reads like
    "3.12.4". ``packages`` are those of ``PACKAGES`` that are installed there, with their versions.
    """

    path: str
    version: str
    packages: dict[str, str]

    @classmethod
    def inspect(cls, path: str) -> Self:
        """Start the interpreter once and ask what it has; imports no package there.

        ``path`` is an interpreter or the folder of a virtual environment. Raises UsageError where
        it is missing, does not answer as a Python of a usable version, or lacks a package that
        every arm needs.
        """
        found = Path(path).absolute()
        if found.is_dir():
            found = found / "bin" / "python"
        answer = _ask(found)
        version = ".".join(map(str, answer.version))
        if answer.version < _OLDEST:
            oldest = ".".join(map(str, _OLDEST))
            raise UsageError(
                f"'{found}' is Python {version}, and arms need {oldest} or later: name a newer one"
            )
        packages = {name: text for name, text in answer.packages.items() if text}
        if missing := [name for name in _NEEDED if name not in packages]:
            raise UsageError(
                f"'{found}' has no {', '.join(missing)}, which every arm needs: "
                f"{found} -m pip install {' '.join(missing)}"
            )
        return cls(str(found), version, packages)


def _ask(path: Path) -> _Answer:
    """What the interpreter says of itself; raises UsageError."""
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a folder is closed
        raise _refused(path, "does not exist")
    if shutil.which(path) is None:
        raise _refused(path, "is no program that this user may execute")
    command = [str(path), "-c", _QUESTION, *PACKAGES]
    try:
        process = subprocess.Popen(
            command,
            # An old Python looks for modules in the working folder.
            cwd="/",
            env=child_variables(os.environ, temporary_folder(), other_python=True),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise _refused(path, f"cannot be started ({error.strerror})") from error
    with process:
        try:
            output, said = process.communicate(timeout=_SECONDS_TO_ANSWER)
        except BaseException as error:  # Ctrl-C too
            # What a wrapper script started holds the pipes open.
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise _refused(path, f"did not answer within {_SECONDS_TO_ANSWER:g} s") from None
    *_, last = output.splitlines() or [b""]
    try:
        return msgspec.json.decode(last, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        *_, fault = said.decode(errors="replace").strip().splitlines() or [""]
        how = f"exit code {process.returncode}" + (fault and f": {in_one_line(fault)}")
        raise _refused(path, f"does not answer as a Python does ({how[:_LONGEST_FAULT]})") from None


def _refused(path: Path, fault: str) -> UsageError:
    return UsageError(
        f"'{path}' {fault}: name a Python interpreter, or the folder of a virtual environment"
    )
