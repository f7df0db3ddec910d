"""Finding, keeping and refusing a quiet reference; the proof's bookkeeping."""

import io
import itertools
import math
import random

import msgspec
import pytest
from fake_trial import FakeProber, FakeWorker, World
from simulated import UNIT_LOSS, SharedMachine

from amx_suite.calibrate import _Line
from amx_suite.calibration.behaviour import (
    LEAST_QUIET,
    NotQuietError,
    TimedReading,
    calibrate_from,
)
from amx_suite.calibration.calibrate import calibrate, describe, is_busier, take_readings
from amx_suite.calibration.prove import (
    SLOWDOWNS,
    Kind,
    _fp32_beside,
    known_trials,
    proven_case,
    summarize,
)
from amx_suite.calibration.storage import default_path, load_calibration, save_calibration
from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.noise import Reading, Reference, Unit
from amx_suite.core.verdict import Verdict
from amx_suite.engines import ENGINES
from amx_suite.errors import NotApplicableError, ResultsFileError
from amx_suite.trial.progress import InWords
from amx_suite.trial.ruling import MIN_PAIRS

pytestmark = pytest.mark.selftest

MACHINE = {"cpu_brand": "a CPU", "microcode": "0x1", "kernel": "6.1"}


def series(machine, seconds=60.0):
    found = []
    while machine.now < seconds:
        reading = machine.reading()
        found.append(TimedReading(machine.now, reading))
        machine.now += 0.04
    return found


def found_on(machine, seconds=60.0):
    return calibrate_from(series(machine, seconds), machine=MACHINE, threads=2, taken="today")


class TestQuietState:
    @pytest.mark.parametrize("busy", [0.0, 1.0, 3.0, 12.0])
    def test_is_found_however_seldom_it_is(self, busy):
        found = found_on(SharedMachine(1, busy=busy, quiet=3.0), 120.0)
        for unit, rate in World().rates.items():
            assert found.rates[unit] == pytest.approx(rate, rel=0.01)

    def test_how_the_machine_behaves_is_told(self):
        found = found_on(SharedMachine(2, busy=2.0, quiet=4.0), 1200.0)
        assert found.quiet_share == pytest.approx(4 / 6, abs=0.05)
        assert found.quiet_seconds == pytest.approx(4.0, rel=0.2)
        assert found.busy_seconds == pytest.approx(2.0, rel=0.2)
        for unit, loss in UNIT_LOSS.items():
            assert found.rates[unit] / found.contended[unit] == pytest.approx(loss, rel=0.05)

    def test_a_quiet_machine_has_nothing_contended(self):
        found = found_on(SharedMachine(3, busy=0.0, quiet=math.inf))
        assert (found.quiet_share, found.busy_seconds, found.contended) == (1.0, None, {})

    def test_a_few_odd_readings_are_no_state(self):
        """Known-bad: spikes far above what the machine can do."""
        readings = series(SharedMachine(4, busy=0.0, quiet=math.inf))
        for index in (5, 50, 500):
            fast = {unit: rate * 2 for unit, rate in World().rates.items()}
            readings[index] = TimedReading(readings[index].seconds, Reading(fast))
        found = calibrate_from(readings, machine=MACHINE, threads=2, taken="today")
        assert found.rates[Unit.TILE] == pytest.approx(World().rates[Unit.TILE], rel=0.01)

    def test_too_few_quiet_readings_are_refused_with_a_remedy(self):
        """Known-bad: units that are never quiet together."""
        generator = random.Random(5)
        rates = World().rates
        readings = [
            TimedReading(
                index * 0.1, Reading({u: r * generator.uniform(0.2, 1) for u, r in rates.items()})
            )
            for index in range(100)
        ]
        with pytest.raises(NotQuietError, match=rf"of 100 readings, and {LEAST_QUIET} are needed"):
            calibrate_from(readings, machine=MACHINE, threads=2, taken="today")
        with pytest.raises(NotQuietError, match="--seconds"):
            calibrate_from(readings[:3], machine=MACHINE, threads=2, taken="today")

    def test_a_busier_machine_does_not_replace_its_reference(self):
        quiet = found_on(SharedMachine(6, busy=0.0, quiet=math.inf))
        busy = found_on(SharedMachine(6, busy=math.inf, quiet=0.0))
        assert is_busier(busy, quiet)
        assert not is_busier(quiet, busy)
        assert not is_busier(quiet, quiet)


