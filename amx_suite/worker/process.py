"""The parent's handle of an arm's child."""

from __future__ import annotations

__all__ = ["IsaWorker"]

import os
import signal
from collections.abc import Mapping
from typing import Any

from amx_suite.child.channel import ArrayMap
from amx_suite.child.handle import Child
from amx_suite.core.case import Precision, RunCase
from amx_suite.core.isa import Isa
from amx_suite.engines import ENGINES
from amx_suite.errors import CeilingIgnoredError, LostChildError
from amx_suite.worker import messages as words
from amx_suite.worker.environment import child_environment
from amx_suite.workloads.base import Inputs


class IsaWorker(Child):
    """A child under one ISA ceiling.

    Arms without AMX are jailed: the kernel refuses them the tile permission from before their first
    import. ``module`` makes their handlers, ``jailed`` and ``free``; the suite's own tests have
    another one. A jailed child that dies of an instruction that the kernel refuses raises
    CeilingIgnoredError.
    """

    def __init__(
        self,
        isa: Isa,
        engine: str,
        *,
        threads: int,
        cpus: tuple[int, ...],
        label: str = "",
        inherited: Mapping[str, str] | None = None,
        module: str = "amx_suite.worker.child",
    ) -> None:
        self.environment = child_environment(
            isa,
            threads,
            os.environ if inherited is None else inherited,
            ENGINES[engine].variables(isa) if engine in ENGINES else {},
        )
        self._jailed = not isa.allows_amx
        super().__init__(
            f"{module}:{'jailed' if self._jailed else 'free'}",
            label=label or f"{engine}@{isa}",
            cpus=cpus,
            environment=self.environment.variables,
        )
        try:
            self.jail = self.ask(words.Launch(isa, engine, threads), words.Launched).jail
        except BaseException:
            self.close()
            raise

    def _died(self) -> LostChildError:
        lost = super()._died()
        if not self._jailed or lost.signal != signal.SIGILL:
            return lost
        return CeilingIgnoredError(
            self.label,
            f"{lost.what}: an instruction the kernel refuses was executed, so a library ignores "
            "its ceiling and used AMX all the same",
            lost.stderr_tail,
            cpus=self.cpus,
            signal=lost.signal,
        )

    def prepare(
        self,
        case: RunCase,
        inputs: Inputs,
        *,
        slice_seconds: float = words.SLICE_SECONDS,
        slowdown: float = 0.0,
    ) -> words.Prepared:
        """Have the child build, prepare and warm up the case's model; see ``words.Prepare``."""
        return self.ask(words.Prepare(case, inputs, slice_seconds, slowdown), words.Prepared)

    def take_slice(self, iterations: int) -> words.SliceTaken:
        """Time that many consecutive steps; blocks on the socket, and does nothing else."""
        return self.ask(words.TakeSlice(iterations), words.SliceTaken)

    def prove(self) -> words.Proof:
        """Run one untimed step with the kernel log on, and read the permission back."""
        return self.ask(words.Prove(), words.Proof)

    def outputs(self) -> Any:
        """The prepared inference model's logits, shape [batch, ...]."""
        return self.exchange(words.Outputs(), words.Arrays)[1]["logits"]

    def losses(self, *, steps: int, batch: int) -> Any:
        """Losses of the first training steps from the seeded start, shape [steps]."""
        return self.exchange(words.Losses(steps, batch), words.Arrays)[1]["losses"]

    def gradients(self, *, batch: int) -> ArrayMap:
        """Gradients of the first training step from the seeded start, by parameter name."""
        return self.exchange(words.Gradients(batch), words.Arrays)[1]

    def checkpoint(self, path: str) -> None:
        """Have the child write model and optimizer state to ``path``."""
        self.ask(words.Checkpoint(path), words.Done)

    def release(self) -> None:
        """Have the child free its prepared model, which it prepares anew when it is needed."""
        self.ask(words.Release(), words.Done)

    def operate(
        self, operator: str, precision: Precision, arrays: ArrayMap, **settings: int
    ) -> Any:
        """Run one operator of ``workloads.operators`` on the given arrays; returns its output."""
        request = words.Operate(operator, precision, settings)
        return self.exchange(request, words.Arrays, arrays)[1]["output"]
