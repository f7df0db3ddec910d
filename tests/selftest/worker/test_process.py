"""The parent's handle: good answers, and a typed error for each way a child can fail."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.evidence import Jail
from amx_suite.core.isa import Isa
from amx_suite.errors import (
    CeilingIgnoredError,
    EngineUnavailableError,
    NotApplicableError,
    ProtocolError,
    UsageError,
    WorkerDiedError,
    WorkerFailedError,
    WorkerHungError,
    WorkerMemoryError,
    WorkerStartError,
)
from amx_suite.workloads.base import Inputs

pytestmark = pytest.mark.selftest


def case(weights="random"):
    workload = Workload("resnet50", Mode.INFERENCE)
    return RunCase(
        workload, "fake", Precision.FP32, Isa.AVX512, Shape(4, 8), threads=1, weights=weights
    )


def command(worker, name, **settings):
    return worker.operate(name, Precision.FP32, {}, **settings)


def gone(pid, seconds=5.0):
    """Whether the process ends (or is a mere zombie) within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_the_parent_does_nothing_while_it_waits():
    """No thread of it was scheduled even once: it is blocked on the socket, and polls nothing."""
    program = textwrap.dedent("""
        import os, sys
        from amx_suite.core.case import Precision
        from amx_suite.core.isa import Isa
        from amx_suite.worker.process import IsaWorker
        child, cpus = (sys.executable, sys.argv[1]), tuple(os.sched_getaffinity(0))
        with IsaWorker(Isa.AVX512, "fake", threads=1, cpus=cpus, program=child) as worker:
            print(worker.operate("watch", Precision.FP32, {}))
    """)
    child = Path(__file__).with_name("fake_child.py")
    path = os.pathsep.join(map(str, (Path(__file__).parents[3], *sys.path)))
    ended = subprocess.run(
        [sys.executable, "-c", program, child],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ended.stdout == "0\n", ended.stderr


def test_a_worker_prepares_and_times(start_fake):
    worker = start_fake()
    prepared = worker.prepare(case(), Inputs())
    taken = worker.take_slice(prepared.iterations)
    assert (prepared.items_per_step, taken.seconds, taken.iterations) == (4, 0.5, 2)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float64).reshape(2, 3),
        np.arange(6, dtype=np.int8).reshape(2, 3).T,
        np.array(3.5, dtype=np.float32),
        np.empty((0, 4), dtype=np.float32),
        np.full((300, 1000), np.nan, dtype=np.float32),
    ],
    ids=["2d", "transposed", "0d", "empty", "megabyte of NaN"],
)
def test_arrays_cross_unchanged(start_fake, array):
    back = start_fake().operate("echo", Precision.FP32, {"a": array})
    np.testing.assert_array_equal(back, array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)


def test_a_child_stands_alone_and_where_it_is_told(start_fake):
    worker = start_fake()
    pid, group, parent, cpus, stdin_is_null = command(worker, "about")
    assert (pid, parent) == (worker.pid, os.getpid())
    assert group == pid, "the child has a process group of its own"
    assert (cpus, stdin_is_null) == (1, 1)


def test_an_arm_without_amx_is_jailed_and_cannot_get_the_permission(start_fake):
    worker = start_fake(Isa.AVX512_BF16)
    assert worker.jail is Jail.HELD
    assert command(worker, "permission") == errno.EPERM


def test_an_amx_arm_is_not_jailed(start_fake):
    worker = start_fake(Isa.AMX)
    assert worker.jail is Jail.NOT_ASKED
    assert command(worker, "permission") != errno.EPERM


def test_an_exit_names_case_code_and_stderr(start_fake):
    with pytest.raises(WorkerDiedError, match=r"(?s)fake-case.*exit code 7.*last words"):
        command(start_fake(), "exit", code=7)


def test_a_child_killed_in_the_middle_is_named(start_fake):
    with pytest.raises(WorkerDiedError, match="killed by SIGKILL"):
        command(start_fake(), "signal", number=signal.SIGKILL)


