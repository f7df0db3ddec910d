"""How an arm's steps are counted, repeated, timed and kept, on models that cost nothing."""

import gc
import itertools
import os

import numpy as np
import pytest
from run_cases import case_of

from amx_suite.core.case import Mode
from amx_suite.core.evidence import Jail
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.engines import ENGINES
from amx_suite.errors import NotApplicableError, OutputError
from amx_suite.host.cpuid import Cpuid
from amx_suite.host.cpuinfo import CpuInfo
from amx_suite.worker import arm as arms
from amx_suite.worker import handler
from amx_suite.worker.arm import TrainingArm, count_operations, stamp_steps, time_steps, warm_up
from amx_suite.worker.handler import ArmHandler, peak_bytes
from amx_suite.worker.process import (
    Checkpoint,
    Losses,
    Operate,
    Outputs,
    Prepare,
    Prove,
    Release,
    TakeSlice,
)
from amx_suite.workloads import WORKLOADS
from amx_suite.workloads.base import Batch

pytestmark = pytest.mark.selftest


class FakeArm:
    """An arm whose steps take the given seconds, the last of them for ever."""

    def __init__(self, clock, *seconds, case=None):
        self.case = case or case_of("gemm")
        self.steps = 0
        self.collecting = []
        self._clock = clock
        self._seconds = seconds

    def step(self):
        self.collecting.append(gc.isenabled())
        self._clock.now += int(self._seconds[min(self.steps, len(self._seconds) - 1)] * 1e9)
        self.steps += 1


class Clock:
    """Time that passes only when a step takes it."""

    now = 0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(arms.time, "perf_counter_ns", made)
    return made


class TestTiming:
    def test_exactly_the_steps_are_timed(self, clock):
        arm = FakeArm(clock, 0.25)
        assert time_steps(arm, 4) == pytest.approx(1.0)
        assert arm.collecting == [False] * 4, "garbage is collected afterwards only"
        assert gc.isenabled()

    @pytest.mark.parametrize(("seconds", "steps", "done"), [(0.0, 3, 3), (1.1, 1, 5), (0.1, 1, 1)])
    def test_each_step_is_stamped(self, clock, seconds, steps, done):
        clock.now = 7 * 10**9
        stamps = stamp_steps(FakeArm(clock, 0.25), seconds, steps)
        assert list(stamps / 1e9) == [7 + 0.25 * step for step in range(done + 1)]

    def test_fp64_is_never_timed(self, clock):
        arm = FakeArm(clock, 0.1, case=case_of("gemm", precision=Precision.FP64))
        with pytest.raises(NotApplicableError, match="never timed"):
            time_steps(arm, 1)
        assert warm_up(arm) == 0
        assert arm.steps == 0


class TestWarmUp:
    @pytest.mark.parametrize(
        ("mode", "seconds", "steps", "iterations"),
        [
            (Mode.INFERENCE, [0.1], 3, 3),
            (Mode.TRAINING, [0.1], 2, 3),
            (Mode.INFERENCE, [0.9, 0.5, 0.3, 0.2, 0.1, 0.101], 6, 3),
            (Mode.INFERENCE, [9.0], 3, 1),
        ],
    )
    def test_until_it_is_steady(self, clock, mode, seconds, steps, iterations):
        arm = FakeArm(clock, *seconds, case=case_of("gemm", mode))
        assert warm_up(arm) == iterations
        assert arm.steps == steps

    @pytest.mark.parametrize(("seconds", "steps"), [(0.001, 20), (2.0, 3)])
    def test_unstable_steps_end_by_count_or_time(self, clock, seconds, steps):
        arm = FakeArm(clock, *itertools.islice(itertools.cycle([seconds, 2 * seconds]), 99))
        warm_up(arm)
        assert arm.steps == steps


