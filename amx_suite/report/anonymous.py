"""A run without what names its machine or its user."""

from __future__ import annotations

__all__ = ["anonymous"]

import re
from typing import Any

import msgspec

from amx_suite.core.health import Identity
from amx_suite.core.run import RunSummary

_LEFT_OUT = "left out"


def anonymous(summary: RunSummary) -> RunSummary:
    """The same run without its identity, machine id, weights' paths and variables' values.

    What tells its class stays: the CPU, its microcode, the kernel, the software.
    """
    secrets = [
        facts.case.weights
        for trial in summary.trials
        for facts in trial.measurement.arms
        # Not a name such as minilm, which is part of no path.
        if "/" in facts.case.weights
    ]
    # The longest first, so that none is cut by a shorter one in it.
    names = "|".join(map(re.escape, sorted(set(secrets), key=lambda name: (-len(name), name))))
    pattern = rf", machine [0-9a-f]{{12}}\b{f'|{names}' if names else ''}"
    summary = msgspec.structs.replace(summary, identity=Identity())
    return msgspec.convert(_without(msgspec.to_builtins(summary), pattern), RunSummary)


def _without(value: Any, pattern: str) -> Any:
    if isinstance(value, dict):
        found = {_text(key, pattern): _without(each, pattern) for key, each in value.items()}
        variables = found.get("removed_variables")
        if isinstance(variables, dict):
            found["removed_variables"] = dict.fromkeys(variables, _LEFT_OUT)
        return found
    if isinstance(value, list | tuple):
        return [_without(each, pattern) for each in value]
    return _text(value, pattern) if isinstance(value, str) else value


def _text(text: str, pattern: str) -> str:
    return re.sub(pattern, lambda found: "" if found[0].startswith(", ") else _LEFT_OUT, text)
