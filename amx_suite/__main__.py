"""``python -m amx_suite``."""

from __future__ import annotations

import sys

from amx_suite.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
