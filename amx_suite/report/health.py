"""The machine's health over a run, in lines of text."""

from __future__ import annotations

__all__ = ["health_lines"]

from collections.abc import Iterator

from amx_suite.core.health import Health, HealthChange
from amx_suite.core.run import RunSummary
from amx_suite.host.health_rules import settings_of


def health_lines(summary: RunSummary) -> list[str]:
    """The settings and what happened; empty if not read. ``findings`` has what is wrong."""
    lines: list[str] = []
    if summary.health_before is not None:
        lines += _state(summary.health_before)
    if summary.health_before is not None and summary.health_after is not None:
        lines += _events(HealthChange(summary.health_before, summary.health_after))
    return lines


def _state(health: Health) -> Iterator[str]:
    words = [f"{label} {value}" for label, value in settings_of(health).items()]
    if health.available_bytes is not None:
        words.append(f"free memory {health.available_bytes / 2**30:.1f} GiB")
    if words:
        yield f"Before the run: {'; '.join(words)}"


def _events(change: HealthChange) -> Iterator[str]:
    words = []
    if change.others is not None:
        words.append(f"other processes used {change.others:.2f} of {change.after.cpus} CPUs")
    if change.stolen is not None:
        words.append(f"the hypervisor withheld {change.stolen:.1%} of the CPU time")
    words += [
        f"{kind} pressure {change.share('pressure_seconds', kind):.1%}"
        for kind in change.after.pressure_seconds or {}
    ]
    words += [f"{zone} {watts:.0f} W" for zone, watts in change.mean_watts().items()]
    if words and change.seconds:
        yield f"Over the run ({change.seconds:.0f} s, on average): {'; '.join(words)}"
