"""How an option's text becomes a value, and the one form of message when it cannot."""

from __future__ import annotations

__all__ = [
    "LEVEL_BUDGET_SECONDS",
    "Parser",
    "allowed_cpus",
    "to_condition",
    "to_count",
    "to_engine",
    "to_level",
    "to_path",
    "to_seconds",
    "to_seed",
    "to_switch",
    "to_threads",
    "to_weights",
]

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amx_suite.core.conditions import CONDITIONS
from amx_suite.engines import ENGINES
from amx_suite.errors import UnknownNameError, UsageError
from amx_suite.extensions import check_offered
from amx_suite.workloads import WORKLOADS

#: Takes the text and where it was given (option or variable); raises UsageError.
Parser = Callable[[str, str], Any]

#: Seconds that one trial may measure, by the level to which it belongs; level 1 has no trials and
#: shares level 2's figure. Sized so that a level stays within its time on two cores (4 minutes, 15
#: and many).
LEVEL_BUDGET_SECONDS: dict[int, float] = {1: 40.0, 2: 40.0, 3: 150.0, 4: 1800.0}

#: torch and numpy both take seeds of 32 bits.
_LARGEST_SEED = 2**32 - 1

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def _bad(where: str, text: str, expected: str) -> UsageError:
    return UsageError(f"{where}: got '{text}', expected {expected}")


def to_switch(text: str, where: str) -> bool:
    """Read a flag given as text, as in the environment."""
    if text.lower() not in _TRUE + _FALSE:
        raise _bad(where, text, f"one of {', '.join(_TRUE + _FALSE)}")
    return text.lower() in _TRUE


def _whole(text: str, where: str, low: int, high: int, note: str = "") -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise _bad(where, text, f"a whole number from {low} to {high}{note}")
    return int(text)


def to_level(text: str, where: str) -> int:
    """Read a level, 1 to 4."""
    return _whole(text, where, min(LEVEL_BUDGET_SECONDS), max(LEVEL_BUDGET_SECONDS))


def to_seed(text: str, where: str) -> int:
    """Read a seed of 32 bits."""
    return _whole(text, where, 0, _LARGEST_SEED)


def to_count(text: str, where: str) -> int:
    """Read how many of something, at least one."""
    return _whole(text, where, 1, 10**6)


def allowed_cpus() -> int:
    """How many CPUs this process may use: its affinity, hyperthreads counted singly."""
    return len(os.sched_getaffinity(0))


def to_threads(text: str, where: str) -> int:
    """Read a thread count, at most one for each CPU this process may use."""
    # More threads than CPUs would time the scheduler, not the machine.
    return _whole(text, where, 1, allowed_cpus(), " (the CPUs this process may use)")


def to_seconds(text: str, where: str) -> float:
    """Read a positive, finite number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise _bad(where, text, "a number of seconds above 0")
    return seconds


def to_engine(text: str, where: str) -> str:
    """Read the name of an engine; UsageError if it has no row, with the reason if it is known."""
    check_offered("engine", text)
    if text not in ENGINES:
        raise UnknownNameError(f"engine in {where}", text, ENGINES)
    return text


def to_condition(text: str, where: str) -> str:
    """Read a kind of difference between two runs; UnknownNameError if there is no such kind."""
    if text not in CONDITIONS:
        raise UnknownNameError(f"difference in {where}", text, CONDITIONS)
    return text


def to_path(text: str, where: str) -> Path:
    """Read a path, made absolute; it need not exist."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise _bad(where, text, "a path whose '~user' exists") from None


def to_weights(text: str, where: str) -> tuple[str, str]:
    """Read ``MODEL=PATH`` as (model, absolute path or name)."""
    model, equals, place = text.partition("=")
    if not (equals and model and place):
        raise _bad(where, text, "MODEL=PATH, such as resnet50=/models/resnet50.pth")
    check_offered("workload", model)
    if model not in WORKLOADS:
        raise UnknownNameError(f"model in {where}", model, WORKLOADS)
    # What does not exist here may be the name of published weights, so it is left as it is.
    path = Path(place).expanduser()
    return model, str(path.absolute()) if path.exists() else place
