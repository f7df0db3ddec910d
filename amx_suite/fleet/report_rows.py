"""The rows about a fleet that the terminal and the page share."""

from __future__ import annotations

__all__ = [
    "answer_table",
    "attention_table",
    "class_table",
    "counts_text",
    "deviation_table",
    "figure_table",
    "finding_table",
    "last_line",
    "missing_table",
    "outlier_table",
    "verdict_text",
]

from collections.abc import Sequence

from rich.text import Text

from amx_suite.core.run import ExitCode, Qualification
from amx_suite.fleet.outliers import FEWEST_MACHINES
from amx_suite.fleet.report import Fleet, MachineClass
from amx_suite.report.table import Column, Table

#: So many machines are named in a cell, and so many rows are in a table: a page about a thousand
#: machines stays readable, and fleet.json has all.
_MOST_NAMED = 10
MOST_ROWS = 100

_GOOD = Qualification.QUALIFIED
_STYLES = {
    Qualification.NOT_QUALIFIED: "bold red",
    Qualification.NOT_USABLE: "bold red",
    Qualification.INCONCLUSIVE: "yellow",
    _GOOD: "green",
}
_ANSWERS = {
    ExitCode.FAILED: "NOT QUALIFIED",
    ExitCode.NOT_USABLE: "AMX NOT USABLE",
    ExitCode.UNDECIDED: "INCONCLUSIVE",
    ExitCode.OK: "QUALIFIED",
}


def verdict_text(fleet: Fleet) -> str:
    """The fleet's answer: that of a machine with the same exit code."""
    return _ANSWERS[fleet.exit_code]


def counts_text(fleet: Fleet) -> str:
    """How many machines have each answer, are outliers, and are missing."""
    words = [
        f"{len(found)} {answer}"
        for answer in Qualification
        if (found := fleet.machines_that_are(answer))
    ]
    if fleet.no_result:
        words.append(f"{len(fleet.no_result)} without a result")
    if fleet.outliers:
        words.append(f"{len(fleet.outliers)} slower than their like")
    total = len(fleet.machines) + len(fleet.no_result)
    return f"{total} machine{'s' * (total != 1)}: {', '.join(words)}"


def last_line(fleet: Fleet, report: str) -> str:
    """One sentence with the answer, the exit code, the counts, and the report's path."""
    return (
        f"{verdict_text(fleet)} (exit code {fleet.exit_code:d}): {counts_text(fleet)}; see {report}"
    )


def answer_table(fleet: Fleet) -> Table:
    """A row for each answer: how many machines have it, and their names where it is not good."""
    groups: list[tuple[str, str, Sequence[str]]] = [
        (answer, style, [machine.name for machine in fleet.machines_that_are(answer)])
        for answer, style in _STYLES.items()
    ]
    groups += [
        ("no result", "bold red", [each.name for each in fleet.no_result]),
        ("outlier", "bold red", [each.name for each in fleet.outliers]),
        ("set up differently", "yellow", _different(fleet)),
    ]
    rows = [
        (Text(what, style), str(len(names)), "-" if what == _GOOD else _named(names))
        for what, style, names in groups
        if names
    ]
    columns = (Column("answer"), Column("machines", True), Column("names", wraps=True))
    return Table(columns, tuple(rows), empty="")


def attention_table(fleet: Fleet) -> Table:
    """The machines that did not qualify, with the reason."""
    rows = [
        (machine.name, Text(answer, _STYLES[answer]), machine.reason)
        for answer in _STYLES
        if answer is not _GOOD
        for machine in fleet.machines_that_are(answer)
    ]
    columns = (Column("machine"), Column("answer"), Column("reason", wraps=True))
    return _cut(Table(columns, tuple(rows), empty="Every machine with a result qualified."))


def missing_table(fleet: Fleet) -> Table:
    """The machines and files that say nothing."""
    rows = tuple((each.name, each.fault) for each in fleet.no_result)
    columns = (Column("machine"), Column("what is there", wraps=True))
    empty = "Every expected machine returned a result."
    if fleet.expected is None:
        empty = (
            "Every result could be read. Without --expect a machine that left no trace is unseen."
        )
    return _cut(Table(columns, rows, empty=empty))


