"""A fake machine: a clock, memory, workers whose speed is given, and trials on it."""

import math

import msgspec
import numpy as np

from amx_suite.accuracy.judgements import rounded
from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.evidence import Evidence, Family, Jail, KernelUse
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.peaks import CoreCycles, Peaks, Spread
from amx_suite.core.precision import Precision
from amx_suite.core.quiet import Reading, Reference
from amx_suite.core.trial import Trial
from amx_suite.core.units import PER_CYCLE, Unit
from amx_suite.engines import engine_for
from amx_suite.errors import NotApplicableError
from amx_suite.host.topology import Core, Topology
from amx_suite.trial.session import TrialSession
from amx_suite.worker.process import ChildEnvironment, Prepared, Proof, SliceTaken
from amx_suite.workloads.base import Inputs

GIB = 2**30
#: Two cores of one thread each.
FAKE_TOPOLOGY = Topology((Core((0,), (0,)), Core((1,), (1,))))
RESNET = Workload("resnet50", Mode.INFERENCE)
SHAPE = Shape(16, 224)


class World:
    """A machine with a clock, memory, and arms of given speed; ``log`` is what its workers did.

    Keys are arms such as ``bf16@amx``, or ``eager:bf16@amx`` for one engine only. ``amx_share`` and
    ``permission`` need only the arms whose evidence is not as it should be, and ``evidence`` holds
    other fields of it. ``operator_kernels`` are in the log of each operator, whose result is wrong
    under ``wrong_ceilings``.
    """

    def __init__(self):
        self.now = 0.0
        self.free = 64 * GIB
        self.seconds = {
            "fp32@no_amx": 0.9,
            "bf16@avx512_bf16": 1.26,
            "bf16@amx": 0.15,
            "int8@avx512_vnni": 0.48,
            "int8@amx": 0.09,
            "fp16@avx512_fp16": 0.9,
            "fp16@amx_fp16": 0.15,
        }
        self.peak = 1 * GIB
        self.amx_share = {}
        self.permission = {}
        self.evidence = {}
        self.operator_kernels = ()
        self.wrong_ceilings = ()
        self.throttled = lambda: 0.0
        self.suspended = lambda: 0.0
        self.refused = {}
        self.faults = {}
        self.log = []
        self.rates = {Unit.TILE: 1000.0, Unit.FMA: 63.0, Unit.MEMORY: 1e10}
        self.probe_seconds = 0.06
        self.live = set()
        self.most_live = 0
        self.ended = []

    def reading(self):
        """One reading; a callable in ``rates`` is called for each."""
        self.now += self.probe_seconds
        return Reading({u: rate() if callable(rate) else rate for u, rate in self.rates.items()})

    def speed(self, case):
        """Seconds per step; a callable in ``seconds`` is called for each slice."""
        value = self.own(self.seconds, case)
        return value() if callable(value) else value

    def own(self, table, case, default=None):
        """The table's value for this engine's arm, the arm, that which it copies, or of no side."""
        plain = case.arm.partition("#")[0]
        names = (f"{case.engine}:{case.arm}", case.arm, plain, plain.partition(":")[0])
        return next((table[name] for name in names if name in table), default)


class FakeProber:
    def __init__(self, world):
        self.world = world

    def probe(self):
        self.world.log.append(("prober", "probe"))
        return self.world.reading()

    def measure_peaks(self, readings):
        return Peaks((0, 1), {unit: Spread(1e11, 0.9e11, 1.1e11) for unit in Unit})

    def read_cycles(self, cpus):
        rates = {unit: 0.95 * most for unit, most in PER_CYCLE.items()}
        return tuple(CoreCycles(cpu, rates, dict.fromkeys(rates, 3e9), 1.0) for cpu in cpus)

    def close(self):
        self.world.log.append(("prober", "close"))

    def __enter__(self):
        return self

    def __exit__(self, *reasons):
        self.close()


