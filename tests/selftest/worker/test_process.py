"""The parent's handle of an arm: its jail, its environment, its measurements, its death."""

import errno
import signal

import numpy as np
import pytest
from fake_liar import LIES
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
    "TORCH_LOGS": "+all",
    "PYTORCH_JIT": "0",
    "MALLOC_PERTURB_": "1",
    "USE_TORCH": "0",
    "PYTHONOPTIMIZE": "2",
}
#: Where weights come from, and how: no result changes with it.
KEPT = {"HF_HOME": "/models", "HF_ENDPOINT": "https://hub", "HTTPS_PROXY": "http://joe:pw@proxy"}


def command(worker, name, **settings):
    return worker.operate(name, Precision.FP32, {}, **settings)


def test_a_worker_prepares_and_times(start_fake):
    worker = start_fake()
    prepared = worker.prepare(case_of("resnet50", shape=(4, 8)), Inputs())
    taken = worker.take_slice(prepared.iterations)
    assert (prepared.items_per_step, taken.seconds, taken.iterations) == (4, 2e-8, 2)
    stamps = worker.stamp_steps(steps=3)
    assert list(stamps - stamps[0]) == pytest.approx([0.0, 1e-8, 2e-8, 3e-8], abs=1e-9)


CASE = case_of("resnet50")
IN_BOUNDS = r"its answer cannot be read: Expected .* - at .*, found"


@pytest.mark.parametrize(
    ("lie", "ask", "says"),
    [
        ("no step", lambda w: w.prepare(CASE, Inputs()), "a slice of 0 steps"),
        ("negative memory", lambda w: w.prepare(CASE, Inputs()), rf"{IN_BOUNDS} -1"),
        ("zero slice", lambda w: w.take_slice(2), rf"{IN_BOUNDS} 0\.0"),
        ("tiny slice", lambda w: w.take_slice(2), rf"{IN_BOUNDS} 5e-324"),
        ("NaN slice", lambda w: w.take_slice(2), rf"{IN_BOUNDS} nan"),
        ("infinite slice", lambda w: w.take_slice(2), rf"{IN_BOUNDS} inf"),
        ("slice beyond the wait", lambda w: w.take_slice(2), r"2 steps in 9e\+08 s, when 2"),
        ("other steps", lambda w: w.take_slice(2), r"3 steps in 1e-06 s, when 2 were asked"),
        ("no stamps", lambda w: w.stamp_steps(steps=2), "nothing for the array 'nanoseconds'"),
        ("real stamps", lambda w: w.stamp_steps(steps=2), "numbers of type float64"),
        ("too few stamps", lambda w: w.stamp_steps(steps=2), r"of shape \(2,\), when 2 steps"),
        ("falling stamps", lambda w: w.stamp_steps(steps=2), r"stamps \[\d+, \d+, \d+\] ns"),
        ("old stamps", lambda w: w.stamp_steps(steps=2), r"stamps \[1, 2, 3\] ns"),
        ("late stamps", lambda w: w.stamp_steps(steps=2), r"the clock went from \d+ to \d+ ns"),
        ("stamps in rows", lambda w: w.stamp_steps(steps=2), r"of shape \(1, 3\)"),
        ("whole logits", lambda w: w.outputs(), "numbers of type int64 for the array 'logits'"),
        ("no logits", lambda w: w.outputs(), "nothing for the array 'logits'"),
        ("too many losses", lambda w: w.losses(steps=2, batch=1), r"shape \(3,\) for 2 steps"),
        ("no gradients", lambda w: w.gradients(batch=1), "no parameter has a gradient"),
        ("no output", lambda w: command(w, "anything"), "nothing for the array 'output'"),
        ("no count", lambda w: w.prove(), rf"{IN_BOUNDS} 0"),
        ("negative operations", lambda w: w.prove(), rf"{IN_BOUNDS} -5"),
        ("NaN share", lambda w: w.prove(), rf"{IN_BOUNDS} nan"),
    ],
    ids=lambda each: each if each in LIES else "",
)
def test_impossible_replies_are_refused(start_fake, monkeypatch, lie, ask, says):
    monkeypatch.setenv("FAKE_LIE", lie)
    worker = start_fake(module="fake_liar")
    with pytest.raises(LostChildError, match=f"^child process eager@avx512: .*{says}"):
        ask(worker)
    with pytest.raises(LostChildError, match=says):
        worker.release()


@pytest.mark.parametrize("isa", [Isa.NO_AMX, Isa.AVX512_BF16, Isa.AMX])
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
        # IPEX has no level for FP16 without AMX.
        (Isa.AMX_FP16.spec.cpu_flags, Isa.AVX512_BF16),
        ((*Isa.AMX.spec.cpu_flags, "avx512_fp16"), Isa.AVX512_BF16),
        (Isa.AMX.spec.cpu_flags, Isa.AVX512_BF16),
        ((*Isa.AVX512_VNNI.spec.cpu_flags, "gfni"), Isa.AVX512_VNNI),
        (Isa.AVX512.spec.cpu_flags, Isa.AVX512),
        (("avx", "avx2", "fma"), Isa.AVX2),
        ((), Isa.AVX2),
    ],
    ids=[
        "granite rapids",
        "sapphire rapids",
        "fp16 masked",
        "ice lake",
        "skylake",
        "zen 3",
        "unknown",
    ],
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
    for name, value in (HOSTILE | KEPT).items():
        monkeypatch.setenv(name, value)
    worker = start_fake(Isa.AVX512_BF16)
    text = command(worker, "environment").astype(np.uint8).tobytes().decode()
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert worker.environment.chosen.items() <= found.items()
    assert not (HOSTILE.keys() - worker.environment.chosen.keys()) & found.keys()
    assert HOSTILE.items() <= worker.environment.removed.items()
    assert found["PATH"]
    assert KEPT.items() <= found.items()
    assert not KEPT.keys() & worker.environment.removed.keys()
