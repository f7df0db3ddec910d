"""The first lines of a run: what it measures, how long that takes, and what is missing here."""

from __future__ import annotations

__all__ = ["quiet_line", "run_line", "without_amx_lines"]

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from amx_suite.core.quiet import MEMORY_WITHIN, QUIET_WITHIN, Calibration
from amx_suite.core.units import Unit
from amx_suite.engines import ENGINES
from amx_suite.host.reasons import Reason, Support
from amx_suite.plugin.selection import trials_of
from amx_suite.trial.calibrate import DEFAULT_SECONDS

if TYPE_CHECKING:
    from amx_suite.core.case import Arm
    from amx_suite.plugin.options import Settings
    from amx_suite.trial.design_time import DesignTime


def without_amx_lines(
    settings: Settings,
    support: Support,
    cpu_flags: Collection[str],
    design_time: DesignTime,
    *,
    require: str,
) -> Iterator[str]:
    """Where AMX is not usable: what to do, what the run measures all the same, and how to stop it.

    ``cpu_flags`` are those of /proc/cpuinfo, empty where unknown; ``require`` is the option's name.
    """
    cause = support.root_cause
    if cause is None:
        return
    yield f"amx remedy: {cause.remedy}"
    if settings.require:
        yield f"amx arms: none is measured, because {require} ends a run without AMX"
        return
    if cause.reason is Reason.CPUID_UNREADABLE:
        # What reads it is written at run time, as are the kernels of oneDNN.
        yield "amx arms: none is measured, because none runs where CPUID cannot be read"
        return
    arms = [arm for trial in trials_of(settings) for arm in trial.arms if _has(arm)]
    usable = [arm for arm in arms if not arm.isa.allows_amx and _runs(arm, cpu_flags)]
    yield (
        f"amx arms: {len(usable)} of {len(arms)} need no AMX and are measured, by design "
        f"{design_time}; with {require} the run stops here instead"
    )


def _has(arm: Arm) -> bool:
    return ENGINES[arm.engine].why_not(arm.workload.mode, arm.precision) is None


def _runs(arm: Arm, cpu_flags: Collection[str]) -> bool:
    return not cpu_flags or arm.isa.runs_on(cpu_flags)


def quiet_line(calibration: Calibration | None, why_unusable: str) -> str:
    """What quiet means on this machine; ``why_unusable`` is about what is stored, if it is."""
    if calibration is None:
        why = why_unusable or "no reference of this machine is stored"
        return (
            f"amx quiet: {why}, so its units are read for {DEFAULT_SECONDS:g} s before the first "
            "trial"
        )
    rates = ", ".join(
        f"{unit} {rate / 1e9:.1f}e9 bytes/s" if unit is Unit.MEMORY else f"{unit} {rate:g} a cycle"
        for unit, rate in calibration.reference.rates.items()
    )
    return (
        f"amx quiet: each CPU within {QUIET_WITHIN:g} (memory {MEMORY_WITHIN:g}) of the reference "
        f"of {calibration.taken}: {rates}"
    )


def run_line(settings: Settings, design_time: DesignTime) -> str:
    """Level, design time, engines, instance, seed and trials."""
    others = [
        name
        for name, engine in ENGINES.items()
        if name not in settings.engines and engine.why_unavailable() is None
    ]
    more = f" (also available: {', '.join(others)})" if others else ""
    trials = [f"{trial.name} {trial.shape}" for trial in trials_of(settings)]
    return (
        f"amx run: level {settings.level}, by design {design_time}, "
        f"engines: {', '.join(settings.engines) or 'none'}{more}, "
        f"instance: {settings.instance}, seed {settings.seed}, "
        f"trials: {', '.join(trials) or 'none'}"
    )