def outlier_table(fleet: Fleet) -> Table:
    """The machines that are slower than their like, with their worst figure."""
    rows = tuple(
        (
            each.name,
            f"{each.slow} of {each.figures}",
            f"{each.figure.trial}: {each.figure.name}",
            each.figure.text(each.value),
            each.figure.text(each.median),
            f"{each.share:.0%}",
            "-" if each.deviations is None else f"{each.deviations:.1f}",
        )
        for each in fleet.outliers
    )
    columns = (
        Column("machine"),
        Column("slow figures"),
        Column("the slowest", wraps=True),
        Column("value", True),
        Column("median", True),
        Column("speed", True),
        Column("deviations", True),
    )
    return _cut(Table(columns, rows, empty=_no_outlier(fleet)))


def deviation_table(fleet: Fleet) -> Table:
    """Each value of a setting that is not that of most machines of the kind."""
    rows = tuple(
        (
            each.setting,
            each.value,
            each.usual if each.usual is not None else "no value is that of most",
            f"{len(each.machines)} of {each.of}",
            _named(each.machines),
        )
        for each in fleet.deviations
    )
    columns = (
        Column("setting"),
        Column("value", wraps=True),
        Column("of most", wraps=True),
        Column("machines", True),
        Column("names", wraps=True),
    )
    return _cut(Table(columns, rows, empty="All machines of a kind are set up alike."))


def finding_table(fleet: Fleet) -> Table:
    """Each finding, with how many machines have it."""
    rows = tuple(
        (
            each.sentence,
            each.severity,
            str(len(each.machines)),
            "all" if len(each.machines) == len(fleet.machines) else _named(each.machines),
            each.remedy,
        )
        for each in fleet.findings
    )
    columns = (
        Column("finding, as on the first machine", wraps=True),
        Column("severity"),
        Column("machines", True),
        Column("names", wraps=True),
        Column("what to do", wraps=True),
    )
    return _cut(Table(columns, rows, empty="Nothing was found on any machine."))


def class_table(fleet: Fleet) -> Table:
    """The classes of machines, and what makes each of them."""
    rows = tuple(
        (str(each.number), str(len(each.machines)), _kind(each), _named(each.machines))
        for each in fleet.classes
    )
    columns = (
        Column("class"),
        Column("machines", True),
        Column("what they share", wraps=True),
        Column("names", wraps=True),
    )
    return _cut(Table(columns, rows, empty="No machine returned a result."))


def figure_table(fleet: Fleet) -> Table:
    """Each figure's distribution over the machines of a class."""
    rows = []
    for each in fleet.figures:
        found, text = each.distribution, each.figure.text
        slowest = min(each.values.values(), key=each.figure.speed)
        fastest = max(each.values.values(), key=each.figure.speed)
        limit = "-" if found.least_loss is None else f"{found.least_loss:.1%} slower"
        deviation = "-" if found.deviation is None else f"{found.deviation:.1%}"
        name = f"{each.figure.trial}: {each.figure.name}"
        spread = (text(slowest), text(each.median), text(fastest), deviation, limit)
        slow = str(len(found.outliers))
        rows.append((name, str(each.class_number), str(len(each.values)), *spread, slow))
    columns = (
        Column("figure", wraps=True),
        *(Column(name, True) for name in ("class", "machines", "slowest", "median", "fastest")),
        Column("deviation", True),
        Column("limit", True),
        Column("outliers", True),
    )
    return Table(columns, tuple(rows), empty="No figure has ten quiet rounds on any machine.")


def _no_outlier(fleet: Fleet) -> str:
    largest = max((len(each.values) for each in fleet.figures), default=0)
    if largest < FEWEST_MACHINES:
        return (
            f"Not judged: no class has {FEWEST_MACHINES} machines with the same figure of at least "
            "ten quiet rounds."
        )
    return "No machine is slower than its like."


def _kind(each: MachineClass) -> str:
    features = each.features
    amx = features.get("amx_features") or "no AMX"
    virtual = features.get("hypervisor", "")
    words = [amx, "bare metal" if virtual == "none" else f"hypervisor {virtual}"]
    words += [f"{name} {version}" for name, version in sorted(each.software.items())]
    return "; ".join([", ".join(words), features.get("isa_flags", "")])


def _different(fleet: Fleet) -> list[str]:
    """The machines with a setting that is not that of most, each once."""
    found = (each.machines for each in fleet.deviations if each.usual is not None)
    return list(dict.fromkeys(name for names in found for name in names))


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _cut(table: Table) -> Table:
    """The first rows; a last one says how many more there are."""
    more = len(table.rows) - MOST_ROWS
    if more <= 0:
        return table
    last = (f"and {more} more: see fleet.json", *[""] * (len(table.columns) - 1))
    return table._replace(rows=(*table.rows[:MOST_ROWS], last))
