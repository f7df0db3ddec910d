"""The command line, one module for each command."""

from __future__ import annotations

__all__ = ["main"]

from amx_suite.cli.entry import main
