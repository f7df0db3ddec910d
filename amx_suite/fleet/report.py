"""The report of a fleet: each machine's answer, and what only a comparison of machines shows."""

from __future__ import annotations

__all__ = ["FigureResult", "Finding", "Fleet", "MachineClass", "SlowMachine", "judge_fleet"]

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from amx_suite.core.finding import Severity
from amx_suite.core.run import ExitCode, Qualification, exit_code
from amx_suite.fleet.configuration import Deviation, deviations
from amx_suite.fleet.machines import Figure, Machine, NoResult
from amx_suite.fleet.outliers import Distribution, distributions

#: Raised whenever fleet.json changes its meaning or layout.
_SCHEMA_VERSION = 1

#: A number in a finding: the same finding on two machines differs in its figures.
_NUMBER = re.compile(r"(?<![\w.])\d[\d.,:]*(?:x\b)?")


class MachineClass(msgspec.Struct, frozen=True):
    """Machines whose figures may be compared: the same CPU features and the same libraries.

    ``number`` is 1 for the largest class.
    """

    number: int
    features: dict[str, str]
    software: dict[str, str]
    machines: tuple[str, ...]


class FigureResult(msgspec.Struct, frozen=True):
    """One figure over the machines of a class, by name of machine; see ``outliers``."""

    class_number: int
    figure: Figure
    values: dict[str, float]
    distribution: Distribution

    @property
    def median(self) -> float:
        """In the figure's unit."""
        return self.figure.speed(self.distribution.median)


class SlowMachine(msgspec.Struct, frozen=True):
    """A machine with at least one figure that stands out below its class's.

    ``share`` is its worst figure's speed over the median, ``deviations`` how many robust standard
    deviations that is below it. ``slow`` of its ``figures`` stand out.
    """

    name: str
    class_number: int
    slow: int
    figures: int
    figure: Figure
    value: float
    median: float
    share: float
    deviations: float | None


class Finding(msgspec.Struct, frozen=True):
    """A finding of several machines, with the sentence of the first one."""

    severity: Severity
    sentence: str
    remedy: str
    machines: tuple[str, ...]


class Fleet(msgspec.Struct, frozen=True):
    """Everything that is told about a fleet.

    ``expected`` is the number of nodes that should have returned a result, None if not known.
    """

    exit_code: ExitCode
    machines: tuple[Machine, ...]
    no_result: tuple[NoResult, ...]
    outliers: tuple[SlowMachine, ...]
    deviations: tuple[Deviation, ...]
    findings: tuple[Finding, ...]
    classes: tuple[MachineClass, ...]
    figures: tuple[FigureResult, ...]
    expected: int | None = None
    schema_version: int = _SCHEMA_VERSION

    def machines_that_are(self, answer: Qualification) -> tuple[Machine, ...]:
        """The machines with this answer."""
        return tuple(each for each in self.machines if each.qualification is answer)


def judge_fleet(
    machines: Sequence[Machine], no_result: Sequence[NoResult] = (), *, expected: int | None = None
) -> Fleet:
    """Compare the machines with each other; a machine without a result counts as undecided."""
    classes = _classes(machines)
    figures = _figures(machines, classes)
    outliers = _slow_machines(figures)
    answers = {machine.qualification for machine in machines}
    code = exit_code(
        failed=Qualification.NOT_QUALIFIED in answers or bool(outliers),
        not_usable=Qualification.NOT_USABLE in answers,
        undecided=Qualification.INCONCLUSIVE in answers or bool(no_result) or not machines,
    )
    return Fleet(
        exit_code=code,
        machines=tuple(machines),
        no_result=tuple(no_result),
        outliers=outliers,
        deviations=deviations(machines),
        findings=_findings(machines),
        classes=classes,
        figures=figures,
        expected=expected,
    )


def _classes(machines: Iterable[Machine]) -> tuple[MachineClass, ...]:
    groups: dict[tuple[tuple[tuple[str, str], ...], ...], list[Machine]] = {}
    for machine in machines:
        key = (tuple(sorted(machine.features.items())), tuple(sorted(machine.software.items())))
        groups.setdefault(key, []).append(machine)
    ordered = sorted(groups.values(), key=lambda group: -len(group))
    return tuple(
        MachineClass(
            number, group[0].features, group[0].software, tuple(each.name for each in group)
        )
        for number, group in enumerate(ordered, start=1)
    )


def _figures(
    machines: Iterable[Machine], classes: Iterable[MachineClass]
) -> tuple[FigureResult, ...]:
    number_of = {name: each.number for each in classes for name in each.machines}
    values: dict[tuple[int, Figure], dict[str, float]] = {}
    for machine in machines:
        for figure, value in machine.figures:
            values.setdefault((number_of[machine.name], figure), {})[machine.name] = value
    # As the runs have them, the trials of a class together.
    trials = {figure.trial: None for _, figure in values}
    rank = {trial: index for index, trial in enumerate(trials)}
    ordered = sorted(values.items(), key=lambda item: (item[0][0], rank[item[0][1].trial]))
    found = distributions(
        [{name: figure.speed(x) for name, x in by.items()} for (_, figure), by in ordered]
    )
    return tuple(
        FigureResult(number, figure, by, distribution)
        for ((number, figure), by), distribution in zip(ordered, found, strict=True)
    )


def _slow_machines(results: Sequence[FigureResult]) -> tuple[SlowMachine, ...]:
    """One for each machine, the slowest first."""
    measured = Counter(name for result in results for name in result.values)
    slow = Counter(each.machine for result in results for each in result.distribution.outliers)
    every = sorted(
        ((outlier, result) for result in results for outlier in result.distribution.outliers),
        key=lambda pair: pair[0].share,
    )
    found: dict[str, SlowMachine] = {}
    for outlier, result in every:
        name = outlier.machine
        found.setdefault(
            name,
            SlowMachine(
                name,
                result.class_number,
                slow[name],
                measured[name],
                result.figure,
                result.values[name],
                result.median,
                outlier.share,
                outlier.deviations,
            ),
        )
    return tuple(found.values())


def _findings(machines: Iterable[Machine]) -> tuple[Finding, ...]:
    """Each finding once, numbers apart; the worst first, then those of the most machines."""
    groups: dict[tuple[Severity, str], dict[str, tuple[str, str]]] = {}
    for machine in machines:
        for each in machine.findings:
            key = (each.severity, _NUMBER.sub("N", each.sentence))
            groups.setdefault(key, {}).setdefault(machine.name, (each.sentence, each.remedy))
    order = list(Severity)
    ranked = sorted(groups.items(), key=lambda item: (order.index(item[0][0]), -len(item[1])))
    return tuple(
        Finding(severity, *next(iter(by.values())), tuple(by)) for (severity, _), by in ranked
    )
