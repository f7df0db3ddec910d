"""Each rule on the machine's health: seen to fire and not to fire, on trees of files."""

from __future__ import annotations

from pathlib import Path

import health_trees as trees
import msgspec
import pytest

from amx_suite.core.finding import Finding, Severity
from amx_suite.core.health import Health
from amx_suite.host import health_rules
from amx_suite.host.health_rules import judge_health, judge_run

pytestmark = pytest.mark.selftest

_CPU = "sys/devices/system/cpu"
_MC1 = "sys/devices/system/edac/mc/mc1"
_SWAP = "MemAvailable: 9 kB\nSwapTotal: 8388608 kB\nSwapFree: {} kB"
_INTERRUPTS = trees.server()["proc/interrupts"]
_STOPPED = "sys/fs/cgroup/cpu.stat"
_QUOTA = {
    "proc/self/cgroup": "0::/",
    "proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    _STOPPED: "throttled_usec 250000",
}


def _interrupts(name: str, count: int) -> dict[str, str]:
    """The line of that name with the count on its last CPU."""
    lines = [
        f"{name}: 0 0 0 {count}  Text" if line.lstrip().startswith(f"{name}:") else line
        for line in _INTERRUPTS.splitlines()
    ]
    return {"proc/interrupts": "\n".join(lines)}


def _throttled(leaf: str, count: int) -> dict[str, str]:
    return {f"{_CPU}/cpu2/thermal_throttle/{leaf}": str(count)}


#: What differs in a reading, how bad it is, and words of the finding.
STANDING = {
    "uncorrected": (
        {f"{_MC1}/ue_count": "2"},
        Severity.ERROR,
        "uncorrected memory errors since the machine started (2): the memory is faulty",
    ),
    "machine check": (
        _interrupts("MCE", 1),
        Severity.ERROR,
        "machine check exceptions since the machine started (1, summed over the CPUs)",
    ),
    "corrected": (
        {f"{_MC1}/ce_count": "40"},
        Severity.NOTE,
        "corrected memory errors since the machine started (40)",
    ),
    "governor": (
        {f"{_CPU}/cpufreq/policy3/scaling_governor": "powersave"},
        Severity.NOTE,
        "the frequency governor is powersave on 1 of 4 CPUs",
    ),
    "energy preference": (
        {f"{_CPU}/cpufreq/policy0/energy_performance_preference": "balance_power"},
        Severity.NOTE,
        "the energy performance preference is balance_power",
    ),
    "turbo": ({f"{_CPU}/intel_pstate/no_turbo": "1"}, Severity.NOTE, "turbo is switched off"),
    "swap": (
        {"proc/meminfo": _SWAP.format(8388608 - 1572864)},
        Severity.NOTE,
        "1.5 GiB of swap are in use",
    ),
    "NUMA balancing": (
        {"proc/sys/kernel/numa_balancing": "1"},
        Severity.NOTE,
        "NUMA balancing is on:",
    ),
    "huge pages": (
        {"sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]"},
        Severity.NOTE,
        "transparent huge pages are switched off",
    ),
}

