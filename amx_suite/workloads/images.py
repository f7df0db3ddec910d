"""Images for ResNet50: CIFAR-10 where the user has it, else synthetic ones of the same shape."""

from __future__ import annotations

__all__ = ["cifar10_batches", "synthetic_batches"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Shape
from amx_suite.errors import UsageError
from amx_suite.workloads.base import Batch

if TYPE_CHECKING:
    import numpy as np

#: Side of a CIFAR-10 image in pixels, before it is enlarged to the network's input.
_SMALL_SIDE = 32
#: Intel's published ResNet50 training example scales CIFAR-10 from [0, 1] to [-1, 1].
_MEAN = _DEVIATION = (0.5, 0.5, 0.5)


def synthetic_batches(shape: Shape, seed: int, count: int, classes: int) -> list[Batch]:
    """Images [batch, 3, size, size] in FP32 with the smoothness of enlarged CIFAR-10, and classes.

    Independent pixels would average out within a few layers, and all images would give one answer;
    enlarging small noise keeps them apart as real pictures are.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        side = (shape.batch, 3, _SMALL_SIDE, _SMALL_SIDE)
        small = random.uniform(-1.0, 1.0, side).astype(np.float32)
        targets = random.integers(0, classes, shape.batch)
        made.append(_batch(small, targets, shape.size))
    return made


def cifar10_batches(
    folder: str, shape: Shape, seed: int, count: int, *, download: bool
) -> list[Batch]:
    """``count`` seeded batches of CIFAR-10's training images, enlarged to [batch, 3, size, size].

    torchvision reads the files only after their MD5 sums proved right, so nothing but the published
    data is ever unpickled. Raises UsageError if the folder does not hold the whole data set and
    ``download`` is false, or the download fails.
    """
    import numpy as np

    dataset = _cifar10(folder, download)
    pixels: np.ndarray[Any, Any] = dataset.data  # uint8 [50000, 32, 32, 3]
    labels = np.asarray(dataset.targets, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    made = []
    for index in range(count):
        # Small batches of a short data set wrap around rather than come up short.
        chosen = np.take(order, range(index * shape.batch, (index + 1) * shape.batch), mode="wrap")
        small = pixels[chosen].transpose(0, 3, 1, 2).astype(np.float32) / 255.0
        mean = np.array(_MEAN, np.float32).reshape(1, 3, 1, 1)
        deviation = np.array(_DEVIATION, np.float32).reshape(1, 3, 1, 1)
        made.append(_batch((small - mean) / deviation, labels[chosen], shape.size))
    return made


def _cifar10(folder: str, download: bool) -> Any:
    """Torchvision's training set; every way in which it can be missing is a UsageError."""
    from torchvision.datasets import CIFAR10

    where = Path(folder)
    remedy = "give the folder that holds 'cifar-10-batches-py', or allow the download"
    if not download and not where.is_dir():
        raise UsageError(f"the data folder '{folder}' does not exist: {remedy}")
    try:
        return CIFAR10(root=folder, train=True, download=download)
    except OSError as error:
        raise UsageError(f"CIFAR-10 cannot be had in '{folder}' ({error}): {remedy}") from error
    except RuntimeError as error:
        unpacked = where / CIFAR10.base_folder
        found = (
            f"'{unpacked}' is there but incomplete or altered (an MD5 sum is wrong)"
            if unpacked.is_dir()
            else f"there is no '{CIFAR10.base_folder}' in it"
        )
        raise UsageError(f"no usable CIFAR-10 in '{folder}': {found}; {remedy}") from error


def _batch(small: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], side: int) -> Batch:
    """Enlarge bilinearly, as the published recipe's Resize does."""
    import torch

    images = torch.nn.functional.interpolate(
        torch.from_numpy(small), size=(side, side), mode="bilinear", align_corners=False
    )
    return Batch((images,), torch.from_numpy(targets))
