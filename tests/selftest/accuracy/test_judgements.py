"""Each judgement passes what is right and fails what is known to be wrong."""

import math

import numpy as np
import pytest

from amx_suite import accuracy
from amx_suite.accuracy import limits

pytestmark = pytest.mark.selftest

RANDOM = np.random.default_rng(7)
REFERENCE = RANDOM.standard_normal((8, 100))
#: Noise at 40 dB below the reference: what BF16 makes of a network's outputs.
NEAR = REFERENCE + 0.01 * RANDOM.standard_normal(REFERENCE.shape)
PEER = REFERENCE + 0.01 * RANDOM.standard_normal(REFERENCE.shape)
WHOLE = RANDOM.integers(1, 5, (8, 100)).astype(np.float32)


def flipped(array):
    wrong = array.copy()
    row, column = np.unravel_index(np.argmax(np.abs(array)), array.shape)
    wrong[row, column] *= -1
    return wrong


def with_nan(array):
    wrong = np.array(array, dtype=np.float64)
    wrong[3, 5] = np.nan
    return wrong


def with_infinity(array):
    wrong = np.array(array, dtype=np.float64)
    wrong[3, 5] = np.inf
    return wrong


def mostly_zeros(array):
    wrong = array.copy()
    wrong[:, : array.shape[1] * 2 // 5] = 0
    return wrong


def rows_swapped(array):
    wrong = array.copy()
    wrong[[0, 1]] = wrong[[1, 0]]
    return wrong


#: What can be wrong with a result, by name.
FAULTS = {
    "flipped element": flipped,
    "zeros": np.zeros_like,
    "mostly zeros": mostly_zeros,
    "NaN": with_nan,
    "infinity": with_infinity,
    "scaled": lambda array: array * 1.1,
    "rows swapped": rows_swapped,
    "another shape": lambda array: array[:, :-1],
    "empty": lambda array: array[:0],
}

JUDGEMENTS = {
    "exact": (WHOLE, lambda x: accuracy.exact(x, WHOLE)),
    "close": (REFERENCE * (1 + 1e-3), lambda x: accuracy.close(x, REFERENCE)),
    "signal to noise": (
        NEAR,
        lambda x: accuracy.signal_to_noise(x, REFERENCE, limits.BF16_SQNR_DB),
    ),
    "error ratio": (NEAR, lambda x: accuracy.error_ratio(x, PEER, REFERENCE, floor=1e-3)),
    "same": (NEAR, lambda x: accuracy.same(x, PEER, REFERENCE)),
}


@pytest.mark.parametrize("name", JUDGEMENTS)
def test_right_results_pass(name):
    right, judge = JUDGEMENTS[name]
    agreement = judge(right)
    assert agreement.passed, agreement.sentence


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", JUDGEMENTS)
def test_known_faults_are_caught(name, fault):
    right, judge = JUDGEMENTS[name]
    agreement = judge(FAULTS[fault](right))
    assert not agreement.passed, agreement.sentence


#: The cosine is blind to scale by its nature, and one element of 800 does not turn the whole.
@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"scaled", "flipped element"}))
def test_known_faults_turn_the_cosine(fault):
    assert accuracy.cosine_similarity(NEAR, REFERENCE).passed
    assert not accuracy.cosine_similarity(FAULTS[fault](NEAR), REFERENCE).passed


@pytest.mark.parametrize("fault", ["NaN", "zeros", "empty"])
def test_a_broken_reference_or_peer_is_no_excuse(fault):
    broken = FAULTS[fault](REFERENCE)
    assert not accuracy.signal_to_noise(broken, broken, limits.BF16_SQNR_DB).passed
    assert not accuracy.close(NEAR, broken).passed
    assert not accuracy.error_ratio(NEAR, FAULTS[fault](PEER), REFERENCE, floor=1e-3).passed
    assert not accuracy.same(NEAR, FAULTS[fault](PEER), REFERENCE).passed


def test_arrays_of_zeros_prove_nothing():
    agreement = accuracy.exact(np.zeros((4, 4)), np.zeros((4, 4)))
    assert not agreement.passed
    assert "zero everywhere" in agreement.sentence
    assert math.isnan(agreement.figure)


def test_one_bad_item_is_not_averaged_away():
    many = RANDOM.standard_normal((1000, 20))
    result = many.copy()
    result[500] += 0.1
    assert accuracy.sqnr_db(result, many) > limits.BF16_SQNR_DB.value
    assert not accuracy.signal_to_noise(result, many, limits.BF16_SQNR_DB).passed


