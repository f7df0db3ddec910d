"""Whether the new side computes what the base does.

Both must have the same model first: random weights come from a seed, and another version of a
library may draw them in another order. FP32 outputs of both sides tell.
"""

from __future__ import annotations

__all__ = ["Accuracy", "compare_models", "compare_numbers", "model_case"]

from typing import Any

import msgspec

from amx_suite.core.agreement import Agreement, Threshold
from amx_suite.core.case import Arm, Mode, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.verdict import Verdict
from amx_suite.trial.session import TrialSession
from amx_suite.workloads import WORKLOADS

#: As the conformance test of losses: two passes over two batches, of at most so many items.
_STEPS, _MOST_ITEMS = 4, 8
#: Of the model whose FP32 outputs are compared. Its weights do not depend on the shape.
_MODEL_ITEMS = 2


class Accuracy(msgspec.Struct, frozen=True):
    """PASS, FAIL, INCONCLUSIVE or NOT_APPLICABLE, with the reason, and the figure if there is one.

    The reason of a PASS is empty.
    """

    verdict: Verdict
    reason: str = ""
    agreement: Agreement | None = None

    @property
    def text(self) -> str:
        """A few characters for a table."""
        if self.agreement is None:
            return "-" if self.verdict is Verdict.NOT_APPLICABLE else "undecided"
        found, figure = self.agreement, self.agreement.figure
        if figure is None:
            text = "equal" if found.passed else found.note
        else:
            text = f"{figure:.3g} {found.unit}" if found.unit else f"gap {figure:.3g}"
        return text if found.passed else f"FAIL: {text}"


def model_case(arm: Arm) -> Arm:
    """FP32 inference of the arm's model on its side, on a small shape."""
    shapes = WORKLOADS[arm.workload.model].shapes
    size = min(shape.size for (mode, _), shape in shapes.items() if mode is Mode.INFERENCE)
    return msgspec.structs.replace(
        arm,
        workload=Workload(arm.workload.model, Mode.INFERENCE),
        precision=Precision.FP32,
        isa=Isa.NO_AMX,
        shape=Shape(_MODEL_ITEMS, size),
    )


def compare_models(base: Any, new: Any) -> str:
    """Why the sides' FP32 outputs are not of the same model; empty if they are."""
    from amx_suite.accuracy import limits
    from amx_suite.accuracy.judgements import signal_to_noise

    found = signal_to_noise(new, base, limits.FP32_SQNR_DB)
    if found.passed:
        return ""
    return (
        f"the sides do not have the same model, or FP32 is wrong on one: {found.sentence}; another "
        "version may draw random weights in another order, so name weights with --weights"
    )


def compare_numbers(session: TrialSession, base: Arm, new: Arm, why_other_model: str) -> Accuracy:
    """The new side's logits or losses against the base's, from the session that measured them.

    The limit is that of the coarser format against FP32 (``accuracy.limits``): two right results of
    one format differ from each other about as much as from FP32. ``why_other_model`` says why the
    models are not the same, empty if they are.
    """
    if reason := _why_not_judged(base, new):
        return Accuracy(Verdict.NOT_APPLICABLE, reason)
    if why_other_model:
        return Accuracy(Verdict.INCONCLUSIVE, why_other_model)
    from amx_suite.accuracy.judgements import loss_gap, signal_to_noise

    if base.workload.mode is Mode.TRAINING:
        batch = min(base.shape.batch, _MOST_ITEMS)
        losses = [session.losses(arm, steps=_STEPS, batch=batch) for arm in (new, base)]
        found = loss_gap(*losses)
    else:
        least = min(_outputs_limit(base), _outputs_limit(new), key=lambda limit: limit.value)
        found = signal_to_noise(session.outputs(new), session.outputs(base), least)
    if found.passed:
        return Accuracy(Verdict.PASS, "", found)
    return Accuracy(Verdict.FAIL, f"new against base: {found.sentence}", found)


def _why_not_judged(*arms: Arm) -> str:
    for arm in arms:
        if arm.isa is arm.precision.spec.stand_in:
            return f"{arm.arm} is shown, not judged: its sums saturate"
        if arm.precision.spec.is_quantized and arm.weights != "random":
            return f"{arm.arm}: quantized outputs are compared on random weights only"
    return ""


def _outputs_limit(arm: Arm) -> Threshold:
    from amx_suite.accuracy import limits

    if arm.precision is Precision.FP32:
        return limits.FP32_SQNR_DB
    return limits.TOLERANCES[arm.precision].outputs_sqnr_db
