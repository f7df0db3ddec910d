"""Which state of a machine, or which change of it over a run, is a finding, and what to do.

One row of ``_RULES`` for each. The thresholds are the suite's own: what moves a figure by a few
percent, which is what its gates can tell.
"""

from __future__ import annotations

__all__ = ["judge_health", "judge_run", "settings_of"]

from collections.abc import Callable
from typing import Any, NamedTuple

from amx_suite.core.finding import Finding, Severity
from amx_suite.core.health import Health, HealthChange
from amx_suite.host.snapshot import LABELS

#: Rates over less time than this say nothing, since the kernel counts in ticks of 10 ms.
_LEAST_SECONDS = 1.0
#: Share of the machine's CPU time that others may use, and of its busy time that may be stolen.
_MOST_OF_OTHERS = 0.05
_MOST_STOLEN = 0.01
#: Share of the time in which tasks may wait. Some waiting for a CPU is the suite's own: compilers
#: and the checks of context switches start more than there are CPUs.
_MOST_PRESSURE = {"cpu some": 0.25, "memory some": 0.01, "io full": 0.10}
#: The kernel's watchdog makes one NMI in about 10 s on each CPU; a profiler makes hundreds.
_MOST_NMIS = 10.0
#: Events of a core, and of a package, count on each of their CPUs.
_SUMMED = ", summed over the CPUs"
#: A few idle pages in swap harm nobody.
_MOST_SWAP = 256 << 20

_REMEDY_UNREAD = (
    "on bare metal load the processor's EDAC driver and run as root; for a guest look at its host"
)

#: Settings that must stay the same during a run, by what a person calls them.
_SETTINGS = {
    "cpus": "CPUs online",
    "governors": "frequency governor",
    "energy_preference": "energy performance preference",
    "turbo": "turbo",
    "idle_driver": "idle driver",
    "idle_states_off": "idle states switched off",
    "power_limits_watts": "power limits in W",
    "numa_balancing": "NUMA balancing",
    "huge_pages": "transparent huge pages",
}


class _Rule(NamedTuple):
    """``seen`` says what was seen, empty where the rule does not apply; ``why`` why it matters."""

    severity: Severity
    seen: Callable[[HealthChange], str]
    why: str
    remedy: str


def judge_run(before: Health, after: Health | None) -> tuple[Finding, ...]:
    """The findings of a run between two readings, the worst first; at the end what was not read.

    Without ``after``, as in a run that broke down, those of the first reading.
    """
    return (*judge_health(before, after), *_not_read(before))


def judge_health(before: Health, after: Health | None = None) -> tuple[Finding, ...]:
    """The findings of a reading, or of the change between two readings, the worst first."""
    change = HealthChange(before, after or before)
    found = [
        Finding(rule.severity, f"{seen}: {rule.why}", rule.remedy)
        for rule in _RULES
        if (seen := rule.seen(change))
    ]
    return tuple(sorted(found, key=lambda finding: list(Severity).index(finding.severity)))


def settings_of(health: Health) -> dict[str, str]:
    """The settings that could be read, by what a person calls them."""
    values = {label: getattr(health, name) for name, label in _SETTINGS.items()}
    return {label: _shown(value) for label, value in values.items() if value is not None}


def _not_read(health: Health) -> tuple[Finding, ...]:
    """One note that names everything that could not be read, and why; none if all could be."""
    fields: dict[str, list[str]] = {}
    for name, label in LABELS.items():
        fields.setdefault(label, []).append(name)
    absent: list[str] = []
    closed: list[str] = []
    for label, names in fields.items():
        if all(getattr(health, name) is None for name in names):
            (closed if set(names) & set(health.unreadable) else absent).append(label)
    words = []
    if absent:
        words.append(f"{', '.join(absent)} (this kernel does not show it, as is usual in a guest)")
    if closed:
        words.append(f"{', '.join(closed)} (this user may not read it)")
    sentence = f"not read, so not judged: {'; '.join(words)}"
    return (Finding(Severity.NOTE, sentence, _REMEDY_UNREAD),) if words else ()


def _since_start(name: str, what: str, note: str = "") -> Callable[[HealthChange], str]:
    """A count of faults that must be 0."""

    def seen(change: HealthChange) -> str:
        total = max(_total(change.before, name), _total(change.after, name))
        rise = change.rise(name)
        during = f", {rise:.0f} of them during the run" if rise else ""
        return f"{what} since the machine started ({total}{during}{note})" if total else ""

    return seen


