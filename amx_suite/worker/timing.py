"""An arm's steps, warmed up and timed."""

from __future__ import annotations

__all__ = ["SLICE_SECONDS", "time_steps", "warm_up"]

import gc
import math
import time
from typing import TYPE_CHECKING

from amx_suite.core.case import Mode
from amx_suite.core.precision import Precision
from amx_suite.errors import NotApplicableError

if TYPE_CHECKING:
    from amx_suite.worker.arm import Arm

#: The length of an arm's turn: long beside a step's jitter, short beside the time for which a
#: neighbour stays or is away.
SLICE_SECONDS = 0.3
#: The warm-up ends when two steps in a row take the same time within this share, or at a limit.
_STABLE_WITHIN = 0.05
_MOST_WARMUP_STEPS = 20
_MOST_WARMUP_SECONDS = 3.0
_LEAST_WARMUP_STEPS = {Mode.INFERENCE: 3, Mode.TRAINING: 2}


def warm_up(arm: Arm) -> int:
    """Repeat the step until its time is stable; returns how many steps fill a slice, at least 1.

    The FP64 reference is slow and never timed: it is not warmed up, and the result is 0.
    """
    if arm.case.precision is Precision.FP64:
        return 0
    seconds: list[float] = []
    least = _LEAST_WARMUP_STEPS[arm.case.workload.mode]
    while True:
        seconds.append(time_steps(arm, 1))
        if len(seconds) < least:
            continue
        before, last = seconds[-2:]
        stable = abs(last - before) <= _STABLE_WITHIN * before
        # Some engines compile in the first step, which warms nothing up.
        warm = sum(seconds[1:])
        if stable or len(seconds) >= _MOST_WARMUP_STEPS or warm >= _MOST_WARMUP_SECONDS:
            return max(1, math.ceil(SLICE_SECONDS / min(before, last)))


def time_steps(arm: Arm, iterations: int) -> float:
    """Seconds of consecutive steps; nothing else runs meanwhile, not even garbage collection.

    Raises NotApplicableError for the FP64 reference.
    """
    if arm.case.precision is Precision.FP64:
        raise NotApplicableError(f"{arm.case.name} is the FP64 reference and is never timed")
    step, repeats = arm.step, range(iterations)
    gc.disable()
    try:
        start = time.perf_counter_ns()
        for _ in repeats:
            step()
        return (time.perf_counter_ns() - start) * 1e-9
    finally:
        gc.enable()
