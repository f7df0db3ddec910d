"""Do the tile units do per cycle what theory says?"""

from __future__ import annotations

__all__ = ["ENOUGH", "LEAST_SHARE", "judge_tiles", "least_share", "theory_of"]

from collections.abc import Iterable, Mapping

from amx_suite.core.units import PER_CYCLE, Unit
from amx_suite.core.verdict import Verdict
from amx_suite.host.facts import HostFacts

#: Between the share that a neighbour on the same core leaves (0.40 to 0.42) and the share without
#: one (0.93 to 1.0); see docs/measured.md.
LEAST_SHARE = 0.6
#: Once every unit has reached this share of theory, the test stops.
ENOUGH = 0.9
_TILES = (Unit.TILE, Unit.TILE_INT8)

#: Operations per cycle of each CPU's units.
Best = Mapping[int, Mapping[Unit, float]]


def judge_tiles(best: Best, cpus: Iterable[int], *, virtual: bool) -> tuple[Verdict, str, str]:
    """The verdict on the tile units of all the CPUs, its reason and remedy.

    ``best`` holds the most operations per cycle of each CPU's units. A slow unit is FAIL on bare
    metal. In a guest (``virtual``) it is INCONCLUSIVE: another guest on the same core is invisible
    from here, and the FMA units of the core need not slow down.
    """
    shares = _shares(best, cpus)
    slow = {place: share for place, share in shares.items() if share < LEAST_SHARE}
    if not slow:
        return Verdict.PASS, f"each tile unit reached {min(shares.values()):.2f} of theory", ""
    text = ", ".join(f"CPU {cpu} {unit} {share:.2f}" for (cpu, unit), share in slow.items())
    reason = f"below {LEAST_SHARE} of what a tile unit does per cycle in theory: {text}"
    if virtual:
        remedy = "another guest may hold the core: run it again, or on the host itself"
        return Verdict.INCONCLUSIVE, reason, remedy
    return Verdict.FAIL, reason, "stop what else runs on these cores and run it again"


def theory_of(facts: HostFacts) -> dict[Unit, float]:
    """Operations per cycle of each unit of a core in theory; empty for a CPU without AMX.

    Every CPU with AMX has two 512-bit FMA units a core; others have fewer or narrower ones.
    """
    return dict(PER_CYCLE) if "amx_tile" in facts.cpuinfo.flags else {}


def least_share(best: Best, cpus: Iterable[int]) -> float:
    """The share of theory that the slowest tile unit has reached so far."""
    return min(_shares(best, cpus).values())


def _shares(best: Best, cpus: Iterable[int]) -> dict[tuple[int, Unit], float]:
    """Share of theory by CPU and unit, 0 for what was not read."""
    return {
        (cpu, unit): best.get(cpu, {}).get(unit, 0.0) / PER_CYCLE[unit]
        for cpu in cpus
        for unit in _TILES
    }
