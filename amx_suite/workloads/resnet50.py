"""ResNet50 of torchvision: convolutions in channels-last layout.

Its images are CIFAR-10's where the user has them, else synthetic ones of the same shape.
"""

from __future__ import annotations

__all__ = ["ResNet50", "cifar10_batches", "synthetic_batches"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, RunCase, Shape
from amx_suite.errors import UsageError
from amx_suite.workloads.base import Batch, Inputs, ModelWorkload, floating
from amx_suite.workloads.network import why_unreachable
from amx_suite.workloads.weights import check_file, fit, read_state

if TYPE_CHECKING:
    import numpy as np
    import torch

_IMAGENET_CLASSES = 1000
_CIFAR_CLASSES = 10
_CLASSIFIER = ("fc.weight", "fc.bias")
#: Side of a CIFAR-10 image in pixels, before it is enlarged to the network's input.
_SMALL_SIDE = 32
_IMAGES_FOR_STATISTICS = Shape(4, 224)
#: Weight of each residual branch's last normalisation. Goyal et al. 2017 (section 5.1) start it at
#: 0 so that a fresh network behaves; a tenth does that too and still lets every branch be seen.
_BRANCH_WEIGHT = 0.1


class ResNet50(ModelWorkload):
    """Inference on 1000 classes, training on CIFAR-10's 10 (He et al. 2015, 25.6 M parameters)."""

    name = "resnet50"
    unit = "images"
    distributions = ("torch", "torchvision")
    shapes = {
        (Mode.INFERENCE, 3): Shape(16, 224),
        (Mode.INFERENCE, 4): Shape(64, 224),
        (Mode.TRAINING, 3): Shape(8, 224),
        (Mode.TRAINING, 4): Shape(128, 224),
    }

    def items_per_step(self, shape: Shape) -> int:
        """Images."""
        return shape.batch

    def check_weights(self, weights: str) -> None:
        """A .safetensors, .pt or .pth file."""
        check_file(weights)

    def build(
        self, case: RunCase, inputs: Inputs, *, deterministic: bool = False
    ) -> torch.nn.Module:
        """ResNet50, seeded, or with the state_dict in the file that ``case.weights`` names.

        Inference takes a user's classifier of any width. Training has CIFAR-10's classes, and a
        classifier of another width keeps its seeded start. The model has no dropout, so it is
        always deterministic.
        """
        import torch
        from torchvision.models import resnet50

        training = case.workload.mode is Mode.TRAINING
        state = None if case.weights == "random" else read_state(case.weights)
        classes = _CIFAR_CLASSES if training else _IMAGENET_CLASSES
        head = None if state is None or training else state.get("fc.weight")
        if head is not None and head.ndim == 2:
            classes = max(1, len(head))
        torch.manual_seed(case.seed)
        model: torch.nn.Module = resnet50(weights=None, num_classes=classes)
        if state is not None:
            fit(model, state, case.weights, optional=_CLASSIFIER if training else ())
        else:
            _calm_branches(model)
            if not training:
                _settle_statistics(model, case.seed)
        # mypy knows no memory_format on Module.to.
        converted: Any = model
        converted.to(floating(case.precision), memory_format=torch.channels_last)
        return model.train(training)

    def batches(self, case: RunCase, inputs: Inputs, count: int) -> tuple[list[Batch], str]:
        """Images [batch, 3, size, size]; for training CIFAR-10's if ``inputs`` names its folder."""
        import torch

        training = case.workload.mode is Mode.TRAINING
        if training and inputs.data is not None:
            made = cifar10_batches(
                inputs.data, case.shape, case.seed, count, download=inputs.download
            )
            sentence = f"CIFAR-10 training images from {inputs.data}"
        else:
            classes = _CIFAR_CLASSES if training else _IMAGENET_CLASSES
            made = synthetic_batches(case.shape, case.seed, count, classes)
            sentence = f"synthetic images, seed {case.seed}"
        dtype, layout = floating(case.precision), torch.channels_last
        found = [
            Batch((batch.inputs[0].to(dtype, memory_format=layout),), batch.targets)
            for batch in made
        ]
        return found, sentence

    def optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """SGD with learning rate 0.001 and momentum 0.9, as in Intel's published example."""
        import torch

        return torch.optim.SGD(module.parameters(), lr=0.001, momentum=0.9)


def _calm_branches(model: torch.nn.Module) -> None:
    """Make random weights respond to small errors about as trained ones do.

    PyTorch's start, weight 1, is chaotic: it enlarges rounding a hundredfold from input to scores,
    so the BF16 gradients of a correct implementation point elsewhere than those of FP64 (cosine 0.2
    here, 0.99 after this), and no accuracy check could tell right from wrong. Speed is the same.
    """
    import torch
    from torchvision.models.resnet import Bottleneck

    for part in model.modules():
        if isinstance(part, Bottleneck):
            torch.nn.init.constant_(part.bn3.weight, _BRANCH_WEIGHT)


def _settle_statistics(model: torch.nn.Module, seed: int) -> None:
    """Give random weights the batch statistics of a few images, as in a trained model.

    Left at mean 0 and variance 1, activations grow from block to block, all images give the same
    scores, and an accuracy check would compare constants. In FP64, so that arms under different
    ceilings get the same statistics to the last bit of FP32.
    """
    import torch

    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over the images, nothing of the initial values
    (batch,) = synthetic_batches(_IMAGES_FOR_STATISTICS, seed + 1, 1, _IMAGENET_CLASSES)
    model.double().train()
    with torch.no_grad():
        model(batch.inputs[0].double())
    for norm in norms:
        norm.momentum = 0.1
    model.float().eval()


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
