"""An arm's handler without torch whose replies cannot be true.

The variable FAKE_LIE names the one of ``LIES`` that answers every request.
"""

import os
import time

import numpy as np

from amx_suite.core.evidence import Evidence, Family, Jail, KernelUse
from amx_suite.core.isa import Isa
from amx_suite.worker import process

_NAN = float("nan")


def _stamps(*nanoseconds):
    return process.Done(), {"nanoseconds": np.array(nanoseconds)}


def _now(*nanoseconds):
    now = time.perf_counter_ns()
    return _stamps(*(now + each for each in nanoseconds))


def _prepared(iterations=1, peak_bytes=1):
    return process.Prepared(iterations, 1, 0, "images", "made up", peak_bytes, {})


def _proof(**changes):
    kernel = KernelUse("matmul", "x", Family.AMX, changes.pop("count", 1), 1.0)
    return process.Proof(Evidence(Isa.AVX2, Jail.HELD, False, "", (kernel,), **changes), 1)


#: Each makes a reply and its arrays.
LIES = {
    "no step": lambda: (_prepared(iterations=0), {}),
    "negative memory": lambda: (_prepared(peak_bytes=-1), {}),
    "zero slice": lambda: (process.SliceTaken(0.0, 2), {}),
    "tiny slice": lambda: (process.SliceTaken(5e-324, 2), {}),
    "NaN slice": lambda: (process.SliceTaken(_NAN, 2), {}),
    "infinite slice": lambda: (process.SliceTaken(float("inf"), 2), {}),
    "slice beyond the wait": lambda: (process.SliceTaken(9e8, 2), {}),
    "other steps": lambda: (process.SliceTaken(1e-6, 3), {}),
    "no stamps": lambda: (process.Done(), {}),
    "real stamps": lambda: _stamps(0.5, 1.5, 2.5),
    "too few stamps": lambda: _now(0, 1),
    "falling stamps": lambda: _now(0, 2, 1),
    "old stamps": lambda: _stamps(1, 2, 3),
    "late stamps": lambda: _now(0, 1, 10**15),
    "stamps in rows": lambda: (_now(0)[0], {"nanoseconds": _now(0, 1, 2)[1]["nanoseconds"][None]}),
    "whole logits": lambda: (process.Done(), {"logits": np.ones(3, np.int64)}),
    "no logits": lambda: (process.Done(), {"scores": np.ones(3)}),
    "too many losses": lambda: (process.Done(), {"losses": np.ones(3)}),
    "no gradients": lambda: (process.Done(), {}),
    "no output": lambda: (process.Operated(), {}),
    "no count": lambda: (_proof(count=0), {}),
    "negative operations": lambda: (_proof(operations=-5), {}),
    "NaN share": lambda: (_proof(memory_share=_NAN), {}),
}


class Liar:
    requests = process.ArmRequest

    def handle(self, request, arrays):
        return LIES[os.environ["FAKE_LIE"]]()


jailed = free = Liar
