"""Trials on fake workers and a fake clock."""

import itertools
from types import SimpleNamespace

import pytest
from fake_trial import GIB, FakeProber, FakeWorker, World

from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.precision import Precision
from amx_suite.core.quiet import Reading, Reference
from amx_suite.core.trial import Trial
from amx_suite.core.units import PER_CYCLE
from amx_suite.trial.session import TrialSession
from amx_suite.workloads.base import Inputs

RESNET = Workload("resnet50", Mode.INFERENCE)
SHAPE = Shape(16, 224)


def gate(minimum, versus=Versus.FP32, precision=Precision.BF16):
    return Gate(RESNET, precision, versus, SHAPE, minimum, "made up")


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_session(world):
    """A session of the full trial of a workload on the fake machine."""

    reference = Reference.of([Reading(World().rates)], PER_CYCLE)

    def make(gates=(), *, workload=RESNET, seed=0, budget_seconds=600.0, trial=None, **more):
        of_ipex = Trial.of(workload, "ipex", SHAPE, threads=2, seed=seed)
        return TrialSession(
            trial or of_ipex,
            gates,
            start=lambda case: FakeWorker(world, case),
            start_probe=lambda: FakeProber(world),
            host={"vendor": "fake"},
            cpus=(0, 1),
            budget_seconds=budget_seconds,
            inputs=Inputs(),
            reference=more.pop("reference", reference),
            clock=lambda: world.now,
            memory=lambda: world.free,
            **more,
        )

    return make


@pytest.fixture
def alternating():
    """A speed that alternates between the given values."""
    return lambda *values: itertools.cycle(values).__next__


@pytest.fixture
def vocabulary():
    return SimpleNamespace(gate=gate, resnet=RESNET, shape=SHAPE, gib=GIB)
