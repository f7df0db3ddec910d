"""Floor 1: what this machine offers, and whether AMX can be used on it.

``facts`` observes, ``support`` judges, ``doctor`` words the answer; ``cpuid``, ``cpuinfo``,
``permission`` and ``topology`` are what the facts are made of, ``reasons`` the codes and remedies,
``fingerprint`` tells machines apart.
"""

from __future__ import annotations

__all__ = [
    "Finding",
    "HostFacts",
    "Reason",
    "Support",
    "amx_permission_held",
    "collect",
    "detect",
    "host_traits",
    "judge",
    "machine_id",
    "theory_of",
]

from amx_suite.host.facts import HostFacts, collect
from amx_suite.host.fingerprint import host_traits, machine_id
from amx_suite.host.health import theory_of
from amx_suite.host.permission import amx_permission_held
from amx_suite.host.reasons import Finding, Reason, Support
from amx_suite.host.support import judge


def detect(*, run_tiles: bool = True) -> tuple[HostFacts, Support]:
    """Observe this host and judge it; see ``collect`` for what it costs."""
    facts = collect(run_tiles=run_tiles)
    return facts, judge(facts)
