"""Read the state of the machine from /proc and /sys: one row of ``_SOURCES`` for each field.

The suite reads it before the first test and after the last one, never while something is timed.
Sources: Linux Documentation, ABI/testing/sysfs-devices-edac, admin-guide/pm/intel_pstate.rst and
cpufreq.rst, admin-guide/thermal/intel_thermal_throttle.rst, accounting/psi.rst,
power/powercap/powercap.rst, filesystems/proc.rst,
ABI/testing/sysfs-bus-event_source-devices-events.
"""

from __future__ import annotations

__all__ = ["LABELS", "read_health", "read_identity"]

import functools
import glob
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from amx_suite.core.health import Health, Identity
from amx_suite.files import text_of
from amx_suite.host.limits import throttled_seconds
from amx_suite.host.perf import count_events

#: /proc/stat counts in USER_HZ, which is 100 on every x86 kernel (proc_stat(5)).
_TICKS_PER_SECOND = 100

#: The text of each file that could be read, by its path below the root.
Texts = Mapping[str, str]


class _Source(NamedTuple):
    """Where a field is: what a person calls it, patterns of paths, and how to read their texts.

    ``parse`` gets the texts of at least one file; None or an empty dict means not there, OSError
    that the kernel refuses it.
    """

    label: str
    patterns: tuple[str, ...]
    parse: Callable[[Texts], Any]


def _first(texts: Texts) -> str:
    return next(iter(texts.values()))


def _number(texts: Texts) -> int | None:
    return int(_first(texts)) if _first(texts).isdecimal() else None


def _each(texts: Texts) -> dict[str, int]:
    """Numbers by the name of the folder that their file is in."""
    return {Path(path).parent.name: int(t) for path, t in texts.items() if t.isdecimal()}


def _sum(texts: Texts) -> int | None:
    numbers = [int(text) for text in texts.values() if text.isdecimal()]
    return sum(numbers) if numbers else None


def _counted(texts: Texts) -> dict[str, int]:
    return dict(Counter(texts.values()))


def _uptime(texts: Texts) -> float | None:
    found = re.match(r"\d+(\.\d+)?", _first(texts))
    return float(found[0]) if found else None


def _interrupts(name: str) -> Callable[[Texts], int | None]:
    """The sum over CPUs of a named line of /proc/interrupts."""

    def parse(texts: Texts) -> int | None:
        # Named lines come last, and on a large machine the file has megabytes.
        _, found, rest = _first(texts).rpartition(f"{name}:")
        counts = re.match(r"[\d ]*", rest)
        return sum(map(int, counts[0].split())) if found and counts else None

    return parse


def _labelled(*names: str) -> Callable[[Texts], int | None]:
    """The sum of the lines of these names, as in /proc/vmstat; None without any."""

    def parse(texts: Texts) -> int | None:
        found = re.findall(rf"^(?:{'|'.join(names)}):?\s+(\d+)", _first(texts), re.MULTILINE)
        return sum(map(int, found)) if found else None

    return parse


def _available(texts: Texts) -> int | None:
    kib = _labelled("MemAvailable")(texts)
    return None if kib is None else kib << 10


def _swap_used(texts: Texts) -> int | None:
    total, free = _labelled("SwapTotal")(texts), _labelled("SwapFree")(texts)
    return None if total is None or free is None else total - free << 10


def _cpu_times(*columns: int) -> Callable[[Texts], float | None]:
    """Seconds of the columns of the first line of /proc/stat, summed."""

    def parse(texts: Texts) -> float | None:
        words = _first(texts).partition("\n")[0].split()[1:]
        if not all(word.isdecimal() for word in words) or len(words) <= max(columns):
            return None
        return sum(int(words[column]) for column in columns) / _TICKS_PER_SECOND

    return parse


def _cpus(texts: Texts) -> int | None:
    return len(re.findall(r"^cpu\d", _first(texts), re.MULTILINE)) or None


def _own(texts: Texts) -> float | None:
    # The name, in parentheses, may hold blanks; utime, stime, cutime and cstime are 14 to 17.
    words = _first(texts).rpartition(")")[2].split()[11:15]
    whole = len(words) == 4 and all(word.isdecimal() for word in words)
    return sum(map(int, words)) / _TICKS_PER_SECOND if whole else None


def _pressure(texts: Texts) -> dict[str, float]:
    return {
        f"{Path(path).name} {kind}": int(total) / 1e6
        for path, text in sorted(texts.items())
        for kind, total in re.findall(r"^(some|full) .*total=(\d+)", text, re.MULTILINE)
    }


