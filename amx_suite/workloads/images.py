"""Images for ResNet50: CIFAR-10 where the user has it, else synthetic ones of the same shape."""

from __future__ import annotations

__all__ = ["cifar10_batches", "synthetic_batches"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Shape
from amx_suite.errors import UsageError
from amx_suite.workloads.base import Batch
from amx_suite.workloads.network import why_unreachable

if TYPE_CHECKING:
    import numpy as np

#: Side of a CIFAR-10 image in pixels, before it is enlarged to the network's input.
_SMALL_SIDE = 32


def synthetic_batches(shape: Shape, seed: int, count: int, classes: int) -> list[Batch]:
    """Images [batch, 3, size, size] in FP32 with the smoothness of enlarged CIFAR-10, and classes.

    Independent pixels would average out within a few layers, and all images would give the same
    scores; enlarged small noise keeps them apart as real pictures are.
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

    torchvision checks the files' MD5 sums before it reads them, so only the published data is ever
    unpickled. Raises UsageError if the folder does not hold the whole data set and it may not or
    cannot be downloaded.
    """
    import numpy as np

    dataset = _cifar10(folder, download)
    pixels: np.ndarray[Any, Any] = dataset.data  # uint8 [50000, 32, 32, 3]
    labels = np.asarray(dataset.targets, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    made = []
    for index in range(count):
        # Batches beyond the end of the data set start again at its beginning.
        chosen = np.take(order, range(index * shape.batch, (index + 1) * shape.batch), mode="wrap")
        # Intel's published ResNet50 training example scales CIFAR-10 to [-1, 1].
        small = pixels[chosen].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0
        made.append(_batch(small, labels[chosen], shape.size))
    return made


def _cifar10(folder: str, download: bool) -> Any:
    """Torchvision's training set; UsageError if there is none."""
    from torchvision.datasets import CIFAR10

    remedy = f"give the folder that holds '{CIFAR10.base_folder}'"
    try:
        return CIFAR10(root=folder, train=True)
    except (OSError, RuntimeError) as error:
        if not download:
            unpacked = Path(folder, CIFAR10.base_folder)
            found = (
                f"'{unpacked}' is incomplete or altered (an MD5 sum is wrong)"
                if unpacked.is_dir()
                else f"there is no '{unpacked}'"
            )
            raise UsageError(
                f"no usable CIFAR-10: {found}; {remedy}, or allow the download"
            ) from error
    if (reason := why_unreachable(CIFAR10.url)) is not None:
        raise UsageError(
            f"no CIFAR-10 in '{folder}', and {reason}: {remedy}, or run where there is network"
        )
    try:
        return CIFAR10(root=folder, train=True, download=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"CIFAR-10 cannot be downloaded to '{folder}' ({error}): {remedy}"
        ) from error


def _batch(small: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], side: int) -> Batch:
    """Enlarge bilinearly, as the published recipe's Resize does."""
    import torch

    images = torch.nn.functional.interpolate(
        torch.from_numpy(small), size=(side, side), mode="bilinear", align_corners=False
    )
    return Batch((images,), torch.from_numpy(targets))
