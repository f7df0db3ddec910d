"""Health and identity read from trees of files: all there, little there, gone, garbled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import health_trees as trees
import msgspec
import pytest

from amx_suite.core.health import Health, HealthChange, Identity
from amx_suite.host import snapshot
from amx_suite.host.snapshot import LABELS, read_health, read_identity

pytestmark = pytest.mark.selftest


def test_server_shows_every_field(tmp_path: Path) -> None:
    assert trees.write(tmp_path, trees.server()) == Health(
        uptime_seconds=5000.0,
        cpus=4,
        uncorrected_errors={"mc0": 0, "mc1": 0},
        corrected_errors={"mc0": 0, "mc1": 0},
        machine_checks=0,
        machine_check_polls=120,
        corrected_checks=0,
        thermal_interrupts=0,
        thermal_throttles=24,
        power_limit_events=24,
        power_limits_watts={
            f"package-{number} {term}": watts
            for number in (0, 1)
            for term, watts in (("long_term", 350.0), ("short_term", 420.0))
        },
        energy_joules={"package-0": 261000.0, "package-1": 261000.0},
        energy_range_joules={"package-0": 262143.32885, "package-1": 262143.32885},
        governors={"performance": 4},
        energy_preference="performance",
        turbo=True,
        idle_driver="intel_idle",
        idle_states_off=(),
        available_bytes=3000 << 10,
        swap_used_bytes=0,
        swapped_pages=11,
        numa_balancing=0,
        numa_moved_pages=70,
        huge_pages="always",
        busy_seconds=30.5,
        own_seconds=2.75,
        steal_seconds=0.0,
        quota_seconds=0.0,
        pressure_seconds={
            f"{kind} {who}": seconds
            for kind in ("cpu", "memory", "io")
            for who, seconds in (("some", 1.0), ("full", 0.5))
        },
        nmis=42,
        smis=0,
    )


def test_guest_shows_little(tmp_path: Path) -> None:
    found = trees.write(tmp_path, trees.guest())
    assert found.cpus == 2
    assert found.idle_driver == "none"
    assert found.huge_pages == "madvise"
    assert found.thermal_interrupts == 0
    assert found.steal_seconds == pytest.approx(142.66)
    for name in ("uncorrected_errors", "machine_checks", "governors", "turbo", "energy_joules"):
        assert getattr(found, name) is None
    assert found.unreadable == ()


def test_nothing_is_there(tmp_path: Path) -> None:
    assert read_health(tmp_path) == Health(quota_seconds=0.0)
    assert read_identity(tmp_path) == Identity()


def test_garbage_is_none(tmp_path: Path) -> None:
    found = trees.write(tmp_path, dict.fromkeys(trees.server(), "what?"))
    assert trees.write(tmp_path / "own", {"proc/self/stat": "1 (x) " + "a " * 50}) == Health(
        quota_seconds=0.0
    )
    assert found == Health(
        quota_seconds=0.0,
        governors={"what?": 4},
        energy_preference="what?",
        idle_driver="what?",
        idle_states_off=(),
    )


def test_closed_file_is_told_from_none(tmp_path: Path) -> None:
    tree = trees.server()
    closed = {name: "" for name in tree if name.endswith("energy_uj")}
    found = trees.write(tmp_path, tree | closed)
    assert found.energy_joules is None
    assert found.unreadable == ("energy_joules",)


def test_refused_count_is_told_from_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: int, config: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(snapshot, "count_events", refuse)
    trees.write(tmp_path, trees.server())
    found = read_health(tmp_path)
    assert (found.smis, found.unreadable) == (None, ("smis",))


def test_hidden_folder_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    assert "huge_pages" in read_health(tmp_path).unreadable


def test_file_goes_away_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = trees.write(tmp_path, trees.server())
    real = snapshot.text_of

    def vanishing(path: Path) -> str:
        if "edac" in path.parts:
            path.unlink(missing_ok=True)
        return real(path)

    monkeypatch.setattr(snapshot, "text_of", vanishing)
    assert read_health(tmp_path) == msgspec.structs.replace(
        full, corrected_errors=None, uncorrected_errors=None
    )


@pytest.mark.parametrize(
    ("files", "turbo"),
    [
        ({"intel_pstate/no_turbo": "1", "cpufreq/boost": "1"}, False),
        ({"intel_pstate/no_turbo": "0"}, True),
        ({"cpufreq/boost": "1"}, True),
        ({"cpufreq/boost": "0"}, False),
        ({}, None),
    ],
)
def test_either_driver_tells_turbo(
    tmp_path: Path, files: dict[str, str], turbo: bool | None
) -> None:
    tree = {f"sys/devices/system/cpu/{name}": text for name, text in files.items()}
    assert trees.write(tmp_path, tree).turbo is turbo


def test_idle_state_that_is_off(tmp_path: Path) -> None:
    state = "sys/devices/system/cpu/cpu0/cpuidle/state1"
    tree = trees.server() | {f"{state}/disable": "1"}
    assert trees.write(tmp_path, tree).idle_states_off == ("C1",)


def test_every_field_has_its_name() -> None:
    fields = set(Health.__struct_fields__)
    assert set(LABELS) == fields - {"quota_seconds", "unreadable"}


def test_identity_without_serial_number(tmp_path: Path) -> None:
    trees.write(tmp_path, trees.server())
    assert read_identity(tmp_path) == Identity(
        host_name="node7",
        vendor="Maker",
        product="Server 1",
        serial_number=None,
        firmware_version="1.2.3",
        firmware_date="05/17/2026",
    )


def test_counters_never_run_backwards() -> None:
    before = Health(
        cpus=4, machine_checks=5, corrected_errors={"mc0": 7, "mc1": 1}, swapped_pages=9
    )
    reset = Health(cpus=4, machine_checks=0, corrected_errors={"mc0": 0, "mc1": 3}, swapped_pages=0)
    change = HealthChange(before, reset)
    assert change.rise("machine_checks") == 0
    assert change.rise("swapped_pages") == 0
    assert change.rises("corrected_errors") == {"mc1": 2}
    assert HealthChange(before, Health()).rise("corrected_errors") == 0


def test_sums_over_other_cpus_say_nothing() -> None:
    plugged = HealthChange(Health(cpus=3, machine_checks=0), Health(cpus=4, machine_checks=1))
    assert plugged.rise("machine_checks") == 0
    same = HealthChange(Health(cpus=4, machine_checks=0), Health(cpus=4, machine_checks=1))
    assert same.rise("machine_checks") == 1


def test_energy_counter_that_began_again(tmp_path: Path) -> None:
    tree = trees.server()
    before = trees.write(tmp_path / "before", tree)
    zone = "sys/class/powercap/intel-rapl:0"
    wrapped = tree | trees.later() | {f"{zone}/energy_uj": "10856671150"}
    after = trees.write(tmp_path / "after", wrapped)
    assert HealthChange(before, after).mean_watts()["package-0"] == pytest.approx(200.0)
    # In so long a run it may have begun again twice.
    long = msgspec.structs.replace(after, uptime_seconds=6000.0)
    assert HealthChange(before, long).mean_watts() == {}
    assert HealthChange(before, before).mean_watts() == {}


def test_this_machine_can_be_read() -> None:
    first = read_health()
    # A grandchild that uses CPU time, as workers' compilers do.
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run(["sh", "-c", '"$0" -c "$1"; exit 0', sys.executable, burn], check=True)
    change = HealthChange(first, read_health())
    assert change.seconds >= 0
    assert change.rise("own_seconds") >= 0.2
    assert read_identity() == read_identity()
