"""Each judgement passes what is right and fails what is known to be wrong."""

import functools
import math

import msgspec
import numpy as np
import pytest

from amx_suite.accuracy import judgements as judge
from amx_suite.accuracy import limits
from amx_suite.accuracy.record import recorded
from amx_suite.core.agreement import Agreement
from amx_suite.core.precision import Precision

pytestmark = pytest.mark.selftest

BF16 = limits.TOLERANCES[Precision.BF16]
RANDOM = np.random.default_rng(7)
REFERENCE = RANDOM.standard_normal((8, 100))
#: Noise at 40 dB below the reference: the error of BF16 in a network's outputs.
NEAR = REFERENCE + 0.01 * RANDOM.standard_normal(REFERENCE.shape)
PEER = REFERENCE + 0.01 * RANDOM.standard_normal(REFERENCE.shape)
WHOLE = RANDOM.integers(1, 5, (8, 100)).astype(np.float32)


def changed(array, where, value):
    wrong = np.array(array, dtype=np.float64)
    wrong[where] = value
    return wrong


def flipped(array):
    where = np.unravel_index(np.argmax(np.abs(array)), array.shape)
    return changed(array, where, -array[where])


def mostly_zeros(array):
    return changed(array, np.s_[:, : array.shape[1] * 2 // 5], 0)


def rows_swapped(array):
    return changed(array, [0, 1], array[[1, 0]])


#: What can be wrong with a result, by name.
FAULTS = {
    "flipped element": flipped,
    "zeros": np.zeros_like,
    "mostly zeros": mostly_zeros,
    "NaN": lambda array: changed(array, (3, 5), np.nan),
    "infinity": lambda array: changed(array, (3, 5), np.inf),
    "scaled": lambda array: array * 1.1,
    "rows swapped": rows_swapped,
    "another shape": lambda array: array[:, :-1],
    "empty": lambda array: array[:0],
}

JUDGEMENTS = {
    "exact": (WHOLE, lambda x: judge.exact(x, WHOLE)),
    "close": (REFERENCE * (1 + 1e-3), lambda x: judge.close(x, REFERENCE, BF16.rounding)),
    "signal to noise": (
        NEAR,
        lambda x: judge.signal_to_noise(x, REFERENCE, BF16.outputs_sqnr_db),
    ),
    "error ratio": (NEAR, lambda x: judge.error_ratio(x, PEER, REFERENCE, floor=1e-3)),
    "same": (NEAR, lambda x: judge.same(x, PEER, REFERENCE)),
    "cosine": (NEAR, lambda x: judge.cosine_similarity(x, REFERENCE, BF16.outputs_cosine)),
}
#: Calls of the others, for what holds of all.
OTHERS = {
    "top1": lambda: judge.top1(SCORES, SCORES, error=0.1),
    "loss gap": lambda: judge.loss_gap(REFERENCE, REFERENCE),
    "nan contained": lambda: judge.nan_contained(REFERENCE, ()),
}
#: The cosine is blind to scale, and one element of 800 does not turn the whole.
BLIND = {("cosine", "scaled"), ("cosine", "flipped element")}


@pytest.mark.parametrize("name", JUDGEMENTS)
def test_right_results_pass(name):
    right, judgement = JUDGEMENTS[name]
    agreement = judgement(right)
    assert agreement.passed, agreement.sentence


@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name in JUDGEMENTS for fault in FAULTS if (name, fault) not in BLIND],
)
def test_known_faults_are_caught(name, fault):
    right, judgement = JUDGEMENTS[name]
    agreement = judgement(FAULTS[fault](right))
    assert not agreement.passed, agreement.sentence


def test_every_judgement_is_recorded():
    calls = [functools.partial(judgement, right) for right, judgement in JUDGEMENTS.values()]
    calls += OTHERS.values()
    public = [vars(judge)[name].__annotations__["return"] for name in judge.__all__]
    assert len(calls) == sum("Agreement" in returned for returned in public), "each has a call"
    with recorded() as all_of_them:
        for call in calls:
            with recorded() as found:
                agreement = call()
            assert found == [agreement]
            assert msgspec.json.decode(msgspec.json.encode(found), type=list[Agreement]) == found
    assert all_of_them == [], "an inner record is one of its own"


def test_equal_results_have_no_error():
    agreement = judge.signal_to_noise(REFERENCE, REFERENCE, BF16.outputs_sqnr_db)
    assert (agreement.passed, agreement.figure) == (True, None), "no file can hold infinity"
    assert agreement.share_of_allowed == 0
    assert "no error at all" in agreement.sentence


@pytest.mark.parametrize("fault", ["NaN", "zeros", "empty"])
def test_a_broken_reference_excuses_nothing(fault):
    broken, peer = FAULTS[fault](REFERENCE), FAULTS[fault](PEER)
    assert not judge.signal_to_noise(broken, broken, BF16.outputs_sqnr_db).passed
    assert not judge.close(NEAR, broken, BF16.rounding).passed
    assert not judge.error_ratio(NEAR, peer, REFERENCE, floor=1e-3).passed
    assert not judge.same(NEAR, peer, REFERENCE).passed
    agreement = judge.exact(broken, broken)
    assert not agreement.passed
    assert agreement.figure is None
    assert agreement.figure_text == agreement.note, "why there is none"


