"""Are outputs, gradients and losses of the whole models as accurate as their precision allows?

The limits and their sources are in ``amx_suite.accuracy.limits``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from amx_suite.accuracy import limits
from amx_suite.accuracy.judgements import (
    cosine_similarity,
    error_ratio,
    exact,
    loss_gap,
    root_mean_square,
    same,
    signal_to_noise,
    top1,
)
from amx_suite.core.agreement import Agreement
from amx_suite.core.case import Arm, Mode
from amx_suite.core.precision import Precision
from amx_suite.plugin.trials import AmxTrial

pytestmark = [pytest.mark.correctness, pytest.mark.level(3)]

inference = pytest.mark.trials(mode=Mode.INFERENCE)
training = pytest.mark.trials(mode=Mode.TRAINING)

#: The precisions that have an arm with AMX, and those of them that train.
REDUCED = list(limits.TOLERANCES)
TRAINED = [precision for precision in REDUCED if precision.spec.trains]
#: Two passes over the two batches that training repeats.
STEPS = 4
#: Of a trial's batch at most so much is needed. With fewer or smaller images than ResNet50 has at
#: level 3 BatchNorm has too few values per channel: two images of 64 pixels leave 8 in the last
#: stage, and right BF16 gradients then have a cosine of 0.97, in every engine and version of
#: PyTorch.
MOST_ITEMS = 8


def require(agreement: Agreement) -> None:
    assert agreement.passed, agreement.sentence


def baseline(trial: AmxTrial) -> Arm:
    return trial.arm_without_amx(Precision.FP32)


def batch_of(trial: AmxTrial) -> int:
    return min(trial.trial.shape.batch, MOST_ITEMS)


@inference
def test_outputs(amx_trial: AmxTrial, amx_arm: Arm) -> None:
    """FP32 is near FP64; the reduced precisions are near FP32."""
    result = amx_trial.outputs(amx_arm)
    if amx_arm.precision is Precision.FP32:
        fp64 = amx_trial.fp64_outputs()
        require(signal_to_noise(result, fp64, limits.FP32_SQNR_DB))
        return
    if amx_arm.isa is amx_arm.precision.spec.stand_in:
        pytest.skip(f"{amx_arm.arm} is shown, not judged: its sums saturate")
    if amx_arm.precision.spec.is_quantized and amx_arm.weights != "random":
        # How well a user's weights quantize depends on them and on the recipe, not on the machine.
        # The next test compares AMX with VNNI, for any weights.
        pytest.skip("quantized outputs are compared with FP32 on random weights only")
    reference = amx_trial.outputs(baseline(amx_trial))
    tolerances = limits.TOLERANCES[amx_arm.precision]
    require(signal_to_noise(result, reference, tolerances.outputs_sqnr_db))
    if tolerances.outputs_cosine is not None:
        require(cosine_similarity(result, reference, tolerances.outputs_cosine))


@inference
@pytest.mark.parametrize("precision", REDUCED, ids=str)
def test_amx_errs_no_more_than_its_peer(amx_trial: AmxTrial, precision: Precision) -> None:
    """The peer is the arm of the same precision without AMX.

    Their outputs are not compared with each other. Rounding to INT8 makes a jump of any difference,
    and the next layers make more of them, so that two right executions of one quantized network may
    differ by as much as its own rounding error (docs/measured.md).
    """
    result = amx_trial.outputs(amx_trial.arm_with_amx(precision))
    peer = amx_trial.outputs(amx_trial.arm_without_amx(precision))
    fp64 = amx_trial.fp64_outputs()
    tolerances = limits.TOLERANCES[precision]
    floor = root_mean_square(fp64) * tolerances.least_error
    require(error_ratio(result, peer, fp64, floor=floor))
    require(same(result, peer, fp64))


@pytest.mark.trials(mode=Mode.INFERENCE, model="resnet50")
@pytest.mark.parametrize("precision", REDUCED, ids=str)
def test_top1_answers(amx_trial: AmxTrial, precision: Precision) -> None:
    """AMX gives FP32's answer for every image whose margin exceeds the peer's largest error."""
    reference = amx_trial.outputs(baseline(amx_trial))
    peer = amx_trial.outputs(amx_trial.arm_without_amx(precision))
    result = amx_trial.outputs(amx_trial.arm_with_amx(precision))
    agreement = top1(result, reference, error=float(np.abs(peer - reference).max()))
    if agreement is None:
        pytest.skip(
            "no image's answer is clear enough to count: use trained weights or more images"
        )
    require(agreement)


@training
@pytest.mark.parametrize("precision", TRAINED, ids=str)
def test_gradients(amx_trial: AmxTrial, precision: Precision) -> None:
    """Gradients of the first step: FP32 and this precision near FP64, AMX no worse than without.

    Where the arm with AMX is missing the test is skipped once the others are checked.
    """
    batch = batch_of(amx_trial)
    fp64 = amx_trial.fp64_gradients(batch=batch)
    right = _joined(fp64)
    scale = root_mean_square(right)

    fp32 = _joined(amx_trial.gradients(baseline(amx_trial), batch=batch), like=fp64)
    require(signal_to_noise(fp32[np.newaxis], right[np.newaxis], limits.FP32_GRADIENT_SQNR_DB))
    del fp32

    gradients = []
    for arm in (amx_trial.arm_without_amx(precision), amx_trial.arm_with_amx(precision)):
        gradients.append(amx_trial.gradients(arm, batch=batch))
        whole = _joined(gradients[-1], like=fp64)
        require(cosine_similarity(whole, right, limits.GRADIENT_COSINE))
    peer, result = gradients
    faults = [
        f"{name}: {agreement.sentence}"
        for name, gradient in fp64.items()
        if not (agreement := same(result[name], peer[name], gradient, scale=scale)).passed
    ]
    assert not faults, "\n".join(faults)


@training
def test_losses(amx_trial: AmxTrial, amx_arm: Arm) -> None:
    """Losses of the first steps follow FP32's, fall, and are the same when run again."""
    batch = batch_of(amx_trial)
    losses = amx_trial.losses(amx_arm, steps=STEPS, batch=batch)
    first_pass, second_pass = np.split(losses, 2)
    assert second_pass.mean() < first_pass.mean(), f"training does not lower the loss: {losses}"
    again = amx_trial.losses(amx_arm, steps=STEPS, batch=batch, again=True)
    require(exact(again, losses, limits.RERUN))
    if amx_arm.precision is not Precision.FP32:
        reference = amx_trial.losses(baseline(amx_trial), steps=STEPS, batch=batch)
        require(loss_gap(losses, reference))


def _joined(gradients: dict[str, Any], like: dict[str, Any] | None = None) -> Any:
    """All gradients as one vector in the order of ``like``, which must have the same parameters."""
    names = gradients if like is None else like
    assert set(gradients) == set(names), sorted(set(gradients) ^ set(names))
    return np.concatenate([np.ravel(gradients[name]) for name in names])
