"""Floor 1: minimum speedups as data, each with its source, and their loader."""

from __future__ import annotations

__all__ = ["DEFAULT_TABLE", "load_gates", "read_gates"]

from amx_suite.gates.loader import DEFAULT_TABLE, load_gates, read_gates
