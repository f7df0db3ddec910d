"""What a child inherits: the module path without the working folder, and quiet libraries."""

from __future__ import annotations

__all__ = ["QUIET", "module_path", "without_working_folder"]

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import amx_suite

_VARIABLE = "PYTHONPATH"

#: Keeps progress bars and warnings of libraries out of a child's log, whose end is shown when the
#: child is lost. The user's own values win. Sources: the manuals of tqdm, huggingface_hub,
#: transformers, Python and PyTorch.
QUIET = {
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


def module_path() -> tuple[str, ...]:
    """This process's module path without the working folder, and with the suite's own folder.

    Python adds the working folder by itself (``python -m``, ``python -c``), and a file ``torch.py``
    in it would replace the library. A working folder that the user put in PYTHONPATH stays.
    """
    here, chosen = Path.cwd(), _absolute(os.environ.get(_VARIABLE, ""))
    found = [entry for entry in sys.path if Path(entry).is_absolute()]
    path = [entry for entry in found if entry in chosen or Path(entry) != here]
    own = str(Path(amx_suite.__file__).resolve().parents[1])
    # First, because the child must run this copy of the suite.
    return tuple(path if own in path else [own, *path])


def without_working_folder(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, changed so that no Python below looks for modules in the working folder."""
    kept = {name: value for name, value in variables.items() if name != _VARIABLE}
    chosen = _absolute(variables.get(_VARIABLE, ""))
    if chosen:
        kept[_VARIABLE] = os.pathsep.join(chosen)
    return {**kept, "PYTHONSAFEPATH": "1"}


def _absolute(value: str) -> list[str]:
    # An empty or relative entry means the working folder, or a place in it.
    return [entry for entry in value.split(os.pathsep) if Path(entry).is_absolute()]
