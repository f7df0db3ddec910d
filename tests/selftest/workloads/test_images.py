"""CIFAR-10 from a tiny folder in the real format, and the images that stand in for it."""

import hashlib
import pickle

import numpy as np
import pytest
from pickle_bomb import Bomb

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.errors import UsageError
from amx_suite.workloads.base import Inputs
from amx_suite.workloads.images import cifar10_batches, synthetic_batches
from amx_suite.workloads.resnet50 import ResNet50

pytestmark = pytest.mark.selftest

FILES = [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch", "batches.meta"]
PER_FILE = 4
CLASSES = 10


def case_of(mode, precision=Precision.FP32):
    shape = Shape(4, 48)
    return RunCase(Workload("resnet50", mode), "ipex", precision, Isa.AVX512, shape, 1)


@pytest.fixture
def cifar10():
    return pytest.importorskip("torchvision.datasets").CIFAR10


@pytest.fixture
def folder(tmp_path):
    """Twenty training images, each of one grey that tells its class: class c has pixels 20 c."""
    unpacked = tmp_path / "cifar-10-batches-py"
    unpacked.mkdir()
    for number, name in enumerate(FILES):
        labels = [(number * PER_FILE + index) % CLASSES for index in range(PER_FILE)]
        data = np.repeat(np.array(labels, np.uint8)[:, None] * 20, 3 * 32 * 32, axis=1)
        content = {"data": data, "labels": labels, "batch_label": name}
        if name == "batches.meta":
            content = {"label_names": [f"class{index}" for index in range(CLASSES)]}
        (unpacked / name).write_bytes(pickle.dumps(content, protocol=2))
    return tmp_path


@pytest.fixture
def trusted(monkeypatch, cifar10, folder):
    """Have torchvision expect the sums of the files in the folder instead of the published ones.

    The sums are still checked; a file that changes after this is still refused.
    """
    sums = {
        name: hashlib.md5((folder / "cifar-10-batches-py" / name).read_bytes()).hexdigest()
        for name in FILES
    }
    monkeypatch.setattr(cifar10, "train_list", [[name, sums[name]] for name in FILES[:5]])
    monkeypatch.setattr(cifar10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(
        cifar10,
        "meta",
        {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]},
    )
    return folder


class TestCifar10:
    def test_images_are_enlarged_normalised_and_keep_their_class(self, trusted):
        batches = cifar10_batches(str(trusted), Shape(5, 48), seed=0, count=4, download=False)
        seen = []
        for batch in batches:
            (images,) = batch.inputs
            assert images.shape == (5, 3, 48, 48)
            assert str(images.dtype) == "torch.float32"
            for image, label in zip(images.numpy(), batch.targets.tolist(), strict=True):
                np.testing.assert_allclose(image, (label * 20 / 255 - 0.5) / 0.5, atol=1e-6)
                seen.append(label)
        assert sorted(seen) == sorted(list(range(CLASSES)) * 2), "each image once"

    def test_the_order_is_the_seeds(self, trusted):
        def labels(seed):
            (batch,) = cifar10_batches(str(trusted), Shape(20, 32), seed, 1, download=False)
            return batch.targets.tolist()

        assert labels(1) == labels(1) != labels(2)

    def test_a_short_data_set_starts_again(self, trusted):
        (batch,) = cifar10_batches(str(trusted), Shape(50, 32), 0, 1, download=False)
        assert batch.targets[:20].tolist() == batch.targets[20:40].tolist()

    def test_training_uses_it_and_says_so(self, trusted):
        inputs = Inputs(data=str(trusted))
        batches, sentence = ResNet50().batches(case_of(Mode.TRAINING), inputs, 1)
        assert sentence == f"CIFAR-10 training images from {trusted}"
        assert float(batches[0].inputs[0][0].std()) == pytest.approx(0, abs=1e-6)

    def test_the_arbiter_gets_the_same_images_in_double(self, trusted):
        inputs = Inputs(data=str(trusted))
        single, double = (
            ResNet50().batches(case_of(Mode.TRAINING, precision), inputs, 1)[0][0].inputs[0]
            for precision in (Precision.FP32, Precision.FP64)
        )
        assert str(double.dtype) == "torch.float64"
        assert (single.double() == double).all()

    def test_inference_does_not_use_it(self, trusted):
        _, sentence = ResNet50().batches(case_of(Mode.INFERENCE), Inputs(data=str(trusted)), 1)
        assert sentence == "synthetic images, seed 0"


class TestUnusable:
    def test_altered_files_are_refused_before_they_are_unpickled(self, trusted):
        bomb = pickle.dumps(Bomb(trusted / "ran"))
        (trusted / "cifar-10-batches-py" / "data_batch_3").write_bytes(bomb)
        with pytest.raises(UsageError, match="incomplete or altered"):
            cifar10_batches(str(trusted), Shape(4, 32), 0, 1, download=False)
        assert not (trusted / "ran").exists()

    def test_files_that_are_not_the_published_ones_are_refused(self, cifar10, folder):
        with pytest.raises(UsageError, match="an MD5 sum is wrong"):
            cifar10_batches(str(folder), Shape(4, 32), 0, 1, download=False)

    def test_an_incomplete_folder(self, trusted):
        (trusted / "cifar-10-batches-py" / "data_batch_5").unlink()
        with pytest.raises(UsageError, match="incomplete or altered"):
            cifar10_batches(str(trusted), Shape(4, 32), 0, 1, download=False)

    def test_a_folder_without_it(self, cifar10, tmp_path):
        with pytest.raises(UsageError, match=r"no 'cifar-10-batches-py' in it; .*the download"):
            cifar10_batches(str(tmp_path), Shape(4, 32), 0, 1, download=False)

    def test_no_such_folder(self, cifar10, tmp_path):
        with pytest.raises(UsageError, match=r"does not exist: .*the download"):
            cifar10_batches(str(tmp_path / "none"), Shape(4, 32), 0, 1, download=False)

    @pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("bad sum")])
    def test_a_download_that_fails(self, monkeypatch, cifar10, tmp_path, error):
        def fail(self):
            raise error

        monkeypatch.setattr(cifar10, "download", fail)
        with pytest.raises(UsageError, match="CIFAR-10"):
            cifar10_batches(str(tmp_path), Shape(4, 32), 0, 1, download=True)

    def test_nothing_is_downloaded_unasked(self, monkeypatch, cifar10, tmp_path):
        called = []
        monkeypatch.setattr(cifar10, "download", lambda self: called.append(1))
        with pytest.raises(UsageError):
            cifar10_batches(str(tmp_path), Shape(4, 32), 0, 1, download=False)
        assert called == []


class TestSynthetic:
    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch")

    def test_the_seed_decides_and_the_count_does_not(self):
        few = synthetic_batches(Shape(2, 40), 5, 1, CLASSES)
        many = synthetic_batches(Shape(2, 40), 5, 3, CLASSES)
        other = synthetic_batches(Shape(2, 40), 6, 1, CLASSES)
        assert (few[0].inputs[0] == many[0].inputs[0]).all()
        assert (few[0].inputs[0] != other[0].inputs[0]).any()

    def test_images_differ_from_one_another(self):
        (batch,) = synthetic_batches(Shape(3, 40), 0, 1, CLASSES)
        means = batch.inputs[0].mean(dim=(2, 3))
        assert batch.inputs[0].shape == (3, 3, 40, 40)
        assert float(means.std()) > 0
        assert set(batch.targets.tolist()) <= set(range(CLASSES))