def test_readings_are_taken_until_the_time_is_up_and_described(tmp_path):
    world = World()
    world.probe_seconds = 1 / 16
    found = calibrate(FakeProber(world), 30.0, machine=MACHINE, threads=2, clock=lambda: world.now)
    assert found.readings == 480
    text = describe(found, tmp_path / "reference.json")
    assert "480 readings of 2 CPUs in 30 s" in text
    assert "2000.0" in text
    assert "quiet 100% of the readings" in text
    assert str(tmp_path) in text
    assert "seldom" not in text
    hasty = msgspec.structs.replace(found, quiet_share=0.08, quiet_seconds=0.1, busy_seconds=1.6)
    assert "quiet seldom lasts as long as a slice" in describe(hasty, tmp_path)


class TestStorage:
    @pytest.fixture
    def stored(self, tmp_path):
        calibration = found_on(SharedMachine(7))
        path = tmp_path / "somewhere" / "reference.json"
        save_calibration(calibration, path)
        return calibration, path

    def test_what_was_stored_is_read_back(self, stored):
        calibration, path = stored
        assert load_calibration(path, MACHINE, 2) == calibration
        assert [file.name for file in path.parent.iterdir()] == ["reference.json"]

    @pytest.mark.parametrize(
        ("machine", "threads", "complaint"),
        [
            ({**MACHINE, "microcode": "0x2"}, 2, "microcode was '0x1', is '0x2'"),
            (MACHINE, 1, "threads was '2', is '1'"),
        ],
    )
    def test_another_machines_is_refused_by_name(self, stored, machine, threads, complaint):
        """Known-bad: a reference of another machine."""
        with pytest.raises(ResultsFileError, match=complaint):
            load_calibration(stored[1], machine, threads)

    def test_one_that_knows_no_unit_is_refused(self, stored):
        """Known-bad: by it every reading would be quiet."""
        calibration, path = stored
        save_calibration(msgspec.structs.replace(calibration, rates={}), path)
        with pytest.raises(ResultsFileError, match="has no unit's rate"):
            load_calibration(path, MACHINE, 2)

    @pytest.mark.parametrize("content", ["", "{}", "[1]", '{"machine": 3}'])
    def test_garbage_is_refused_by_name(self, tmp_path, content):
        path = tmp_path / "reference.json"
        path.write_text(content)
        with pytest.raises(ResultsFileError, match=r"reference\.json is no quiet reference"):
            load_calibration(path, MACHINE, 2)

    def test_another_layout_is_refused(self, stored):
        calibration, path = stored
        save_calibration(msgspec.structs.replace(calibration, schema_version=99), path)
        with pytest.raises(ResultsFileError, match="schema version 99"):
            load_calibration(path, MACHINE, 2)

    def test_a_named_file_must_be_there_and_the_users_own_need_not(self, tmp_path, monkeypatch):
        with pytest.raises(ResultsFileError, match="no quiet reference"):
            load_calibration(tmp_path / "none.json", MACHINE, 2)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert load_calibration(None, MACHINE, 2) is None
        place = default_path(MACHINE, 2)
        assert place.is_relative_to(tmp_path / "amx-suite")
        assert place != default_path({**MACHINE, "kernel": "6.2"}, 2)
        assert place != default_path(MACHINE, 1)

    def test_a_relative_data_home_is_ignored(self):
        assert default_path(MACHINE, 2, {"XDG_DATA_HOME": "here"}).is_absolute()


