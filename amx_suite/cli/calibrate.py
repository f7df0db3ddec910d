"""``amx-suite calibrate``: measures and stores the quiet rates of this machine's units."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
import os
import sys

from amx_suite.core.run import exit_code
from amx_suite.host.fingerprint import host_traits
from amx_suite.host.lock import MachineLock
from amx_suite.host.support import detect
from amx_suite.host.tile_units import theory_of
from amx_suite.plugin.option_values import to_seconds
from amx_suite.plugin.options import Settings, add_options
from amx_suite.plugin.progress import LiveLine, can_rewrite
from amx_suite.trial.calibrate import (
    DEFAULT_SECONDS,
    calibrate,
    default_path,
    describe,
    ensure_storable,
    is_worth_keeping,
    load_calibration,
    save_calibration,
    stored_calibration,
)
from amx_suite.worker.unit_probe import UnitProbe

_OPTIONS = ("reference", "cores", "wait")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "Exit codes: 0 stored, 2 usage, 4 the host was never quiet."
    parser.add_argument(
        "--seconds",
        metavar="N",
        default="",
        help=f"How long to read. Default: {DEFAULT_SECONDS:g}.",
    )
    add_options(parser.add_argument, "", _OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    """Read the units and store their quiet rates; exit code 4 if the host was never quiet."""
    settings = Settings.read(arguments)
    seconds = to_seconds(arguments.seconds or str(DEFAULT_SECONDS), "--seconds")
    facts, support = detect()
    machine, instance = host_traits(facts), settings.instance
    place = settings.reference or default_path(machine, instance.cores)
    stored, why_unusable = None, ""
    if settings.reference is None:
        stored, why_unusable = stored_calibration(machine, instance.cores)
    elif os.path.lexists(settings.reference):
        # Whatever the user named here by mistake is not overwritten.
        stored = load_calibration(settings.reference, machine, instance.cores)
    if why_unusable:
        _say(f"{why_unusable}, so it is not used")
    ensure_storable(place)
    with MachineLock().acquire(settings.wait, _say):
        _say(f"reading {instance} for {seconds:g} s ...")
        if not support.usable:
            _say(f"the tile unit is not read: AMX is not usable here ({support.reason})")
        with UnitProbe(instance.cpus) as prober, LiveLine() as line:

            def show(passed: float) -> None:
                if can_rewrite(sys.stdout.isatty()):
                    line.show(f"{passed:.0f} of {seconds:g} s")

            found = calibrate(
                prober,
                seconds,
                theory=theory_of(facts),
                machine=machine,
                cores=instance.cores,
                progress=show,
            )
    _say(describe(found))
    if is_worth_keeping(found, stored):
        save_calibration(found, place)
        _say(f"amx-suite: stored in {place}")
        return 0
    kept = f"what is stored in {place} is kept" if stored else "nothing is stored"
    _say(f"amx-suite: the host was never quiet, so {kept}; run it when the host is quieter")
    return exit_code(undecided=True)


def _say(text: str) -> None:
    print(text, flush=True)
