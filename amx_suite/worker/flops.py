"""How many operations one step of a model takes, by torch's own counter."""

from __future__ import annotations

__all__ = ["step_operations"]

from typing import TYPE_CHECKING

from amx_suite.core.case import Mode

if TYPE_CHECKING:
    import torch

    from amx_suite.workloads.base import Batch, ModelWorkload


def step_operations(
    workload: ModelWorkload, mode: Mode, module: torch.nn.Module, batch: Batch
) -> int:
    """Multiplications and additions of the matrix products of one step, backward pass included.

    Counted by ``torch.utils.flop_counter`` on fake tensors, so that nothing is computed, and on the
    model as it was built: what an engine makes of it has the same products to compute, in whatever
    precision. The module is left as it was.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    counter = FlopCounterMode(display=False)
    # The counter knows no formula of the CPU's fused attention, so it is taken apart.
    with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH), counter:
        if mode is Mode.TRAINING:
            workload.loss(module(*batch.inputs), batch.targets).backward()  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad():
                module(*batch.inputs)
    module.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])
    return int(counter.get_total_flops())
