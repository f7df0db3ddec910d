"""CSV for Apache Otava, which finds change points: one row for each run, one column for each gate.

Format: the CSV importer of Otava 0.8. It takes any names of columns, reads times in ISO 8601, and
refuses a file with an empty figure. From its other sources it repeats the figure before a gap, or
before the first one takes the figure after it. The same is done here, as long as gaps are few, and
``measured`` says how many of a row's figures are the run's own.
"""

from __future__ import annotations

__all__ = ["OtavaSeries", "otava_series"]

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from amx_suite.errors import ResultsFileError
from amx_suite.export.runs import machine_id_of, machine_of, started_of
from amx_suite.history.store import StoredRun, same_run
from amx_suite.trial.decide import LEAST_ROUNDS

#: The share of runs that must have a figure of their own at a gate. Source: 20 simulated series of
#: 60 nights without a step, spread 1.5 %. Otava 0.8 saw a step in 2 of them without gaps, in 3 with
#: gaps in a fifth of the nights, and in 8 with gaps in two fifths.
_LEAST_OWN = 0.8

#: The columns before those of the gates; all but the time are attributes for Otava.
_ABOUT_RUN = ("time", "machine", "torch", "measured")


class OtavaSeries(msgspec.Struct, frozen=True):
    """The runs of one machine that measured a gate, by time.

    ``figures`` has a row for each run and a column for each of ``gates``: the speedup, None where
    the run has fewer than ``LEAST_ROUNDS`` quiet rounds. ``sparse`` are gates that too few runs
    measured, and ``left_out`` the files of runs without a figure at any of ``gates``.
    """

    gates: tuple[str, ...]
    runs: tuple[StoredRun, ...]
    figures: tuple[tuple[float | None, ...], ...]
    sparse: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the file does not show as measured, in sentences."""
        notes = []
        if self.left_out:
            missing, total = len(self.left_out), len(self.left_out) + len(self.runs)
            notes.append(
                f"{missing} of {total} runs left out, with {LEAST_ROUNDS} quiet rounds at no gate: "
                f"{', '.join(self.left_out)}"
            )
        if self.sparse:
            notes.append(
                f"gates left out, as fewer than {_LEAST_OWN:.0%} of the runs have "
                f"{LEAST_ROUNDS} quiet rounds there: {', '.join(self.sparse)}"
            )
        gaps = sum(figure is None for row in self.figures for figure in row)
        if gaps:
            notes.append(
                f"{gaps} figures have fewer than {LEAST_ROUNDS} quiet rounds; the figure before "
                "stands in their place"
            )
        return tuple(notes)

    def csv(self) -> str:
        """The file's text."""
        text = io.StringIO()
        write = csv.writer(text, lineterminator="\n").writerow
        write((*_ABOUT_RUN, *self.gates))
        columns = [_without_gaps(column) for column in zip(*self.figures, strict=True)]
        rows = zip(*columns, strict=True)
        for run, own, shown in zip(self.runs, self.figures, rows, strict=True):
            measured = sum(figure is not None for figure in own)
            write(
                (
                    started_of(run).isoformat(timespec="seconds"),
                    machine_id_of(run),
                    run.summary.versions.get("torch", ""),
                    f"{measured} of {len(own)}",
                    *(f"{figure:.6g}" for figure in shown),
                )
            )
        return text.getvalue()


def otava_series(runs: Sequence[StoredRun]) -> OtavaSeries:
    """The series of one machine's runs, in whatever order they come.

    Raises ResultsFileError for runs of several machines, whose figures are no series, and where two
    files hold the same run.
    """
    if (same := same_run(runs)) is not None:
        one, other = same
        raise ResultsFileError(f"{one.path} and {other.path} hold the same run; name each once")
    first, *others = runs
    for other in others:
        if machine_of(other) != machine_of(first):
            raise ResultsFileError(
                f"{first.path} is of {machine_of(first)} and {other.path} of {machine_of(other)}: "
                "name the runs of one machine, which has one host name, in containers too"
            )
    speedups = {
        run.path: {
            f"{row.case.id}-vs-{row.result.gate.versus}": row.speedup.ratio
            for row in run.rows
            if row.speedup.pairs >= LEAST_ROUNDS
        }
        for run in sorted(runs, key=started_of)
    }
    by_path = {run.path: run for run in runs}
    counts = Counter(gate for found in speedups.values() for gate in found)
    least = _LEAST_OWN * sum(map(bool, speedups.values()))
    gates = tuple(gate for gate, count in counts.items() if count >= least)
    measured = [path for path, found in speedups.items() if not found.keys().isdisjoint(gates)]
    return OtavaSeries(
        gates=gates,
        runs=tuple(by_path[path] for path in measured),
        figures=tuple(tuple(map(speedups[path].get, gates)) for path in measured),
        sparse=tuple(gate for gate in counts if gate not in gates),
        left_out=tuple(path for path in speedups if path not in measured),
    )


def _without_gaps(column: Iterable[float | None]) -> list[float]:
    """Each gap filled with the figure before it; before the first figure, with that."""
    found = list(column)
    last = next(figure for figure in found if figure is not None)
    filled = []
    for figure in found:
        last = last if figure is None else figure
        filled.append(last)
    return filled
