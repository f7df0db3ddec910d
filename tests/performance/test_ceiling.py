"""How much of what this machine can do is reached? Peaks of its units, and bare matrix products.

There is no gate here: how near a library comes to the peak is its own affair. What is checked is
that the figures can be true.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.noise import Unit
from amx_suite.core.peaks import Peaks
from amx_suite.core.roofline import operations_in
from amx_suite.errors import NotApplicableError
from amx_suite.options import Settings
from amx_suite.testing.state import HostView
from amx_suite.tmul.outliers import slow_ones
from amx_suite.worker.process import IsaWorker
from amx_suite.worker.unit_probe import UnitProbe
from amx_suite.workloads.base import Inputs

pytestmark = [pytest.mark.performance, pytest.mark.level(3)]

#: Of each unit on each CPU, about 20 ms each.
_READINGS = 5
_SLICES = 10
#: TDPBSSD multiplies twice as many numbers in the same cycles as TDPBF16PS; the rest is noise.
_INT8_OVER_BF16 = (1.8, 2.2)
#: No product is faster than the unit that computes it, beyond the noise of two readings.
_MOST_OF_PEAK = 1.05

Record = Callable[[str, object], None]


def test_every_cpu_alone(
    amx_support: HostView,
    amx_progress: Callable[..., None],
    record_property: Record,
) -> None:
    """No CPU's tile unit lags behind the others', and INT8 runs at twice the rate of BF16."""
    best: dict[int, dict[Unit, float]] = {}
    for cpu in amx_support.facts.allowed_cpus:
        with UnitProbe([cpu]) as probe:
            peaks = probe.measure_peaks(_READINGS)
        best[cpu] = {unit: spread.high for unit, spread in peaks.rates.items()}
        text = ", ".join(f"{unit} {rate / 1e12:.3f}e12/s" for unit, rate in best[cpu].items())
        record_property(f"amx_peak_cpu{cpu}", text)
        amx_progress(f"CPU {cpu} alone: {text}")
    low, high = _INT8_OVER_BF16
    for cpu, rates in best.items():
        ratio = rates[Unit.TILE_INT8] / rates[Unit.TILE]
        assert low < ratio < high, f"CPU {cpu}: INT8 tiles run at {ratio:.2f} x the rate of BF16"
    slow = slow_ones({cpu: rates[Unit.TILE] for cpu, rates in best.items()})
    assert not slow, f"tile rate over the median CPU's: {slow}"


@pytest.mark.level(4)
@pytest.mark.parametrize("size", [256, 512, 1024, 2048, 4096])
@pytest.mark.parametrize("precision", [Precision.BF16, Precision.INT8], ids=str)
def test_square_product(
    precision: Precision,
    size: int,
    amx_engine: str,
    amx_peaks: Peaks,
    isa_workers: Callable[[Isa, str], IsaWorker],
    amx_settings: Settings,
    amx_progress: Callable[..., None],
    record_property: Record,
) -> None:
    """The engine's own product of two size x size matrices, as a share of the tile peak."""
    case = RunCase(
        Workload("square", Mode.INFERENCE),
        amx_engine,
        precision,
        Isa.AMX,
        Shape(1, size),
        amx_settings.threads,
        amx_settings.seed,
    )
    worker = isa_workers(Isa.AMX, amx_engine)
    try:
        prepared = worker.prepare(case, Inputs())
    except NotApplicableError as error:
        pytest.skip(f"NOT_APPLICABLE: {case.name}: {error}")
    slices = [worker.take_slice(prepared.iterations) for _ in range(_SLICES)]
    seconds = min(piece.seconds / piece.iterations for piece in slices)
    operations = operations_in(prepared.products)
    share = amx_peaks.share(case, operations, seconds)
    assert share is not None, "the tile peak was not read"
    rate = operations / seconds
    record_property("amx_operations_per_second", f"{rate:.4g}")
    record_property("amx_share_of_peak", f"{share:.4f}")
    amx_progress(f"{case.name} {size}: {rate / 1e12:.2f}e12/s, {share:.0%} of peak", keep=True)
    assert worker.prove().evidence.amx_share > 0.5, "the product did not run on AMX kernels"
    assert share <= _MOST_OF_PEAK, f"{share:.0%} of peak cannot be: the peak was read too low"
