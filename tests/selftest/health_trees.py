"""Trees of /proc and /sys files, as text by path, for the selftests of the machine's health.

``guest`` was recorded on a KVM guest of 2 CPUs (Linux 6.18, /proc/vmstat and others cut to the
lines that are read). ``server`` is made up in the formats of the kernel's documentation: a server
with two packages of two CPUs, nearly everything readable and nothing wrong.
"""

from __future__ import annotations

__all__ = ["SMIS", "guest", "later", "server", "write"]

import json
from pathlib import Path
from unittest import mock

from amx_suite.core.health import Health
from amx_suite.host import snapshot
from amx_suite.host.snapshot import read_health
from amx_suite.host.topology import text_of

Tree = dict[str, str]

#: Stands in for the kernel's count of SMIs, which is in no file.
SMIS = "smis"

_GUEST = Path(__file__).with_name("host") / "health" / "guest.json"
_CPU = "sys/devices/system/cpu"
_MSR = "sys/bus/event_source/devices/msr"
_INTERRUPTS = """\
            CPU0       CPU1       CPU2       CPU3
   8:          0          0          1          0  IR-IO-APIC    8-edge      rtc0
 NMI:         10         10         11         11   Non-maskable interrupts
 TRM:          0          0          0          0   Thermal event interrupts
 THR:          0          0          0          0   Threshold APIC interrupts
 MCE:          0          0          0          0   Machine check exceptions
 MCP:         30         30         30         30   Machine check polls
 ERR:          0
"""
_STAT = """\
cpu  {user} 0 1000 900000 50 20 30 {steal} 0 0
cpu0 1 0 1 1 0 0 0 0 0 0
cpu1 1 0 1 1 0 0 0 0 0 0
cpu2 1 0 1 1 0 0 0 0 0 0
cpu3 1 0 1 1 0 0 0 0 0 0
btime 1700000000
"""
_SELF = "4711 (py test) x) S 1 1 1 0 -1 0 9 9 9 9 {user} 50 {children} 25 20 0 1 0 100 1 1"


def guest() -> Tree:
    """What a KVM guest shows."""
    found: Tree = json.loads(_GUEST.read_text(encoding="utf-8"))
    return found


def server() -> Tree:
    """A quiet bare-metal server, set up for measuring."""
    tree = {
        "proc/uptime": "5000.00 18000.00",
        "proc/interrupts": _INTERRUPTS,
        "proc/stat": stat(),
        "proc/self/stat": own(),
        "proc/meminfo": "MemAvailable:   3000 kB\nSwapTotal: 10 kB\nSwapFree: 10 kB",
        "proc/vmstat": "numa_pages_migrated 70\npswpin 5\npswpout 6\n",
        "proc/sys/kernel/numa_balancing": "0",
        "proc/sys/kernel/hostname": "node7",
        "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
        f"{_CPU}/intel_pstate/no_turbo": "0",
        f"{_CPU}/cpuidle/current_driver": "intel_idle",
        f"{_CPU}/cpu0/cpuidle/state0/name": "POLL",
        f"{_CPU}/cpu0/cpuidle/state0/disable": "0",
        f"{_CPU}/cpu0/cpuidle/state1/name": "C1",
        f"{_CPU}/cpu0/cpuidle/state1/disable": "0",
        f"{_CPU}/cpufreq/policy0/energy_performance_preference": "performance",
        f"{_MSR}/type": "10",
        f"{_MSR}/events/smi": "event=0x04",
        "sys/class/dmi/id/bios_version": "1.2.3",
        "sys/class/dmi/id/bios_date": "05/17/2026",
        "sys/class/dmi/id/sys_vendor": "Maker",
        "sys/class/dmi/id/product_name": "Server 1",
        "sys/class/dmi/id/product_serial": "",
    }
    for kind in ("cpu", "memory", "io"):
        tree[f"proc/pressure/{kind}"] = pressure()
    for number in (0, 1):
        zone = f"sys/class/powercap/intel-rapl:{number}"
        tree |= {
            f"sys/devices/system/edac/mc/mc{number}/ce_count": "0",
            f"sys/devices/system/edac/mc/mc{number}/ue_count": "0",
            f"{zone}/name": f"package-{number}",
            f"{zone}/energy_uj": "261000000000",
            f"{zone}/max_energy_range_uj": "262143328850",
            f"{zone}/constraint_0_name": "long_term",
            f"{zone}/constraint_0_power_limit_uw": "350000000",
            f"{zone}/constraint_1_name": "short_term",
            f"{zone}/constraint_1_power_limit_uw": "420000000",
            # A zone inside the package.
            f"{zone}:0/name": "dram",
            f"{zone}:0/energy_uj": "5",
            f"{zone}:0/constraint_0_power_limit_uw": "0",
        }
    for cpu in range(4):
        tree[f"{_CPU}/cpufreq/policy{cpu}/scaling_governor"] = "performance"
        for leaf in (
            "core_throttle",
            "package_throttle",
            "core_power_limit",
            "package_power_limit",
        ):
            tree[f"{_CPU}/cpu{cpu}/thermal_throttle/{leaf}_count"] = "3"
    return tree


def stat(*, user: int = 2000, steal: int = 0) -> str:
    """/proc/stat with so many ticks of 10 ms."""
    return _STAT.format(user=user, steal=steal)


def own(*, user: int = 100, children: int = 100) -> str:
    """/proc/self/stat of a process whose name holds blanks and parentheses."""
    return _SELF.format(user=user, children=children)


def pressure(some: float = 1.0, full: float = 0.5) -> str:
    """One file of /proc/pressure, with so many seconds."""
    line = "{} avg10=0.00 avg60=0.00 avg300=0.00 total={:.0f}\n"
    return line.format("some", some * 1e6) + line.format("full", full * 1e6)


def later() -> Tree:
    """The server's files that are others a minute later: the suite has used two of its CPUs."""
    return {
        "proc/uptime": "5060.00 18000.00",
        "proc/stat": stat(user=2000 + 12000),
        "proc/self/stat": own(children=100 + 12000),
    }


def write(root: Path, tree: Tree) -> Health:
    """Write the files under the root, then read them."""
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    count = text_of(root / SMIS)
    with mock.patch.object(snapshot, "count_events", return_value=int(count or 0)):
        return read_health(root)
