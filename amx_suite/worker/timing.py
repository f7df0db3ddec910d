"""An arm's steps, warmed up and timed."""

from __future__ import annotations

__all__ = ["WarmedUp", "time_steps", "warm_up"]

import gc
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from amx_suite.core.case import Mode, Precision
from amx_suite.errors import NotApplicableError
from amx_suite.worker.arm import Arm

#: Warming up ends when two steps in a row take the same time within this share, or after enough.
_STABLE_WITHIN = 0.05
_MOST_WARMUP_STEPS = 20
_MOST_WARMUP_SECONDS = 3.0
_LEAST_WARMUP_STEPS = {Mode.INFERENCE: 3, Mode.TRAINING: 2}


class WarmedUp(NamedTuple):
    """An arm whose step time has settled."""

    step_seconds: float
    iterations: int


def warm_up(arm: Arm, slice_seconds: float) -> WarmedUp:
    """Repeat the step until its time is stable, and see how many fill a slice.

    The arbiter is never timed, and its steps are slow: it is left as it is, with no iterations.
    """
    if arm.case.precision is Precision.FP64:
        return WarmedUp(0.0, 0)
    seconds: list[float] = []
    least = _LEAST_WARMUP_STEPS[arm.case.workload.mode]
    while True:
        seconds.append(time_steps(arm, 1))
        if len(seconds) < least:
            continue
        before, last = seconds[-2:]
        stable = abs(last - before) <= _STABLE_WITHIN * before
        # The first step also compiles what an engine compiles late, which warms nothing up.
        warm = sum(seconds[1:])
        if stable or len(seconds) >= _MOST_WARMUP_STEPS or warm >= _MOST_WARMUP_SECONDS:
            break
    settled = min(seconds[-2:])
    return WarmedUp(settled, max(1, math.ceil(slice_seconds / settled)))


def time_steps(arm: Arm, iterations: int, slowdown: float = 0.0) -> float:
    """Seconds that so many consecutive steps take.

    Nothing but the steps is between the two readings of the clock, and Python's garbage collector
    is kept from running there. With a ``slowdown`` each step is followed by a busy wait of that
    share of its time. Raises NotApplicableError for the arbiter.
    """
    if arm.case.precision is Precision.FP64:
        raise NotApplicableError(f"{arm.case.name} is the arbiter of accuracy and is never timed")
    step: Callable[[], Any] = _slowed(arm.step, slowdown) if slowdown else arm.step
    rounds = range(iterations)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with arm.guard():
            start = time.perf_counter_ns()
            for _ in rounds:
                step()
            end = time.perf_counter_ns()
    finally:
        if collecting:
            gc.enable()
    return (end - start) * 1e-9


def _slowed(step: Callable[[], Any], share: float) -> Callable[[], None]:
    """The step with a busy wait of that share of its own time behind it."""

    def slowed() -> None:
        start = time.perf_counter_ns()
        step()
        done = time.perf_counter_ns()
        end = done + (done - start) * share
        while time.perf_counter_ns() < end:
            pass

    return slowed
