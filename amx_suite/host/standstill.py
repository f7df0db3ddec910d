"""Whether the machine was suspended while something was timed.

The clock that times everything, CLOCK_MONOTONIC, stands still during a suspend, and CLOCK_BOOTTIME
does not (clock_gettime(2)). Neither follows a change of the date.
"""

from __future__ import annotations

__all__ = ["awake", "suspended_seconds"]

import contextlib
import time
from collections.abc import Callable, Iterator

from amx_suite.errors import MachineChangedError

#: The two clocks are read one after the other, and this process may lose its CPU in between.
_LEAST_SECONDS = 0.5


def suspended_seconds() -> float:
    """Seconds for which this machine has been suspended since it started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


@contextlib.contextmanager
def awake(suspended: Callable[[], float] = suspended_seconds) -> Iterator[None]:
    """Raise MachineChangedError if the machine is suspended within the block."""
    before = suspended()
    yield
    seconds = suspended() - before
    if seconds > _LEAST_SECONDS:
        raise MachineChangedError(f"the machine was suspended for {seconds:.0f} s")