def test_sigill_in_the_jail_accuses_the_library(start_fake):
    with pytest.raises(CeilingIgnoredError, match=r"SIGILL.*ignores its ceiling"):
        command(start_fake(Isa.AVX512), "signal", number=signal.SIGILL)


def test_sigill_of_an_amx_arm_accuses_nobody_of_ignoring_a_ceiling(start_fake):
    with pytest.raises(WorkerDiedError, match="SIGILL") as caught:
        command(start_fake(Isa.AMX), "signal", number=signal.SIGILL)
    assert not isinstance(caught.value, CeilingIgnoredError)


def test_a_stopped_child_is_named_and_killed(start_fake):
    worker = start_fake(work_seconds=0.3)
    with pytest.raises(WorkerHungError, match=r"no answer to Operate within 0\.3 s.*stopped"):
        command(worker, "signal", number=signal.SIGSTOP)
    assert gone(worker.pid)


def test_a_silent_child_is_named_and_killed(start_fake):
    worker = start_fake(work_seconds=0.3)
    with pytest.raises(WorkerHungError, match="no answer") as caught:
        command(worker, "sleep")
    assert "stopped" not in caught.value.what
    assert gone(worker.pid)


def test_a_dead_worker_says_so_again(start_fake):
    worker = start_fake()
    for _ in range(2):
        with pytest.raises(WorkerDiedError, match=r"(?s)exit code 7.*last words"):
            command(worker, "exit", code=7)


def test_nonsense_on_the_socket_is_a_protocol_error(start_fake):
    with pytest.raises(ProtocolError, match="cannot be read"):
        command(start_fake(), "garbage")


def test_an_exception_in_the_child_carries_its_traceback(start_fake):
    worker = start_fake()
    with pytest.raises(WorkerFailedError, match="RuntimeError: broken as told") as caught:
        command(worker, "fail")
    assert "_operate" in caught.value.stderr_tail
    assert command(worker, "about")[0] == worker.pid, "the child lives on"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("memory", WorkerMemoryError),
        ("not applicable", NotApplicableError),
        ("unavailable", EngineUnavailableError),
        ("usage", UsageError),
    ],
)
def test_reported_failures_keep_their_kind(start_fake, kind, error):
    with pytest.raises(error, match="as told"):
        start_fake().prepare(case(f"fail:{kind}"), Inputs())


def test_a_program_that_does_not_start_is_named(start_fake):
    program = (sys.executable, "-c", "import sys; sys.exit('no such thing')")
    with pytest.raises(WorkerStartError, match=r"(?s)fake-case.*exit code 1.*no such thing"):
        start_fake(program=program)


def test_close_ends_the_child(start_fake):
    worker = start_fake()
    worker.close()
    assert gone(worker.pid)


def test_leaving_by_an_exception_kills_the_child(start_fake):
    with pytest.raises(ZeroDivisionError), start_fake() as worker:
        raise ZeroDivisionError
    assert gone(worker.pid)


_PARENT = textwrap.dedent(
    """
    import os, signal, sys
    sys.path.insert(0, {here!r})
    from conftest import FAKE_CHILD
    from amx_suite.core.case import Precision
    from amx_suite.core.isa import Isa
    from amx_suite.worker.process import IsaWorker

    worker = IsaWorker(Isa.AVX512, "fake", threads=1, cpus=(min(os.sched_getaffinity(0)),),
                       program=FAKE_CHILD)
    with worker:
        print(worker.pid, flush=True)
        worker.operate({command!r}, Precision.FP32, {{}}, number=signal.SIGSTOP)
    """
)


@pytest.mark.parametrize("command", ["sleep", "signal"], ids=["busy", "stopped"])
def test_no_child_outlives_a_killed_parent(command):
    program = _PARENT.format(here=str(Path(__file__).parent), command=command)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(child)


def test_ctrl_c_ends_parent_and_child():
    program = _PARENT.format(here=str(Path(__file__).parent), command="sleep")
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGINT)
    _, stderr = parent.communicate(timeout=5)
    assert "KeyboardInterrupt" in stderr
    assert gone(child)
