"""The parent's handle of an arm: its jail, its environment, its measurements, its death."""

import errno
import signal

import pytest
from run_cases import case_of

from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.engines import ENGINES
from amx_suite.errors import CeilingIgnoredError, LostChildError
from amx_suite.worker.process import child_environment
from amx_suite.workloads.base import Inputs

pytestmark = pytest.mark.selftest

#: What a user's shell may hold, each of which would change what an arm runs.
HOSTILE = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "OMP_NUM_THREADS": "64",
    "KMP_AFFINITY": "compact",
    "LD_PRELOAD": "/nowhere/libother.so",
    "MKL_CBWR": "COMPATIBLE",
    "TORCH_COMPILE_DISABLE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "TORCHINDUCTOR_MAX_AUTOTUNE": "1",
}


def command(worker, name, **settings):
    return worker.operate(name, Precision.FP32, {}, **settings)


def test_a_worker_prepares_and_times(start_fake):
    worker = start_fake()
    prepared = worker.prepare(case_of("resnet50", shape=(4, 8)), Inputs())
    taken = worker.take_slice(prepared.iterations)
    assert (prepared.items_per_step, taken.seconds, taken.iterations) == (4, 0.5, 2)


def test_a_worker_stamps_each_step(start_fake):
    assert list(start_fake().stamp_steps(steps=3)) == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("isa", Isa)
def test_only_arms_without_amx_are_jailed(start_fake, isa):
    refused = command(start_fake(isa), "permission") == errno.EPERM
    assert refused is not isa.allows_amx


def test_sigill_in_the_jail_accuses_the_library(start_fake):
    with pytest.raises(CeilingIgnoredError, match=r"SIGILL.*ignores its ceiling") as caught:
        command(start_fake(Isa.AVX512), "signal", number=signal.SIGILL)
    assert caught.value.signal == signal.SIGILL


def test_sigill_of_an_amx_arm_accuses_nobody(start_fake):
    with pytest.raises(LostChildError, match="SIGILL") as caught:
        command(start_fake(Isa.AMX), "signal", number=signal.SIGILL)
    assert not isinstance(caught.value, CeilingIgnoredError)


@pytest.mark.parametrize(
    ("flags", "ceiling"),
    [
        (Isa.AMX.spec.cpu_flags, Isa.AVX512_BF16),
        ((*Isa.AVX512_VNNI.spec.cpu_flags, "gfni"), Isa.AVX512_VNNI),
        (Isa.AVX512.spec.cpu_flags, Isa.AVX512),
        (("avx", "avx2", "fma"), Isa.AVX2),
        ((), Isa.AVX2),
    ],
    ids=["sapphire rapids", "ice lake", "skylake", "zen 3", "unknown"],
)
def test_without_amx_is_the_best_of_each_cpu(flags, ceiling):
    assert Isa.NO_AMX.on(frozenset((*flags, "avx2", "fma"))) is ceiling
    assert Isa.AMX.on(flags) is Isa.AMX


@pytest.mark.parametrize("isa", Isa)
def test_each_ceiling_reaches_each_library(isa):
    chosen = child_environment(isa, 2, {}, ENGINES["ipex"].variables(isa)).chosen
    assert chosen["ONEDNN_MAX_CPU_ISA"] == isa.spec.onednn
    assert chosen["MKL_ENABLE_INSTRUCTIONS"] == isa.spec.mkl
    assert chosen["ATEN_CPU_CAPABILITY"] == isa.spec.aten
    assert chosen["ONEDNN_DEFAULT_FPMATH_MODE"] == "STRICT"
    assert chosen["OMP_NUM_THREADS"] == "2"


def test_the_users_variables_do_not_leak_in(start_fake, monkeypatch):
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    worker = start_fake(Isa.AVX512_BF16)
    text = command(worker, "environment").tobytes().decode()
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert worker.environment.chosen.items() <= found.items()
    assert not (HOSTILE.keys() - worker.environment.chosen.keys()) & found.keys()
    assert HOSTILE.items() <= worker.environment.removed.items()
    assert found["PATH"]