def _during(name: str, what: str, note: str = "") -> Callable[[HealthChange], str]:
    """A counter that must not rise."""

    def seen(change: HealthChange) -> str:
        rise = change.rise(name)
        places = "".join(f", {place}" for place in sorted(change.rises(name)) if place)
        return f"{what} during the run ({rise:.0f}{places}{note})" if rise else ""

    return seen


def _total(health: Health, name: str) -> int:
    value = getattr(health, name) or 0
    return sum(value.values()) if isinstance(value, dict) else value


def _earlier_corrections(change: HealthChange) -> str:
    total = _total(change.before, "corrected_errors")
    if not total or change.rise("corrected_errors"):
        return ""
    return f"corrected memory errors since the machine started ({total})"


def _thermal(change: HealthChange) -> str:
    throttled = _during("thermal_throttles", "events of thermal throttling", _SUMMED)
    if change.before.thermal_throttles is not None:
        return throttled(change)
    # The interrupt also comes when a CPU cools down again, so it is only the second choice.
    return _during("thermal_interrupts", "thermal interrupts")(change)


def _changed(change: HealthChange) -> str:
    old, new = settings_of(change.before), settings_of(change.after)
    words = [
        f"{label} from {old[label]} to {new[label]}"
        for label in old
        if label in new and old[label] != new[label]
    ]
    return f"changed during the run: {'; '.join(words)}" if words else ""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {number:g}" for key, number in sorted(value.items()))
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _stolen(change: HealthChange) -> str:
    share = change.stolen or 0.0
    if change.seconds < _LEAST_SECONDS or share <= _MOST_STOLEN:
        return ""
    seconds = change.rise("steal_seconds")
    return f"the hypervisor withheld {seconds:.1f} s of CPU time, {share:.1%} of the demand"


def _others(change: HealthChange) -> str:
    used, cpus = change.others or 0.0, change.after.cpus
    if change.seconds < _LEAST_SECONDS or not cpus or used <= _MOST_OF_OTHERS * cpus:
        return ""
    return f"other processes used {used:.2f} of {cpus} CPUs on average"


def _waited(kind: str, what: str) -> Callable[[HealthChange], str]:
    def seen(change: HealthChange) -> str:
        share = change.share("pressure_seconds", kind)
        if change.seconds < _LEAST_SECONDS or share <= _MOST_PRESSURE[kind]:
            return ""
        return f"tasks waited for {what} in {share:.0%} of the time ({kind} of PSI)"

    return seen


def _throttled(change: HealthChange) -> str:
    seconds = change.rise("quota_seconds")
    return f"a CPU quota stopped this process's group for {seconds:.1f} s" if seconds else ""


def _profiled(change: HealthChange) -> str:
    cpus, seconds = change.after.cpus, change.seconds
    if not cpus or seconds < _LEAST_SECONDS:
        return ""
    rate = change.rise("nmis") / seconds / cpus
    return f"{rate:.0f} non-maskable interrupts a second on each CPU" if rate > _MOST_NMIS else ""


def _governor(change: HealthChange) -> str:
    found = change.before.governors or {}
    slow = {name: number for name, number in found.items() if name != "performance"}
    total = sum(found.values())
    words = [f"{name} on {number} of {total}" for name, number in sorted(slow.items())]
    return f"the frequency governor is {', '.join(words)} CPUs" if words else ""


def _preference(change: HealthChange) -> str:
    found = change.before.energy_preference
    saves = found in ("power", "balance_power")
    return f"the energy performance preference is {found}" if saves else ""


def _no_turbo(change: HealthChange) -> str:
    return "turbo is switched off" if change.before.turbo is False else ""


def _swap(change: HealthChange) -> str:
    used = change.before.swap_used_bytes or 0
    return f"{used / 2**30:.1f} GiB of swap are in use" if used > _MOST_SWAP else ""


def _numa(change: HealthChange) -> str:
    if not change.before.numa_balancing:
        return ""
    moved = change.rise("numa_moved_pages")
    more = f" and moved {moved:.0f} pages during the run" if moved else ""
    return f"NUMA balancing is on{more}"


def _no_huge_pages(change: HealthChange) -> str:
    off = change.before.huge_pages == "never"
    return "transparent huge pages are switched off" if off else ""


