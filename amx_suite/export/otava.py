"""CSV for Apache Otava, which finds change points: one row for each run, one column for each gate.

Format: the CSV importer of Otava 0.8. It takes any names of columns, reads times in ISO 8601, and
refuses a file with an empty figure. From its other sources it repeats the figure before a gap, or
before the first one takes the figure after it. The same is done here, and ``measured`` says how
many of a row's figures are the run's own.
"""

from __future__ import annotations

__all__ = ["OtavaSeries", "otava_series"]

import csv
import io
from collections.abc import Iterable, Sequence

import msgspec

from amx_suite.errors import ResultsFileError
from amx_suite.export.runs import machine_id_of, machine_of, started_of
from amx_suite.history.store import StoredRun, same_run
from amx_suite.trial.decide import LEAST_ROUNDS

#: The columns before those of the gates; all but the time are attributes for Otava.
_ABOUT_RUN = ("time", "machine", "torch", "measured")


class OtavaSeries(msgspec.Struct, frozen=True):
    """The runs of one machine that measured a gate, by time.

    ``figures`` has a row for each run and a column for each of ``gates``: the speedup, None where
    the run has fewer than ``LEAST_ROUNDS`` quiet rounds. ``left_out`` are files of runs without any
    figure.
    """

    gates: tuple[str, ...]
    runs: tuple[StoredRun, ...]
    figures: tuple[tuple[float | None, ...], ...]
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
    gates = tuple(dict.fromkeys(gate for found in speedups.values() for gate in found))
    by_path = {run.path: run for run in runs}
    measured = {path: found for path, found in speedups.items() if found}
    return OtavaSeries(
        gates=gates,
        runs=tuple(by_path[path] for path in measured),
        figures=tuple(tuple(map(found.get, gates)) for found in measured.values()),
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
