"""The layout before this one, schema version 4, turned into the present one.

There each trial had the version, a round kept quiet and disturbed slices together, and quiet was
judged when a file was read. A unit's rate was per second, and is per cycle today, so readings and
references do not come along.
"""

from __future__ import annotations

__all__ = ["PREVIOUS_VERSION", "from_previous"]

from collections.abc import Sequence
from typing import Any

import msgspec

from amx_suite.core.run import SCHEMA_VERSION

PREVIOUS_VERSION = 4

#: A slice counted if the readings around it gave every unit's reference within this factor.
_QUIET_WITHIN = 1.25

#: Where no reference was stored, a unit's was this quantile of the trial's readings.
_BEST_QUANTILE = 0.98


class _Rates(msgspec.Struct):
    rates: dict[str, float]


class _Slice(msgspec.Struct):
    arm_id: str
    seconds: float
    iterations: int
    before: _Rates | None = None
    after: _Rates | None = None

    @property
    def readings(self) -> list[_Rates]:
        return [reading for reading in (self.before, self.after) if reading is not None]


class _Round(msgspec.Struct):
    index: int
    slices: list[_Slice]


class _Measurement(msgspec.Struct):
    rounds: list[_Round]
    reference: _Rates | None = None


class _Trial(msgspec.Struct):
    measurement: _Measurement


class _Section(msgspec.Struct):
    trials: list[_Trial]


def from_previous(section: dict[str, Any]) -> dict[str, Any]:
    """The suite's section of a results file of version 4 in the present layout.

    A round's ``launch`` said how often workers had been started anew, which was not only to confirm
    a FAIL; every round counted, so all become the first launch's. Raises msgspec.ValidationError
    where the section is damaged.
    """
    found = msgspec.convert(section, _Section)
    trials = [
        {**trial, "measurement": _measurement(trial["measurement"], known.measurement)}
        for trial, known in zip(section["trials"], found.trials, strict=True)
    ]
    return {**section, "trials": trials, "schema_version": SCHEMA_VERSION}


def _measurement(stored: dict[str, Any], known: _Measurement) -> dict[str, Any]:
    reference = known.reference.rates if known.reference else _best_seen(known.rounds)
    rounds = [_round(round_, reference) for round_ in known.rounds]
    return {**stored, "rounds": rounds, "reference": None}


def _round(known: _Round, reference: dict[str, float]) -> dict[str, Any]:
    slices: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for piece in known.slices:
        quiet = all(_is_quiet(reading, reference) for reading in piece.readings)
        slices[quiet].append(
            {"arm_id": piece.arm_id, "seconds": piece.seconds, "iterations": piece.iterations}
        )
    return {"index": known.index, "slices": slices[True], "disturbed": slices[False]}


def _is_quiet(reading: _Rates, reference: dict[str, float]) -> bool:
    return all(
        reading.rates.get(unit, 0.0) * _QUIET_WITHIN >= rate for unit, rate in reference.items()
    )


def _best_seen(rounds: Sequence[_Round]) -> dict[str, float]:
    rates: dict[str, list[float]] = {}
    for round_ in rounds:
        for piece in round_.slices:
            for reading in piece.readings:
                for unit, rate in reading.rates.items():
                    rates.setdefault(unit, []).append(rate)
    return {unit: _quantile(sorted(values)) for unit, values in rates.items()}


def _quantile(ordered: Sequence[float]) -> float:
    return ordered[min(len(ordered) - 1, int(_BEST_QUANTILE * len(ordered)))]