_RULES = (
    _Rule(
        Severity.ERROR,
        _since_start("uncorrected_errors", "uncorrected memory errors"),
        "the memory is faulty, and what it holds may be wrong",
        "find the module with `ras-mc-ctl --errors` or in the BMC's log, have it replaced, and "
        "start the machine again",
    ),
    _Rule(
        Severity.ERROR,
        _since_start("machine_checks", "machine check exceptions", _SUMMED),
        "the hardware met an error that it could not correct",
        "find the part in `dmesg` or with `ras-mc-ctl --errors`, have it replaced, and start the "
        "machine again",
    ),
    _Rule(
        Severity.WARNING,
        _during("corrected_errors", "corrected memory errors"),
        "firmware that handles them stops cores meanwhile, and a module often begins to fail so",
        "watch the module that `ras-mc-ctl --errors` names; if it goes on, have it replaced",
    ),
    _Rule(
        Severity.WARNING,
        _during("corrected_checks", "interrupts for corrected machine checks"),
        "a part begins to fail, and each interrupt takes time from what is measured",
        "find the part in `dmesg` or with `ras-mc-ctl --errors` and watch it",
    ),
    _Rule(
        Severity.WARNING,
        _thermal,
        "a CPU that is too hot lowers its frequency",
        "check fans, heat sinks, air flow and the room's temperature, and run it again",
    ),
    _Rule(
        Severity.WARNING,
        _during("power_limit_events", "events of a power limit", _SUMMED),
        "a CPU at its power limit lowers its frequency, most of all under AMX",
        "compare the power limits (firmware, BMC, RAPL) with the processor's specification",
    ),
    _Rule(
        Severity.WARNING,
        _changed,
        "the parts of the run were not measured under the same conditions",
        "stop what changes settings (tuned, a power daemon, a job's prologue), and run it again",
    ),
    _Rule(
        Severity.WARNING,
        _stolen,
        "arms stood still while they were timed",
        "use a guest with CPUs of its own, or run it again when the host is quiet",
    ),
    _Rule(
        Severity.WARNING,
        _throttled,
        "a process that has used up its quota stands still",
        "lift the quota (`cpu.max` of the control group; docker: `--cpus`)",
    ),
    _Rule(
        Severity.WARNING,
        _others,
        "they share cores, caches, memory and power with what is measured",
        "stop what else runs here (`top`), and run it again",
    ),
    _Rule(
        Severity.WARNING,
        _waited("cpu some", "a CPU"),
        "more wanted to run than there are CPUs",
        "stop what else runs here, or run as many threads as there are cores",
    ),
    _Rule(
        Severity.WARNING,
        _waited("memory some", "memory"),
        "memory was short, and the kernel had to make room",
        "free memory or raise the memory limit, and run it again",
    ),
    _Rule(
        Severity.WARNING,
        _waited("io full", "disks"),
        "data, weights or compiled models came late",
        "use a local disk for data, caches and results",
    ),
    _Rule(
        Severity.WARNING,
        _during("swapped_pages", "pages were swapped"),
        "a page that comes back from disk takes longer than a whole step",
        "free memory or switch swap off (`swapoff -a`), and run it again",
    ),
    _Rule(
        Severity.WARNING,
        _profiled,
        "a profiler takes samples of all that runs",
        "stop `perf` and other profilers, and run it again",
    ),
    _Rule(
        Severity.WARNING,
        _during("smis", "system management interrupts"),
        "the firmware stopped all CPUs meanwhile",
        "switch off in the firmware what makes them (USB legacy support, power capping, polling of "
        "memory errors), and run it again",
    ),
    _Rule(
        Severity.NOTE,
        _earlier_corrections,
        "they were corrected, but a module that makes many of them begins to fail",
        "see which module it is with `ras-mc-ctl --errors`",
    ),
    _Rule(
        Severity.NOTE,
        _governor,
        "the frequency follows the load with a delay and may stay low",
        "`cpupower frequency-set -g performance`",
    ),
    _Rule(
        Severity.NOTE,
        _preference,
        "the processor saves power at the cost of frequency",
        "write performance to /sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference, "
        "or choose such a profile in the firmware",
    ),
    _Rule(
        Severity.NOTE,
        _no_turbo,
        "the CPUs stay at their base frequency",
        "write 0 to /sys/devices/system/cpu/intel_pstate/no_turbo or 1 to .../cpufreq/boost, or "
        "switch turbo on in the firmware",
    ),
    _Rule(
        Severity.NOTE,
        _swap,
        "memory was short before, and pages must come back from disk when they are used",
        "free memory, then `swapoff -a` and `swapon -a`",
    ),
    _Rule(
        Severity.NOTE,
        _numa,
        "the kernel unmaps pages to see who uses them and moves them between nodes",
        "`sysctl kernel.numa_balancing=0`; the suite places memory itself",
    ),
    _Rule(
        Severity.NOTE,
        _no_huge_pages,
        "large matrices then miss the TLB often",
        "`echo always > /sys/kernel/mm/transparent_hugepage/enabled`",
    ),
)