class FakeWorker:
    def __init__(self, world, case):
        self.world, self.case = world, case
        self.environment = ChildEnvironment({}, {"ONEDNN_MAX_CPU_ISA": "X"}, {"OMP_X": "1"})
        self.jail = Jail.NOT_ASKED if case.isa.allows_amx else Jail.HELD

    def prepare(self, case, inputs):
        self.case = case
        self._do("prepare")
        refused = why_lacking(case) or self.world.own(self.world.refused, case)
        if refused:
            raise NotApplicableError(refused)
        self.world.now += 5
        self.world.live.add(case.id)
        self.world.most_live = max(self.world.most_live, len(self.world.live))
        self.world.free -= self.world.peak
        peak, versions = self.world.peak, {"torch": "2.8.0"}
        return Prepared(2, 16, 10**9, "images", "synthetic", peak, versions)

    def take_slice(self, iterations):
        self._do("slice")
        seconds = self.world.speed(self.case) * iterations
        self.world.now += seconds
        return SliceTaken(seconds, iterations)

    def operate(self, operator, precision, arrays, **settings):
        """A linear layer, whatever the operator."""
        output = arrays["x"].astype(np.float64) @ arrays["weight"].T + arrays["bias"]
        if precision is Precision.FP64:
            return output
        rough = rounded(output, 8) if precision is Precision.BF16 else output.astype(np.float32)
        return rough + np.float32(self.case.isa in self.world.wrong_ceilings)

    def prove_operator(self, operator, precision, arrays, **settings):
        output = self.operate(operator, precision, arrays, **settings)
        return output, self.world.operator_kernels

    def stamp_steps(self, *, seconds=0.0, steps=1):
        """The clock stands still: other instances step at the same time."""
        self._do("stamps")
        step = self.world.speed(self.case)
        count = max(steps, math.ceil(seconds / step))
        return self.world.now + step * np.arange(count + 1)

    def prove(self):
        self._do("prove")
        tiles = self.case.isa.allows_amx
        share = self.world.own(self.world.amx_share, self.case, 0.99) if tiles else 0.0
        source = self.case.precision.spec.operand_types[0]
        amx, other = "brgconv:avx10_1_512_amx", "jit:avx512_core"
        kernels = (
            KernelUse("convolution", amx, Family.AMX, 50, 100 * share, source, round(1e9 * share)),
            KernelUse(
                "convolution",
                other,
                Family.AVX512,
                4,
                100 * (1 - share),
                source,
                round(1e9 * (1 - share)),
            ),
        )
        level = self.case.isa.spec.aten.upper()
        permission = self.world.own(self.world.permission, self.case, tiles)
        evidence = Evidence(
            self.case.isa,
            self.jail,
            permission,
            "isa",
            kernels,
            operations=10**9,
            step_milliseconds=110.0,
            read_back={"ipex": level, "ipex-onednn": level},
        )
        changes = self.world.own(self.world.evidence, self.case, {})
        return Proof(msgspec.structs.replace(evidence, **changes), self.world.peak)

    def outputs(self):
        return self._do("outputs")

    def gradients(self, *, batch):
        return self._do("gradients")

    def release(self):
        self._do("release")

    def checkpoint(self, path):
        self._do(f"checkpoint {path}")

    def close(self):
        self.world.ended.append(self.case.arm)
        if self.case.id in self.world.live:
            self.world.live.remove(self.case.id)
            self.world.free += self.world.peak

    def _do(self, what):
        self.world.log.append((self.case.arm, what))
        faults = {arm: error for (arm, when), error in self.world.faults.items() if when == what}
        fault = self.world.own(faults, self.case)
        if fault is not None:
            raise fault


def gate(minimum, versus=Versus.FP32, precision=Precision.BF16):
    return Gate(RESNET, precision, versus, SHAPE, minimum, "made up")


def full_trial(workload=RESNET):
    """Every arm that ipex has."""
    trial = Trial.of(workload, "ipex", SHAPE, cores=2)
    arms = [arm for arm in trial.arms if not why_lacking(arm)]
    return msgspec.structs.replace(trial, arms=tuple(arms))


def why_lacking(case):
    """Why ipex has no such arm; other engines, of whatever version, have each one here."""
    engine = engine_for(case.engine, case.precision)
    return case.engine == "ipex" and engine.why_not(case.workload.mode, case.precision)


def make_session(world, gates=(), *, trial=None, worker=FakeWorker, seed=0, **more):
    """The real session on the fake machine; by default of the full trial, with a true reference."""
    more.setdefault("budget_seconds", 600.0)
    more.setdefault("reference", Reference.of([Reading(World().rates)], PER_CYCLE))
    return TrialSession(
        msgspec.structs.replace(trial or full_trial(), seed=seed),
        gates,
        start=lambda case: worker(world, case),
        start_probe=lambda: FakeProber(world),
        host={"vendor": "fake"},
        cpus=(0, 1),
        inputs=Inputs(),
        clock=lambda: world.now,
        memory=lambda: world.free,
        throttled=lambda: world.throttled(),
        suspended=lambda: world.suspended(),
        **more,
    )
