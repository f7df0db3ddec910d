"""Hosts as data: each file of ``host/recorded`` is one host with the expected reasons.

Its ``source`` says where the facts are from, and ``recorded`` whether a real host showed them.

A file with a ``base`` holds only what differs from that file (JSON merge patch, RFC 7386).
Numbers may be written in hexadecimal, as CPUID is read. A host that ``amx-suite doctor --json``
saw elsewhere becomes a file by wrapping its ``facts``.
"""

from __future__ import annotations

__all__ = ["Expected", "RecordedHost", "changed", "host", "hosts"]

import functools
import re
from pathlib import Path
from typing import Any

import msgspec

from amx_suite.host.facts import HostFacts

_FOLDER = Path(__file__).with_name("host") / "recorded"


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``reason`` None: usable. ``also`` are further blocking reasons, ``notes`` the notes."""

    reason: str | None
    also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class RecordedHost(msgspec.Struct, frozen=True):
    """One host and what must be said of it."""

    name: str
    expected: Expected
    facts: HostFacts


@functools.cache
def hosts() -> tuple[RecordedHost, ...]:
    """Every recorded host, by name."""
    return tuple(host(path.stem) for path in sorted(_FOLDER.glob("*.json")))


@functools.cache
def host(name: str) -> RecordedHost:
    """The host of that name."""
    document = _read(name)
    return RecordedHost(
        name=name,
        expected=msgspec.convert(document["expected"], Expected),
        facts=msgspec.convert(_merged_facts(document), HostFacts),
    )


def changed(facts: HostFacts, patch: Any) -> HostFacts:
    """The facts with a JSON merge patch applied."""
    return msgspec.convert(_merge(msgspec.to_builtins(facts), patch), HostFacts)


def _read(name: str) -> dict[str, Any]:
    return msgspec.json.decode((_FOLDER / f"{name}.json").read_bytes(), type=dict[str, Any])


def _merged_facts(document: dict[str, Any]) -> Any:
    base = _merged_facts(_read(document["base"])) if "base" in document else {}
    merged = _merge(base, document["facts"])
    # The microcode's revision is text to the kernel; numbers stand only in these two.
    for part in ("cpuid", "permission"):
        if part in merged:
            merged[part] = _numbers(merged[part])
    return merged


def _merge(base: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    merged = dict(base) if isinstance(base, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(part) for key, part in value.items()}
    if isinstance(value, str) and re.fullmatch(r"0x[0-9a-f]+", value):
        return int(value, 16)
    return value
