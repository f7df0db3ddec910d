"""Many children: on many CPUs, from threads that end, and with few descriptors."""

import os
import resource
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import open_descriptors

from amx_suite.child import limits
from amx_suite.plugin import fixtures
from amx_suite.tmul.batch import TileBatch
from amx_suite.tmul.tile_worker import TileWorker

pytestmark = pytest.mark.selftest

CPUS = sorted(os.sched_getaffinity(0))
BATCH = TileBatch("tdpbssd", "wrap", 3, tiles=2)


@pytest.mark.parametrize("count", [2, 64])
def test_tile_workers_from_a_pool_of_threads(count):
    """They are asked again after the threads that started them have ended."""
    handler = "fake_tiles:Emulated" if count == 2 else "fake_tiles:Quick"
    with ThreadPoolExecutor(8) as pool:
        workers = list(pool.map(lambda n: TileWorker(CPUS[n % len(CPUS)], handler), range(count)))
    try:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda worker: worker.check_tiles(BATCH), workers))
        assert [result.cpu for result in results] == [CPUS[n % len(CPUS)] for n in range(count)]
        assert all(result.is_exact for result in results)
    finally:
        for worker in workers:
            worker.close()


#: Five hundred interpreters take a quarter of a minute to start, so a shell stands for each: it
#: sends the frame that says Ready, with pid 1, and waits for the end.
_MANY = textwrap.dedent(
    """
    import resource, sys
    from amx_suite.child import handle
    from amx_suite.child.processes import start_program

    HEAD = r"\\042\\000\\000\\000"
    BODY = r"\\202\\247message\\202\\244type\\245Ready\\243pid\\001\\246arrays\\220"

    def start(command, environment, descriptor, log):
        shell = f"printf '{HEAD}{BODY}' >&{descriptor}; exec sleep 60"
        return start_program(["bash", "-c", shell], environment, descriptor, log)

    handle.start_program = start
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))
    children = [handle.Child("none:none", label=f"CPU {n}") for n in range(512)]
    print(len({child.label for child in children}), resource.getrlimit(resource.RLIMIT_NOFILE))
    for child in children:
        child._process.kill()
    """
)


def test_512_children_with_1024_descriptors():
    done = subprocess.run(
        [sys.executable, "-c", _MANY],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.stdout == "512 (1024, 1024)\n", done.stderr[-2000:]


def test_a_child_costs_one_descriptor(start):
    before = open_descriptors()
    child = start()
    assert open_descriptors() == before + 1
    child.close()
    assert open_descriptors() == before


@pytest.mark.parametrize(("limit", "most"), [(1024, 900), (64, 1), (resource.RLIM_INFINITY, 10**6)])
def test_most_children_follows_the_descriptor_limit(monkeypatch, limit, most):
    monkeypatch.setattr(limits, "raise_descriptor_limit", lambda: limit)
    assert 0.9 * most <= limits.most_children() <= 1.1 * most


def test_the_least_recently_used_child_is_closed(monkeypatch):
    closed = []

    class Cheap:
        def __init__(self, number):
            self.number = number

        def close(self):
            closed.append(self.number)

    monkeypatch.setattr(fixtures, "most_children", lambda: 2)
    with fixtures._kept(Cheap) as child:
        first = child(1)
        child(2)
        assert child(1) is first
        child(3)
        assert closed == [2]
        assert child(1) is first
    assert sorted(closed) == [1, 2, 3]
