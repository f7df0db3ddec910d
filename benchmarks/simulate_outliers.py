"""How the rule for outliers of a fleet errs: python benchmarks/simulate_outliers.py [N].

For each number of machines in a class makes up N fleets (default 300) from a fixed seed, with 18
figures that spread by 2 %, and judges them with the real code. Prints a Markdown table: in what
share of healthy fleets a machine was named, and in what share of the others the one that is slower
in one figure was.
"""

from __future__ import annotations

import sys

import numpy as np

from amx_suite.fleet.outliers import distributions

_MACHINES = (5, 8, 10, 20, 49, 50, 200)
_FIGURES = 18
_SPREAD = 0.02
_LOSSES = (0.0, 0.1, 0.15, 0.2, 0.3)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    header = ("machines", "healthy", *(f"{loss:.0%} slower" for loss in _LOSSES if loss))
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join(["---"] * len(header)) + " |")
    generator = np.random.default_rng(0)
    for machines in _MACHINES:
        shares = [
            sum(_named(generator, machines, loss) for _ in range(count)) / count for loss in _LOSSES
        ]
        print(
            f"| {machines} | " + " | ".join(f"{share:.1%}" for share in shares) + " |", flush=True
        )


def _named(generator: np.random.Generator, machines: int, loss: float) -> bool:
    """Whether a machine was named, or the slow one where there is a loss."""
    speeds = np.exp(generator.normal(0, _SPREAD, (_FIGURES, machines)))
    speeds[0, 0] *= 1 - loss
    found = distributions([{str(n): float(x) for n, x in enumerate(row)} for row in speeds])
    named = {outlier.machine for each in found for outlier in each.outliers}
    return "0" in named if loss else bool(named)


if __name__ == "__main__":
    main()
