"""The statistics of two nights, on known-bad and simulated input with fixed seeds."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from amx_suite.history.compare import CONFIDENCE
from amx_suite.history.shift import (
    FEWEST_ROUNDS,
    holm,
    level,
    shift_between,
    why_drifting,
    why_mixed,
)

pytestmark = pytest.mark.selftest

MARGIN = math.log(1.05)


def normal(generator, rounds, deviation, mean=0.0):
    return generator.normal(mean, deviation, rounds)


def bistable(generator, rounds, share, loss=0.69, deviation=0.02):
    """Rounds of which a share is contended and loses half, in random order."""
    contended = generator.random(rounds) < share
    return generator.normal(0.0, deviation, rounds) - loss * contended


def test_a_known_shift_is_found_with_both_its_ends():
    generator = np.random.default_rng(1)
    found = shift_between(
        normal(generator, 30, 0.01), normal(generator, 30, 0.01, -0.1), CONFIDENCE
    )
    assert found.low < -0.1 < found.high < -0.08
    assert found.estimate == pytest.approx(-0.1, abs=0.01)
    assert found.p < 1e-6


def test_swapping_the_nights_turns_the_shift_around():
    generator = np.random.default_rng(2)
    base, new = normal(generator, 12, 0.02), normal(generator, 9, 0.05, 0.03)
    there, back = shift_between(base, new, 0.99), shift_between(new, base, 0.99)
    assert there.estimate == pytest.approx(-back.estimate)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p == pytest.approx(back.p)


def test_the_estimate_lies_within_its_interval_and_one_wild_round_does_not_move_it():
    generator = np.random.default_rng(3)
    base, new = normal(generator, 20, 0.01), normal(generator, 20, 0.01)
    wild = [*new[:-1], new[-1] - 5.0]
    found, disturbed = (shift_between(base, night, CONFIDENCE) for night in (new, wild))
    assert found.low < found.estimate < found.high
    assert disturbed.estimate == pytest.approx(found.estimate, abs=0.005)
    assert level(wild) == pytest.approx(level(new), abs=0.005)


def test_nights_without_scatter_are_points():
    same = shift_between([0.5] * 8, [0.5] * 8, CONFIDENCE)
    assert tuple(same) == (0.0, 0.0, 0.0, 1.0)
    other = shift_between([0.5] * 8, [0.4] * 8, CONFIDENCE)
    assert (other.low, other.high) == pytest.approx((-0.1, -0.1))
    assert other.p < 0.001


@pytest.mark.parametrize("rounds", [0, 1, 3, FEWEST_ROUNDS - 1])
def test_too_few_rounds_are_refused(rounds):
    with pytest.raises(ValueError, match="needs 6 rounds"):
        shift_between([0.0] * rounds, [0.1] * 8, CONFIDENCE)


def test_fewer_rounds_than_the_fewest_could_never_decide():
    from scipy import stats

    def best(rounds):
        return stats.mannwhitneyu(range(rounds), range(100, 100 + rounds), method="exact").pvalue

    assert best(FEWEST_ROUNDS) <= 1 - CONFIDENCE < best(FEWEST_ROUNDS - 1)


def test_many_rounds_take_the_normal_distribution_and_no_time():
    generator = np.random.default_rng(4)
    found = shift_between(normal(generator, 900, 0.01), normal(generator, 900, 0.01, -0.01), 0.99)
    assert found.p < 1e-9


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([0.004]) == (0.004,)
    assert holm([]) == ()


class TestDrift:
    @pytest.mark.parametrize("rounds", [16, 20, 60])
    def test_a_step_in_the_middle(self, rounds):
        steps = 0.1 * (np.arange(rounds) >= rounds // 2)
        logs = normal(np.random.default_rng(rounds), rounds, 0.02) - steps
        assert why_drifting(logs, MARGIN).endswith("as it ran")

    def test_a_steady_drift(self):
        logs = normal(np.random.default_rng(5), 30, 0.01) - np.linspace(0, 0.2, 30)
        assert why_drifting(logs, MARGIN).startswith("went from 0.9")

    @pytest.mark.parametrize("logs", [[0.0] * 8, [0.0] * 10 + [0.04] * 10, [0.0, -0.5] * 10])
    def test_not_where_all_is_alike_or_within_the_margin_or_in_no_order(self, logs):
        assert why_drifting(logs, MARGIN) is None


class TestMixed:
    @pytest.mark.parametrize("share", [0.5, 0.7, 0.85])
    def test_a_night_that_was_less_often_at_the_other_nights_level(self, share):
        logs = bistable(np.random.default_rng(6), 20, share)
        assert why_mixed(logs, 0.0, MARGIN).endswith("none between")

    @pytest.mark.parametrize("rounds", [8, 20, 60])
    def test_even_if_it_was_there_once(self, rounds):
        logs = normal(np.random.default_rng(rounds), rounds, 0.02, -0.69)
        logs[rounds // 3] = 0.01
        assert why_mixed(logs, 0.0, MARGIN) is not None

    def test_a_bimodal_arm_that_alternates_is_nowhere(self):
        logs = [0.0, -0.2] * 6 + normal(np.random.default_rng(7), 12, 0.01)
        for other in (0.0, -0.1, -0.2):
            assert why_mixed(logs, other, MARGIN) is not None

    def test_not_where_the_few_are_elsewhere(self):
        logs = [*normal(np.random.default_rng(8), 18, 0.01, -0.05), -0.7, -0.71]
        assert why_mixed(logs, 0.0, MARGIN) is None

    @pytest.mark.parametrize("logs", [[0.0] * 8, [0.0, 0.03] * 10])
    def test_not_where_all_is_alike_or_within_the_margin(self, logs):
        assert why_mixed(logs, 0.03, MARGIN) is None


def verdicts(pairs):
    """How many of the pairs of nights end in each verdict, alone, at the default margin."""
    counts = Counter()
    for base, new in pairs:
        found = shift_between(base, new, CONFIDENCE)
        if found.low > -MARGIN and found.high < MARGIN:
            counts["unchanged"] += 1
        elif found.p > 1 - CONFIDENCE:
            counts["open"] += 1
        elif why_mixed(base, level(new), MARGIN) or why_mixed(new, level(base), MARGIN):
            counts["mixed"] += 1
        else:
            counts["changed"] += 1
    return counts


class TestRates:
    """Few runs, for time; the rates of many are in the commit that brought these tests."""

    def test_twins_are_called_changed_at_most_5_times_in_1000(self):
        generator = np.random.default_rng(9)
        kinds = itertools.cycle(
            (
                lambda: normal(generator, 20, 0.06),
                lambda: generator.standard_t(3, 20) * 0.04,
                lambda: bistable(generator, 20, 0.05),
                lambda: normal(generator, 8, 0.05),
                lambda: bistable(generator, 20, 0.1, deviation=0.05),
            )
        )
        counts = verdicts((kind(), kind()) for kind in itertools.islice(kinds, 1000))
        assert counts["changed"] <= 5

    def test_nor_are_nights_of_which_one_is_noisier_and_shorter(self):
        generator = np.random.default_rng(10)
        counts = verdicts(
            (normal(generator, 40, 0.015), normal(generator, 8, 0.06)) for _ in range(150)
        )
        assert counts["changed"] <= 2

    def test_unequal_noise_alone_is_not_surely_a_change(self):
        """Known-bad: Mann-Whitney's test and Yuen's, which both reject these equal levels."""
        from scipy import stats

        generator = np.random.default_rng(14)
        base, new = generator.normal(0, 0.015, (3000, 40)), generator.normal(0, 0.06, (3000, 8))
        yuen = stats.ttest_ind(new, base, axis=1, equal_var=False, trim=0.2).pvalue
        ranks = stats.mannwhitneyu(new, base, axis=1).pvalue
        fooled = np.flatnonzero(np.maximum(yuen, ranks) <= 1 - CONFIDENCE)
        changed = [shift_between(base[i], new[i], CONFIDENCE).p <= 1 - CONFIDENCE for i in fooled]
        assert sum(changed) <= 0.005 * 3000 < len(fooled)

    def test_18_gates_of_which_none_changed_are_one_family(self):
        """Known-bad: each gate's own p, of which some are small in 18."""
        nights = np.random.default_rng(16).normal(0.0, 0.06, (8, 18, 2, 20))
        runs = [[shift_between(*gate, CONFIDENCE).p for gate in run] for run in nights]
        assert any(min(run) <= 1 - CONFIDENCE for run in runs)
        assert all(min(holm(run)) > 1 - CONFIDENCE for run in runs)

    def test_quiet_twins_are_called_unchanged(self):
        generator = np.random.default_rng(11)
        counts = verdicts(
            (normal(generator, 12, 0.015), normal(generator, 12, 0.015)) for _ in range(100)
        )
        assert counts["unchanged"] >= 99

    def test_a_slowdown_of_5_percent_is_found_and_not_called_unchanged(self):
        generator = np.random.default_rng(12)
        slower = -math.log(1.05)
        counts = verdicts(
            (normal(generator, 24, 0.028), normal(generator, 24, 0.028, slower)) for _ in range(400)
        )
        # Truth lies on the margin, so its 99.5 % interval is within it 1 time in 400.
        assert counts["changed"] >= 0.98 * 400
        assert counts["unchanged"] <= 3

    def test_the_interval_covers_as_often_as_it_says(self):
        generator = np.random.default_rng(13)
        hits = 0
        for _ in range(300):
            found = shift_between(
                normal(generator, 12, 0.02), normal(generator, 20, 0.03, -0.04), 0.95
            )
            hits += found.low <= -0.04 <= found.high
        assert 0.93 <= hits / 300 <= 0.97