class TestProof:
    def run(
        self,
        seconds_of_twin,
        trials=2,
        kinds=(Kind.TWIN, Kind.SLOWED),
        world=None,
        progress=None,
    ):
        reference = None if world is None else Reference(World().rates)
        world = world or World()
        slowdowns = []

        def start(case, slowdown):
            slowdowns.append((case.is_copy, slowdown))
            world.seconds["bf16@amx#2"] = seconds_of_twin(slowdown)
            return FakeWorker(world, case)

        case = proven_case("gemm", "ipex", Shape(16, 128), threads=2, seed=0, amx=True, flags=())
        found = list(
            known_trials(
                case,
                start,
                lambda: FakeProber(world),
                trials=trials,
                budget_seconds=60.0,
                reference=reference,
                host={},
                cpus=(0, 1),
                kinds=kinds,
                progress=progress,
                clock=lambda: world.now,
            )
        )
        return found, slowdowns

    def test_a_method_that_works_is_right_each_time(self):
        found, slowdowns = self.run(lambda slowdown: 0.15 * (1 + slowdown))
        assert [trial.slowdown for trial in found] == [*SLOWDOWNS, *SLOWDOWNS]
        assert all(trial.is_right and not trial.is_false for trial in found)
        assert {share for twin, share in slowdowns if not twin} == {0.0}
        assert {share for twin, share in slowdowns if twin} == set(SLOWDOWNS)
        assert {trial.prepare_seconds for trial in found} == {10.0}  # five for each arm
        row = " ".join(summarize(found).splitlines()[1].split())
        assert row == f"slower by 0% 2 2 0 0 10 s {found[0].seconds:.0f} s 1.000 0.00%"

    def test_a_method_that_sees_nothing_is_found_out(self):
        found, _ = self.run(lambda slowdown: 0.15, trials=1)
        assert [trial.is_false for trial in found] == [False, True, True]

    def test_a_method_that_cries_wolf_is_found_out(self):
        found, _ = self.run(lambda slowdown: 0.15 * 1.2, trials=1)
        assert [trial.is_false for trial in found] == [True, False, False]

    def test_only_the_kinds_that_are_asked_for_are_run(self):
        def ran(*kinds):
            found, _ = self.run(lambda slowdown: 0.15 * (1 + slowdown), trials=1, kinds=kinds)
            return [trial.slowdown for trial in found]

        assert ran(Kind.TWIN) == [0.0]
        assert ran(Kind.SLOWED) == [0.05, 0.10]
        assert ran(Kind.SPEEDUP) == [None]
        assert ran(*Kind) == [*SLOWDOWNS, None]

    def test_a_speedup_over_fp32_is_neither_right_nor_false_and_has_its_row(self):
        found, _ = self.run(lambda slowdown: 0.15, kinds=(Kind.SPEEDUP,))
        for trial in found:
            assert (trial.is_right, trial.is_false, trial.is_undecided) == (False, False, False)
            assert (trial.rounds, trial.ratio) == (MIN_PAIRS, pytest.approx(6.0))
            in_rounds = f"in {MIN_PAIRS} quiet rounds, each arm proven"
            assert trial.reason == f"6.00x [6.00, 6.00] {in_rounds}"
        (row,) = summarize(found).splitlines()[1:]
        decided = f"{found[0].seconds:.0f} s"
        assert " ".join(row.split()) == f"speedup over FP32 2 - - 0 10 s {decided} 6.000 0.00%"

    def test_a_speedup_of_an_arm_that_is_not_proven_is_undecided(self):
        """Known-bad: an AMX arm that ran without AMX has no speedup to speak of."""
        world = World()
        world.amx_share["bf16@amx"] = 0.0
        (trial,), _ = self.run(lambda slowdown: 0.15, 1, (Kind.SPEEDUP,), world)
        assert trial.verdict is Verdict.NO_EVIDENCE
        assert trial.is_undecided
        assert "AMX kernels" in trial.reason

    def test_a_speedup_of_an_arm_that_the_engine_lacks_is_undecided(self):
        world = World()
        world.refused["bf16@amx"] = "no BF16 in this build"
        (trial,), _ = self.run(lambda slowdown: 0.15, 1, (Kind.SPEEDUP,), world)
        assert trial.verdict is Verdict.NOT_APPLICABLE
        assert "no BF16 in this build" in trial.reason

    def test_a_speedup_waits_for_quiet_rounds_as_a_gate_would(self):
        world = World()
        readings = itertools.cycle([2e12] * 9 + [1e12] * 4)
        world.rates[Unit.TILE] = lambda: next(readings)
        found, _ = self.run(lambda slowdown: 0.15, 1, (Kind.SPEEDUP,), world)
        assert MIN_PAIRS < found[0].rounds < 4 * MIN_PAIRS
        assert f"in {MIN_PAIRS} quiet rounds" in found[0].reason

    def test_a_speedup_on_a_busy_machine_ends_with_its_budget_and_is_inconclusive(self):
        """Known-bad: a machine that is never quiet."""
        world = World()
        world.rates[Unit.TILE] = 1e12
        (trial,), _ = self.run(lambda slowdown: 0.15, 1, (Kind.SPEEDUP,), world)
        assert trial.is_undecided
        assert trial.ratio is None
        assert trial.reason.startswith("0 of ")
        assert 60.0 <= trial.seconds < 65.0
        assert summarize([trial]).splitlines()[1].split()[3:7] == ["1", "-", "-", "1"]

    def test_fp32_has_no_speedup_over_itself(self):
        world = World()
        found = known_trials(
            RunCase(
                Workload("gemm", Mode.INFERENCE),
                "ipex",
                Precision.FP32,
                Isa.AVX2,
                Shape(16, 128),
                2,
            ),
            lambda case, slowdown: FakeWorker(world, case),
            lambda: FakeProber(world),
            trials=1,
            budget_seconds=60.0,
            reference=None,
            host={},
            cpus=(0, 1),
            kinds=(Kind.SPEEDUP,),
            clock=lambda: world.now,
        )
        assert list(found) == []

    def test_the_arm_is_the_best_that_can_run_here(self):
        def arm(isa, *, amx=False, engine="ipex"):
            flags = ("avx2", "fma", *isa.spec.cpu_flags)
            shape = Shape(16, 128)
            case = proven_case("gemm", engine, shape, threads=1, seed=0, amx=amx, flags=flags)
            return case.precision, case.isa, _fp32_beside(case).isa

        assert arm(Isa.AMX, amx=True) == (Precision.BF16, Isa.AMX, Isa.AVX512)
        assert arm(Isa.AMX) == (Precision.BF16, Isa.AVX512_BF16, Isa.AVX512)
        assert arm(Isa.AVX512_VNNI) == (Precision.INT8, Isa.AVX512_VNNI, Isa.AVX512)
        assert arm(Isa.AVX512) == arm(Isa.AVX2) == (Precision.INT8, Isa.AVX2, Isa.AVX2)

    def test_an_engine_without_int8_has_fp32(self, monkeypatch):
        monkeypatch.setattr(
            ENGINES["eager"].__class__,
            "why_not",
            lambda self, mode, precision: "no INT8" if precision is Precision.INT8 else None,
        )
        flags = ("avx2", "fma", *Isa.AVX512.spec.cpu_flags)
        case = proven_case(
            "gemm", "eager", Shape(16, 128), threads=1, seed=0, amx=False, flags=flags
        )
        assert (case.precision, case.isa) == (Precision.FP32, Isa.AVX512)

    def test_a_cpu_on_which_no_arm_can_run_is_refused(self):
        with pytest.raises(NotApplicableError, match="needs at least avx2 and fma"):
            proven_case(
                "gemm", "ipex", Shape(16, 128), threads=1, seed=0, amx=False, flags=("avx",)
            )


