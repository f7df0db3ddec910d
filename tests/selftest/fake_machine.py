"""A pytest plugin (``-p fake_machine``) that puts a fake machine under the suite.

The host has AMX, the workers are fakes and only engine ``ipex`` is available, so that whole runs
end in a second. The variable FAKE_MACHINE, a JSON object, changes the machine: ``engines`` are the
available ones, ``kernel`` names its kernel, ``quota`` is its CPU quota, ``flags`` are its CPU's,
``usable`` false hides AMX for the ``reason`` of that code, ``seconds`` and ``amx_share`` set an
arm's speed (a list of speeds is taken in turn) and its evidence, ``before`` and ``after`` are its
health, ``refused`` says why the engine does not have an arm, ``faults`` maps "ARM STEP" to
``died``, ``beyond`` (its ceiling), ``interrupt``, ``moved`` or ``memory``, ``busy`` is the number
of readings for which the tile unit is busy, ``second_seconds`` limits second measurements,
``kernel_of`` names the implementation of each operator, and under ``wrong`` ceilings operators are
wrong. Budgets run out by the machine's clock; for progress it is ``drag`` times as late. The
machine's lock is in the run's folder.
"""

import functools
import itertools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
from fake_trial import FAKE_TOPOLOGY, FakeProber, FakeWorker, World

from amx_suite.core.evidence import KernelUse
from amx_suite.core.health import Health, Identity
from amx_suite.core.units import PER_CYCLE, Unit
from amx_suite.engines import ENGINES
from amx_suite.errors import (
    CeilingIgnoredError,
    LostChildError,
    MachineChangedError,
    OutOfMemoryError,
)
from amx_suite.host import lock
from amx_suite.host.facts import HostFacts
from amx_suite.host.limits import Limits
from amx_suite.host.reasons import Reason, Support, SupportFinding
from amx_suite.plugin import reference, run, selection, trials
from amx_suite.worker import process
from amx_suite.worker.onednn import family_of

_SCRIPT = json.loads(os.environ.get("FAKE_MACHINE", "{}"))
_FAULTS = {
    "died": LostChildError("fake", "it was killed by SIGKILL"),
    "beyond": CeilingIgnoredError("fake", "it was killed by SIGILL"),
    "interrupt": KeyboardInterrupt(),
    "moved": MachineChangedError("child process fake was bound to CPUs 0, 1 and now may use 0"),
    "memory": OutOfMemoryError("fake", "memory ran out; free memory"),
}


def _world():
    world = World()
    for arm, seconds in _SCRIPT.get("seconds", {}).items():
        endless = itertools.cycle(seconds) if isinstance(seconds, list) else None
        world.seconds[arm] = endless.__next__ if endless else seconds
    world.amx_share.update(_SCRIPT.get("amx_share", {}))
    world.refused.update(_SCRIPT.get("refused", {}))
    spell = itertools.repeat(400.0, _SCRIPT.get("busy", 0))
    world.rates[Unit.TILE] = itertools.chain(spell, itertools.repeat(1000.0)).__next__
    for where, fault in _SCRIPT.get("faults", {}).items():
        world.faults[tuple(where.split(" ", 1))] = _FAULTS[fault]
    if kernel := _SCRIPT.get("kernel_of"):
        world.operator_kernels = (KernelUse("matmul", kernel, family_of(kernel), 1, 0.1, "bf16"),)
    world.wrong_ceilings = _SCRIPT.get("wrong", ())
    return world


_WORLD = _world()
#: Budgets are for a real machine; the fake one's steps take longer.
_HASTE = 100


def _health(moment):
    return msgspec.convert({"cpus": 2, "turbo": True} | _SCRIPT.get(moment, {}), Health)


def _detect():
    usable = _SCRIPT.get("usable", True)
    reason = Reason(_SCRIPT.get("reason", "no-silicon"))
    missing = SupportFinding(reason, "No AMX on the fake machine.", "Buy another.")
    facts = HostFacts(
        system="linux",
        machine="x86_64",
        kernel_release=_SCRIPT.get("kernel", "fake"),
        topology=FAKE_TOPOLOGY,
        limits=Limits(cpus=_SCRIPT.get("quota")),
    )
    return facts, Support(() if usable else (missing,))


def _start_worker(isa, engine, *, cpus, label=""):
    # What a worker knows of its case before ``prepare``.
    return FakeWorker(_WORLD, SimpleNamespace(isa=isa, engine=engine, arm=label, id=label))


_CHOSEN = _SCRIPT.get("engines", ["ipex"])
for _engine in ENGINES.values():
    type(_engine).why_unavailable = lambda self: None if self.name in _CHOSEN else "not here"
lock.LOCK_PATH = Path("machine.lock").absolute()
trials.MOST_SECONDS = _SCRIPT.get("second_seconds", trials.MOST_SECONDS)
run.AmxTrial = functools.partial(
    trials.AmxTrial,
    clock=lambda: _WORLD.now / _HASTE,
    throttled=_WORLD.throttled,
    suspended=lambda: _WORLD.suspended(),
)
reference.calibrate = functools.partial(reference.calibrate, clock=lambda: _WORLD.now)
run.ProgressLine = functools.partial(
    run.ProgressLine, clock=lambda: _WORLD.now * _SCRIPT.get("drag", 1)
)
reference.theory_of = lambda facts: PER_CYCLE
run.detect = _detect
selection._cpu_flags = lambda: tuple(_SCRIPT.get("flags", ()))
run.read_health = map(_health, ("before", "after")).__next__
run.read_identity = lambda: Identity(host_name="fake")
run.Run.start_probe = lambda self, cpus: FakeProber(_WORLD)
process.IsaWorker = _start_worker