class TestHandler:
    @pytest.fixture
    def child(self, monkeypatch):
        flags = Isa.AVX512.spec.cpu_flags
        monkeypatch.setattr(handler, "read_cpuinfo", lambda: CpuInfo(flags=flags))
        return ArmHandler(Jail.HELD)

    @pytest.mark.parametrize("request_", [TakeSlice(1), Outputs(), Prove(), Checkpoint("x")])
    def test_prepare_comes_first(self, child, request_):
        with pytest.raises(ValueError, match="Prepare comes first"):
            child.handle(request_, {})

    @pytest.mark.parametrize(
        "request_",
        [
            Prepare(case_of("gemm", isa=Isa.AVX512_BF16)),
            Operate(Isa.AVX512_BF16, "eager", 1, "linear", Precision.BF16, {}),
        ],
    )
    def test_a_cpu_below_the_ceiling(self, child, request_):
        """Known-bad: libraries believe what they are told, and die of what the CPU lacks."""
        lacks = "under the ceiling avx512_bf16 here: this CPU lacks avx512_vnni, avx512_bf16"
        with pytest.raises(NotApplicableError, match=lacks):
            child.handle(request_, {})

    def test_tiles_are_for_evidence_to_show(self, monkeypatch):
        flags = tuple(flag for flag in Isa.AMX.spec.cpu_flags if not flag.startswith("amx"))
        monkeypatch.setattr(handler, "read_cpuinfo", lambda: CpuInfo(flags=flags))
        handler.require_vectors(Isa.AMX)

    @pytest.mark.parametrize(
        ("held", "xcr0", "expected"),
        [
            (True, 0x60007, True),
            (False, 0x60007, False),
            (None, 0x7, False),
            (None, 0x60007, None),
            (None, None, None),
        ],
    )
    def test_old_kernel_without_tile_state_is_proof(self, monkeypatch, held, xcr0, expected):
        monkeypatch.setattr(handler, "amx_permission_held", lambda: held)
        monkeypatch.setattr(handler, "read_cpuid", lambda: Cpuid(xcr0=xcr0))
        assert handler.may_use_tiles() is expected

    def test_a_real_arm_from_start_to_end(self, child):
        prepared, _ = child.handle(Prepare(case_of("gemm", shape=(2, 8))), {})
        assert prepared.iterations >= 1
        # Two layers of 768 and 3072 features; b2x8 has 16 rows.
        assert prepared.operations_per_step == 2 * (2 * 16 * 768 * 3072)
        assert (prepared.items_per_step, prepared.unit) == (16, "rows")
        _, first = child.handle(Outputs(), {})
        child.handle(Release(), {})
        _, again = child.handle(Outputs(), {})
        assert (first["logits"] == again["logits"]).all()
        taken, _ = child.handle(TakeSlice(2), {})
        assert (taken.iterations, taken.seconds > 0) == (2, True)

    @pytest.mark.parametrize("isa", [Isa.AVX512, Isa.AMX])
    def test_operators_are_logged_where_amx_may_run(self, monkeypatch, isa):
        def log(run):
            run()
            return "onednn_verbose,v1,primitive,exec,cpu,matmul,brg:amx,u,src:bf16,,,2x3:3x2,1\n"

        monkeypatch.setattr(handler, "kernel_log", log)
        monkeypatch.setattr(handler, "read_cpuinfo", lambda: CpuInfo(flags=Isa.AMX.spec.cpu_flags))
        x, weight = np.ones((2, 3), np.float32), np.full((4, 3), 2, np.float32)
        request = Operate(isa, "eager", 1, "linear", Precision.FP32, {})
        reply, arrays = ArmHandler(Jail.HELD).handle(request, {"x": x, "weight": weight})
        assert (arrays["output"] == np.full((2, 4), 6)).all()
        assert [use.kind for use in reply.kernels] == (["matmul"] if isa.allows_amx else [])

    def test_inference_has_nothing_of_training(self, child):
        child.handle(Prepare(case_of("gemm", shape=(2, 8))), {})
        for request in (Losses(1, 1), Checkpoint("x")):
            with pytest.raises(NotApplicableError, match="only training has losses"):
                child.handle(request, {})

    def test_peak_memory_is_this_process(self):
        before = peak_bytes()
        block = bytearray(64 * 2**20)
        assert peak_bytes() >= max(before, len(block))