#: What differs after the run from a run with no finding.
DURING = {
    "SMIs": (
        {trees.SMIS: "3"},
        Severity.WARNING,
        "system management interrupts during the run (3): the firmware stopped all CPUs",
    ),
    "uncorrected": (
        {f"{_MC1}/ue_count": "1"},
        Severity.ERROR,
        "uncorrected memory errors since the machine started (1, 1 of them during the run)",
    ),
    "machine check": (
        _interrupts("MCE", 2),
        Severity.ERROR,
        "since the machine started (2, 2 of them during the run, summed over the CPUs)",
    ),
    "corrected": (
        {f"{_MC1}/ce_count": "3"},
        Severity.WARNING,
        "corrected memory errors during the run (3, mc1)",
    ),
    "corrected check": (
        _interrupts("THR", 4),
        Severity.WARNING,
        "interrupts for corrected machine checks during the run (4)",
    ),
    "core throttled": (
        _throttled("core_throttle_count", 10),
        Severity.WARNING,
        "events of thermal throttling during the run (7, summed over the CPUs)",
    ),
    "package throttled": (
        _throttled("package_throttle_count", 4),
        Severity.WARNING,
        "events of thermal throttling during the run (1,",
    ),
    "power limit": (
        _throttled("package_power_limit_count", 5),
        Severity.WARNING,
        "events of a power limit during the run (2,",
    ),
    "stolen": (
        {"proc/stat": trees.stat(user=14000, steal=500)},
        Severity.WARNING,
        "the hypervisor withheld 5.0 s of CPU time, 4.0% of the demand",
    ),
    "others": (
        {"proc/stat": trees.stat(user=14000 + 3000)},
        Severity.WARNING,
        "other processes used 0.50 of 4 CPUs on average",
    ),
    "waited for a CPU": (
        {"proc/pressure/cpu": trees.pressure(some=31.0)},
        Severity.WARNING,
        "tasks waited for a CPU in 50% of the time (cpu some of PSI)",
    ),
    "waited for memory": (
        {"proc/pressure/memory": trees.pressure(some=4.0)},
        Severity.WARNING,
        "tasks waited for memory in 5% of the time",
    ),
    "waited for disks": (
        {"proc/pressure/io": trees.pressure(some=31.0, full=12.5)},
        Severity.WARNING,
        "tasks waited for disks in 20% of the time",
    ),
    "swapped": (
        {"proc/vmstat": "numa_pages_migrated 70\npswpin 5\npswpout 1006\n"},
        Severity.WARNING,
        "pages were swapped during the run (1000)",
    ),
    "quota": (
        {_STOPPED: "throttled_usec 1750000"},
        Severity.WARNING,
        "a CPU quota stopped this process's group for 1.5 s",
    ),
    "profiler": (
        _interrupts("NMI", 42 + 60 * 4 * 99),
        Severity.WARNING,
        "99 non-maskable interrupts a second on each CPU",
    ),
    "governor": (
        {f"{_CPU}/cpufreq/policy{cpu}/scaling_governor": "powersave" for cpu in range(4)},
        Severity.WARNING,
        "changed during the run: frequency governor from performance 4 to powersave 4",
    ),
    "turbo": (
        {f"{_CPU}/intel_pstate/no_turbo": "1"},
        Severity.WARNING,
        "changed during the run: turbo from on to off",
    ),
    "idle states": (
        {f"{_CPU}/cpu0/cpuidle/state1/disable": "1"},
        Severity.WARNING,
        "idle states switched off from none to C1",
    ),
    "power limits": (
        {"sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw": "200000000"},
        Severity.WARNING,
        "package-0 long_term 200",
    ),
}


def _run(root: Path, changes: trees.Tree, before: trees.Tree | None = None) -> tuple[Finding, ...]:
    first = trees.server() | (before or {})
    read = trees.write(root, first)
    return judge_health(read, trees.write(root, trees.later() | changes))


def test_good_server_has_no_finding(tmp_path: Path) -> None:
    assert judge_health(trees.write(tmp_path, trees.server())) == ()
    assert _run(tmp_path, {}) == ()
    assert judge_run(trees.write(tmp_path / "all", trees.server()), None) == ()


@pytest.mark.parametrize(("files", "severity", "words"), STANDING.values(), ids=STANDING)
def test_standing_fault_is_found(
    tmp_path: Path, files: trees.Tree, severity: Severity, words: str
) -> None:
    (found,) = judge_health(trees.write(tmp_path, trees.server() | files))
    assert found.severity is severity
    assert words in found.sentence
    assert found.remedy
    # Over a run in which nothing changes it is the same finding.
    assert _run(tmp_path / "run", {}, files) == (found,)


@pytest.mark.parametrize(("files", "severity", "words"), DURING.values(), ids=DURING)
def test_change_during_run_is_found(
    tmp_path: Path, files: trees.Tree, severity: Severity, words: str
) -> None:
    (found,) = _run(tmp_path, files, _QUOTA)
    assert found.severity is severity
    assert words in found.sentence
    assert found.remedy


def test_every_rule_is_in_the_tables(tmp_path: Path) -> None:
    everything: trees.Tree = {}
    for files, _, _ in STANDING.values():
        everything |= files
    seen = [finding.sentence for finding in judge_health(trees.write(tmp_path, everything))]
    for number, (files, _, _) in enumerate(DURING.values()):
        seen += [finding.sentence for finding in _run(tmp_path / str(number), files, _QUOTA)]
    for rule in health_rules._RULES:
        assert any(sentence.endswith(rule.why) for sentence in seen), rule.why


