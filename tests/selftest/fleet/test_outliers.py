"""Outliers: slow machines are named, healthy ones are not, and few machines are not judged."""

from __future__ import annotations

import math
import random

import pytest

from amx_suite.fleet.outliers import FEWEST_MACHINES, distributions

pytestmark = pytest.mark.selftest

FIGURES = 18


def fleet(seed: int, machines: int, *, spread: float = 0.02) -> list[dict[str, float]]:
    """Figures of healthy machines."""
    generator = random.Random(seed)
    return [
        {f"n{n}": math.exp(generator.gauss(0, spread)) for n in range(machines)}
        for _ in range(FIGURES)
    ]


def named(speeds: list[dict[str, float]]) -> set[str]:
    return {each.machine for found in distributions(speeds) for each in found.outliers}


@pytest.mark.parametrize("seed", range(10))
def test_slow_machines_of_a_thousand_are_named(seed: int) -> None:
    speeds = fleet(seed, 1000)
    slow = {f"n{10 * seed + number}" for number in range(3)}
    for name in slow:
        speeds[seed][name] *= 0.85
    found = named(speeds)
    assert found >= slow
    assert len(found - slow) <= 1


@pytest.mark.parametrize("machines", [5, 10, 49, 50, 100])
def test_healthy_fleets_have_no_outlier(machines: int) -> None:
    """The rate of false alarms holds for small classes, too: at most 1 in 100 fleets."""
    wrong = sum(bool(named(fleet(seed, machines))) for seed in range(100))
    assert wrong <= 3


def test_small_classes_name_the_slow() -> None:
    for seed in range(10):
        speeds = fleet(seed, 12)
        speeds[seed]["n3"] *= 0.7
        assert named(speeds) == {"n3"}


def test_only_slow_machines_stand_out() -> None:
    (speeds, *_) = fleet(1, 100)
    speeds |= {"n3": 2.0, "n4": 0.5}
    (found,) = distributions([speeds])
    (outlier,) = found.outliers
    assert outlier.machine == "n4"
    assert outlier.share == pytest.approx(0.5, rel=0.02)
    assert outlier.deviations is not None
    assert outlier.deviations > 20


def test_slow_batch_does_not_hide_itself() -> None:
    (speeds, *_) = fleet(2, 200)
    slow = {f"n{number}" for number in range(60)}
    speeds |= {name: 0.6 * speeds[name] for name in slow}
    assert named([speeds]) == slow


def test_small_losses_are_no_outliers() -> None:
    """Where machines hardly differ, 4 % is many deviations and harms nobody."""
    (speeds, *_) = fleet(3, 100, spread=0.0005)
    assert named([{**speeds, "n7": 0.96}]) == set()
    assert named([{**speeds, "n7": 0.94}]) == {"n7"}


def test_equal_machines_have_no_deviation() -> None:
    (found,) = distributions([{**{f"n{number}": 2.0 for number in range(9)}, "slow": 1.0}])
    assert [(each.machine, each.deviations) for each in found.outliers] == [("slow", None)]


def test_few_machines_are_not_judged() -> None:
    speeds = {f"n{number}": 1.0 for number in range(FEWEST_MACHINES - 2)} | {"slow": 0.1}
    (found,) = distributions([speeds])
    assert (found.deviation, found.least_loss, found.outliers) == (None, None, ())
    assert named([{**speeds, "one more": 1.0}]) == {"slow"}


def test_more_figures_raise_the_limit() -> None:
    speeds = fleet(4, 50)
    (alone,) = distributions(speeds[:1])
    among = distributions(speeds)[0]
    assert alone.least_loss is not None
    assert among.least_loss is not None
    assert alone.least_loss < among.least_loss
