"""``amx-suite replay``: how often a stored tile is wrong now, and on which CPU."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from recorded_hosts import host

from amx_suite.cli import main
from amx_suite.cli import replay as module
from amx_suite.host.facts import HostFacts
from amx_suite.host.reasons import Support
from amx_suite.host.support import judge
from amx_suite.report.mismatch import store_mismatch
from amx_suite.tmul.batch import BatchResult, Mismatch, TileBatch

pytestmark = pytest.mark.selftest

BATCH = TileBatch("tdpbssd", "wrap", 3, tiles=2)
WRONG = BatchResult(BATCH, 1, 256, 1, Mismatch(0, 0, 5, 1, 2, b"a", b"b", b"c"))
RIGHT = BatchResult(BATCH, 1, 256, 0)


class Machine:
    """Two CPUs, of which ``bad`` is wrong once in ``every`` times."""

    def __init__(self, bad=None, every=1):
        self.bad, self.every = bad, every
        self.asked = []

    @contextmanager
    def worker(self, cpu):
        def rerun_tile(result):
            self.asked.append(cpu)
            errs = cpu == self.bad and self.asked.count(cpu) % self.every == 0
            return WRONG if errs else RIGHT

        yield SimpleNamespace(rerun_tile=rerun_tile)


@pytest.fixture
def stored(tmp_path):
    return store_mismatch(tmp_path, {"cpu": "fake"}, WRONG)


@pytest.fixture
def on(monkeypatch):
    def put(machine, support=None):
        facts = host("sapphire-rapids").facts
        monkeypatch.setattr(HostFacts, "allowed_cpus", property(lambda self: (0, 1)))
        monkeypatch.setattr(module, "detect", lambda: (facts, support or Support()))
        monkeypatch.setattr(module, "host_traits", lambda facts: {"cpu": "fake"})
        monkeypatch.setattr(module, "TileWorker", machine.worker)
        return machine

    return put


def test_fault_does_not_recur(on, stored, capsys):
    machine = on(Machine())
    assert main(["replay", str(stored)]) == 0
    out = capsys.readouterr().out
    assert "C[0][5] of tile 0 is 0x00000001, expected 0x00000002" in out
    assert out.rstrip().endswith("RIGHT 1000 times on each of 2 CPUs: it did not recur")
    assert machine.asked == [1] * 1000 + [0] * 1000


def test_fault_recurs_sometimes(on, stored, capsys):
    on(Machine(bad=1, every=300))
    assert main(["replay", str(stored)]) == 1
    out = capsys.readouterr().out
    assert "CPU 1: wrong 3 of 1000 times" in out
    assert "CPU 0: wrong 0 of 1000 times" in out
    assert out.rstrip().endswith("WRONG AGAIN on CPU 1")


def test_other_machine_is_noted(on, stored, capsys, monkeypatch):
    on(Machine())
    monkeypatch.setattr(module, "host_traits", lambda facts: {"cpu": "another"})
    assert main(["replay", str(stored)]) == 0
    assert "found on another machine: cpu differ" in capsys.readouterr().out


def test_without_amx_nothing_runs(on, stored, capsys):
    machine = on(Machine(), judge(host("ice-lake").facts))
    assert main(["replay", str(stored)]) == 3
    assert "AMX NOT USABLE" in capsys.readouterr().out
    assert not machine.asked


def test_absent_file_is_a_usage_error(tmp_path, capsys):
    assert main(["replay", str(tmp_path / "absent.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
