"""Runs made up for the selftests of reports and of the command line."""

from __future__ import annotations

import msgspec

from amx_suite.core.agreement import Agreement, Threshold
from amx_suite.core.case import Arm, Mode, Shape, Workload
from amx_suite.core.evidence import Evidence, Family, Jail, KernelUse
from amx_suite.core.finding import Finding, Severity
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.health import Health
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import ArmFacts, Environment, Measurement, Round, Slice
from amx_suite.core.precision import Precision
from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import GateResult, Speedup, Verdict

SHAPE = Shape(16, 224)
RESNET = Workload("resnet50", Mode.INFERENCE)

FP32 = Arm(RESNET, "ipex", Precision.FP32, Isa.NO_AMX, SHAPE, 2)
BF16 = Arm(RESNET, "ipex", Precision.BF16, Isa.AVX512_BF16, SHAPE, 2)
AMX = Arm(RESNET, "ipex", Precision.BF16, Isa.AMX, SHAPE, 2)

#: Milliseconds of one step of each arm: FP32 over AMX is 4, BF16 over AMX is 5.
STEP_MS = {FP32: 800.0, BF16: 1000.0, AMX: 200.0}

AMX_EVIDENCE = Evidence(
    Isa.AMX,
    Jail.NOT_ASKED,
    amx_permission=True,
    onednn_isa="Intel AVX-512 with AMX",
    kernels=(
        KernelUse("convolution", "brgconv:avx512_core_amx", Family.AMX, 54, 199.2, "", 996),
        KernelUse("matmul", "brg_matmul:avx512_core_bf16", Family.AVX512_BF16, 1, 0.8, "", 4),
    ),
    operations=1000,
)
JAILED = Evidence(Isa.AVX512_BF16, Jail.HELD, amx_permission=False)


def gate(versus: Versus = Versus.FP32, minimum: float = 2.39) -> Gate:
    return Gate(RESNET, Precision.BF16, versus, SHAPE, minimum, "0.75 x 868 / 272", "ipex")


def gate_result(
    verdict: Verdict = Verdict.PASS, *, versus: Versus = Versus.FP32, remedy: str = ""
) -> GateResult:
    baseline = FP32 if versus is Versus.FP32 else BF16
    ratio = STEP_MS[baseline] / STEP_MS[AMX]
    return GateResult(
        gate(versus),
        AMX.id,
        baseline.id,
        verdict,
        f"{ratio:.2f}x over {baseline.arm}",
        remedy,
        Speedup(ratio, ratio - 0.1, ratio + 0.1, 0.95, 8),
    )


def arm(case: Arm, evidence: Evidence | None) -> ArmFacts:
    images = "synthetic images"
    return ArmFacts(case, 3.0, 2, 16, "images", 2**30, images, {}, evidence, 10**9)


def trial_result(*gates: GateResult, rounds: int = 8, notes: tuple[str, ...] = ()) -> TrialResult:
    environment = Environment(
        host={"kernel": "6.1"},
        versions={"torch": "2.8.0"},
        removed_variables={"OMP_NUM_THREADS": "7"},
        cpus=(0, 1),
    )
    slices = tuple(Slice(case.id, 2 * ms / 1e3, 2) for case, ms in STEP_MS.items())
    measurement = Measurement(
        trial="resnet50-inference-ipex",
        seed=0,
        started="2025-11-22T08:00:00+00:00",
        environment=environment,
        arms=(arm(FP32, JAILED), arm(BF16, JAILED), arm(AMX, AMX_EVIDENCE)),
        rounds=tuple(Round(index, slices) for index in range(rounds)),
        notes=notes,
    )
    return TrialResult(measurement, gates)


def measured(trial: TrialResult, /, **changes: object) -> TrialResult:
    """The trial with changes in its measurement."""
    measurement = msgspec.structs.replace(trial.measurement, **changes)
    return msgspec.structs.replace(trial, measurement=measurement)


def empty_trial_result() -> TrialResult:
    """A trial none of whose arms could be prepared."""
    return measured(trial_result(), arms=(), rounds=())


