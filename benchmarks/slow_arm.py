"""The handler of an arm that is slower by a known share, for ``aa_control.py``.

A busy wait follows each slice and counts as part of it. It lasts the share of the slice's time that
the variable ``AA_CONTROL_SLOWER`` holds.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from amx_suite.core.evidence import Jail
from amx_suite.worker.handler import ArmHandler
from amx_suite.worker.jail import enter_jail
from amx_suite.worker.process import ArmRequest, SliceTaken

if TYPE_CHECKING:
    from amx_suite.child.channel import ArrayMap, Reply


def jailed() -> SlowArm:
    """The handler of an arm without AMX."""
    return SlowArm(enter_jail())


def free() -> SlowArm:
    """The handler of an AMX arm."""
    return SlowArm(Jail.NOT_ASKED)


class SlowArm(ArmHandler):
    """Handles every request as an arm does, and slices more slowly."""

    def handle(self, request: ArmRequest, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Carry out one request."""
        reply, found = super().handle(request, arrays)
        if isinstance(reply, SliceTaken):
            began = time.perf_counter()
            wait = reply.seconds * float(os.environ["AA_CONTROL_SLOWER"])
            while time.perf_counter() < began + wait:
                pass
            reply = SliceTaken(reply.seconds + wait, reply.iterations)
        return reply, found
