"""From an option's text to its value; every error says where, what was given and expected."""

from __future__ import annotations

__all__ = [
    "LEVEL_BUDGET_SECONDS",
    "Parser",
    "one_of",
    "to_path",
    "to_seconds",
    "to_switch",
    "to_weights",
    "whole_number",
]

import math
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from amx_suite.errors import UnknownNameError, UsageError
from amx_suite.workloads import WORKLOADS

#: Takes the text and where it was given (option or variable); raises UsageError.
Parser = Callable[[str, str], Any]

#: Seconds that one launch of a trial may measure, by the level to which it belongs. Level 1 has no
#: trials. What a whole level then takes is computed in ``trial.design_time``.
LEVEL_BUDGET_SECONDS: dict[int, float] = {1: 40.0, 2: 40.0, 3: 150.0, 4: 1800.0}

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def _bad(where: str, text: str, expected: str) -> UsageError:
    return UsageError(f"{where}: got '{text}', expected {expected}")


def to_switch(text: str, where: str) -> bool:
    """Read a flag given as text, as in the environment."""
    if text.lower() not in _TRUE + _FALSE:
        raise _bad(where, text, f"one of {', '.join(_TRUE + _FALSE)}")
    return text.lower() in _TRUE


def whole_number(low: int, high: int) -> Parser:
    """A parser of whole numbers from ``low`` to ``high``."""

    def parse(text: str, where: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise _bad(where, text, f"a whole number from {low} to {high}")
        return int(text)

    return parse


def one_of(kind: str, known: Collection[str]) -> Parser:
    """A parser of names that raises UnknownNameError for any other."""

    def parse(text: str, where: str) -> str:
        if text not in known:
            raise UnknownNameError(f"{kind} in {where}", text, known)
        return text

    return parse


def to_seconds(text: str, where: str) -> float:
    """Read a positive, finite number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise _bad(where, text, "a number of seconds above 0")
    return seconds


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
    if model not in WORKLOADS:
        raise UnknownNameError(f"model in {where}", model, WORKLOADS)
    # What is no file here may be the name of published weights.
    path = to_path(place, where)
    return model, str(path) if os.access(path, os.F_OK) else place