@pytest.mark.parametrize(
    "files",
    [
        _interrupts("MCP", 160),
        _interrupts("NMI", 100),
        # Throttling is counted here, so this interrupt says nothing more.
        _interrupts("TRM", 9),
        {"proc/stat": trees.stat(user=14000 + 600, steal=100)},
        {"proc/pressure/cpu": trees.pressure(some=15.0)},
        {"proc/pressure/io": trees.pressure(some=60.0, full=3.0)},
        {"proc/vmstat": "numa_pages_migrated 900\npswpin 5\npswpout 6\n"},
        {"proc/meminfo": _SWAP.format(8388608 - 1024)},
    ],
    ids=["polls", "watchdog", "heat", "housekeeping", "cpu", "disk", "moves", "a little swap"],
)
def test_ordinary_change_is_no_finding(tmp_path: Path, files: trees.Tree) -> None:
    assert _run(tmp_path, files) == ()


@pytest.mark.parametrize(
    "reset",
    [
        _interrupts("MCE", 0) | {f"{_MC1}/ue_count": "0", f"{_MC1}/ce_count": "0"},
        {"proc/stat": trees.stat(user=0), "proc/vmstat": "pswpin 0\npswpout 0"},
        {"proc/pressure/cpu": trees.pressure(0, 0), "proc/uptime": "3.0 1.0"},
    ],
    ids=["faults", "times", "restart"],
)
def test_reset_counter_is_no_event(tmp_path: Path, reset: trees.Tree) -> None:
    before = {f"{_MC1}/ce_count": "9", "proc/vmstat": "pswpin 50\npswpout 60"}
    sentences = [finding.sentence for finding in _run(tmp_path, reset, before)]
    assert not [text for text in sentences if "-" in text.replace("non-", "")]
    assert not [text for text in sentences if "during the run" in text]


def test_cpu_that_comes_online_counts_once(tmp_path: Path) -> None:
    fewer = trees.stat().replace("cpu3 1 0 1 1 0 0 0 0 0 0\n", "")
    hot = {f"{_CPU}/cpu3/thermal_throttle/core_throttle_count": "900"}
    (found,) = _run(tmp_path, hot, {"proc/stat": fewer})
    assert "changed during the run: CPUs online from 3 to 4" in found.sentence


def test_moves_are_part_of_the_note(tmp_path: Path) -> None:
    moved = {"proc/vmstat": "numa_pages_migrated 170\npswpin 5\npswpout 6\n"}
    (found,) = _run(tmp_path, moved, {"proc/sys/kernel/numa_balancing": "1"})
    assert "NUMA balancing is on and moved 100 pages during the run" in found.sentence


def test_heat_without_counts_of_throttling() -> None:
    before = Health(cpus=2, thermal_interrupts=1)
    (found,) = judge_health(before, msgspec.structs.replace(before, thermal_interrupts=3))
    assert "thermal interrupts during the run (2)" in found.sentence


def test_worst_finding_comes_first(tmp_path: Path) -> None:
    before = {f"{_CPU}/intel_pstate/no_turbo": "1"}
    after = {f"{_MC1}/ue_count": "1", f"{_MC1}/ce_count": "1"}
    found = _run(tmp_path, before | after, before)
    assert [finding.severity for finding in found] == ["error", "warning", "note"]


def test_unread_is_said_in_one_note(tmp_path: Path) -> None:
    (note,) = judge_run(trees.write(tmp_path, trees.guest()), None)
    assert note.severity is Severity.NOTE
    assert note.sentence.startswith(
        "not read, so not judged: memory errors (EDAC), machine checks,"
    )
    assert "as is usual in a guest" in note.sentence
    assert "pressure (PSI)" not in note.sentence
    assert "may not read" not in note.sentence


def test_unread_names_what_needs_root(tmp_path: Path) -> None:
    tree = trees.server()
    tree |= {name: "" for name in tree if name.endswith("energy_uj")}
    (note,) = judge_run(trees.write(tmp_path, tree), None)
    assert note.sentence == "not read, so not judged: energy (RAPL) (this user may not read it)"


def test_empty_reading_judges_nothing() -> None:
    assert judge_health(Health(), Health()) == ()
    (note,) = judge_run(Health(), None)
    assert "CPU times" in note.sentence
