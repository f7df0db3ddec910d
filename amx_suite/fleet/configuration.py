"""Which machines are set up differently from most of their kind."""

from __future__ import annotations

__all__ = ["Deviation", "deviations"]

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from amx_suite.fleet.machines import Machine

#: A value that a machine has not.
_ABSENT = "not read"


class Deviation(msgspec.Struct, frozen=True):
    """One setting: the value of most machines, and those that have another.

    ``usual`` is None where no value is that of more than half of them: then each value is there
    with its machines, and none of them is wrong.
    """

    setting: str
    usual: str | None
    of: int
    value: str
    machines: tuple[str, ...]


def deviations(machines: Iterable[Machine]) -> tuple[Deviation, ...]:
    """Every value of every setting that is not that of the majority, by kind of machine.

    Compared are machines with the same CPU features, whatever their software. The rarest values
    come first.
    """
    kinds: dict[tuple[tuple[str, str], ...], list[Machine]] = {}
    for machine in machines:
        kinds.setdefault(tuple(sorted(machine.features.items())), []).append(machine)
    found = [deviation for kind in kinds.values() for deviation in _of_kind(kind)]
    return tuple(sorted(found, key=lambda each: (each.usual is None, len(each.machines))))


def _of_kind(machines: Sequence[Machine]) -> Iterator[Deviation]:
    settings = dict.fromkeys(key for machine in machines for key in machine.configuration)
    for setting in settings:
        values = {m.name: m.configuration.get(setting, _ABSENT) for m in machines}
        counts = Counter(values.values())
        most, count = counts.most_common(1)[0]
        usual = most if 2 * count > len(machines) else None
        for value in counts:
            if value != usual:
                named = tuple(name for name in values if values[name] == value)
                yield Deviation(setting, usual, len(machines), value, named)
