"""Quotas and memory limits of control groups, in every layout that people run in."""

from __future__ import annotations

from pathlib import Path

import pytest

from amx_suite.child.limits import oom_kills
from amx_suite.host.limits import Limits, memory_left, read_limits, throttled_seconds

pytestmark = pytest.mark.selftest

_MOUNT_2 = "31 23 0:28 {top} /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
_MOUNT_1 = "32 23 0:{number} {top} /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}"


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def _version_2(path: str = "/", top: str = "/", **files: str) -> dict[str, str]:
    """A process in the group ``path``; ``files`` are by name with ``__`` for a slash."""
    found = {f"sys/fs/cgroup/{k.replace('__', '/')}": v for k, v in files.items()}
    return {
        "proc/self/cgroup": f"0::{path}",
        "proc/self/mountinfo": _MOUNT_2.format(top=top),
        **found,
    }


def _version_1(path: str, top: str = "/") -> dict[str, str]:
    names = enumerate(("cpu,cpuacct", "memory"), start=1)
    mounts = [_MOUNT_1.format(number=n, top=top, name=name) for n, name in names]
    return {
        "proc/self/cgroup": f"2:memory:{path}\n1:cpu,cpuacct:{path}\n0::/",
        "proc/self/mountinfo": "\n".join(mounts),
    }


_CPU_1 = "sys/fs/cgroup/cpu,cpuacct"
_MEMORY_1 = "sys/fs/cgroup/memory"

LAYOUTS = {
    "no files": ({}, Limits()),
    "no limit": (_version_2(**{"cpu.max": "max 100000", "memory.max": "max"}), Limits()),
    "one and a half CPUs": (_version_2(**{"cpu.max": "150000 100000"}), Limits(cpus=1.5)),
    "half a CPU of a short period": (_version_2(**{"cpu.max": "5000 10000"}), Limits(cpus=0.5)),
    "a tighter ancestor": (
        _version_2(
            "/slice/unit",
            **{
                "slice__cpu.max": "200000 100000",
                "slice__unit__cpu.max": "800000 100000",
                "slice__unit__memory.max": "1073741824",
                "slice__memory.max": "2147483648",
            },
        ),
        Limits(cpus=2.0, memory_bytes=1 << 30),
    ),
    "a container that sees the host's path": (
        _version_2("/docker/abc", "/docker/abc", **{"cpu.max": "400000 100000"}),
        Limits(cpus=4.0),
    ),
    "a path above the namespace": (
        _version_2("/../../other", **{"cpu.max": "300000 100000"}),
        Limits(cpus=3.0),
    ),
    "version 1": (
        {
            **_version_1("/jobs/7"),
            f"{_CPU_1}/jobs/7/cpu.cfs_quota_us": "-1",
            f"{_CPU_1}/jobs/7/cpu.cfs_period_us": "100000",
            f"{_CPU_1}/jobs/cpu.cfs_quota_us": "250000",
            f"{_CPU_1}/jobs/cpu.cfs_period_us": "100000",
            f"{_MEMORY_1}/jobs/7/memory.limit_in_bytes": "4294967296",
            f"{_MEMORY_1}/memory.limit_in_bytes": "9223372036854771712",
        },
        Limits(cpus=2.5, memory_bytes=4 << 30),
    ),
    "version 1 in a container": (
        {
            **_version_1("/docker/abc", "/docker/abc"),
            f"{_CPU_1}/cpu.cfs_quota_us": "50000",
            f"{_CPU_1}/cpu.cfs_period_us": "100000",
        },
        Limits(cpus=0.5),
    ),
    "memory of two nodes": (
        {"proc/self/status": "Name:\tx\nMems_allowed_list:\t0,2-3"},
        Limits(memory_nodes=(0, 2, 3)),
    ),
    "garbage": (_version_2(**{"cpu.max": "many of them", "memory.max": ""}), Limits()),
}


@pytest.mark.parametrize(("files", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_tightest_limit_counts(tmp_path: Path, files: dict[str, str], expected: Limits) -> None:
    assert read_limits(_write(tmp_path, files)) == expected


def test_memory_left_in_both_versions(tmp_path: Path) -> None:
    files = {
        "memory.max": str(8 << 30),
        "memory.current": str(6 << 30),
        "memory.stat": f"anon 1\ninactive_file {1 << 30}",
    }
    assert memory_left(_write(tmp_path / "new", _version_2(**files))) == 3 << 30
    old = {
        **_version_1("/"),
        f"{_MEMORY_1}/memory.limit_in_bytes": str(4 << 30),
        f"{_MEMORY_1}/memory.usage_in_bytes": str(1 << 30),
    }
    assert memory_left(_write(tmp_path / "old", old)) == 3 << 30
    assert memory_left(_write(tmp_path / "free", _version_2(**{"memory.max": "max"}))) is None


def test_throttling_in_both_versions(tmp_path: Path) -> None:
    stat = "nr_periods 9\nnr_throttled 2\nthrottled_usec 1500000"
    new = _write(tmp_path / "new", _version_2(**{"cpu.stat": stat}))
    assert throttled_seconds(new) == pytest.approx(1.5)
    old = {**_version_1("/"), f"{_CPU_1}/cpu.stat": "nr_throttled 2\nthrottled_time 250000000"}
    assert throttled_seconds(_write(tmp_path / "old", old)) == pytest.approx(0.25)
    assert throttled_seconds(tmp_path / "none") == 0.0


def test_kills_for_memory_in_both_versions(tmp_path: Path) -> None:
    machine = {"proc/vmstat": "nr_free_pages 9\noom_kill 7"}
    new = _version_2(**{"memory.events": "oom 3\noom_kill 2\noom_group_kill 0"})
    assert oom_kills(_write(tmp_path / "new", machine | new)) == 2
    old = {**_version_1("/"), f"{_MEMORY_1}/memory.oom_control": "under_oom 0\noom_kill 1"}
    assert oom_kills(_write(tmp_path / "old", machine | old)) == 1
    assert oom_kills(_write(tmp_path / "machine", machine)) == 7
    assert oom_kills(tmp_path / "none") == 0


def test_this_machine_can_be_read() -> None:
    found = read_limits()
    assert found.cpus is None or found.cpus > 0
    assert throttled_seconds() >= 0
