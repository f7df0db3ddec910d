"""The environment of a child: its module path, and variables with which every library starts.

A user's shell may hold variables that end a child or change what it does, and may lack what
libraries ask for: in a container with a user id of its own there is neither a name nor a home.
"""

from __future__ import annotations

__all__ = ["PYTHON_SWITCHES", "child_variables", "link_package", "module_path"]

import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path

import amx_suite
from amx_suite.folders import home_folder

_PATH = "PYTHONPATH"
#: Variables that say where this Python finds its modules. Another one has other modules.
_PLACES = frozenset({_PATH, "PYTHONHOME", "PYTHONPLATLIBDIR"})

#: Variables that have Python check, trace, slow, stop or compile differently what a child runs.
#: Source: Python's manual, "Environment variables".
PYTHON_SWITCHES = frozenset(
    {
        "PYTHONASYNCIODEBUG",
        "PYTHONDEBUG",
        "PYTHONDEVMODE",
        "PYTHONDUMPREFS",
        "PYTHONINSPECT",
        "PYTHONINTMAXSTRDIGITS",
        "PYTHONMALLOC",
        "PYTHONMALLOCSTATS",
        "PYTHONNODEBUGRANGES",
        "PYTHONOPTIMIZE",
        "PYTHONPERFSUPPORT",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONTRACEMALLOC",
        "PYTHONVERBOSE",
        "PYTHONWARNDEFAULTENCODING",
        "PYTHONWARNINGS",
        "PYTHON_GIL",
        "PYTHON_JIT",
    }
)

#: Keeps progress bars and warnings of libraries out of a child's log, whose end is shown when the
#: child is lost. The user's own values win, except Python's. Sources: the manuals of tqdm,
#: huggingface_hub, transformers, Python and PyTorch.
_QUIET = {
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}

#: The user's folders by the XDG Base Directory Specification.
_FOLDERS = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")

#: Where Python looks for the user's name before it asks for the account (``getpass.getuser``).
_USER_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


def module_path() -> tuple[str, ...]:
    """This process's module path without the working folder, and with the suite's own folder.

    Python adds the working folder by itself (``python -m``, ``python -c``), and a file ``torch.py``
    in it would replace the library. A working folder that the user put in PYTHONPATH stays.
    """
    here, chosen = Path.cwd(), _absolute(os.environ.get(_PATH, ""))
    found = [entry for entry in sys.path if Path(entry).is_absolute()]
    path = [entry for entry in found if entry in chosen or Path(entry) != here]
    own = str(Path(amx_suite.__file__).resolve().parents[1])
    # First, because the child must run this copy of the suite.
    return tuple(path if own in path else [own, *path])


def link_package(folder: Path) -> None:
    """Make a folder that holds this package and nothing else, for another Python's module path.

    The package may lie beside this Python's torch, which must not come along.
    """
    package = Path(amx_suite.__file__).resolve().parent
    folder.mkdir()
    (folder / package.name).symlink_to(package)


def child_variables(
    given: Mapping[str, str], folder: Path, *, other_python: bool = False
) -> dict[str, str]:
    """The variables of a child whose temporary files go to ``folder``, made of the ``given`` ones.

    No Python below looks for modules in the working folder, none is told to run otherwise than by
    default, and every library finds a home and a user's name. ``other_python``: the child does not
    run in this Python, and is not told of this one's modules.
    """
    kept = {
        name: value
        for name, value in given.items()
        if name not in PYTHON_SWITCHES
        # Relative folders are to be ignored, and libraries take them (``folders.user_folder``).
        and not (name in _FOLDERS and not Path(value).is_absolute())
        and not (other_python and name in _PLACES)
    }
    chosen = _absolute(kept.pop(_PATH, ""))
    if chosen:
        kept[_PATH] = os.pathsep.join(chosen)
    if sys.flags.ignore_environment:
        # This Python was told to ignore it (python -E); it would send the child elsewhere.
        kept.pop("PYTHONHOME", None)
    if not any(kept.get(name) for name in _USER_NAMES):
        kept["USER"] = _user_name()
    own = {
        # A relative one would mean another folder in each process.
        "HOME": str(home_folder(kept) or folder),
        "PYTHONSAFEPATH": "1",
        "TMPDIR": str(folder),
    }
    return {**_QUIET, **kept, **own}


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def _absolute(value: str) -> list[str]:
    # An empty or relative entry means the working folder, or a place in it.
    return [entry for entry in value.split(os.pathsep) if Path(entry).is_absolute()]
