"""The parent's handle of an arm's child."""

from __future__ import annotations

__all__ = ["IsaWorker"]

import os
import signal
from typing import Any

from amx_suite.child.channel import ArrayMap
from amx_suite.child.handle import Child
from amx_suite.core.case import RunCase
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.engines import ENGINES
from amx_suite.errors import CeilingIgnoredError, LostChildError
from amx_suite.worker import messages
from amx_suite.worker.environment import child_environment
from amx_suite.workloads.base import Inputs


class IsaWorker(Child):
    """A child under one ISA ceiling.

    Without AMX in its ceiling the child is jailed: the kernel refuses it the tile permission. If a
    jailed child then dies of SIGILL, the request raises CeilingIgnoredError. ``module`` has the
    functions ``jailed`` and ``free`` that make the handler.
    """

    def __init__(
        self,
        isa: Isa,
        engine: str,
        *,
        threads: int,
        cpus: tuple[int, ...],
        label: str = "",
        module: str = "amx_suite.worker.handler",
    ) -> None:
        self._isa, self._engine, self._threads = isa, engine, threads
        self.environment = child_environment(
            isa, threads, os.environ, ENGINES[engine].variables(isa)
        )
        super().__init__(
            f"{module}:{'free' if isa.allows_amx else 'jailed'}",
            label=label or f"{engine}@{isa}",
            cpus=cpus,
            environment=self.environment.variables,
        )

    def _died(self) -> LostChildError:
        lost = super()._died()
        if self._isa.allows_amx or lost.signal != signal.SIGILL:
            return lost
        return CeilingIgnoredError(
            self.label,
            f"{lost.what}: it executed an instruction that the kernel refuses, so a library "
            "ignores its ceiling and used AMX",
            lost.stderr_tail,
            signal=lost.signal,
        )

    def prepare(self, case: RunCase, inputs: Inputs) -> messages.Prepared:
        """Build, prepare and warm up the case's model."""
        return self.ask(messages.Prepare(case, inputs), messages.Prepared)

    def take_slice(self, iterations: int) -> messages.SliceTaken:
        """Time consecutive steps; meanwhile this process only waits."""
        return self.ask(messages.TakeSlice(iterations), messages.SliceTaken)

    def prove(self) -> messages.Proof:
        """Run one untimed step with the kernel log on, and read the permission back."""
        return self.ask(messages.Prove(), messages.Proof)

    def outputs(self) -> Any:
        """The prepared inference model's logits, shape [batch, ...]."""
        return self._arrays(messages.Outputs())["logits"]

    def losses(self, *, steps: int, batch: int) -> Any:
        """Losses of the first training steps from the seeded start, shape [steps]."""
        return self._arrays(messages.Losses(steps, batch))["losses"]

    def gradients(self, *, batch: int) -> ArrayMap:
        """Gradients of the first training step from the seeded start, by parameter name."""
        return self._arrays(messages.Gradients(batch))

    def checkpoint(self, path: str) -> None:
        """Write model and optimizer state to ``path``."""
        self._arrays(messages.Checkpoint(path))

    def release(self) -> None:
        """Free the prepared model; a later request prepares it again."""
        self._arrays(messages.Release())

    def operate(
        self, operator: str, precision: Precision, arrays: ArrayMap, **settings: int
    ) -> Any:
        """Run one operator of ``workloads.operators`` on the arrays; returns its output."""
        request = messages.Operate(
            self._isa, self._engine, self._threads, operator, precision, settings
        )
        return self._arrays(request, arrays)["output"]

    def _arrays(self, request: messages.ArmRequest, arrays: ArrayMap | None = None) -> ArrayMap:
        return self.exchange(request, messages.Done, arrays)[1]
