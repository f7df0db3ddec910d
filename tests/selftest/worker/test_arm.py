"""How an arm's steps are repeated, timed and kept, on steps that cost nothing."""

import contextlib
import gc

import pytest

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.evidence import Jail
from amx_suite.core.isa import Isa
from amx_suite.engines import ENGINES
from amx_suite.errors import (
    EngineUnavailableError,
    NotApplicableError,
    OutputError,
    UsageError,
)
from amx_suite.host.cpuinfo import CpuInfo
from amx_suite.worker import arm as arms
from amx_suite.worker import session as session_module
from amx_suite.worker import timing
from amx_suite.worker.messages import (
    Checkpoint,
    Launch,
    Operate,
    Outputs,
    Prepare,
    Prove,
    TakeSlice,
)
from amx_suite.worker.session import Session, peak_bytes
from amx_suite.workloads import WORKLOADS
from amx_suite.workloads.base import Inputs

pytestmark = pytest.mark.selftest


def case_of(mode=Mode.INFERENCE, precision=Precision.BF16, model="gemm", **changes):
    values = {"engine": "ipex", "isa": Isa.AVX512_BF16, "shape": Shape(2, 8), "threads": 1}
    return RunCase(workload=Workload(model, mode), precision=precision, **{**values, **changes})


class Clock:
    """Time that passes only when a step takes it."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


class FakeArm:
    """An arm whose steps take the given seconds, the last of them for ever."""

    def __init__(self, clock, *seconds, case=None):
        self.case = case or case_of()
        self.steps = 0
        self.collecting = []
        self.guarded = []
        self._clock = clock
        self._seconds = seconds
        self._inside = False

    def step(self):
        self.collecting.append(gc.isenabled())
        self.guarded.append(self._inside)
        self._clock.now += int(self._seconds[min(self.steps, len(self._seconds) - 1)] * 1e9)
        self.steps += 1

    @contextlib.contextmanager
    def guard(self):
        self._inside = True
        yield
        self._inside = False


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(timing.time, "perf_counter_ns", made)
    return made


class TestTiming:
    def test_exactly_so_many_steps_are_timed(self, clock):
        arm = FakeArm(clock, 0.25)
        assert timing.time_steps(arm, 4) == pytest.approx(1.0)
        assert arm.steps == 4
        assert all(arm.guarded)

    def test_a_slowdown_adds_its_share_of_each_step(self, clock, monkeypatch):
        def ticking():
            clock.now += 1_000
            return clock.now

        monkeypatch.setattr(timing.time, "perf_counter_ns", ticking)
        arm = FakeArm(clock, 0.25)
        assert timing.time_steps(arm, 4, 0.1) == pytest.approx(1.1, rel=1e-4)
        assert arm.steps == 4

    def test_garbage_is_not_collected_meanwhile_and_is_afterwards(self, clock):
        arm = FakeArm(clock, 0.1)
        timing.time_steps(arm, 3)
        assert arm.collecting == [False] * 3
        assert gc.isenabled()

    def test_collection_stays_off_where_it_was_off(self, clock):
        gc.disable()
        try:
            timing.time_steps(FakeArm(clock, 0.1), 1)
            assert not gc.isenabled()
        finally:
            gc.enable()

    def test_collection_comes_back_when_a_step_fails(self, clock):
        arm = FakeArm(clock, 0.1)
        arm.step = lambda: 1 / 0
        with pytest.raises(ZeroDivisionError):
            timing.time_steps(arm, 1)
        assert gc.isenabled()

    def test_the_arbiter_is_never_timed(self, clock):
        arm = FakeArm(clock, 0.1, case=case_of(precision=Precision.FP64))
        with pytest.raises(NotApplicableError, match="never timed"):
            timing.time_steps(arm, 1)
        assert timing.warm_up(arm, 0.3) == (0.0, 0)
        assert arm.steps == 0


class TestWarmUp:
    @pytest.mark.parametrize(("mode", "least"), [(Mode.INFERENCE, 3), (Mode.TRAINING, 2)])
    def test_steady_from_the_start(self, clock, mode, least):
        arm = FakeArm(clock, 0.1, case=case_of(mode))
        assert timing.warm_up(arm, 0.35) == (pytest.approx(0.1), 4)
        assert arm.steps == least

    def test_until_it_is_steady(self, clock):
        arm = FakeArm(clock, 0.9, 0.5, 0.3, 0.2, 0.1, 0.101)
        found = timing.warm_up(arm, 0.3)
        assert arm.steps == 6
        assert found.step_seconds == pytest.approx(0.1)

    def test_a_step_longer_than_a_slice_is_a_slice(self, clock):
        assert timing.warm_up(FakeArm(clock, 9.0), 0.3).iterations == 1

    def test_a_step_that_never_settles_ends_by_count_or_time(self, clock):
        wild = [0.001 * (1 + index % 2) for index in range(99)]
        arm = FakeArm(clock, *wild)
        timing.warm_up(arm, 0.3)
        assert arm.steps == 20
        slow = FakeArm(clock, *[2.0 * (1 + index % 2) for index in range(99)])
        timing.warm_up(slow, 0.3)
        assert slow.steps == 3


class TestPreparing:
    def prepare(self, case, engine=ENGINES["ipex"]):
        return arms.prepare_arm(case, Inputs(), WORKLOADS[case.workload.model], engine)

    def test_an_engine_that_is_absent(self, monkeypatch):
        monkeypatch.setattr(type(ENGINES["ipex"]), "why_unavailable", lambda self: "not here")
        with pytest.raises(EngineUnavailableError, match="not here"):
            self.prepare(case_of())

    def test_an_arm_the_engine_does_not_have(self, monkeypatch):
        monkeypatch.setattr(type(ENGINES["ipex"]), "why_unavailable", lambda self: None)
        with pytest.raises(NotApplicableError, match="no INT8 training"):
            self.prepare(case_of(Mode.TRAINING, Precision.INT8, "resnet50"))

    def test_losses_of_what_does_not_train(self):
        with pytest.raises(NotApplicableError, match="does not train"):
            arms.first_losses(case_of(), Inputs(), WORKLOADS["gemm"], ENGINES["ipex"], 1, 1)


class TestSession:
    LAUNCH = Launch(Isa.AVX512_BF16, "ipex", threads=1)

    @pytest.fixture
    def session(self):
        return Session(self.LAUNCH, Jail.HELD)

    @pytest.mark.parametrize("request_", [TakeSlice(1), Outputs(), Prove(), Checkpoint("x")])
    def test_nothing_is_done_before_prepare(self, session, request_):
        with pytest.raises(ValueError, match="Prepare comes first"):
            session.handle(request_, {})

    @pytest.mark.parametrize("change", [{"isa": Isa.AMX}, {"engine": "other"}])
    def test_a_case_for_another_child_is_refused(self, session, change):
        with pytest.raises(ValueError, match="came to a child for ipex at avx512_bf16"):
            session.handle(Prepare(case_of(**change)), {})

    def test_an_unknown_model_is_the_users_error(self, session):
        with pytest.raises(UsageError, match=r"Did you mean 'resnet50'\?$"):
            session.handle(Prepare(case_of(model="resnet")), {})

    @pytest.mark.parametrize(
        "request_", [Prepare(case_of()), Operate("linear", Precision.BF16, {})]
    )
    def test_a_cpu_below_the_ceiling_is_not_applicable(self, session, request_, monkeypatch):
        """Known-bad: libraries believe what they are told, and die of what the CPU has not."""
        flags = tuple(flag for flag in Isa.AVX512_BF16.spec.cpu_flags if flag != "avx512_vnni")
        monkeypatch.setattr(session_module, "read_cpuinfo", lambda: CpuInfo(flags=flags))
        lacks = "under the ceiling avx512_bf16 here: this CPU lacks avx512_vnni"
        with pytest.raises(NotApplicableError, match=lacks):
            session.handle(request_, {})

    def test_a_ceiling_does_not_ask_for_tiles(self, monkeypatch):
        """An AMX arm without AMX is for its evidence to tell."""
        flags = tuple(flag for flag in Isa.AMX.spec.cpu_flags if not flag.startswith("amx"))
        monkeypatch.setattr(session_module, "read_cpuinfo", lambda: CpuInfo(flags=flags))
        session_module._require_vectors(Isa.AMX)

    def test_peak_memory_is_this_process(self):
        before = peak_bytes()
        block = bytearray(64 * 2**20)
        assert peak_bytes() >= max(before, len(block))


class TestCheckpoint:
    @pytest.fixture
    def arm(self):
        torch = pytest.importorskip("torch")
        from amx_suite.engines.base import PreparedTraining
        from amx_suite.workloads.base import Batch

        torch.manual_seed(0)
        module = torch.nn.Linear(3, 2)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        prepared = PreparedTraining(module, optimizer, contextlib.nullcontext)
        batch = Batch((torch.ones(4, 3),), torch.tensor([0, 1, 0, 1]))
        case = case_of(Mode.TRAINING, Precision.FP32, "resnet50")
        workload, engine = WORKLOADS["resnet50"], ENGINES["ipex"]
        return arms.TrainingArm(case, workload, engine, prepared, [batch], "ones", 1)

    def test_it_can_be_read_without_running_code(self, arm, tmp_path):
        import torch

        from amx_suite.workloads.weights import read_state

        arm.losses(2)
        arm.save(tmp_path / "arm.pt")
        content = torch.load(tmp_path / "arm.pt", weights_only=True)
        assert content["case"] == arm.case.id
        assert content["optimizer"]["state"][0]["momentum_buffer"].shape == (2, 3)
        assert set(read_state(str(tmp_path / "arm.pt"))) == {"weight", "bias"}

    def test_the_former_file_stands_until_the_new_one_is_whole(self, arm, tmp_path, monkeypatch):
        import torch

        path = tmp_path / "arm.pt"
        path.write_bytes(b"former")

        def breaks(state, file):
            file.write(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", breaks)
        with pytest.raises(OutputError, match=r"arm\.pt' cannot be written: .*No space left"):
            arm.save(path)
        assert path.read_bytes() == b"former"
        assert [entry.name for entry in tmp_path.iterdir()] == ["arm.pt"]

    def test_a_folder_that_is_not_there(self, arm, tmp_path):
        with pytest.raises(OutputError, match="No such file"):
            arm.save(tmp_path / "none" / "arm.pt")

    def test_training_lowers_the_loss(self, arm):
        losses = arm.losses(20)["losses"]
        assert losses[-1] < losses[0]

    def test_gradients_by_name_and_no_update(self, arm):
        first, second = arm.gradients(), arm.gradients()
        assert {name: gradient.shape for name, gradient in first.items()} == {
            "weight": (2, 3),
            "bias": (2,),
        }
        assert all((first[name] == second[name]).all() for name in first)
