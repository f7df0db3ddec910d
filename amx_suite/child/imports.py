"""Where a child looks for modules: as its parent does, but never in the working folder."""

from __future__ import annotations

__all__ = ["module_path", "without_working_folder"]

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import amx_suite

_VARIABLE = "PYTHONPATH"


def module_path() -> tuple[str, ...]:
    """This process's module path without the working folder, and with the suite's own folder.

    Python puts the working folder there by itself (``python -m``, ``python -c``), and with it
    whatever lies in it and is called ``torch`` or ``random``. It stays if the user put it there.
    """
    here, chosen = Path.cwd(), _absolute(os.environ.get(_VARIABLE, ""))
    found = [entry for entry in sys.path if Path(entry).is_absolute()]
    path = [entry for entry in found if entry in chosen or Path(entry) != here]
    own = str(Path(amx_suite.__file__).resolve().parents[1])
    # In front: the child must run this very suite, whatever else is installed.
    return tuple(path if own in path else [own, *path])


def without_working_folder(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment with which neither a Python nor its children look in the working folder."""
    kept = {name: value for name, value in variables.items() if name != _VARIABLE}
    chosen = _absolute(variables.get(_VARIABLE, ""))
    if chosen:
        kept[_VARIABLE] = os.pathsep.join(chosen)
    return {**kept, "PYTHONSAFEPATH": "1"}


def _absolute(value: str) -> list[str]:
    # An empty or relative entry means the working folder, or a place in it.
    return [entry for entry in value.split(os.pathsep) if Path(entry).is_absolute()]
