"""How fast are this machine's units, and how much of that does a bare matrix product reach?

There is no gate: the share of peak depends on the library. The tests check that every core's tile
unit has its full rate, and that no product is faster than the unit that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from amx_suite.core.case import Mode, RunCase, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.peaks import MOST_SHARE, CoreCycles, Peaks
from amx_suite.core.precision import Precision
from amx_suite.errors import NotApplicableError
from amx_suite.host.tile_units import watch_tiles
from amx_suite.plugin.options import Settings
from amx_suite.plugin.outcome import end
from amx_suite.plugin.run import HostView
from amx_suite.worker.process import IsaWorker
from amx_suite.workloads.base import Inputs

pytestmark = [pytest.mark.performance, pytest.mark.level(2)]

_SLICES = 10

Record = Callable[[str, object], None]


def test_every_tile_unit(
    amx_support: HostView,
    amx_settings: Settings,
    amx_cycles: Callable[[Sequence[int]], tuple[CoreCycles, ...]],
    amx_progress: Callable[..., None],
    record_property: Record,
) -> None:
    """Each core's tile unit does per cycle what it should."""
    facts = amx_support.facts
    show = partial(amx_progress, seldom=True)
    health = watch_tiles(facts.topology.cores, amx_cycles, show)
    for cpu, figures in health.figures.items():
        record_property(f"amx_per_cycle_cpu{cpu}", figures)
    end(*health.judge(virtual=facts.cpuid.virtual), strict=amx_settings.strict)


@pytest.mark.level(4)
@pytest.mark.parametrize("size", [256, 512, 1024, 2048, 4096])
@pytest.mark.parametrize("precision", [p for p in Precision if p.spec.with_amx], ids=str)
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
    isa = precision.spec.with_amx
    assert isa is not None
    case = RunCase(
        Workload("square", Mode.INFERENCE),
        amx_engine,
        precision,
        isa,
        Shape(1, size),
        amx_settings.instance.cores,
        amx_settings.seed,
    )
    worker = isa_workers(isa, amx_engine)
    try:
        prepared = worker.prepare(case, Inputs())
    except NotApplicableError as error:
        pytest.skip(f"NOT_APPLICABLE: {case.name}: {error}")
    slices = [worker.take_slice(prepared.iterations) for _ in range(_SLICES)]
    seconds = min(piece.seconds / piece.iterations for piece in slices)
    operations = prepared.operations_per_step
    share = amx_peaks.share(case, operations, seconds)
    assert share is not None, "the tile peak was not read"
    rate = operations / seconds
    record_property("amx_operations_per_second", f"{rate:.4g}")
    record_property("amx_share_of_peak", f"{share:.4f}")
    amx_progress(f"{case.name} {size}: {rate / 1e12:.2f}e12/s, {share:.0%} of peak", keep=True)
    assert worker.prove().evidence.amx_share > 0.5, "the product did not run on AMX kernels"
    assert share <= MOST_SHARE, f"{share:.0%} of peak cannot be: the peak was read too low"
