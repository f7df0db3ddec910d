"""What this machine offers, and whether AMX can be used on it.

``facts`` collects what ``cpuid``, ``cpuinfo``, ``permission`` and ``topology`` read. ``support``
decides, with the codes and remedies of ``reasons``. ``doctor`` writes the report, and
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


def detect() -> tuple[HostFacts, Support]:
    """Collect the facts of this host and decide; ``collect`` says how long it takes."""
    facts = collect()
    return facts, judge(facts)
