"""How long a run takes by design: by hand on a table made up, then the table that ships."""

from pathlib import Path

import msgspec
import pytest
from fake_trial import RESNET, SHAPE, World, full_trial, gate, make_session, why_lacking

from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.trial import Trial
from amx_suite.core.units import Unit
from amx_suite.engines import ENGINES
from amx_suite.trial.design_time import (
    Figures,
    Part,
    Span,
    design_time,
    launches_time,
    load_figures,
)
from amx_suite.workloads import WORKLOADS

pytestmark = pytest.mark.selftest

CONFORMANCE = Path(__file__).resolve().parents[2]
TABLE = """
cores = 2
start = [3, 4]

[[trial]]
workload = "resnet50-inference"
shape = "b16x224"
prepare = [50, 100]
checks = [6, 8]
source = "made up"
[trial.step]
"fp32@no_amx" = 0.25
"bf16@avx512_bf16" = 0.25
"bf16@amx" = 0.25
"int8@avx512_vnni" = 0.25
"int8@amx" = 0.25

[[test]]
test = "instructions/test_soak.py"
level = 4
seconds = [0, 5]
engine_seconds = [10, 20]
soak = true
needs_amx = true
source = "made up"
"""
FIGURES = msgspec.toml.decode(TABLE.encode(), type=Figures)
TRIAL = full_trial()
#: By hand: a round is 5 slices of 0.5 s with a reading of 0.06 s each, and a launch that is never
#: done takes its budget of 150 s and the round that has begun.
QUIET = 50 + 12 * 2.8
ONCE = 100 + 150 + 2.8


def time_of(*parts, tests=(), figures=FIGURES, again=600.0, with_amx=True, cpu_flags=()):
    return design_time(
        parts,
        tests,
        figures,
        soak_seconds=100.0,
        most_again_seconds=again,
        with_amx=with_amx,
        cpu_flags=cpu_flags,
    )


def part(trial=TRIAL, budget=150.0, **more):
    return Part(trial, budget, **more)


def seconds(time):
    return pytest.approx((time.quiet_seconds, time.most_seconds))


