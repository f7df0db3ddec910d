"""How long a run takes by design: by hand on a table made up, then the table that ships."""

from pathlib import Path

import msgspec
import pytest
from fake_trial import RESNET, SHAPE, World, full_trial, gate, make_session

from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.trial import Trial
from amx_suite.core.units import Unit
from amx_suite.trial.design_time import Figures, Part, design_time, load_figures, whole_level
from amx_suite.workloads import WORKLOADS

pytestmark = pytest.mark.selftest

CONFORMANCE = Path(__file__).resolve().parents[2]
#: Every arm of a trial takes what its longest arm does, so one row gives the trial's times.
TABLE = """
cores = 2
start = [3, 4]
evidence = [1, 2]

[[trial]]
engine = "ipex"
workload = "resnet50-inference"
shape = "b16x224"
source = "made up"
arms = { "fp32@avx512" = { step = [0.25, 0.5], prepare = [10, 20] } }

[[test]]
test = "test_models.py::test_outputs"
level = 3
engine = "ipex"
workload = "resnet50-inference"
seconds = [6, 8]
source = "made up"

[[test]]
test = "instructions/test_soak.py"
level = 4
seconds = [0, 5]
soak = true
source = "made up"
"""
FIGURES = msgspec.toml.decode(TABLE.encode(), type=Figures)
TRIAL = full_trial()
#: By hand: a round is 5 slices of 0.5 s with a reading of 0.06 s each, and a launch that is never
#: done takes its budget of 150 s and the round that has begun.
QUIET = 5 * 10 + 12 * 2.8 + 5 * (1 + 0.25)
FIRST_LAUNCH = 5 * 20 + 150 + 2.8
ONCE = FIRST_LAUNCH + 5 * (2 + 0.5)


def time_of(*parts, figures=FIGURES, again=600.0, from_start=False, with_amx=True):
    return design_time(
        parts,
        figures,
        soak_seconds=100.0,
        most_again_seconds=again,
        from_start=from_start,
        with_amx=with_amx,
    )


def part(trial=TRIAL, budget=150.0, **more):
    return Part(trial.arms[0].engine, trial, budget, **more)


def whole(level, engine="ipex", budget=150.0, **more):
    parts = whole_level(level, {full_trial(): budget}, [engine], FIGURES)
    return time_of(*parts, **more)


class TestByHand:
    def test_one_trial(self):
        found = time_of(part())
        assert found.quiet_seconds == pytest.approx(QUIET)
        assert found.most_seconds == pytest.approx(ONCE + FIRST_LAUNCH + ONCE)

    def test_start_and_reading_the_machine(self):
        found = time_of(part(), from_start=True)
        assert found.quiet_seconds == pytest.approx(QUIET + 3)
        assert found.most_seconds == pytest.approx(ONCE + FIRST_LAUNCH + ONCE + 4 + 30)

    def test_users_budget(self):
        """It has no 12 rounds in 20 s, so it goes on to 10; at most to 10 with a quarter lost."""
        found = time_of(part(budget=20.0))
        assert found.quiet_seconds == pytest.approx(5 * 10 + 10 * 2.8 + 6.25)
        launch = 10 * 2.8 / 0.75 + 2.8
        assert found.most_seconds == pytest.approx(3 * (100 + launch) + 2 * 12.5)
        assert time_of(part(budget=5.0)).quiet_seconds == pytest.approx(50 + 3 * 5 + 6.25)

    def test_not_timed(self):
        found = time_of(part(budget=None))
        assert found.quiet_seconds == pytest.approx(5 * 10 + 6.25)
        assert found.most_seconds == pytest.approx(5 * 20 + 12.5)

    def test_without_amx_rounds_are_few(self):
        found = time_of(part(), with_amx=False)
        assert found.quiet_seconds == pytest.approx(3 * 10 + 5 * 1.5 + 3.75)
        assert found.most_seconds == pytest.approx(3 * 20 + 5 * 1.5 + 7.5)

    def test_only_second_measurement_left(self):
        found = time_of(part(again=True))
        assert found.quiet_seconds == pytest.approx(QUIET)
        assert found.most_seconds == pytest.approx(FIRST_LAUNCH + ONCE)

    def test_second_measurements_are_limited(self):
        trials = [part(full_trial(Workload("resnet50", Mode.INFERENCE)))] * 9
        limited = time_of(*trials, again=600.0)
        assert limited.most_seconds == pytest.approx(9 * (ONCE + FIRST_LAUNCH) + 600 + ONCE)
        assert time_of(*trials, again=0.0).most_seconds == pytest.approx(
            9 * (ONCE + FIRST_LAUNCH) + ONCE
        )

    def test_more_cores_shorten_steps(self):
        wide = Trial.of(RESNET, "ipex", SHAPE, cores=8)
        assert time_of(part(wide)).quiet_seconds == pytest.approx(
            50 + 12 * 5 * (5 * 0.0625 + 0.06) + 5 * (1 + 0.0625)
        )

    def test_larger_batch_lengthens_steps(self):
        """The warm-up's steps are longer, too."""
        large = Trial.of(RESNET, "ipex", Shape(64, 224), cores=2)
        assert time_of(part(large, budget=1800.0)).quiet_seconds == pytest.approx(
            50 + 5 * 3 * 0.75 + 12 * 5 * 1.06 + 5 * 2
        )

    def test_other_tests_of_the_level(self):
        timed = time_of(part(), from_start=True)
        assert whole(2, from_start=True) == timed
        assert whole(3, from_start=True).quiet_seconds == pytest.approx(timed.quiet_seconds + 6)
        assert whole(4, from_start=True).most_seconds == pytest.approx(timed.most_seconds + 8 + 105)


