"""Throughput and latency on a simulated machine of two sockets with 56 cores each."""

import itertools

import msgspec
import numpy as np
import pytest
from fake_trial import GIB, FakeWorker, full_trial

from amx_suite.core.case import Arm, Mode, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import Verdict
from amx_suite.errors import LostChildError, NotApplicableError
from amx_suite.host.instance import node_instances, small_instances
from amx_suite.host.limits import Limits
from amx_suite.host.topology import Core, Topology
from amx_suite.trial.whole_machine import (
    LATENCY_STEPS,
    judge_evidence,
    judge_throughput,
    latency_case,
    measure_latency,
    measure_throughput,
    whole_machine_cases,
)
from amx_suite.workloads.base import Inputs

pytestmark = pytest.mark.selftest

TWO_SOCKETS = Topology(tuple(Core((c,), (c,), node=c // 56) for c in range(112)))
NODES = node_instances(TWO_SOCKETS, Limits())
SMALL = small_instances(TWO_SOCKETS, Limits())
CASE = Arm(Workload("resnet50", Mode.INFERENCE), "ipex", Precision.BF16, Isa.AMX, Shape(64, 224), 4)


class Worker(FakeWorker):
    """A worker on an instance, whose step takes ``seconds_of(instance, time)``."""

    def __init__(self, world, case, instance, seconds_of):
        super().__init__(world, case)
        self.instance, self.seconds_of = instance, seconds_of

    def stamp_steps(self, *, seconds=0.0, steps=1):
        self._do(f"stamps {min(self.instance.cpus)}")
        stamps = [0.001 * min(self.instance.cpus)]  # they do not begin at the very same time
        while len(stamps) <= steps or stamps[-1] - stamps[0] < seconds:
            stamps.append(stamps[-1] + self.seconds_of(self.instance, stamps[-1]))
        return np.array(stamps)


def slightly_different(instance, now):
    return 4.0 / instance.cores * (1 + 0.001 * (min(instance.cpus) % 7))


@pytest.fixture
def measure(world):
    def run(instances=SMALL, seconds_of=slightly_different, case=CASE, seconds=600.0):
        return measure_throughput(
            case,
            instances,
            layout="on all cores",
            start=lambda case, instance: Worker(world, case, instance, seconds_of),
            inputs=Inputs(),
            seconds=seconds,
            memory=lambda: world.free,
        )

    return run


def test_every_core_of_both_nodes_works(measure, world):
    for layout, count in ((NODES, 2), (SMALL, 28)):
        found = measure(layout)
        cpus = [cpu for each in found.instances for cpu in each.instance.cpus]
        assert sorted(cpus) == list(range(112))
        assert {each.instance.node for each in found.instances} == {0, 1}
        assert len(found.instances) == count
        # 16 images a step; 28 instances of 4 cores do one step a second, or 2 of 56 do 14.
        assert found.items_per_second == pytest.approx(28 * 16, rel=0.01)
        assert found.seconds == pytest.approx(600, abs=1.2)
        assert judge_throughput(found, virtual=False).verdict is Verdict.PASS
    assert not world.live, "all workers have ended"


def test_parts_of_steps_count(measure):
    """A step of 50 s in a try of 20 s: one step of each instance, and no rate is lost."""
    found = measure(seconds=20.0, seconds_of=lambda instance, now: 50.0)
    assert found.items_per_second == pytest.approx(28 * 16 / 50)
    assert found.seconds == pytest.approx(50, abs=0.2)
    assert {each.steps for each in found.instances} == {1}
    assert found.last_over_first is None, "tenths of one step say nothing"


def slow_on_cpu_60(instance, now):
    return slightly_different(instance, now) * (1.3 if 60 in instance.cpus else 1.0)


def test_slow_instance_is_named_with_its_node(measure):
    found = measure(seconds_of=slow_on_cpu_60)
    verdict, reason, *_ = judge_throughput(found, virtual=False)
    assert verdict is Verdict.FAIL
    assert "4 cores of NUMA node 1, CPUs 60, 61, 62, 63 at 77% of their median" in reason
    assert judge_throughput(found, virtual=True).verdict is Verdict.INCONCLUSIVE


def test_smaller_instances_are_not_slow_ones(measure):
    """Each size has its own peers."""
    instances = [*SMALL[:14], *(msgspec.structs.replace(e, cpus=e.cpus[:2]) for e in SMALL[14:])]
    assert not measure(instances).slow


def test_two_nodes_have_too_few_peers(measure):
    assert not measure(NODES, seconds_of=slow_on_cpu_60).slow


def test_machine_that_heats_up_is_shown(measure):
    found = measure(seconds_of=lambda instance, now: 1.0 + now / 3000)
    assert found.tenths == tuple(sorted(found.tenths, reverse=True))
    assert found.last_over_first == pytest.approx(0.85, abs=0.01)


def test_dying_worker_is_named(measure, world):
    lost = LostChildError("bf16 on 4 cores of NUMA node 1, CPUs 60, 61, 62, 63", "SIGKILL")
    world.faults["bf16@amx", "stamps 60"] = lost
    with pytest.raises(LostChildError, match="CPUs 60, 61, 62, 63"):
        measure()
    assert len(world.ended) == 28, "the others are ended as well"


def test_too_little_memory_is_told(measure, world):
    world.peak, world.free = 4 * GIB, 44 * GIB
    with pytest.raises(NotApplicableError, match=r"the others need 135.0 GiB, 40.0 GiB are avail"):
        measure()
    assert world.ended == ["bf16@amx"], "only the first was started"


def test_no_time_together_is_no_measurement(measure):
    with pytest.raises(NotApplicableError, match="did not step at the same time"):
        measure(seconds=0.001, seconds_of=lambda instance, now: 0.002)


def test_absent_case_is_told(measure, world):
    world.refused["bf16@amx"] = "no BF16 in this version"
    with pytest.raises(NotApplicableError, match="no BF16 in this version"):
        measure()


def test_instance_without_evidence_passes_nothing(measure, world):
    shares = itertools.chain([0.99] * 20, itertools.repeat(0.0))

    class Unproven(dict):
        def __getitem__(self, name):
            return next(shares)

    world.amx_share = Unproven({"bf16@amx": 0})
    verdict, reason, *_ = judge_throughput(measure(), virtual=True)
    assert verdict is Verdict.NO_EVIDENCE
    assert "of NUMA node" in reason
    assert "0% of the step's operations were on AMX" in reason


def test_latency_times_each_step(world):
    slow = iter([0.02] * 985 + [0.05] * 15)
    case = latency_case(CASE)
    found = measure_latency(
        case,
        SMALL[0],
        start=lambda case, instance: Worker(world, case, instance, lambda *_: next(slow)),
        inputs=Inputs(),
    )
    assert (case.shape, found.steps) == (Shape(1, 224), LATENCY_STEPS)
    assert found.percentile(50) == pytest.approx(0.02)
    assert found.percentile(98) == pytest.approx(0.02)
    assert found.percentile(99) == pytest.approx(0.05)
    assert judge_evidence(found.case, found.evidence).verdict is Verdict.PASS
    assert not world.live


def test_cases_are_those_of_published_shapes():
    trials = [
        Trial.of(Workload(model, mode), "ipex", shape, cores=4)
        for model, mode, shape in (
            ("gemm", Mode.INFERENCE, Shape(16, 128)),
            ("resnet50", Mode.INFERENCE, Shape(64, 224)),
            ("bert", Mode.INFERENCE, Shape(64, 512)),
            ("bert", Mode.TRAINING, Shape(32, 128)),
        )
    ]
    assert [f"{case.workload.model} {case.arm}" for case in whole_machine_cases(trials)] == [
        f"{model} {arm}"
        for model in ("resnet50", "bert")
        for arm in ("bf16@avx512_bf16", "bf16@amx", "int8@avx512_vnni", "int8@amx")
    ]
    assert not whole_machine_cases([full_trial()]), "level 3 has none"
    assert latency_case(trials[2].arms[2]).shape == Shape(1, 128)