class TestByHand:
    def test_one_trial(self):
        assert seconds(time_of(part())) == (QUIET, 2 * ONCE + ONCE)

    def test_users_budget(self):
        """It has no 12 rounds in 20 s, so it goes on to 10; at most to 10 with a quarter lost."""
        launch = 10 * 2.8 / 0.75 + 2.8
        assert (50 + 10 * 2.8, 3 * (100 + launch)) == seconds(time_of(part(budget=20.0)))
        assert time_of(part(budget=5.0)).quiet_seconds == pytest.approx(50 + 3 * 5)

    def test_not_timed(self):
        assert seconds(time_of(part(budget=None))) == (50, 100)

    def test_without_amx_rounds_are_few(self):
        found = time_of(part(), tests=[(FIGURES.test[0], "")], with_amx=False)
        assert seconds(found) == (30 + 5 * 1.5, 60 + 5 * 1.5)

    def test_arms_beyond_the_cpu_take_no_time(self):
        """Of five only FP32 and INT8 under VNNI run."""
        vnni = ("avx2", "fma", *Isa.AVX512_VNNI.spec.cpu_flags)
        expected = 50 * 2 / 5 + 12 * 2 * 0.56
        assert time_of(part(), cpu_flags=vnni).quiet_seconds == pytest.approx(expected)

    def test_arm_without_figures_counts_as_the_longest(self):
        more = msgspec.structs.replace(TRIAL.arms[-1], copy=2)
        trial = msgspec.structs.replace(TRIAL, arms=(*TRIAL.arms, more))
        assert time_of(part(trial)).quiet_seconds == pytest.approx(60 + 12 * 6 * 0.56)

    def test_launches_of_two_sides(self):
        """A round is 2 slices of 0.5 s; the side does not hide the figures of an arm."""
        arm = TRIAL.arms[2]
        both = tuple(msgspec.structs.replace(arm, side=side) for side in ("base", "new"))
        pair = part(msgspec.structs.replace(TRIAL, arms=both))
        found = launches_time([pair], FIGURES, launches=4, rounds=24)
        assert seconds(found) == (3 + 4 * (20 + 24), 4 + 4 * (40 + 24))
        short = part(pair.trial, budget=8.0)
        found = launches_time([short], FIGURES, launches=4, rounds=24)
        assert found.quiet_seconds == pytest.approx(3 + 4 * (20 + 10))

    def test_only_second_measurement_left(self):
        assert seconds(time_of(part(again=True))) == (QUIET, 2 * ONCE)

    def test_second_measurements_are_limited(self):
        limited = time_of(*[part()] * 9, again=600.0)
        assert limited.most_seconds == pytest.approx(9 * 2 * ONCE + 600 + ONCE)
        none = time_of(*[part()] * 9, again=0.0)
        assert none.most_seconds == pytest.approx(9 * 2 * ONCE + ONCE)

    def test_more_cores_shorten_steps(self):
        wide = Trial.of(RESNET, "ipex", SHAPE, cores=8)
        expected = 50 + 12 * 5 * (5 * 0.0625 + 0.06)
        assert time_of(part(wide)).quiet_seconds == pytest.approx(expected)

    def test_larger_batch_lengthens_steps(self):
        large = Trial.of(RESNET, "ipex", Shape(64, 224), cores=2)
        expected = 50 + 12 * 5 * 1.06
        assert time_of(part(large, budget=1800.0)).quiet_seconds == pytest.approx(expected)

    def test_other_tests(self):
        checked = time_of(part(checked=True), tests=[(FIGURES.test[0], "ipex")])
        assert seconds(checked) == (QUIET + 6 + 110, 3 * ONCE + 8 + 125)

    def test_other_engines_prepare_longer(self):
        figures = msgspec.structs.replace(FIGURES, engines={"ipex": Span(0.5, 2)})
        tests = [(FIGURES.test[0], "ipex")]
        found = time_of(part(budget=None, checked=True), tests=tests, figures=figures)
        assert seconds(found) == (25 + 3 + 105, 200 + 16 + 145)

    def test_unknown_model_is_not_counted(self):
        found = time_of(part(), part(full_trial(Workload("bert", Mode.INFERENCE))))
        assert found.quiet_seconds == pytest.approx(QUIET)
        assert "without bert-inference-ipex: there are no figures" in str(found)


class TestAgainstTheRealTrial:
    """The session itself on a fake clock: steps of 0.15 s, two a slice, and 5 s to prepare."""

    FIGURES = msgspec.toml.decode(
        TABLE.replace("= 0.25", "= 0.15").replace("[50, 100]", "[25, 25]").encode(), type=Figures
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
        assert self.seconds(world) == pytest.approx(design.quiet_seconds, abs=0.1)

    def test_failing_trial_takes_no_longer(self, world, design):
        taken = self.seconds(world, gate(2.0))
        assert design.quiet_seconds < taken < design.most_seconds

    def test_busy_trial_takes_its_budget(self, world, design):
        world.rates[Unit.TILE] = 400.0
        assert 100.0 + 5 * 5 <= self.seconds(world, gate(2.0)) < design.most_seconds


class TestShippedTable:
    def test_every_arm_of_three_levels(self):
        rows = {row.workload: row for row in load_figures().trial}
        for name, workload in WORKLOADS.items():
            for (mode, level), shape in workload.shapes.items():
                trial = Trial.of(Workload(name, mode), "ipex", shape, cores=2)
                row = rows[str(trial.workload)]
                arms = {arm.arm for arm in trial.arms if not why_lacking(arm)}
                assert set(row.step) == arms
                assert level > 3 or row.shape == str(shape)

    def test_quiet_is_never_longer(self):
        found = load_figures()
        spans = [found.start, *found.engines.values()]
        spans += [span for row in found.trial for span in (row.prepare, row.checks)]
        spans += [span for row in found.test for span in (row.seconds, row.engine_seconds)]
        assert [span for span in spans if span.quiet > span.most] == []

    def test_engines_and_tests_exist(self):
        assert set(load_figures().engines) <= set(ENGINES)
        for row in load_figures().test:
            path, _, function = row.test.partition("::")
            found = CONFORMANCE / path
            assert found.exists(), row.test
            assert not function or f"def {function}" in found.read_text()
