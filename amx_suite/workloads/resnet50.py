"""ResNet50 of torchvision: convolutions in channels-last layout."""

from __future__ import annotations

__all__ = ["ResNet50"]

from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, RunCase, Shape
from amx_suite.workloads.base import Batch, Inputs, ModelWorkload, floating
from amx_suite.workloads.images import cifar10_batches, synthetic_batches
from amx_suite.workloads.weights import fit, read_state

if TYPE_CHECKING:
    import torch

_IMAGENET_CLASSES = 1000
_CIFAR_CLASSES = 10
_CLASSIFIER = ("fc.weight", "fc.bias")
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
        if state is not None and not training and "fc.weight" in state:
            classes = state["fc.weight"].shape[0]
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
