"""The roofline on products small enough to work out by hand, and how it is shown."""

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.case import Arm, Mode, Precision, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.peaks import Peaks, Spread
from amx_suite.core.roofline import Product, bytes_in, operations_in, roofline
from amx_suite.core.units import Unit
from amx_suite.report.roofline import roofline_blocks, roofline_rows

pytestmark = pytest.mark.selftest


def peaks(**rates):
    named = {"fma": Unit.FMA, "tile": Unit.TILE, "memory": Unit.MEMORY}
    return Peaks((0,), {named[name]: Spread(rate, rate, rate) for name, rate in rates.items()})


PEAKS = peaks(fma=100.0, tile=1000.0, memory=10.0)

#: At 100 operations and 10 bytes a second, in FP32: 10 s against 4 s, and 1 s against 8 s.
COMPUTING, MOVING = Product(1000, 10), Product(100, 20)


def case(precision=Precision.FP32, isa=Isa.AVX512):
    return Arm(Workload("gemm", Mode.INFERENCE), "ipex", precision, isa, Shape(1, 8), 2)


@pytest.mark.parametrize(
    ("products", "seconds", "memory_share"),
    [
        pytest.param([COMPUTING], 10.0, 0.0, id="unit"),
        pytest.param([MOVING], 8.0, 1.0, id="memory"),
        # Of all operations and bytes at once it would be 12 s: each product waits for its own.
        pytest.param([COMPUTING, MOVING], 18.0, 8 / 18, id="each-by-itself"),
        pytest.param([COMPUTING, msgspec.structs.replace(MOVING, count=3)], 34.0, 24 / 34, id="3x"),
    ],
)
def test_every_product_takes_the_longer_of_its_two_times(products, seconds, memory_share):
    model = roofline(PEAKS, case(), products)
    assert model.seconds == pytest.approx(seconds)
    assert model.memory_share == pytest.approx(memory_share)


def test_narrower_numbers_move_faster_and_tiles_compute_faster():
    bf16, amx = case(Precision.BF16, Isa.AVX512_BF16), case(Precision.BF16, Isa.AMX)
    assert [bytes_in([MOVING], each) for each in (case(), amx)] == [80, 40]
    assert roofline(PEAKS, amx, [COMPUTING]).seconds == pytest.approx(2.0)
    assert roofline(PEAKS, bf16, [COMPUTING]) is None


@pytest.mark.parametrize("known", [peaks(fma=100.0), peaks(memory=10.0), peaks()], ids=str)
def test_without_a_peak_there_is_no_model(known):
    assert roofline(known, case(), [COMPUTING]) is None


def test_a_step_without_products_has_no_model():
    assert roofline(PEAKS, case(), []) is None


def test_operations_count_every_product():
    assert operations_in([COMPUTING, msgspec.structs.replace(MOVING, count=3)]) == 1300


def measured(known, products=runs.PRODUCTS):
    """The sample trial with these peaks, every arm of these products."""
    trial = runs.trial_result()
    environment = msgspec.structs.replace(trial.measurement.environment, peaks=known)
    arms = tuple(
        msgspec.structs.replace(facts, products=products) for facts in trial.measurement.arms
    )
    measurement = msgspec.structs.replace(trial.measurement, environment=environment, arms=arms)
    return msgspec.structs.replace(trial, measurement=measurement)


def test_an_arm_is_held_against_its_model():
    # FP32 takes 0.8 s and could take 0.4 s; AMX takes 0.2 s, and its 2 MB alone 0.05 s.
    trial = measured(peaks(fma=2.5e9, tile=1e12, memory=4e7))
    fp32, _, amx = roofline_rows(trial.measurement)
    assert (fp32.intensity, amx.intensity) == (250.0, 500.0)
    assert (fp32.attained, fp32.attainable) == (pytest.approx(1.25e9), pytest.approx(2.5e9))
    assert (fp32.share, fp32.memory_share) == (pytest.approx(0.5), 0.0)
    assert (amx.share, amx.memory_share) == (pytest.approx(0.25), 1.0)


def test_a_peak_read_too_low_shows():
    """Known-bad: what cannot be is shown as it is, neither hidden nor cut off at 100 %."""
    trial = measured(peaks(fma=2.5e9 / 8, tile=1e12, memory=4e7))
    assert roofline_rows(trial.measurement)[0].share == pytest.approx(4.0)
    assert "| 400 % |" in roofline_blocks([trial])[1]


def test_the_table_shows_a_dash_for_what_is_not_known():
    table = roofline_blocks([measured(peaks(fma=2.5e9, tile=1e12, memory=4e7))])[1]
    assert table.splitlines()[2:] == [
        "| fp32@avx512 | 250 | 0.001 | 0.003 | 50 % | unit, 100 % |",
        "| bf16@avx512_bf16 | 500 | 0.001 | - | - | - |",
        "| bf16@amx | 500 | 0.005 | 0.020 | 25 % | memory, 100 % |",
    ]
    assert "| fp32@avx512 | 250 | 0.001 | - | - | - |" in roofline_blocks([measured(None)])[1]
    assert "| fp32@avx512 | - | - | - | - | - |" in roofline_blocks([measured(None, ())])[1]


def test_engines_side_by_side_are_not_shown_again():
    trial = measured(None)
    compared = msgspec.structs.replace(trial.measurement, engines=("ipex", "eager"))
    both = [trial, msgspec.structs.replace(trial, measurement=compared)]
    assert roofline_blocks(both) == roofline_blocks([trial])
