"""A child without torch that does as its requests say; run as a program like the real one.

Operators of ``Operate`` are its commands: ``echo`` returns the arrays' sum under the same dtype,
``exit`` ends with settings' code, ``signal`` sends itself that signal, ``sleep`` never answers,
``garbage`` writes nonsense to the socket, ``fail`` raises, ``permission`` asks for the tile
permission and returns errno, ``about`` returns pid, process group, parent, CPU count, ``watch``
returns how often threads of the parent ran while it waited for this answer.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from amx_suite.core.evidence import Evidence
from amx_suite.worker import messages as words
from amx_suite.worker.child import main

ARCH_PRCTL, REQUEST_PERMISSION, XTILEDATA = 158, 0x1023, 18


def parents_threads():
    """(state, context switches) of each thread of the parent."""
    found = []
    for thread in Path(f"/proc/{os.getppid()}/task").iterdir():
        fields = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
        switches = int(fields["voluntary_ctxt_switches"]) + int(
            fields["nonvoluntary_ctxt_switches"]
        )
        found.append((fields["State"].split()[0], switches))
    return found


def watch_the_parent():
    while any(state != "S" for state, _ in parents_threads()):
        time.sleep(0.001)
    before = parents_threads()
    time.sleep(0.3)
    after = parents_threads()
    return sum(switches for _, switches in after) - sum(switches for _, switches in before)


class FakeSession:
    def __init__(self, launch, jail):
        self.launch, self.jail = launch, jail

    def handle(self, request, arrays):
        if isinstance(request, words.Prepare):
            return self._prepare(request.case), {}
        if isinstance(request, words.TakeSlice):
            return words.SliceTaken(0.25 * request.iterations, request.iterations), {}
        if isinstance(request, words.Prove):
            evidence = Evidence(self.launch.isa, self.jail, amx_permission=False)
            return words.Proof(evidence, peak_bytes=1), {}
        if isinstance(request, words.Operate):
            return words.Arrays(), {"output": self._operate(request, arrays)}
        return words.Failed(words.FailureKind.USAGE, f"no {type(request).__name__} here"), {}

    def _prepare(self, case):
        if case.weights.startswith("fail:"):
            return words.Failed(words.FailureKind(case.weights.removeprefix("fail:")), "as told")
        items = case.shape.batch
        return words.Prepared(2, 0.25, items, (), "images", "made up", 1000, {"fake": "1"})

    def _operate(self, request, arrays):
        command, settings = request.operator, request.settings
        if command == "exit":
            print("last words", file=sys.stderr, flush=True)
            os._exit(settings["code"])
        if command == "signal":
            os.kill(os.getpid(), settings["number"])
            time.sleep(60)
        if command == "sleep":
            time.sleep(60)
        if command == "garbage":
            os.write(int(sys.argv[1]), b"\x08\x00\x00\x00nonsense")
            time.sleep(60)
        if command == "fail":
            raise RuntimeError("broken as told")
        if command == "permission":
            libc = ctypes.CDLL(None, use_errno=True)
            ok = libc.syscall(ARCH_PRCTL, REQUEST_PERMISSION, XTILEDATA) == 0
            return np.array(0 if ok else ctypes.get_errno())
        if command == "watch":
            return np.array(watch_the_parent())
        if command == "about":
            stdin_is_null = Path("/proc/self/fd/0").readlink() == Path(os.devnull)
            return np.array(
                [
                    os.getpid(),
                    os.getpgid(0),
                    os.getppid(),
                    len(os.sched_getaffinity(0)),
                    int(stdin_is_null),
                ]
            )
        if command == "environment":
            text = "\n".join(f"{name}={value}" for name, value in os.environ.items())
            return np.frombuffer(text.encode(), dtype=np.uint8)
        return sum(arrays.values())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os._exit(main(sys.argv, FakeSession))
