"""An arm's share of the peak of the unit that it may use."""

import pytest

from amx_suite.core.case import Arm, Mode, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.peaks import Peaks, Spread
from amx_suite.core.precision import Precision
from amx_suite.core.units import Unit

pytestmark = pytest.mark.selftest

RATES = {
    Unit.FMA: Spread(100.0, 90.0, 101.0),
    Unit.TILE: Spread(1000.0, 900.0, 1010.0),
    Unit.TILE_INT8: Spread(2000.0, 1900.0, 2010.0),
}


@pytest.mark.parametrize(
    ("precision", "isa", "share"),
    [
        (Precision.FP32, Isa.NO_AMX, 250 / 101),
        (Precision.BF16, Isa.AMX, 250 / 1010),
        (Precision.INT8, Isa.AMX, 250 / 2010),
        (Precision.BF16, Isa.AVX512_BF16, None),
        (Precision.INT8, Isa.AVX512_VNNI, None),
    ],
)
def test_share_is_of_the_arms_own_unit(precision, isa, share):
    case = Arm(Workload("gemm", Mode.INFERENCE), "ipex", precision, isa, Shape(1, 8), 2)
    assert Peaks((0, 1), RATES).share(case, 500, 2.0) == share
    assert Peaks((0, 1), {}).share(case, 500, 2.0) is None
