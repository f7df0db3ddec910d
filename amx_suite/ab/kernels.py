"""Which kernels the two sides ran, by their share of the operations."""

from __future__ import annotations

__all__ = ["kernel_shares", "what_changed"]

from collections.abc import Mapping

from amx_suite.core.evidence import Evidence

#: Of the operations so much must move to other kernels before it is called a change. Below it lie
#: small layers that a library may place anywhere.
_LEAST_MOVED = 0.05
_NAMED = 2


def kernel_shares(evidence: Evidence) -> dict[str, float]:
    """Share of the logged operations of matrix products by implementation, the largest first."""
    operations: dict[str, int] = {}
    for use in evidence.matrix_kernels:
        name = use.implementation or use.kind
        # A kernel of unknown size still counts for something.
        operations[name] = operations.get(name, 0) + max(1, use.operations)
    total = sum(operations.values())
    largest = sorted(operations.items(), key=lambda item: -item[1])
    return {name: count / total for name, count in largest}


def what_changed(base: Mapping[str, float], new: Mapping[str, float]) -> str:
    """Such as ``brg_matmul:avx10_1_512_amx 99 % -> ref:any 99 %``; empty if they are the same."""
    moved = sum(abs(base.get(name, 0.0) - new.get(name, 0.0)) for name in {*base, *new}) / 2
    if moved <= _LEAST_MOVED and bool(base) == bool(new):
        return ""
    return f"{_named(base)} -> {_named(new)}"


def _named(shares: Mapping[str, float]) -> str:
    most = [f"{name} {share:.0%}" for name, share in shares.items() if share >= _LEAST_MOVED]
    return ", ".join(most[:_NAMED]) or "none logged"