class TestAgainstTheRealTrial:
    """The session itself on a fake clock: steps of 0.15 s, two a slice, and 5 s to prepare."""

    FIGURES = msgspec.toml.decode(
        TABLE.replace("[0.25, 0.5]", "[0.15, 0.15]").replace("[10, 20]", "[5, 5]").encode(),
        type=Figures,
    )

    def seconds(self, world, *gates):
        session = make_session(world, gates, budget_seconds=100.0)
        session.result()
        return world.now

    @pytest.fixture
    def world(self):
        world = World()
        world.seconds = dict.fromkeys(world.seconds, 0.15)
        return world

    @pytest.fixture
    def design(self):
        return time_of(part(budget=100.0), figures=self.FIGURES, again=0.0)

    def test_quiet_trial(self, world, design):
        """Its evidence takes no time on the fake clock."""
        evidence = 5 * (1 + 0.15)
        assert self.seconds(world) + evidence == pytest.approx(design.quiet_seconds, abs=0.1)

    def test_failing_trial_takes_no_longer(self, world, design):
        taken = self.seconds(world, gate(2.0))
        assert design.quiet_seconds < taken < design.most_seconds

    def test_busy_trial_takes_its_budget(self, world, design):
        world.rates[Unit.TILE] = 400.0
        assert 100.0 + 5 * 5 <= self.seconds(world, gate(2.0)) < design.most_seconds


class TestWithoutFigures:
    def test_other_engines_figures_are_named(self):
        trial = Trial.of(RESNET, "eager", SHAPE, cores=2)
        found = time_of(part(trial, tests=frozenset({"test_models.py::test_outputs"})))
        assert found.borrowed == ("ipex",)
        assert str(found).endswith("(in part by figures of ipex)")
        assert found.quiet_seconds > 6
        assert time_of(part()).borrowed == ()

    def test_unknown_model_is_not_counted(self):
        trial = full_trial(Workload("bert", Mode.INFERENCE))
        found = time_of(part(), part(trial))
        assert found.quiet_seconds == pytest.approx(QUIET)
        assert "without bert-inference-ipex: there are no figures" in str(found)


class TestShippedTable:
    def test_every_trial_of_three_levels(self):
        rows = {(row.engine, row.workload): row.shape for row in load_figures().trial}
        for name, workload in WORKLOADS.items():
            for (mode, level), shape in workload.shapes.items():
                if level <= 3:
                    assert rows["ipex", f"{name}-{mode}"] == str(shape)

    def test_every_arm_has_figures(self):
        for row in load_figures().trial:
            model, mode = row.workload.split("-")
            shape = Shape.parse(row.shape)
            arms = Trial.of(Workload(model, Mode(mode)), row.engine, shape, cores=2).arms
            assert set(row.arms) == {arm.arm for arm in arms}

    def test_quiet_is_never_longer(self):
        found = load_figures()
        spans = [found.start, found.evidence, *(row.seconds for row in found.test)]
        spans += [s for row in found.trial for a in row.arms.values() for s in (a.step, a.prepare)]
        assert [span for span in spans if span.quiet > span.most] == []

    def test_tests_exist(self):
        for row in load_figures().test:
            path, _, function = row.test.partition("::")
            found = list(CONFORMANCE.glob(f"*/{path}" if "/" not in path else path))
            assert found, row.test
            assert not function or f"def {function}(" in found[0].read_text()
