"""Many children: on many CPUs, from threads that end, and with few descriptors."""

import os
import resource
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import open_descriptors

from amx_suite.child import handle
from amx_suite.plugin import fixtures
from amx_suite.tmul.batch import TileBatch
from amx_suite.tmul.tile_worker import TileWorker

pytestmark = pytest.mark.selftest

CPUS = sorted(os.sched_getaffinity(0))
EMULATED = "fake_tiles:Emulated"
BATCH = TileBatch("tdpbssd", "wrap", 3, tiles=2)


def test_tile_workers_from_a_pool_of_threads():
    """They are asked again after the threads that started them have ended."""
    with ThreadPoolExecutor(4) as pool:
        workers = list(pool.map(lambda n: TileWorker(CPUS[n % len(CPUS)], EMULATED), range(4)))
    try:
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda worker: worker.check_tiles(BATCH), workers))
        assert [result.cpu for result in results] == [CPUS[n % len(CPUS)] for n in range(4)]
        assert all(result.is_exact for result in results)
    finally:
        for worker in workers:
            worker.close()


#: A shell stands for each child, which starts faster than Python: it sends the frame that says
#: Ready, with pid 1, and waits for the end.
_MANY = textwrap.dedent(
    """
    import resource, subprocess
    from amx_suite.child import handle

    HEAD = r"\\042\\000\\000\\000"
    BODY = r"\\202\\247message\\202\\244type\\245Ready\\243pid\\001\\246arrays\\220"

    class Popen(subprocess.Popen):
        def __init__(self, command, **how):
            shell = f"printf '{HEAD}{BODY}' >&{how['pass_fds'][0]}; exec sleep 60"
            super().__init__(["bash", "-c", shell], **how)

    handle.subprocess.Popen = Popen
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 192))
    children = [handle.Child("none:none", label=f"CPU {n}") for n in range(128)]
    print(len(children), resource.getrlimit(resource.RLIMIT_NOFILE))
    for child in children:
        child._process.kill()
    """
)


def test_many_children_need_few_descriptors(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _MANY],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.stdout == "128 (192, 192)\n", done.stderr[-2000:]


def test_a_child_costs_one_descriptor(start):
    before = open_descriptors()
    child = start()
    assert open_descriptors() == before + 1
    child.close()
    assert open_descriptors() == before


@pytest.mark.parametrize(("limit", "most"), [(1024, 900), (64, 1), (resource.RLIM_INFINITY, 10**6)])
def test_most_children_follows_the_descriptor_limit(monkeypatch, limit, most):
    monkeypatch.setattr(handle, "_raise_descriptor_limit", lambda: limit)
    assert 0.9 * most <= handle.most_children() <= 1.1 * most


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