class TestTraining:
    @pytest.fixture
    def arm(self):
        import torch

        torch.manual_seed(0)
        torch.set_grad_enabled(True)
        module = torch.nn.Linear(3, 2)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        batches = itertools.repeat(Batch((torch.ones(4, 3),), torch.tensor([0, 1, 0, 1])))
        case = case_of("resnet50", Mode.TRAINING)
        model, engine = WORKLOADS["resnet50"], ENGINES["eager"]
        return TrainingArm(case, model, engine, "ones", 1, module, optimizer, batches)

    def test_a_checkpoint_loads_without_running_code(self, arm, tmp_path):
        import torch

        from amx_suite.workloads.weights import read_state

        arm.losses(2)
        arm.save(tmp_path / "arm.pt")
        content = torch.load(tmp_path / "arm.pt", weights_only=True)
        assert content["case"] == arm.case.id
        assert content["optimizer"]["state"][0]["momentum_buffer"].shape == (2, 3)
        assert set(read_state(str(tmp_path / "arm.pt"))) == {"weight", "bias"}

    def test_a_broken_save_leaves_the_old_file(self, arm, tmp_path, monkeypatch):
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

    def test_a_checkpoint_follows_no_link(self, arm, tmp_path):
        other = tmp_path / "other"
        other.write_bytes(b"precious")
        for name in ("arm.pt", f".arm.pt.{os.getpid()}"):
            (tmp_path / name).symlink_to(other)
        with pytest.raises(OutputError, match="is a symbolic link"):
            arm.save(tmp_path / "arm.pt")
        (tmp_path / "arm.pt").unlink()
        arm.save(tmp_path / "arm.pt")
        assert other.read_bytes() == b"precious"

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


class TestOperations:
    """On models small enough to count by hand."""

    BATCH, INPUTS, OUTPUTS = 5, 7, 3
    LINEAR = 2 * BATCH * INPUTS * OUTPUTS

    class Sum:
        """As much of a workload as is asked for."""

        @staticmethod
        def loss(output, targets):
            return (output - targets).pow(2).mean()

    def count(self, module, *inputs, training=False):
        import torch

        with torch.set_grad_enabled(training):
            return count_operations(self.Sum, module, Batch(inputs, torch.zeros(())), training)

    def test_attention_is_two_products(self):
        import torch

        heads, tokens, size = 2, 4, 8

        class Attention(torch.nn.Module):
            def forward(self, x):
                return torch.nn.functional.scaled_dot_product_attention(x, x, x)

        found = self.count(Attention(), torch.ones(1, heads, tokens, size))
        assert found == 2 * (2 * heads * tokens * tokens * size)

    def test_training_adds_two_gradients_a_layer(self):
        """The first layer's input wants no gradient."""
        import torch

        model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.Conv2d(3, 1, 1))
        first, second = 2 * (3 * 4 * 4) * (2 * 3 * 3), 2 * (4 * 4) * 3
        image = torch.ones(1, 2, 6, 6)
        assert self.count(model, image) == first + second
        assert self.count(model, image, training=True) == 2 * first + 3 * second

    def test_the_model_stays_as_it_was(self):
        import torch

        model = torch.nn.Sequential(
            torch.nn.BatchNorm1d(self.INPUTS), torch.nn.Linear(self.INPUTS, self.OUTPUTS)
        )
        before = {name: value.clone() for name, value in model.state_dict().items()}
        random = torch.get_rng_state()
        inputs = torch.ones(self.BATCH, self.INPUTS)
        assert self.count(model.train(), inputs, training=True) == 3 * self.LINEAR
        after = model.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert all(parameter.grad is None for parameter in model.parameters())
        assert torch.equal(random, torch.get_rng_state())