def _turbo(texts: Texts) -> bool | None:
    """Intel's driver says whether turbo is off, all others whether it is on."""
    found = {Path(path).name: text for path, text in texts.items()}
    if "no_turbo" in found:
        return {"0": True, "1": False}.get(found["no_turbo"])
    return {"0": False, "1": True}.get(found["boost"])


def _chosen(texts: Texts) -> str | None:
    found = re.search(r"\[(\w+)\]", _first(texts))
    return found[1] if found else None


def _states_off(texts: Texts) -> tuple[str, ...]:
    """Names of the idle states that are switched off; the texts are of ``name`` and ``disable``."""
    states = sorted({str(Path(path).parent) for path in texts})
    off = [state for state in states if texts.get(f"{state}/disable") == "1"]
    return tuple(texts.get(f"{state}/name", Path(state).name) for state in off)


def _zone_names(texts: Texts) -> dict[str, str]:
    """Names of RAPL's packages by their folder; the zones inside a package have a second colon."""
    names = {str(Path(p).parent): text for p, text in texts.items() if p.endswith("/name")}
    return {folder: name for folder, name in names.items() if Path(folder).name.count(":") == 1}


def _power_limits(texts: Texts) -> dict[str, float]:
    found = {}
    for folder, zone in _zone_names(texts).items():
        for number in range(_RAPL_LIMITS):
            limit = texts.get(f"{folder}/constraint_{number}_power_limit_uw", "")
            term = texts.get(f"{folder}/constraint_{number}_name", str(number))
            if limit.isdecimal():
                found[f"{zone} {term}"] = int(limit) / 1e6
    return found


def _joules(leaf: str) -> Callable[[Texts], dict[str, float]]:
    def parse(texts: Texts) -> dict[str, float]:
        names = _zone_names(texts).items()
        found = {zone: texts.get(f"{folder}/{leaf}", "") for folder, zone in names}
        return {zone: int(text) / 1e6 for zone, text in found.items() if text.isdecimal()}

    return parse


def _smis(texts: Texts) -> int | None:
    """The count since the first reading, on one CPU, since an SMI stops all of them at once."""
    found = {Path(path).name: text for path, text in texts.items()}
    config = re.fullmatch(r"event=(0x[0-9a-f]+)", found.get("smi", ""))
    if config is None or not found.get("type", "").isdecimal():
        return None
    return count_events(int(found["type"]), int(config[1], 16))


_CPU = "sys/devices/system/cpu"
_EDAC = "sys/devices/system/edac/mc/mc[0-9]*"
_THROTTLE = f"{_CPU}/cpu[0-9]*/thermal_throttle"
_MSR = "sys/bus/event_source/devices/msr"
_RAPL = "sys/class/powercap/intel-rapl:[0-9]*"
#: Long term, short term and peak.
_RAPL_LIMITS = 3

