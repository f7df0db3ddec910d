"""An arm's handler without torch, behind the real jail.

Operators of ``Operate`` are its commands: ``signal`` sends itself that signal, ``permission`` asks
for the tile permission and returns errno, ``environment`` returns the variables as bytes.
"""

import ctypes
import os
import time

import numpy as np

from amx_suite.core.evidence import Evidence, Jail
from amx_suite.worker import messages as words
from amx_suite.worker.child import enter_jail
from amx_suite.worker.handler import ArmChild

ARCH_PRCTL, REQUEST_PERMISSION, XTILEDATA = 158, 0x1023, 18


class FakeArm(ArmChild):
    def handle(self, request, arrays):
        match request:
            case words.Launch():
                self._launch = request
                return super().handle(request, arrays)
            case words.Prepare(case):
                items = case.shape.batch
                versions = {"fake": "1"}
                return words.Prepared(2, 0.25, items, (), "images", "made up", 1000, versions), {}
            case words.TakeSlice(iterations):
                return words.SliceTaken(0.25 * iterations, iterations), {}
            case words.Prove():
                evidence = Evidence(self._launch.isa, self.jail, amx_permission=False)
                return words.Proof(evidence, peak_bytes=1), {}
            case words.Operate():
                return words.Arrays(), {"output": self._operate(request)}
        raise ValueError(f"no {type(request).__name__} here")

    def _operate(self, request):
        if request.operator == "signal":
            os.kill(os.getpid(), request.settings["number"])
            time.sleep(60)
        if request.operator == "permission":
            libc = ctypes.CDLL(None, use_errno=True)
            ok = libc.syscall(ARCH_PRCTL, REQUEST_PERMISSION, XTILEDATA) == 0
            return np.array(0 if ok else ctypes.get_errno())
        text = "\n".join(f"{name}={value}" for name, value in os.environ.items())
        return np.frombuffer(text.encode(), dtype=np.uint8)


def jailed():
    return FakeArm(enter_jail())


def free():
    return FakeArm(Jail.NOT_ASKED)
