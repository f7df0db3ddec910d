"""Taking a calibration of this machine, and telling what came of it."""

from __future__ import annotations

__all__ = ["DEFAULT_SECONDS", "calibrate", "describe", "is_worth_keeping"]

import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from amx_suite.core.quiet import MEMORY_WITHIN, Calibration, Reading, Reference
from amx_suite.core.units import Unit
from amx_suite.trial.pool import Prober

#: Some hundreds of readings, over several of a neighbour's spells of a few seconds.
DEFAULT_SECONDS = 30.0


def calibrate(
    prober: Prober,
    seconds: float,
    *,
    theory: Mapping[Unit, float],
    machine: dict[str, str],
    threads: int,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[float], None] | None = None,
) -> Calibration:
    """Read for so many seconds, at least once, and see what the units give undisturbed.

    The first reading is left out: it opens the probe, which assembles its loops and fills its
    buffers. ``theory`` is what each unit of a core does per cycle, as far as that is known.
    ``progress`` is told between two readings how many seconds have passed.
    """
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    prober.probe()
    series: list[Reading] = []
    began = clock()
    while (passed := clock() - began) < seconds or not series:
        if progress is not None:
            progress(passed)
        series.append(prober.probe())
    reference = Reference.of(series, theory)
    return Calibration(
        machine=machine,
        threads=threads,
        taken=taken,
        seconds=clock() - began,
        readings=len(series),
        quiet_share=statistics.fmean(map(reference.is_quiet, series)),
        reference=reference,
    )


def is_worth_keeping(new: Calibration, stored: Calibration | None) -> bool:
    """Whether the new one serves later runs: every unit reached its theory, memory its old rate."""
    if new.reference.below:
        return False
    if stored is None:
        return True
    old, found = (each.reference.rates.get(Unit.MEMORY, 0.0) for each in (stored, new))
    return found * MEMORY_WITHIN >= old


def describe(found: Calibration) -> str:
    """What was found, for people."""
    readings = f"{found.readings} readings of {found.threads} CPUs in {found.seconds:.0f} s"
    lines = [
        f"{readings}, {found.quiet_share:.0%} of them quiet",
        "each unit's quiet rate, on the slowest CPU:",
    ]
    for unit, rate in found.reference.rates.items():
        amount = f"{rate / 1e9:.1f} 10^9 bytes/s" if unit is Unit.MEMORY else f"{rate:.1f} a cycle"
        share = found.reference.below.get(unit)
        note = f" (the best read, {share:.0%} of theory: never undisturbed)" if share else ""
        lines.append(f"  {unit:<8}{amount}{note}")
    return "\n".join(lines)
