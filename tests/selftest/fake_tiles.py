"""Handlers of children that use tiles, on machines that are made up; for any CPU number."""

import os
import signal
import sys
import time
from types import SimpleNamespace

from amx_suite.tmul import exactness, tile_probe
from amx_suite.tmul.batch import BatchResult, Mismatch, SoakSlice, TileBatch
from amx_suite.tmul.checks import Checks
from amx_suite.tmul.exactness import TileBench
from amx_suite.tmul.tile_probe import Answered, Questions, TileProbe
from amx_suite.tmul.xcomp import XcompReply
from amx_suite.worker.jail import refuse_amx

BATCH = TileBatch("tdpbf16ps", "ordinary", 0, tiles=1)


class Emulated(TileBench):
    """Batches of tiles whose results come from the oracle."""

    def __init__(self):
        class Run:
            def __init__(self, batch, steps):
                self._result = exactness.expected(batch, steps)

            def __call__(self):
                pass

            def result(self):
                return self._result.copy(), 0

        super().__init__()
        exactness.request_tiles = lambda: XcompReply(0)
        exactness.TileRun = Run


class JailedBench(TileBench):
    def __init__(self):
        refuse_amx()
        super().__init__()


class JailedChecks(Checks):
    """The kernel refuses tiles."""

    def __init__(self):
        refuse_amx()


def fails():
    sys.exit("no ctypes here")


class Fine(TileProbe):
    """Every CPU multiplies right."""

    result = BatchResult(BATCH, 0, 256, wrong=0)

    def __init__(self):
        tile_probe.os = SimpleNamespace(sched_setaffinity=lambda _, cpus: self.move_to(*cpus))
        tile_probe.request_tiles = lambda: XcompReply(0)
        self._check = self

    def run_for(self, seconds):
        return SoakSlice(self.result, 1, 1.0)

    def move_to(self, cpu):
        """What happens when the child moves to the CPU."""


class SigillEverywhere(Fine):
    def move_to(self, cpu):
        os.kill(os.getpid(), signal.SIGILL)
        time.sleep(60)


class SigillOn1(SigillEverywhere):
    def move_to(self, cpu):
        if cpu == 1:
            super().move_to(cpu)


class ExitsOn1(Fine):
    def move_to(self, cpu):
        if cpu == 1:
            print("no libc here", file=sys.stderr, flush=True)
            os._exit(3)


class SilentOn1(Fine):
    def move_to(self, cpu):
        if cpu == 1:
            time.sleep(60)


class WrongOn1UnreachableOn2(Fine):
    def move_to(self, cpu):
        if cpu == 2:
            raise OSError(22, "Invalid argument")
        first = Mismatch(0, 0, 3, 1, 2, b"", b"", b"")
        wrong = BatchResult(BATCH, 1, 256, wrong=1, first=first)
        self.result = wrong if cpu == 1 else Fine.result


class JailedProbe(TileProbe):
    def __init__(self):
        refuse_amx()
        super().__init__()


GRANTS = {
    "supported": Answered(393959, ""),
    "before": Answered(131815, ""),
    "request": Answered(0, ""),
    "after": Answered(393959, ""),
}
REFUSES = {**GRANTS, "request": Answered(None, "EOPNOTSUPP"), "after": Answered(231, "")}


def answers(table, killed_by=""):
    class Answers(Questions):
        def handle(self, request, arrays):
            if request.question == killed_by:
                os.kill(os.getpid(), signal.SIGSYS)
            return table[request.question], {}

    return Answers


GRANTING, REFUSING = answers(GRANTS), answers(REFUSES)
KILLED_BY_SUPPORTED = answers(GRANTS, "supported")
KILLED_BY_BEFORE = answers(GRANTS, "before")
KILLED_BY_REQUEST = answers(GRANTS, "request")
KILLED_BY_AFTER = answers(GRANTS, "after")


class Broken(Questions):
    def handle(self, request, arrays):
        raise RuntimeError("no ctypes here")


class Hangs(Questions):
    def handle(self, request, arrays):
        time.sleep(60)
