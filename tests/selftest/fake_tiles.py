"""Handlers of tile probes and of questions whose machine is made up; for any CPU number."""

import os
import signal
import sys
import time

from amx_suite.tmul import tile_child, xcomp
from amx_suite.tmul.questions import Answered, Questions
from amx_suite.tmul.tile_child import TileProbe
from amx_suite.tmul.tile_probe import TileResult, TileStatus, Tried

RIGHT = [float(value) for row in tile_child.expected_product() for value in row]


class Fine(TileProbe):
    """Every CPU multiplies right."""

    def __init__(self):
        super().__init__(lambda: RIGHT, lambda: xcomp.XcompReply(0), lambda cpu: None)

    def handle(self, request, arrays):
        self.do(request.cpu)
        return super().handle(request, arrays)

    def do(self, cpu):
        """What happens before CPU ``cpu`` answers."""


def kills(on, number):
    class Kills(Fine):
        def do(self, cpu):
            if cpu in on:
                os.kill(os.getpid(), number)
                time.sleep(60)

    return Kills


SIGILL_ON_1 = kills([1], signal.SIGILL)
SIGSEGV_ON_1 = kills([1], signal.SIGSEGV)
SIGKILL_ON_1 = kills([1], signal.SIGKILL)
SIGILL_ON_2 = kills([2], signal.SIGILL)
SIGILL_EVERYWHERE = kills(range(1000), signal.SIGILL)


class SilentOn1(Fine):
    def do(self, cpu):
        if cpu == 1:
            time.sleep(60)


class WrongOn1(Fine):
    def handle(self, request, arrays):
        self._multiply = lambda: [1.0 + RIGHT[0], *RIGHT[1:]] if request.cpu == 1 else RIGHT
        return super().handle(request, arrays)


class Refused(Fine):
    def __init__(self):
        super().__init__()
        self._request = lambda: xcomp.XcompReply(None, 1)


class UnreachableOn1(Fine):
    def __init__(self):
        super().__init__()
        self._move_to = self.move

    def move(self, cpu):
        if cpu == 1:
            raise OSError(22, "Invalid argument")


class AnswersForOthers(Fine):
    def handle(self, request, arrays):
        return Tried(TileResult(request.cpu + 1, TileStatus.OK)), {}


def without_llvmlite():
    sys.stderr.write("ImportError: no llvmlite")
    sys.exit(3)


class NeverAsks(TileProbe):
    """The real instruction where nobody has asked the kernel."""

    def __init__(self):
        super().__init__(request=lambda: xcomp.XcompReply(0), move_to=lambda cpu: None)


class Jailed(TileProbe):
    def __init__(self):
        from amx_suite.worker.jail import refuse_amx

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


def fails():
    sys.exit("no ctypes here")


class Broken(Questions):
    def handle(self, request, arrays):
        raise RuntimeError("no ctypes here")


class Hangs(Questions):
    def handle(self, request, arrays):
        time.sleep(60)
