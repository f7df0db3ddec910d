"""What the kernel says about the state of a machine at a moment, and how it changes over a run."""

from __future__ import annotations

__all__ = ["Health", "HealthChange", "Identity"]

import msgspec

#: The sums over CPUs among the counters: they jump when a CPU comes or goes.
_SUMS_OVER_CPUS = (
    "machine_checks",
    "machine_check_polls",
    "corrected_checks",
    "thermal_interrupts",
    "thermal_throttles",
    "power_limit_events",
    "nmis",
)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One reading; None is what could not be read.

    ``unreadable`` names the fields whose files are there and may not be read, as by others than
    root. Counters count from the machine's start. ``host.snapshot`` names the file of each field.
    """

    uptime_seconds: float | None = None
    #: CPUs that are online.
    cpus: int | None = None

    # Faults. Memory errors are by memory controller; the others are sums over the CPUs: machine
    # check exceptions, the kernel's regular polls, and interrupts for corrected errors.
    uncorrected_errors: dict[str, int] | None = None
    corrected_errors: dict[str, int] | None = None
    machine_checks: int | None = None
    machine_check_polls: int | None = None
    corrected_checks: int | None = None

    # Heat and power. Counts are sums over the CPUs; zones of RAPL are by name, as ``package-0``.
    thermal_interrupts: int | None = None
    thermal_throttles: int | None = None
    power_limit_events: int | None = None
    power_limits_watts: dict[str, float] | None = None
    energy_joules: dict[str, float] | None = None
    #: After so much energy the counter begins again at 0.
    energy_range_joules: dict[str, float] | None = None

    # Frequency. Governors have the number of CPUs, or groups of CPUs, that each of them rules.
    governors: dict[str, int] | None = None
    energy_preference: str | None = None
    turbo: bool | None = None
    idle_driver: str | None = None
    idle_states_off: tuple[str, ...] | None = None

    # Memory.
    available_bytes: int | None = None
    swap_used_bytes: int | None = None
    swapped_pages: int | None = None
    numa_balancing: int | None = None
    numa_moved_pages: int | None = None
    huge_pages: str | None = None

    # Who used the CPUs. Busy and stolen time are the whole machine's; ``own_seconds`` is the CPU
    # time of this process and of its children that have ended; a quota stops this process's group.
    busy_seconds: float | None = None
    own_seconds: float | None = None
    steal_seconds: float | None = None
    quota_seconds: float | None = None
    #: Time in which some task, or all of them, waited: ``cpu some``, ``memory full``, ...
    pressure_seconds: dict[str, float] | None = None
    nmis: int | None = None
    #: System management interrupts since the suite's first reading.
    smis: int | None = None

    unreadable: tuple[str, ...] = ()


class HealthChange(msgspec.Struct, frozen=True):
    """Two readings of one machine; twice the same reading is no change."""

    before: Health
    after: Health

    @property
    def seconds(self) -> float:
        """The time between the readings, 0 if unknown."""
        return self.rise("uptime_seconds")

    def rise(self, name: str) -> float:
        """By how much a counter rose, or several counters of one field in sum.

        0 where it cannot be told: one of the readings lacks it, the counter was reset, or it is a
        sum over CPUs of which some came or went.
        """
        if name in _SUMS_OVER_CPUS and self.before.cpus != self.after.cpus:
            return 0.0
        return sum(self.rises(name).values(), 0.0)

    def rises(self, name: str) -> dict[str, float]:
        """The counters of a field that rose, and by how much; a lone counter's name is empty."""
        first, last = _counters(self.before, name), _counters(self.after, name)
        return {
            key: last[key] - first[key] for key in first.keys() & last if last[key] > first[key]
        }

    def share(self, name: str, key: str = "") -> float:
        """What a counter of seconds rose by, over the time between the readings; 0 if unknown."""
        return self.rises(name).get(key, 0.0) / self.seconds if self.seconds else 0.0

    @property
    def others(self) -> float | None:
        """How many CPUs other processes used on average, None if unknown."""
        known = (self.before.own_seconds, self.after.own_seconds, self.after.busy_seconds)
        if not self.seconds or None in known:
            return None
        return max(0.0, self.rise("busy_seconds") - self.rise("own_seconds")) / self.seconds

    @property
    def stolen(self) -> float | None:
        """The share of the wanted CPU time that the hypervisor gave to others, None if unknown."""
        stolen = self.rise("steal_seconds")
        wanted = stolen + self.rise("busy_seconds")
        return stolen / wanted if wanted and self.after.steal_seconds is not None else None

    def mean_watts(self) -> dict[str, float]:
        """The mean power of each RAPL zone whose counter cannot have begun again more than once."""
        first, last = self.before, self.after
        found = {}
        for zone, joules in (first.energy_joules or {}).items():
            end = (last.energy_joules or {}).get(zone)
            limits = [
                (first.power_limits_watts or {}).get(f"{zone} {term}", 0.0)
                for term in ("long_term", "short_term")
            ]
            span = (first.energy_range_joules or {}).get(zone, 0.0)
            if end is not None and 0 < max(limits) * self.seconds < span:
                found[zone] = (end - joules) % span / self.seconds
        return found


class Identity(msgspec.Struct, frozen=True):
    """What names one machine among its like; None is what could not be read.

    It is apart from all else, so that a report can leave it out.
    """

    host_name: str | None = None
    vendor: str | None = None
    product: str | None = None
    serial_number: str | None = None
    firmware_version: str | None = None
    firmware_date: str | None = None


def _counters(health: Health, name: str) -> dict[str, float]:
    value = getattr(health, name)
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"": value}
