"""Many machines: each runs ``amx-suite qualify``, and one page says which need attention."""

from __future__ import annotations

__all__: list[str] = []
