"""The layout before this one, schema version 4, turned into the present one.

Today's structs read both. In version 4 each trial had the version, a round held quiet and disturbed
slices together, and quiet was judged when a file was read.
"""

from __future__ import annotations

__all__ = ["PREVIOUS_VERSION", "from_previous", "version_of"]

from collections.abc import Sequence

import msgspec

from amx_suite.core.measurement import Measurement, Round, Slice
from amx_suite.core.run import SCHEMA_VERSION, RunSummary
from amx_suite.core.units import Unit

PREVIOUS_VERSION = 4

#: A slice counted if the readings around it gave every unit's reference within this factor.
_QUIET_WITHIN = 1.25

#: Where no reference was stored, a unit's was this quantile of the trial's readings.
_BEST_QUANTILE = 0.98


class _Versioned(msgspec.Struct):
    schema_version: int | None = None


class _Trial(msgspec.Struct):
    measurement: _Versioned


class _Trials(msgspec.Struct):
    trials: list[_Trial]


def version_of(section: object) -> int:
    """The schema version of the suite's section of a results file.

    Raises msgspec.ValidationError where the section is damaged.
    """
    version = msgspec.convert(section, _Versioned).schema_version
    if version is not None:
        return version
    trials = msgspec.convert(section, _Trials).trials
    return min((t.measurement.schema_version or 0 for t in trials), default=PREVIOUS_VERSION)


def from_previous(run: RunSummary) -> RunSummary:
    """A run of version 4, as today's structs read it, with the meaning of today.

    A unit's rate was per second, and is per cycle today, so readings and references are dropped.
    A round's ``launch`` counted every new start of the workers, not only that which confirms a
    FAIL, and every round counted, so all become the first launch's.
    """
    trials = tuple(
        msgspec.structs.replace(trial, measurement=_measurement(trial.measurement))
        for trial in run.trials
    )
    return msgspec.structs.replace(run, trials=trials, schema_version=SCHEMA_VERSION)


def _measurement(stored: Measurement) -> Measurement:
    reference = stored.reference.rates if stored.reference else _best_seen(stored.rounds)
    rounds = tuple(_round(round_, reference) for round_ in stored.rounds)
    return msgspec.structs.replace(stored, rounds=rounds, reference=None)


def _round(stored: Round, reference: dict[Unit, float]) -> Round:
    slices: dict[bool, list[Slice]] = {True: [], False: []}
    for piece in stored.slices:
        quiet = all(
            reading.rates.get(unit, 0.0) * _QUIET_WITHIN >= rate
            for reading in piece.readings
            for unit, rate in reference.items()
        )
        slices[quiet].append(Slice(piece.arm_id, piece.seconds, piece.iterations))
    return Round(stored.index, tuple(slices[True]), disturbed=tuple(slices[False]))


def _best_seen(rounds: Sequence[Round]) -> dict[Unit, float]:
    rates: dict[Unit, list[float]] = {}
    for reading in (r for round_ in rounds for piece in round_.slices for r in piece.readings):
        for unit, rate in reading.rates.items():
            rates.setdefault(unit, []).append(rate)
    return {
        unit: sorted(values)[min(len(values) - 1, int(_BEST_QUANTILE * len(values)))]
        for unit, values in rates.items()
    }