_SOURCES = {
    "uptime_seconds": _Source("uptime", ("proc/uptime",), _uptime),
    "cpus": _Source("CPU times", ("proc/stat",), _cpus),
    "uncorrected_errors": _Source("memory errors (EDAC)", (f"{_EDAC}/ue_count",), _each),
    "corrected_errors": _Source("memory errors (EDAC)", (f"{_EDAC}/ce_count",), _each),
    "machine_checks": _Source("machine checks", ("proc/interrupts",), _interrupts("MCE")),
    "machine_check_polls": _Source("machine checks", ("proc/interrupts",), _interrupts("MCP")),
    # Named for AMD's interrupt; Intel's for corrected errors (CMCI) counts here too.
    "corrected_checks": _Source("machine checks", ("proc/interrupts",), _interrupts("THR")),
    "thermal_interrupts": _Source("thermal events", ("proc/interrupts",), _interrupts("TRM")),
    # Each CPU has the counts of its core and of its package.
    "thermal_throttles": _Source(
        "thermal throttling",
        (f"{_THROTTLE}/core_throttle_count", f"{_THROTTLE}/package_throttle_count"),
        _sum,
    ),
    "power_limit_events": _Source(
        "power limit events",
        (f"{_THROTTLE}/core_power_limit_count", f"{_THROTTLE}/package_power_limit_count"),
        _sum,
    ),
    "power_limits_watts": _Source(
        "power limits (RAPL)", (f"{_RAPL}/name", f"{_RAPL}/constraint_*"), _power_limits
    ),
    "energy_joules": _Source(
        "energy (RAPL)", (f"{_RAPL}/name", f"{_RAPL}/energy_uj"), _joules("energy_uj")
    ),
    "energy_range_joules": _Source(
        "power limits (RAPL)",
        (f"{_RAPL}/name", f"{_RAPL}/max_energy_range_uj"),
        _joules("max_energy_range_uj"),
    ),
    "governors": _Source(
        "frequency governor", (f"{_CPU}/cpufreq/policy[0-9]*/scaling_governor",), _counted
    ),
    # Of the first CPU only, because Intel's driver wakes the CPU to read it.
    "energy_preference": _Source(
        "energy performance preference",
        (f"{_CPU}/cpufreq/policy0/energy_performance_preference",),
        _first,
    ),
    "turbo": _Source("turbo", (f"{_CPU}/intel_pstate/no_turbo", f"{_CPU}/cpufreq/boost"), _turbo),
    "idle_driver": _Source("idle states", (f"{_CPU}/cpuidle/current_driver",), _first),
    "idle_states_off": _Source(
        "idle states",
        (f"{_CPU}/cpu0/cpuidle/state*/name", f"{_CPU}/cpu0/cpuidle/state*/disable"),
        _states_off,
    ),
    "available_bytes": _Source("memory and swap", ("proc/meminfo",), _available),
    "swap_used_bytes": _Source("memory and swap", ("proc/meminfo",), _swap_used),
    "swapped_pages": _Source("swapped pages", ("proc/vmstat",), _labelled("pswpin", "pswpout")),
    "numa_balancing": _Source("NUMA balancing", ("proc/sys/kernel/numa_balancing",), _number),
    "numa_moved_pages": _Source(
        "NUMA balancing", ("proc/vmstat",), _labelled("numa_pages_migrated")
    ),
    "huge_pages": _Source(
        "transparent huge pages", ("sys/kernel/mm/transparent_hugepage/enabled",), _chosen
    ),
    # All columns but idle, iowait and steal; guests' time is in user and nice already.
    "busy_seconds": _Source("CPU times", ("proc/stat",), _cpu_times(0, 1, 2, 5, 6)),
    "own_seconds": _Source("CPU times", ("proc/self/stat",), _own),
    "steal_seconds": _Source("CPU times", ("proc/stat",), _cpu_times(7)),
    "pressure_seconds": _Source("pressure (PSI)", ("proc/pressure/*",), _pressure),
    "nmis": _Source("non-maskable interrupts", ("proc/interrupts",), _interrupts("NMI")),
    "smis": _Source("system management interrupts", (f"{_MSR}/type", f"{_MSR}/events/smi"), _smis),
}

#: What a person calls each field.
LABELS = {name: source.label for name, source in _SOURCES.items()}


def read_health(root: Path = Path("/")) -> Health:
    """Read every field; what is not there, or goes away meanwhile, is None.

    On 448 CPUs these are some 2,300 small files.
    """

    @functools.cache
    def read(path: str) -> str:
        return text_of(Path(f"{root}/{path}"))

    @functools.cache
    def listed(pattern: str) -> list[str]:
        return glob.glob(pattern, root_dir=root)  # noqa: PTH207 - no error if a folder goes away

    def paths_of(pattern: str) -> list[str]:
        # Only folders are listed: a thousand look-ups of files that are opened anyway take long.
        front, star, rest = pattern.rpartition("*")
        return [f"{path}{rest}" for path in listed(front + star)] if star else [pattern]

    found: dict[str, Any] = {}
    unreadable = []
    for name, source in _SOURCES.items():
        paths = [path for pattern in source.patterns for path in paths_of(pattern)]
        texts = {path: text for path in paths if (text := read(path))}
        try:
            value = source.parse(texts) if texts else None
        except OSError:
            unreadable.append(name)
            continue
        if value is not None and value != {}:
            found[name] = value
        elif any(_is_closed(root / path) for path in paths if path not in texts):
            unreadable.append(name)
    return Health(**found, quota_seconds=throttled_seconds(root), unreadable=tuple(unreadable))


def _is_closed(path: Path) -> bool:
    """Whether a file that gave no text is there."""
    try:
        return path.exists()
    except OSError:
        # Its folder may not even be searched.
        return True


def read_identity(root: Path = Path("/")) -> Identity:
    """Read what names the machine; the serial number is for root only on most machines."""
    dmi = root / "sys/class/dmi/id"
    return Identity(
        host_name=text_of(root / "proc/sys/kernel/hostname") or None,
        vendor=text_of(dmi / "sys_vendor") or None,
        product=text_of(dmi / "product_name") or None,
        serial_number=text_of(dmi / "product_serial") or None,
        firmware_version=text_of(dmi / "bios_version") or None,
        firmware_date=text_of(dmi / "bios_date") or None,
    )
