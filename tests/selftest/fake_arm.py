"""An arm's handler without torch, behind the real jail.

Operators of ``Operate`` are its commands: ``signal`` sends itself that signal, ``permission`` asks
for the tile permission and returns errno, ``environment`` returns the bytes of the variables. A
step takes 10 ns.
"""

import os
import time

import numpy as np

from amx_suite.tmul.xcomp import request_tiles
from amx_suite.worker import process
from amx_suite.worker.jail import enter_jail


class FakeArm:
    requests = process.ArmRequest

    def handle(self, request, arrays):
        match request:
            case process.Prepare(case):
                items = case.shape.batch
                return process.Prepared(2, items, 0, "images", "made up", 1000, {"fake": "1"}), {}
            case process.TakeSlice(iterations):
                return process.SliceTaken(1e-8 * iterations, iterations), {}
            case process.StampSteps(steps=steps):
                now = time.perf_counter_ns()
                return process.Done(), {"nanoseconds": now + 10 * np.arange(steps + 1)}
            case process.Operate(operator=command, settings=settings):
                return process.Operated(), {"output": _answer(command, settings)}


def _answer(command, settings):
    if command == "signal":
        os.kill(os.getpid(), settings["number"])
        time.sleep(60)  # a signal may take a moment to arrive
    if command == "permission":
        return np.array(float(request_tiles().errno))
    text = "\n".join(f"{name}={value}" for name, value in os.environ.items())
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.float32)


def jailed():
    enter_jail()
    return FakeArm()


def free():
    return FakeArm()
