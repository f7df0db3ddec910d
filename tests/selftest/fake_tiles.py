"""Handlers of children that use tiles, on machines that are made up; for any CPU number."""

import os
import signal
import sys
import time
from typing import ClassVar

from amx_suite.tmul import checks, exactness
from amx_suite.tmul.batch import BatchResult, Mismatch, SoakSlice, TileBatch
from amx_suite.tmul.checks import Checks
from amx_suite.tmul.exactness import TileBench
from amx_suite.tmul.state_checks import Check
from amx_suite.tmul.tile_probe import (
    MULTIPLICATION,
    Answered,
    Checked,
    Questions,
    TileResult,
    TileStatus,
)
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


class Faulty(Checks):
    """CPU 1 kills, CPU 2 multiplies wrong, CPU 3 is not there; the others do what they should."""

    def __init__(self):
        checks._product = lambda: self
        checks.require_tiles = lambda: None
        os.sched_setaffinity = self.move_to

    def move_to(self, _, cpus):
        (self.cpu,) = cpus
        if self.cpu == 3:
            raise OSError(22, "Invalid argument")

    def run_for(self, seconds):
        if self.cpu == 1:
            os.kill(os.getpid(), signal.SIGILL)
        wrong = BatchResult(BATCH, 2, 256, 1, Mismatch(0, 0, 3, 1, 2, b"", b"", b""))
        return SoakSlice(wrong if self.cpu == 2 else BatchResult(BATCH, 0, 256, 0), 1, 1.0)


class Hanging(Faulty):
    """Every CPU but CPU 0 hangs."""

    checks: ClassVar = {MULTIPLICATION: Check(lambda cpu: time.sleep(60 * cpu), seconds=0.2)}


class Counting(Faulty):
    """Says of each CPU on how many the check runs at once."""

    def handle(self, request, arrays):
        together = f"1 of {len(request.cpus)}"
        return Checked(tuple(TileResult(c, TileStatus.OK, together) for c in request.cpus)), {}


class EndsOn1(Faulty):
    """The child itself ends, not its fork."""

    def handle(self, request, arrays):
        if request.cpus == (1,):
            sys.exit("no libc here")
        return super().handle(request, arrays)


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
KILLED_BY_REQUEST = answers(GRANTS, "request")


class Broken(Questions):
    def handle(self, request, arrays):
        raise RuntimeError("no ctypes here")


class Hangs(Questions):
    def handle(self, request, arrays):
        time.sleep(60)
