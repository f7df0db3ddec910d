"""The layout before this one, schema version 5, turned into the present one.

In version 5 a run case had ``threads`` where it has ``cores`` today, one thread on each, and its id
said ``-t2`` for ``-c2``.
"""

from __future__ import annotations

__all__ = ["PREVIOUS_VERSION", "from_previous"]

import re
from typing import Any

from amx_suite.core.run import SCHEMA_VERSION

PREVIOUS_VERSION = 5


def from_previous(section: dict[str, Any]) -> dict[str, Any]:
    """The suite's section of a results file of version 5, in today's layout."""
    found: dict[str, Any] = _renamed(section)
    return {**found, "schema_version": SCHEMA_VERSION}


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        named = {("cores" if key == "threads" else key): each for key, each in value.items()}
        return {_id(key): _renamed(each) for key, each in named.items()}
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    return _id(value) if isinstance(value, str) else value


def _id(text: str) -> str:
    """The text with the ids of run cases in it as they are today."""
    return re.sub(r"-t(\d+)-s(?=\d)", r"-c\1-s", text)