PASSED = Check("tests/performance/test_speed.py::test_speed[a]", CheckOutcome.PASSED)
SKIPPED = Check("tests/dispatch/test_b.py::test_b", CheckOutcome.SKIPPED, "level 3 only")
LEAST = Threshold(30.0, "ours")
FAILED = Check(
    "tests/correctness/test_c.py::test_c",
    CheckOutcome.FAILED,
    "SQNR 12 dB, not 30",
    figures=(Agreement("SQNR", False, 12.0, LEAST, at_least=True, unit="dB"),),
)
ACCURATE = Check(
    "tests/correctness/test_c.py::test_e",
    CheckOutcome.PASSED,
    figures=(
        Agreement("cosine", True, 0.9998, Threshold(0.999, "theirs"), at_least=True),
        Agreement("SQNR", True, 50.0, LEAST, at_least=True, unit="dB"),
    ),
)
UNDECIDED = Check("tests/performance/test_d.py::test_d", CheckOutcome.INCONCLUSIVE, "too noisy")


def summary(
    *checks: Check,
    trials: tuple[TrialResult, ...] = (),
    amx_reason: str = "",
    interrupted: bool = False,
    level: int = 2,
) -> RunSummary:
    return RunSummary(
        level=level,
        engines=("ipex",),
        host=("a CPU", "AMX: usable"),
        amx_usable=not amx_reason,
        amx_reason=amx_reason,
        checks=checks,
        trials=trials,
        started="2025-11-22T08:00:00+00:00",
        elapsed_seconds=125.0,
        interrupted=interrupted,
    )


NO_AMX = "the hypervisor hides AMX (hypervisor_mask): pass the CPU's AMX flags to the guest"

FAULT = Finding(Severity.ERROR, "uncorrected memory errors (1)", "have the module replaced")
HOT = Finding(Severity.WARNING, "the CPUs were hot", "check the fans")
SLOW_GOVERNOR = Finding(Severity.NOTE, "the governor is powersave", "use performance")


def with_health(run: RunSummary, *findings: Finding) -> RunSummary:
    """The run on a machine whose health was read, with these findings."""
    before = Health(cpus=2, uptime_seconds=10.0, busy_seconds=1.0, own_seconds=0.0, turbo=True)
    after = msgspec.structs.replace(before, uptime_seconds=110.0, busy_seconds=21.0)
    return msgspec.structs.replace(run, health_before=before, health_after=after, findings=findings)


_MACHINE = {
    "cpu_brand": "Xeon",
    "cpu_family": "6",
    "microcode": "0x2b000590",
    "amx_features": "AMX-TILE AMX-BF16",
    "isa_flags": "amx_bf16 amx_tile avx2",
    "cores": "56",
    "cpus": "112",
    "numa_nodes": "1",
    "memory_gib": "512",
}

#: One run of each answer.
QUALIFIED = summary(PASSED, SKIPPED, trials=(trial_result(gate_result()),))
NOT_QUALIFIED = summary(PASSED, FAILED, trials=(trial_result(gate_result()),))
NOT_USABLE = summary(SKIPPED, amx_reason=NO_AMX)
INCONCLUSIVE = summary(
    PASSED, UNDECIDED, trials=(trial_result(gate_result(Verdict.INCONCLUSIVE, remedy="wait")),)
)


def timed_trial(*gates: Verdict) -> TrialResult:
    """A trial with gates, a kernel log, and a disturbed slice."""
    results = [
        gate_result(verdict, versus=versus, remedy="wait")
        for verdict, versus in zip(gates, (Versus.FP32, Versus.NO_AMX), strict=False)
    ]
    trial = trial_result(*results)
    evidence = msgspec.structs.replace(AMX_EVIDENCE, step_milliseconds=250.0)
    arms = (*trial.measurement.arms[:2], arm(AMX, evidence))
    first = trial.measurement.rounds[0]
    rounds = (
        msgspec.structs.replace(first, disturbed=(Slice(AMX.id, 0.9, 2),), seconds=4.0),
        *(msgspec.structs.replace(r, seconds=3.0) for r in trial.measurement.rounds[1:]),
        Round(8, first.slices, launch=1, seconds=3.0),
    )
    return measured(trial, arms=arms, rounds=rounds)


#: A run with something in each part of a report.
WHOLE = msgspec.structs.replace(
    summary(
        PASSED,
        SKIPPED,
        FAILED,
        UNDECIDED,
        trials=(timed_trial(Verdict.PASS, Verdict.INCONCLUSIVE),),
    ),
    host=("AMX: usable", "host: a CPU, kernel 6.1, machine 0123456789ab"),
    machine=_MACHINE,
    versions={"amx-suite": "0.1.0", "torch": "2.8.0"},
)