def test_the_error_ratio_takes_its_floor_where_the_peer_is_exact():
    result = REFERENCE + 1e-9
    assert accuracy.error_ratio(result, REFERENCE, REFERENCE, floor=1e-6).passed
    assert not accuracy.error_ratio(result, REFERENCE, REFERENCE, floor=1e-10).passed


def test_zero_gradients_do_not_pass_for_being_small():
    """With PyTorch's absolute tolerance of 1e-3 they would."""
    tiny = REFERENCE * 1e-6
    assert accuracy.same(tiny * 1.0001, tiny, tiny).passed
    assert not accuracy.same(tiny * 1.01, tiny, tiny).passed
    assert not accuracy.same(np.full_like(tiny, 1e-12), tiny, tiny).passed


def test_a_part_whose_right_value_is_nothing_is_judged_by_the_whole():
    nothing, noise = np.full((4, 4), 1e-20), np.full((4, 4), 1e-8)
    assert not accuracy.same(noise, nothing, nothing).passed
    assert accuracy.same(noise, nothing, nothing, scale=1e-3).passed
    assert not accuracy.same(noise, nothing, nothing, scale=1e-6).passed


def test_figures():
    signal = np.array([3.0, 4.0])
    assert accuracy.root_mean_square(signal) == pytest.approx(math.sqrt(12.5))
    assert accuracy.rmse(signal + 0.5, signal) == 0.5
    assert accuracy.sqnr_db(signal * 1.1, signal) == pytest.approx(20.0)
    assert accuracy.sqnr_db(signal, signal) == math.inf
    assert accuracy.cosine([1.0, 0.0], [1.0, 1.0]) == pytest.approx(math.sqrt(0.5))
    assert math.isnan(accuracy.cosine([0.0], [1.0]))


def test_reruns_must_agree_to_the_last_bit():
    losses = np.array([2.3, 2.2, 2.1])
    assert accuracy.repeated(losses, losses.copy()).passed
    assert not accuracy.repeated(losses, np.nextafter(losses, 3.0)).passed


def test_losses_may_differ_by_one_percent_on_average():
    losses = np.array([2.0, 1.0])
    assert accuracy.loss_gap(losses * [1.015, 1.0], losses).passed
    assert not accuracy.loss_gap(losses * [1.015, 1.015], losses).passed
    assert not accuracy.loss_gap(np.array([2.0, np.nan]), losses).passed
    assert not accuracy.loss_gap(np.array([2.0]), losses).passed


class TestTop1:
    #: Three clear answers with a margin of 1, one with a margin of 0.01.
    SCORES = np.array([[1.5, 0.5, 0.5], [0.5, 1.5, 0.5], [0.5, 0.5, 1.5], [1.0, 0.99, 0.5]])

    def test_only_clear_answers_count(self):
        result = self.SCORES.copy()
        result[3] = [0.99, 1.0, 0.5]
        agreement = accuracy.top1(result, self.SCORES, error=0.1)
        assert agreement.passed
        assert "3 decided items" in agreement.measure

    def test_a_changed_answer_fails(self):
        agreement = accuracy.top1(rows_swapped(self.SCORES), self.SCORES, error=0.1)
        assert not agreement.passed
        assert agreement.figure == pytest.approx(1 / 3)

    def test_without_a_clear_answer_there_is_no_judgement(self):
        assert accuracy.top1(self.SCORES, self.SCORES, error=0.6) is None


class TestNanContained:
    def test_exactly_the_poisoned_rows(self):
        output = REFERENCE.copy()
        output[2] = np.nan
        assert accuracy.nan_contained(output, {2}).passed

    def test_one_leaked_nan(self):
        output = REFERENCE.copy()
        output[2] = np.nan
        output[3, -1] = np.nan
        agreement = accuracy.nan_contained(output, {2})
        assert not agreement.passed
        assert "[3]" in agreement.note

    def test_a_nan_that_vanished(self):
        output = REFERENCE.copy()
        output[2, 1:] = np.nan
        assert not accuracy.nan_contained(output, {2}).passed
        assert not accuracy.nan_contained(REFERENCE, {2}).passed


def test_every_limit_names_its_source():
    named = [getattr(limits, name) for name in limits.__all__ if name.isupper()]
    assert len(named) == len(limits.__all__) - 1
    assert all(limit.source for limit in named)


def test_a_sentence_says_figure_limit_and_source():
    text = accuracy.signal_to_noise(REFERENCE * 1.1, REFERENCE, limits.BF16_SQNR_DB).sentence
    assert "fails with 20 against 30" in text
    assert limits.BF16_SQNR_DB.source in text
