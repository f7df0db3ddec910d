"""The parent's handle of an arm: its jail, its measurements, and whom a death is laid to."""

import errno
import signal

import pytest

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.evidence import Jail
from amx_suite.core.isa import Isa
from amx_suite.errors import CeilingIgnoredError, LostChildError
from amx_suite.workloads.base import Inputs

pytestmark = pytest.mark.selftest

CASE = RunCase(
    Workload("resnet50", Mode.INFERENCE), "fake", Precision.FP32, Isa.AVX512, Shape(4, 8), threads=1
)


def command(worker, name, **settings):
    return worker.operate(name, Precision.FP32, {}, **settings)


def test_a_worker_prepares_and_times(start_fake):
    worker = start_fake()
    prepared = worker.prepare(CASE, Inputs())
    taken = worker.take_slice(prepared.iterations)
    assert (prepared.items_per_step, taken.seconds, taken.iterations) == (4, 0.5, 2)


def test_an_arm_without_amx_is_jailed(start_fake):
    worker = start_fake(Isa.AVX512_BF16)
    assert worker.jail is Jail.HELD
    assert command(worker, "permission") == errno.EPERM


def test_an_amx_arm_is_not_jailed(start_fake):
    worker = start_fake(Isa.AMX)
    assert worker.jail is Jail.NOT_ASKED
    assert command(worker, "permission") != errno.EPERM


def test_sigill_in_the_jail_accuses_the_library(start_fake):
    with pytest.raises(CeilingIgnoredError, match=r"SIGILL.*ignores its ceiling") as caught:
        command(start_fake(Isa.AVX512), "signal", number=signal.SIGILL)
    assert caught.value.signal == signal.SIGILL


def test_sigill_of_an_amx_arm_accuses_nobody(start_fake):
    with pytest.raises(LostChildError, match="SIGILL") as caught:
        command(start_fake(Isa.AMX), "signal", number=signal.SIGILL)
    assert not isinstance(caught.value, CeilingIgnoredError)
