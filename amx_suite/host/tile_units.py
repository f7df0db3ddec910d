"""Does the tile unit of every core do per cycle what theory says?

A neighbour on the same core takes more than half of the tile unit, and what it does to the FMA
units shows most of the time (docs/measured.md). So a reading of a core counts only if FMA, read
right beside the tile unit, was at its full speed. Otherwise the core was shared, which says nothing
of the unit.
"""

from __future__ import annotations

__all__ = ["LEAST_SHARE", "TileHealth", "theory_of", "watch_tiles"]

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from amx_suite.core.peaks import CoreCycles
from amx_suite.core.units import PER_CYCLE, Unit
from amx_suite.core.verdict import Verdict
from amx_suite.host.facts import HostFacts
from amx_suite.host.topology import Core

#: Between the share that a neighbour on the same core leaves (0.40 to 0.42) and the share without
#: one (0.93 to 1.0); see docs/measured.md.
LEAST_SHARE = 0.6
#: FMA on a core of its own gives 0.98 of theory in the median, and 0.86 or more in 95 %;
#: see docs/measured.md.
_FMA_SHARE = 0.9
#: A neighbour may stay for seconds, so a unit is slow only by readings so far apart.
_LEAST_SPREAD_SECONDS = 10.0
_MOST_SECONDS = 60.0
#: Few enough to be read in a moment.
_CORES_AT_A_TIME = 4
#: The chains that tell a core's frequency are read beside each unit. Slowed before and after one
#: alike they make it look fast (2.4 of theory was seen), and a slow unit must not pass by that.
_FREQUENCIES_WITHIN = 1.25
_TILES = (Unit.TILE, Unit.TILE_INT8)

#: Reads what each unit of these CPUs does per cycle now.
ReadCycles = Callable[[Sequence[int]], Iterable[CoreCycles]]


@dataclass
class _Seen:
    """One core's readings: how many, those that count, and the best of these by unit."""

    visits: int = 0
    taken: int = 0
    counted: int = 0
    first_seconds: float = 0.0
    last_seconds: float = 0.0
    hertz: float = 0.0
    shares: dict[Unit, float] = field(default_factory=lambda: dict.fromkeys(PER_CYCLE, 0.0))

    def count(self, reading: CoreCycles) -> None:
        """Take the reading in, if the core was not shared and no unit interrupted."""
        self.taken += 1
        shares = {unit: reading.per_cycle.get(unit, 0.0) / PER_CYCLE[unit] for unit in PER_CYCLE}
        if not all(shares.values()) or shares[Unit.FMA] < _FMA_SHARE:
            return
        frequencies = reading.hertz.values()
        if max(frequencies) > _FREQUENCIES_WITHIN * min(frequencies):
            return
        if not self.counted:
            self.first_seconds = reading.at_seconds
        self.counted += 1
        self.last_seconds = reading.at_seconds
        self.hertz = max(self.hertz, *frequencies)
        self.shares = {unit: max(shares[unit], best) for unit, best in self.shares.items()}

    @property
    def short(self) -> dict[Unit, float]:
        """The share of each tile unit that is below the least."""
        return {unit: self.shares[unit] for unit in _TILES if self.shares[unit] < LEAST_SHARE}

    @property
    def spread_seconds(self) -> float:
        """Between the first and the last reading that counts."""
        return self.last_seconds - self.first_seconds

    def __str__(self) -> str:
        text = f"{self.counted} of {self.taken} readings undisturbed"
        if not self.counted:
            return text
        shares = ", ".join(f"{unit} {share:.2f}" for unit, share in self.shares.items())
        return f"{shares} of theory at {self.hertz / 1e9:.2f} GHz, {text}"


class TileHealth:
    """What the tile unit of each core has shown so far. One CPU of a core stands for it."""

    def __init__(self, cores: Iterable[Core]) -> None:
        self._cores = {core.cpus[0]: core for core in cores}
        self._seen = {cpu: _Seen() for cpu in self._cores}

    @property
    def unproven(self) -> list[int]:
        """CPUs whose tile unit has not reached the least share yet, the least often visited first.

        So that every core is read again and again, however many there are.
        """
        unproven = (cpu for cpu, seen in self._seen.items() if seen.short)
        return sorted(unproven, key=lambda cpu: self._seen[cpu].visits)

    @property
    def figures(self) -> dict[int, str]:
        """Each CPU's best shares of theory and its readings, as text."""
        return {cpu: str(seen) for cpu, seen in self._seen.items()}

    def take(self, cpus: Iterable[int], readings: Iterable[CoreCycles]) -> None:
        """Take in the readings of a visit to these CPUs."""
        for cpu in cpus:
            self._seen[cpu].visits += 1
        for reading in readings:
            self._seen[reading.cpu].count(reading)

    def judge(self, *, virtual: bool) -> tuple[Verdict, str, str]:
        """The verdict on all tile units, its reason and remedy.

        A slow unit is FAIL on bare metal. In a guest (``virtual``) it is INCONCLUSIVE: another
        guest on the same core is invisible from here, and FMA need not slow down.
        """
        short = {cpu: seen.short for cpu, seen in self._seen.items() if seen.short}
        if not short:
            least = min(seen.shares[unit] for seen in self._seen.values() for unit in _TILES)
            return Verdict.PASS, f"each tile unit reached {least:.2f} of theory", ""
        slow, shared = [], []
        for cpu, shares in short.items():
            if self._seen[cpu].spread_seconds < _LEAST_SPREAD_SECONDS:
                shared.append(self._name(cpu))
            else:
                slow += [f"{self._name(cpu)} {unit} {share:.2f}" for unit, share in shares.items()]
        reasons = []
        if slow:
            reasons.append(
                f"below {LEAST_SHARE} of what a tile unit does per cycle in theory, beside FMA at "
                f"full speed: {', '.join(slow)}"
            )
        if shared:
            reasons.append(
                f"the core was shared all the time, with FMA at {_FMA_SHARE} of theory for less "
                f"than {_LEAST_SPREAD_SECONDS:g} s: {', '.join(shared)}"
            )
        remedy = "stop what else runs on these cores and run it again"
        if virtual:
            remedy = "another guest may hold the core: run it again, or on the host itself"
        verdict = Verdict.FAIL if slow and not virtual else Verdict.INCONCLUSIVE
        return verdict, "; ".join(reasons), remedy

    def _name(self, cpu: int) -> str:
        siblings = self._cores[cpu].siblings
        core = f" (core of CPUs {', '.join(map(str, siblings))})" if len(siblings) > 1 else ""
        return f"CPU {cpu}{core}"


def watch_tiles(
    cores: Sequence[Core],
    read: ReadCycles,
    show: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> TileHealth:
    """Read the cores until every tile unit has reached the least share, at most for a minute."""
    health, began = TileHealth(cores), clock()
    while True:
        cpus = health.unproven[:_CORES_AT_A_TIME]
        health.take(cpus, read(cpus))
        left, passed = len(health.unproven), clock() - began
        if not left or passed >= _MOST_SECONDS:
            return health
        show(
            f"tile units: {len(cores) - left} of {len(cores)} cores have reached {LEAST_SHARE} of "
            f"theory after {passed:.0f} s"
        )


def theory_of(facts: HostFacts) -> dict[Unit, float]:
    """Operations per cycle of each unit of a core in theory; empty for a CPU without AMX.

    Every CPU with AMX has two 512-bit FMA units a core; others have fewer or narrower ones.
    """
    return dict(PER_CYCLE) if "amx_tile" in facts.cpuinfo.flags else {}