def test_undecided_trials_are_neither_right_nor_false():
    found, _ = TestProof().run(lambda slowdown: 0.15, trials=1)
    one = msgspec.structs.replace(found[0], verdict=Verdict.INCONCLUSIVE, ratio=None)
    assert (one.is_right, one.is_false) == (False, False)
    assert summarize([one]).splitlines()[1].split()[3:7] == ["1", "0", "0", "1"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown_by(stream):
    """All that a proof of one twin shows on the stream."""
    line = _Line(stream)
    found, _ = TestProof().run(lambda slowdown: 0.15, 1, (Kind.TWIN,), progress=InWords(line.show))
    line.say(found[0].reason)
    return stream.getvalue()


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere():
    text = shown_by(Terminal())
    live, said = text.split("\r\x1b[K")
    head = "\rslower by 0%, 1 of 1 b16x128: "
    assert live.startswith(f"{head}preparing bf16@amx (1 of 2)\x1b[K")
    assert f"{head}8 rounds, 1 of 1 gates decided, 6 s of at most 60 s\x1b[K" in live
    assert live.endswith(f"{head}taking evidence of bf16@amx#2\x1b[K")
    assert "\n" not in live
    assert said == shown_by(io.StringIO())


def test_readings_say_how_far_they_are():
    world, told = World(), []
    world.probe_seconds = 1 / 16
    take_readings(FakeProber(world), 1.0, lambda: world.now, told.append)
    assert told == [number / 16 for number in range(16)]


def test_a_ratio_of_too_few_quiet_rounds_is_not_in_the_spread():
    found, _ = TestProof().run(lambda slowdown: 0.15, kinds=(Kind.SPEEDUP,))
    stray = msgspec.structs.replace(found[1], ratio=9.0, pairs=MIN_PAIRS - 1)
    assert summarize([found[0], stray]).splitlines()[1].split()[-2:] == ["6.000", "-"]
