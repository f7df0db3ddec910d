"""Run cases of small models, for the selftests of workloads and of the arms that run them."""

from amx_suite.core.case import Mode, RunCase, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision


def case_of(model, mode=Mode.INFERENCE, precision=Precision.FP32, shape=(2, 16), **changes):
    values = {"engine": "eager", "isa": Isa.AVX512, "cores": 1, **changes}
    return RunCase(Workload(model, mode), precision=precision, shape=Shape(*shape), **values)