def test_one_bad_item_is_not_averaged_away():
    many = RANDOM.standard_normal((1000, 20))
    result = many.copy()
    result[500] += 0.1
    assert judge.sqnr_db(result, many) > BF16.outputs_sqnr_db.value
    assert not judge.signal_to_noise(result, many, BF16.outputs_sqnr_db).passed


def test_an_exact_peer_has_the_floors_error():
    result = REFERENCE + 1e-9
    assert judge.error_ratio(result, REFERENCE, REFERENCE, floor=1e-6).passed
    assert not judge.error_ratio(result, REFERENCE, REFERENCE, floor=1e-10).passed


def test_zero_gradients_fail_though_gradients_are_small():
    """With PyTorch's absolute tolerance of 1e-3 they would pass."""
    tiny = REFERENCE * 1e-6
    assert judge.same(tiny * 1.0001, tiny, tiny).passed
    assert not judge.same(tiny * 1.01, tiny, tiny).passed
    assert not judge.same(np.full_like(tiny, 1e-12), tiny, tiny).passed


def test_noise_is_judged_by_the_wholes_scale():
    nothing, noise = np.full((4, 4), 1e-20), np.full((4, 4), 1e-8)
    assert not judge.same(noise, nothing, nothing).passed
    assert judge.same(noise, nothing, nothing, scale=1e-3).passed
    assert not judge.same(noise, nothing, nothing, scale=1e-6).passed


def test_figures():
    signal = np.array([3.0, 4.0])
    assert judge.root_mean_square(signal) == pytest.approx(math.sqrt(12.5))
    assert judge.rmse(signal + 0.5, signal) == 0.5
    assert judge.sqnr_db(signal * 1.1, signal) == pytest.approx(20.0)
    assert judge.sqnr_db(signal, signal) == math.inf
    assert judge.cosine(signal, np.array([1.0, 0.0])) == pytest.approx(0.6)
    assert math.isnan(judge.cosine(np.zeros(2), signal))


@pytest.mark.parametrize("precision", list(limits.TOLERANCES), ids=str)
def test_least_error_is_below_that_of_rounding(precision):
    tolerances = limits.TOLERANCES[precision]
    right = RANDOM.standard_normal(10_000).astype(np.float32)
    error = judge.rmse(judge.rounded(right, tolerances.bits), right)
    share = error / judge.root_mean_square(right)
    assert tolerances.least_error < share < 2 * tolerances.least_error


def test_errors_of_bf16_fail_fp16():
    """Known-bad: BF16 in FP16's place, in one operator and in a network's outputs."""
    fp16, right = limits.TOLERANCES[Precision.FP16], REFERENCE.astype(np.float32)
    assert judge.close(judge.rounded(right, fp16.bits), right, fp16.rounding).passed
    assert not judge.close(judge.rounded(right, BF16.bits), right, fp16.rounding).passed
    assert judge.signal_to_noise(NEAR, REFERENCE, BF16.outputs_sqnr_db).passed
    assert not judge.signal_to_noise(NEAR, REFERENCE, fp16.outputs_sqnr_db).passed


def test_reruns_agree_to_the_last_bit():
    losses = np.array([2.3, 2.2, 2.1])
    assert judge.exact(losses, losses.copy(), limits.RERUN).passed
    assert not judge.exact(losses, np.nextafter(losses, 3.0), limits.RERUN).passed


def test_losses_may_differ_by_one_percent():
    losses = np.array([2.0, 1.0])
    assert judge.loss_gap(losses * [1.015, 1.0], losses).passed
    assert not judge.loss_gap(losses * [1.015, 1.015], losses).passed
    assert not judge.loss_gap(np.array([2.0, np.nan]), losses).passed
    assert not judge.loss_gap(np.array([2.0]), losses).passed


#: Three clear answers with a margin of 1, one with a margin of 0.01.
SCORES = np.array([[1.5, 0.5, 0.5], [0.5, 1.5, 0.5], [0.5, 0.5, 1.5], [1.0, 0.99, 0.5]])


def test_only_clear_answers_count_for_top1():
    result = changed(SCORES, 3, [0.99, 1.0, 0.5])
    agreement = judge.top1(result, SCORES, error=0.1)
    assert agreement.passed
    assert "3 decided items" in agreement.measure
    assert judge.top1(SCORES, SCORES, error=0.6) is None


def test_a_changed_top1_answer_fails():
    agreement = judge.top1(rows_swapped(SCORES), SCORES, error=0.1)
    assert not agreement.passed
    assert agreement.figure == pytest.approx(1 / 3)


def test_nan_must_stay_in_its_row():
    poisoned = changed(REFERENCE, 2, np.nan)
    assert judge.nan_contained(poisoned, {2}).passed
    leaked = judge.nan_contained(changed(poisoned, (3, -1), np.nan), {2})
    assert not leaked.passed
    assert "[3]" in leaked.note
    assert not judge.nan_contained(changed(poisoned, (2, 0), 1.0), {2}).passed
    assert not judge.nan_contained(REFERENCE, {2}).passed


def test_a_sentence_has_figure_limit_and_source():
    text = judge.signal_to_noise(REFERENCE * 1.1, REFERENCE, BF16.outputs_sqnr_db).sentence
    assert "fails with 20 dB against at least 30 dB (" in text
    assert BF16.outputs_sqnr_db.source in text
