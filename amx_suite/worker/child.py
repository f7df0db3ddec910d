"""Where an arm's child begins: in the jail or free, before anything else is imported.

The messages already bring the rows of workloads, and those may be other packages' code; a library
that asked for the tile permission before the jail would keep it.
"""

from __future__ import annotations

__all__ = ["enter_jail", "free", "jailed"]

import sys
from typing import TYPE_CHECKING

from amx_suite.worker.jail import JailUnavailableError, refuse_amx

if TYPE_CHECKING:
    from amx_suite.core.evidence import Jail
    from amx_suite.worker.handler import ArmChild


def jailed() -> ArmChild:
    """The handler of an arm without AMX."""
    jail = enter_jail()
    from amx_suite.worker.handler import ArmChild

    return ArmChild(jail)


def free() -> ArmChild:
    """The handler of an AMX arm."""
    from amx_suite.core.evidence import Jail
    from amx_suite.worker.handler import ArmChild

    return ArmChild(Jail.NOT_ASKED)


def enter_jail() -> Jail:
    """Have the kernel refuse AMX; a jail that cannot be set is said, not fatal."""
    state = "held"
    try:
        refuse_amx()
    except JailUnavailableError as error:
        print(f"the AMX jail could not be set: {error}", file=sys.stderr)
        state = "unavailable"
    from amx_suite.core.evidence import Jail

    return Jail(state)
