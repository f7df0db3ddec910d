"""A pytest plugin (``-p fake_machine``) that puts a fake machine under the suite.

The host has AMX, the workers are fakes and the only engine is ``ipex``, whatever is installed, so
that whole runs end in a second. The variable FAKE_MACHINE, a JSON object, changes the machine:
``engines`` names others, ``kernel`` names its kernel, ``usable`` false hides AMX for the ``reason``
of that code, ``seconds`` and ``amx_share`` set an arm's speed (a list of speeds is taken in turn)
and its evidence, ``faults`` maps "ARM STEP" to ``died`` or ``interrupt``, ``busy`` is for how many
readings somebody else uses the tile unit, ``second_looks`` how many seconds these may take, and
``lock`` is the file of its lock, which is else in the run's own folder. Budgets run out by the
machine's own clock.
"""

import functools
import itertools
import json
import os
from pathlib import Path

from fake_trial import FAKE_TOPOLOGY, FakeProber, FakeWorker, World

from amx_suite.core.units import PER_CYCLE, Unit
from amx_suite.engines import ENGINES
from amx_suite.errors import LostChildError
from amx_suite.host import Finding, HostFacts, Reason, Support, lock
from amx_suite.testing import again, state
from amx_suite.trial import session

_SCRIPT = json.loads(os.environ.get("FAKE_MACHINE", "{}"))
_FAULTS = {
    "died": LostChildError("fake", "it was killed by SIGKILL"),
    "interrupt": KeyboardInterrupt(),
}


def _world():
    world = World()
    for arm, seconds in _SCRIPT.get("seconds", {}).items():
        endless = itertools.cycle(seconds) if isinstance(seconds, list) else None
        world.seconds[arm] = endless.__next__ if endless else seconds
    world.amx_share.update(_SCRIPT.get("amx_share", {}))
    spell = itertools.repeat(400.0, _SCRIPT.get("busy", 0))
    world.rates[Unit.TILE] = itertools.chain(spell, itertools.repeat(1000.0)).__next__
    for where, fault in _SCRIPT.get("faults", {}).items():
        world.faults[tuple(where.split(" ", 1))] = _FAULTS[fault]
    return world


_WORLD = _world()
#: Budgets are meant for a real machine, whose steps are shorter than the fake one's.
_HASTE = 100


def _detect(*, run_tiles=True):
    usable = _SCRIPT.get("usable", True)
    reason = Reason(_SCRIPT.get("reason", "no-silicon"))
    missing = Finding(reason, "No AMX on the fake machine.", "Buy another.")
    facts = HostFacts(
        system="linux",
        machine="x86_64",
        kernel_release=_SCRIPT.get("kernel", "fake"),
        topology=FAKE_TOPOLOGY,
    )
    return facts, Support(usable, () if usable else (missing,))


class _Case:
    """Until ``prepare`` names the case, a worker knows only its label."""

    def __init__(self, isa, engine, label):
        self.isa, self.engine, self.arm, self.id = isa, engine, label, label


class _Worker(FakeWorker):
    def prepare(self, case, inputs):
        self.case = case
        return super().prepare(case, inputs)


_CHOSEN = _SCRIPT.get("engines", ["ipex"])
for _engine in ENGINES.values():
    type(_engine).why_unavailable = lambda self: None if self.name in _CHOSEN else "not here"
lock.LOCK_PATH = Path(_SCRIPT.get("lock", "machine.lock")).absolute()
session.TrialSession = functools.partial(session.TrialSession, clock=lambda: _WORLD.now / _HASTE)
again.MOST_SECONDS = _SCRIPT.get("second_looks", again.MOST_SECONDS)
state.calibrate = functools.partial(state.calibrate, clock=lambda: _WORLD.now)
state.theory_of = lambda facts: PER_CYCLE
state.detect = _detect
state.start_prober = state.start_cycle_probe = lambda config: FakeProber(_WORLD)
state.worker_on = lambda config, isa, engine, label="": _Worker(_WORLD, _Case(isa, engine, label))
