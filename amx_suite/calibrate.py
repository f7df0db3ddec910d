"""``amx-suite calibrate``: what this machine's units give when nobody contends for them."""

from __future__ import annotations

__all__ = ["calibrate"]

import sys

from amx_suite.calibration.calibrate import calibrate as take_calibration
from amx_suite.calibration.calibrate import describe, is_worth_keeping
from amx_suite.calibration.storage import default_path, load_calibration, save_calibration
from amx_suite.core.exit_codes import exit_code
from amx_suite.host import detect, host_traits, theory_of
from amx_suite.host.lock import MachineLock
from amx_suite.options import Settings
from amx_suite.testing.selection import bound_cpus
from amx_suite.worker.unit_probe import UnitProbe


def calibrate(settings: Settings, seconds: float) -> int:
    """Read the units and store what they give; exit code 0, or 4 if the host was never quiet."""
    facts, support = detect()
    machine, threads = host_traits(facts), settings.threads
    place = settings.reference or default_path(machine, threads)
    exists = place.exists()
    stored = load_calibration(place, machine, threads, to_replace=True) if exists else None
    with MachineLock().acquire(settings.wait, _say):
        _say(f"reading {threads} CPUs for {seconds:g} s ...")
        if not support.usable:
            _say(f"the tile unit is not read: AMX is not usable here ({support.reason})")
        with UnitProbe(bound_cpus(threads)) as prober:
            found = take_calibration(
                prober,
                seconds,
                theory=theory_of(facts),
                machine=machine,
                threads=threads,
                progress=lambda passed: _show(f"{passed:.0f} of {seconds:g} s"),
            )
    _show("")
    _say(describe(found))
    if is_worth_keeping(found, stored):
        save_calibration(found, place)
        _say(f"amx-suite: stored in {place}")
        return 0
    kept = f"what is stored in {place} is kept" if stored else "nothing is stored"
    _say(
        f"amx-suite: a neighbour was there all the time, so {kept}; run it when the host is quieter"
    )
    return exit_code(undecided=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _show(text: str) -> None:
    """Write over the line, where that can be done."""
    if sys.stdout.isatty():
        print(f"\r{text}\x1b[K", end="", flush=True)
