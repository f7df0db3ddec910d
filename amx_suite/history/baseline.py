"""Gates from machines that were accepted.

A minimum is 0.75 times the median speedup of the machines (DCGM's rule for a known-good value), and
at most 0.95 times the lowest, so that each of them would pass it. From 20 machines on the spread
also tells which speedup one such machine in 1,000 would miss: the 0.001 quantile of the log-normal
distribution with the mean and standard deviation of the logarithms.
"""

from __future__ import annotations

__all__ = ["FEWEST_MACHINES", "Baseline", "BaselineGate", "derive_gates"]

import math
import statistics
from collections.abc import Iterator, Sequence

import msgspec

from amx_suite.core.conditions import Difference, differences
from amx_suite.core.run import Qualification
from amx_suite.errors import ResultsFileError, UsageError
from amx_suite.history.store import RatioRow, StoredRun, same_run
from amx_suite.host.fingerprint import machine_id

FEWEST_MACHINES = 3
#: The tail of a distribution needs more machines than its middle.
_FEWEST_FOR_TAIL = 20
_OF_MEDIAN, _OF_LOWEST, _RARE = 0.75, 0.95, 0.001
#: What makes a class of machines: what libraries choose kernels by, not the model's name.
_CLASS = ("amx_features", "isa_flags")
#: With random weights the seed does not change the speed.
_CONDITIONS = ("engine", "shape", "cores", "weights")


class BaselineGate(msgspec.Struct, frozen=True):
    """One gate: a row of one of the runs, the speedup of each machine, and the minimum.

    ``rare`` is the speedup that one machine in 1,000 would miss, None with too few machines.
    """

    row: RatioRow
    speedups: tuple[float, ...]

    @property
    def minimum(self) -> float:
        """Rounded down to two decimals."""
        least = min(_OF_MEDIAN * statistics.median(self.speedups), _OF_LOWEST * min(self.speedups))
        return math.floor(100 * least) / 100

    @property
    def rare(self) -> float | None:
        """See the class."""
        if len(self.speedups) < _FEWEST_FOR_TAIL:
            return None
        logs = statistics.NormalDist.from_samples(map(math.log, self.speedups))
        return math.exp(logs.inv_cdf(_RARE)) if logs.stdev else min(self.speedups)

    def toml(self) -> str:
        """A ``[[gate]]`` of a table."""
        case, gate = self.row.case, self.row.result.gate
        median, lowest = statistics.median(self.speedups), min(self.speedups)
        rare = f"; 1 in 1,000 such machines would miss {self.rare:.2f}x" if self.rare else ""
        source = (
            f"{len(self.speedups)} accepted machines: median {median:.2f}x, lowest {lowest:.2f}x, "
            f"highest {max(self.speedups):.2f}x{rare}. The lesser of {_OF_MEDIAN} x the median and "
            f"{_OF_LOWEST} x the lowest, rounded down."
        )
        lines = {
            "model": case.workload.model,
            "mode": case.workload.mode,
            "precision": case.precision,
            "versus": gate.versus,
            "shape": case.shape,
            "engine": case.engine,
        }
        features = self.row.environment.host.get("amx_features", "").split()
        cpu = ", ".join(f'"{feature}"' for feature in features)
        return "\n".join(
            [
                "[[gate]]",
                *(f'{key} = "{value}"' for key, value in lines.items()),
                f"cores = {case.cores}",
                *([f"cpu = [{cpu}]"] if features else []),
                f"minimum = {self.minimum:.2f}",
                f"amx_share = {gate.amx_share:g}",
                f'source = "{source}"',
            ]
        )


class Baseline(msgspec.Struct, frozen=True):
    """The gates, the machines that they are from, and the gates that too few machines decided."""

    gates: tuple[BaselineGate, ...]
    machines: tuple[str, ...]
    left_out: tuple[str, ...]

    def toml(self) -> str:
        """The whole table, with the machines in its head."""
        head = [
            f"Minimum speedups from {len(self.machines)} accepted machines:",
            *(f"- {machine}" for machine in self.machines),
            *(
                f"Left out, decided by fewer than {FEWEST_MACHINES}: {gate}"
                for gate in self.left_out
            ),
        ]
        comment = "".join(f"# {line}\n" for line in head)
        return "\n".join([comment, *(f"{gate.toml()}\n" for gate in self.gates)])


def derive_gates(runs: Sequence[StoredRun]) -> Baseline:
    """Gates from runs of accepted machines of one class.

    Raises UsageError for too few runs, and ResultsFileError, which names the files, for two of the
    same run, for a machine that was not accepted, and for machines of different classes, software,
    shapes, engines or cores.
    """
    if len(runs) < FEWEST_MACHINES:
        raise UsageError(
            f"a baseline needs the results of {FEWEST_MACHINES} accepted machines or more, got "
            f"{len(runs)}"
        )
    if (same := same_run(runs)) is not None:
        one, other = same
        raise ResultsFileError(f"{one.path} and {other.path} hold the same run; name each once")
    for run in runs:
        if run.summary.qualification is not Qualification.QUALIFIED:
            raise ResultsFileError(
                f"{run.path} is of a machine that is {run.summary.qualification}: name results of "
                "accepted machines only"
            )
    rows: dict[str, list[RatioRow]] = {}
    first: dict[str, tuple[StoredRun, RatioRow]] = {}
    for run in runs:
        for row in run.rows:
            base, known = first.setdefault(row.name, (run, row))
            if found := "; ".join(difference.words for difference in _differences(known, row)):
                raise ResultsFileError(
                    f"{base.path} and {run.path} are not of one class: {found}; make a baseline of "
                    "each class by itself"
                )
            rows.setdefault(row.name, []).append(row)
    enough = {name: each for name, each in rows.items() if len(each) >= FEWEST_MACHINES}
    return Baseline(
        gates=tuple(
            BaselineGate(each[0], tuple(row.speedup.ratio for row in each))
            for each in enough.values()
        ),
        machines=tuple(map(_machine, runs)),
        left_out=tuple(sorted(rows.keys() - enough.keys())),
    )


def _differences(one: RatioRow, other: RatioRow) -> Iterator[Difference]:
    known, found = (
        {
            **{name: row.environment.host.get(name) for name in _CLASS},
            **row.environment.versions,
            **{name: row.case.conditions[name] for name in _CONDITIONS},
        }
        for row in (one, other)
    )
    yield from differences(known, found)


def _machine(run: StoredRun) -> str:
    ids = {machine_id(trial.measurement.environment.host) for trial in run.summary.trials}
    return f"{run.path}, {', '.join(sorted(ids)) or 'no trial'}, {run.summary.started}"
