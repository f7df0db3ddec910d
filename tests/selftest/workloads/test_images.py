"""CIFAR-10 from a tiny folder in the real format, and the images that stand in for it."""

import hashlib
import pickle

import numpy as np
import pytest
from pickle_bomb import Bomb
from run_cases import case_of

from amx_suite.core.case import Mode, Shape
from amx_suite.core.precision import Precision
from amx_suite.errors import UsageError
from amx_suite.workloads import resnet50
from amx_suite.workloads.base import Inputs
from amx_suite.workloads.resnet50 import ResNet50, cifar10_batches, synthetic_batches

pytestmark = pytest.mark.selftest

FILES = [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch", "batches.meta"]
PER_FILE = 4
CLASSES = 10


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
def trusted(monkeypatch, folder):
    """Have torchvision expect the sums of the files in the folder instead of the published ones.

    The sums are still checked; a file that changes after this is still refused.
    """
    from torchvision.datasets import CIFAR10

    sums = {
        name: hashlib.md5((folder / "cifar-10-batches-py" / name).read_bytes()).hexdigest()
        for name in FILES
    }
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in FILES[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return folder


class TestCifar10:
    def test_images_keep_their_class(self, trusted):
        batches = cifar10_batches(str(trusted), Shape(5, 48), seed=0, count=4, download=False)
        seen = []
        for batch in batches:
            (enlarged,) = batch.inputs
            assert enlarged.shape == (5, 3, 48, 48)
            assert str(enlarged.dtype) == "torch.float32"
            for image, label in zip(enlarged.numpy(), batch.targets.tolist(), strict=True):
                np.testing.assert_allclose(image, (label * 20 / 255 - 0.5) / 0.5, atol=1e-6)
                seen.append(label)
        assert sorted(seen) == sorted(list(range(CLASSES)) * 2), "each image once"

    def test_seed_decides_the_order(self, trusted):
        def labels(seed):
            (batch,) = cifar10_batches(str(trusted), Shape(40, 32), seed, 1, download=False)
            return batch.targets.tolist()

        assert labels(1) == labels(1) != labels(2)
        assert labels(1)[:20] == labels(1)[20:], "a short data set starts again"

    @pytest.mark.parametrize(
        ("mode", "sentence"),
        [
            (Mode.TRAINING, "CIFAR-10 training images from {}"),
            (Mode.INFERENCE, "synthetic images, seed 0"),
        ],
    )
    def test_only_training_uses_it(self, trusted, mode, sentence):
        def batch(precision):
            case = case_of("resnet50", mode, precision, shape=(4, 48))
            (made,), told = ResNet50().batches(case, Inputs(data=str(trusted)), 1)
            assert told == sentence.format(trusted)
            return made.inputs[0]

        single, double = batch(Precision.FP32), batch(Precision.FP64)
        assert str(double.dtype) == "torch.float64"
        assert (single.double() == double).all()
        assert (float(single[0].std()) < 1e-6) is (mode is Mode.TRAINING), "each is of one grey"


class TestUnusable:
    def read(self, folder, download=False):
        return cifar10_batches(str(folder), Shape(4, 32), 0, 1, download=download)

    def test_altered_files_are_never_unpickled(self, trusted):
        bomb = pickle.dumps(Bomb(trusted / "ran"))
        (trusted / "cifar-10-batches-py" / "data_batch_3").write_bytes(bomb)
        with pytest.raises(UsageError, match="incomplete or altered"):
            self.read(trusted)
        assert not (trusted / "ran").exists()

    def test_unpublished_or_missing_files_are_refused(self, folder):
        with pytest.raises(UsageError, match="an MD5 sum is wrong"):
            self.read(folder)
        with pytest.raises(UsageError, match=r"no '.*/none/cifar-10-batches-py'; .*the download"):
            self.read(folder / "none")

    @pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("bad sum")])
    def test_failed_download_is_told(self, monkeypatch, tmp_path, error):
        from torchvision.datasets import CIFAR10

        def fail(self):
            raise error

        monkeypatch.setattr(resnet50, "why_unreachable", lambda url: None)
        monkeypatch.setattr(CIFAR10, "download", fail)
        with pytest.raises(UsageError, match=f"cannot be downloaded .*{error}"):
            self.read(tmp_path, download=True)

    def test_nothing_is_downloaded_unasked_or_twice(self, monkeypatch, trusted):
        from torchvision.datasets import CIFAR10

        monkeypatch.setattr(CIFAR10, "download", lambda self: pytest.fail("downloaded"))
        assert len(self.read(trusted, download=True)) == 1
        with pytest.raises(UsageError):
            self.read(trusted / "none")


def test_synthetic_images_are_seeded_and_differ():
    (batch,) = synthetic_batches(Shape(3, 40), 5, 1, CLASSES)
    many = synthetic_batches(Shape(3, 40), 5, 3, CLASSES)
    (other,) = synthetic_batches(Shape(3, 40), 6, 1, CLASSES)
    (images,) = batch.inputs
    assert (images == many[0].inputs[0]).all(), "whatever the count"
    assert (images != other.inputs[0]).any()
    assert images.shape == (3, 3, 40, 40)
    assert float(images.mean(dim=(2, 3)).std()) > 0
    assert set(batch.targets.tolist()) <= set(range(CLASSES))
