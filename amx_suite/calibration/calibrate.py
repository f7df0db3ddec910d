"""Taking a calibration of this machine, and telling what came of it."""

from __future__ import annotations

__all__ = ["calibrate", "describe", "is_busier", "take_readings"]

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from amx_suite.calibration.behaviour import TimedReading, calibrate_from
from amx_suite.core.noise import Calibration, Reading
from amx_suite.trial.pool import Prober
from amx_suite.worker.messages import SLICE_SECONDS


def take_readings(
    prober: Prober,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[float], None] | None = None,
) -> list[TimedReading]:
    """Readings one after the other for so many seconds.

    The first is left out: it opens the probe, which assembles its loops and fills its buffers.
    ``progress`` is told between two readings how many seconds have passed.
    """
    prober.probe()
    series = []
    began = clock()
    while (passed := clock() - began) < seconds:
        if progress is not None:
            progress(passed)
        reading = prober.probe()
        series.append(TimedReading(clock(), reading))
    return series


def calibrate(
    prober: Prober,
    seconds: float,
    *,
    machine: dict[str, str],
    threads: int,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[float], None] | None = None,
) -> Calibration:
    """Read for so many seconds and find the quiet state; raises NotQuietError."""
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    series = take_readings(prober, seconds, clock, progress)
    return calibrate_from(series, machine=machine, threads=threads, taken=taken)


def is_busier(new: Calibration, stored: Calibration) -> bool:
    """Whether the new rates would not even count as quiet by the stored ones.

    Then this host was busy all the while, and the stored calibration is the better one.
    """
    return not stored.reference.is_quiet(Reading(new.rates))


def describe(found: Calibration, path: Path) -> str:
    """How the machine behaves, for people."""
    lines = [
        f"{found.readings} readings of {found.threads} CPUs in {found.seconds:.0f} s",
        "rates of the slowest CPU:",
        f"  {'unit':<8}{'quiet':>12}  {'contended':>12}  {'loss':>6}",
    ]
    for unit, rate in found.rates.items():
        busy = found.contended.get(unit)
        contended = "-" if busy is None else f"{busy / 1e9:.1f}"
        loss = "-" if busy is None else f"{max(0.0, 1 - busy / rate):.0%}"
        lines.append(
            f"  {unit:<8}{rate / 1e9:>12.1f}  {contended:>12}  {loss:>6}  10^9 {unit.rate_unit}"
        )
    lines += ["", _behaviour(found)]
    if found.quiet_seconds is not None and found.quiet_seconds < SLICE_SECONDS:
        lines.append(
            f"quiet seldom lasts as long as a slice of an arm ({SLICE_SECONDS:g} s), so trials "
            "will often be inconclusive here; calibrate again when the machine is less busy"
        )
    return "\n".join([*lines, f"quiet reference stored in {path}"])


def _behaviour(found: Calibration) -> str:
    words = f"quiet {found.quiet_share:.0%} of the readings"
    if found.quiet_seconds is not None:
        words += f", for {found.quiet_seconds:.1f} s at a time"
    if found.busy_seconds is not None:
        words += f"; contended for {found.busy_seconds:.1f} s at a time"
    return words
