"""Are outputs, gradients and losses of the whole models as accurate as their precision allows?

What the limits are and where they are from stands in ``amx_suite.accuracy``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from amx_suite import accuracy
from amx_suite.accuracy import Agreement, limits
from amx_suite.core.case import Mode, Precision, RunCase
from amx_suite.core.isa import Isa
from amx_suite.fixtures import TrialAccess

pytestmark = [pytest.mark.correctness, pytest.mark.level(3)]

inference = pytest.mark.trials(mode=Mode.INFERENCE)
training = pytest.mark.trials(mode=Mode.TRAINING)

#: The arm without AMX that has the same precision.
PEERS = {Precision.BF16: Isa.AVX512_BF16, Precision.INT8: Isa.AVX512_VNNI}
#: Two passes over the two batches that training walks through. Fewer or smaller images would leave
#: BatchNorm too few values a channel: two of 64 pixels leave 8 in the last stage, and right BF16
#: gradients of ResNet50 then have a cosine of 0.97, in every engine and version of PyTorch alike.
STEPS, BATCH = 4, 8


def require(agreement: Agreement) -> None:
    assert agreement.passed, agreement.sentence


def baseline(trial: TrialAccess) -> RunCase:
    return trial.arm(Precision.FP32, Isa.AVX512)


@inference
def test_outputs(amx_trial: TrialAccess, amx_arm: RunCase) -> None:
    """FP32 is near FP64; BF16 and INT8 are near FP32."""
    result = amx_trial.outputs(amx_arm)
    if amx_arm.precision is Precision.FP32:
        arbiter = amx_trial.arbiter_outputs()
        require(accuracy.signal_to_noise(result, arbiter, limits.FP32_SQNR_DB))
        return
    reference = amx_trial.outputs(baseline(amx_trial))
    if amx_arm.precision is Precision.BF16:
        require(accuracy.signal_to_noise(result, reference, limits.BF16_SQNR_DB))
        require(accuracy.cosine_similarity(result, reference))
    elif amx_arm.weights == "random":
        require(accuracy.signal_to_noise(result, reference, limits.INT8_SQNR_DB))
    else:
        # How well a user's weights quantize is a property of theirs and of the recipe, not of the
        # machine; that AMX does it as well as VNNI is asked below, for any weights.
        pytest.skip("INT8 against FP32 is judged on random weights, where its limit was found")


@inference
@pytest.mark.parametrize("precision", list(PEERS), ids=str)
def test_amx_errs_no_more_than_its_peer(amx_trial: TrialAccess, precision: Precision) -> None:
    result = amx_trial.outputs(amx_trial.arm(precision, Isa.AMX))
    peer = amx_trial.outputs(amx_trial.arm(precision, PEERS[precision]))
    arbiter = amx_trial.arbiter_outputs()
    # The rounding of a right output to BF16 alone is 2^-10 of it (root mean square).
    floor = accuracy.root_mean_square(arbiter) * 2**-10
    require(accuracy.error_ratio(result, peer, arbiter, floor=floor))
    require(accuracy.same(result, peer, arbiter))


@inference
def test_int8_is_the_same_with_amx(amx_trial: TrialAccess) -> None:
    result = amx_trial.outputs(amx_trial.arm(Precision.INT8, Isa.AMX))
    peer = amx_trial.outputs(amx_trial.arm(Precision.INT8, Isa.AVX512_VNNI))
    require(accuracy.signal_to_noise(result, peer, limits.INT8_PEER_SQNR_DB))


@pytest.mark.trials(mode=Mode.INFERENCE, model="resnet50")
@pytest.mark.parametrize("precision", list(PEERS), ids=str)
def test_top1_answers(amx_trial: TrialAccess, precision: Precision) -> None:
    """AMX answers as FP32 does wherever its peer's largest error leaves no doubt."""
    reference = amx_trial.outputs(baseline(amx_trial))
    peer = amx_trial.outputs(amx_trial.arm(precision, PEERS[precision]))
    result = amx_trial.outputs(amx_trial.arm(precision, Isa.AMX))
    agreement = accuracy.top1(result, reference, error=float(np.abs(peer - reference).max()))
    if agreement is None:
        pytest.skip(
            "no image's answer is clear enough to count: use trained weights or more images"
        )
    require(agreement)


@training
def test_gradients(amx_trial: TrialAccess) -> None:
    """Gradients of the first step: FP32 and BF16 near FP64, and AMX no worse than without it."""
    arbiter = amx_trial.arbiter_gradients(batch=BATCH)
    right = _joined(arbiter)
    scale = accuracy.root_mean_square(right)

    fp32 = _joined(amx_trial.gradients(baseline(amx_trial), batch=BATCH), like=arbiter)
    require(
        accuracy.signal_to_noise(fp32[np.newaxis], right[np.newaxis], limits.FP32_GRADIENT_SQNR_DB)
    )
    del fp32

    peer = amx_trial.gradients(amx_trial.arm(Precision.BF16, Isa.AVX512_BF16), batch=BATCH)
    result = amx_trial.gradients(amx_trial.arm(Precision.BF16, Isa.AMX), batch=BATCH)
    for bf16 in (peer, result):
        whole = _joined(bf16, like=arbiter)
        require(accuracy.cosine_similarity(whole, right, limits.GRADIENT_COSINE))
    faults = [
        f"{name}: {agreement.sentence}"
        for name, gradient in arbiter.items()
        if not (agreement := accuracy.same(result[name], peer[name], gradient, scale=scale)).passed
    ]
    assert not faults, "\n".join(faults)


@training
def test_losses(amx_trial: TrialAccess, amx_arm: RunCase) -> None:
    """Losses of the first steps follow FP32's, fall, and are the same bits when run again."""
    losses = amx_trial.losses(amx_arm, steps=STEPS, batch=BATCH)
    first_pass, second_pass = np.split(losses, 2)
    assert second_pass.mean() < first_pass.mean(), f"training does not lower the loss: {losses}"
    require(accuracy.repeated(losses, amx_trial.losses(amx_arm, steps=STEPS, batch=BATCH)))
    if amx_arm.precision is not Precision.FP32:
        reference = amx_trial.losses(baseline(amx_trial), steps=STEPS, batch=BATCH)
        require(accuracy.loss_gap(losses, reference))


def _joined(gradients: dict[str, Any], like: dict[str, Any] | None = None) -> Any:
    """All gradients as one vector in the order of ``like``, which must have the same parameters."""
    names = gradients if like is None else like
    assert set(gradients) == set(names), sorted(set(gradients) ^ set(names))
    return np.concatenate([np.ravel(gradients[name]) for name in names])
