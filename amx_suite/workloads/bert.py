"""BERT of transformers: matrix products and attention."""

from __future__ import annotations

__all__ = ["Bert"]

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, Precision, RunCase, Shape
from amx_suite.errors import UsageError
from amx_suite.workloads.base import Batch, Inputs
from amx_suite.workloads.weights import is_local, weights_folder

if TYPE_CHECKING:
    import torch

_LABELS = 2
#: What a sequence classifier has beyond the encoder: a checkpoint need not bring it.
_HEADS = ("classifier.", "bert.pooler.")
#: Attention as plain matrix products. The extension fuses it in BF16 and, as ``quantized_sdp``, in
#: INT8; the fused PyTorch operator is opaque to its quantizer and INT8 runs a quarter slower.
_ATTENTION = "eager"
#: Token ids that every published BERT has as ordinary tokens: below 999 the uncased vocabulary has
#: padding, markers and unused ids, and the smallest vocabulary (Chinese) ends at 21128.
_TOKENS = (999, 21128)
#: A usual rate for fine-tuning BERT (Devlin et al. 2018, appendix A.3: 2e-5 to 5e-5).
_LEARNING_RATE = 2e-5


class Bert:
    """BERT-base (110 M parameters) unless the weights say otherwise."""

    name = "bert"
    unit = "tokens"
    channels_last = False
    distributions: tuple[str, ...] = ("torch", "transformers")
    shapes: dict[tuple[Mode, int], Shape] = {
        (Mode.INFERENCE, 3): Shape(8, 128),
        (Mode.INFERENCE, 4): Shape(64, 512),
        (Mode.TRAINING, 3): Shape(2, 128),
        (Mode.TRAINING, 4): Shape(32, 128),
    }

    def items_per_step(self, shape: Shape) -> int:
        """Tokens."""
        return shape.batch * shape.size

    def build(
        self, case: RunCase, inputs: Inputs, *, deterministic: bool = False
    ) -> torch.nn.Module:
        """The encoder for inference, a classifier of two labels for training.

        ``case.weights`` is ``random``, ``minilm`` (a real 6-layer model in an installed package), a
        folder with config.json and safetensors, or a published model's name, which must be in the
        local cache unless ``inputs.download``.
        """
        import torch

        training = case.workload.mode is Mode.TRAINING
        config: dict[str, Any] = {"attn_implementation": _ATTENTION}
        if training:
            config["num_labels"] = _LABELS
        if deterministic:
            config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        torch.manual_seed(case.seed)
        kind = _classifier() if training else _encoder()
        if case.weights == "random":
            from transformers import BertConfig

            model = kind(BertConfig(**config))
        else:
            model = _pretrained(kind, case.weights, inputs, config)
            _check_size(model.config, case)
        # No input has padding. transformers would look for it in every forward pass, by a branch on
        # the data.
        model.config.pad_token_id = None
        model.to(torch.float64 if case.precision is Precision.FP64 else torch.float32)
        trained: torch.nn.Module = model.train(training)
        return trained

    def batches(self, case: RunCase, inputs: Inputs, count: int) -> tuple[list[Batch], str]:
        """Random tokens [batch, size], of full length without padding, and labels [batch]."""
        import numpy as np
        import torch

        random = np.random.default_rng(case.seed)
        made = []
        for _ in range(count):
            tokens = random.integers(*_TOKENS, (case.shape.batch, case.shape.size))
            labels = random.integers(0, _LABELS, case.shape.batch)
            made.append(Batch((torch.from_numpy(tokens),), torch.from_numpy(labels)))
        return made, f"random tokens, seed {case.seed}"

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy over the labels."""
        import torch

        wide = output.to(torch.promote_types(output.dtype, torch.float32))
        return torch.nn.functional.cross_entropy(wide, targets)

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """For inference the last hidden state [batch, size, hidden], for training [batch, labels].

        The hidden state and not the pooled vector: the latter is one token of each row behind a
        tanh, which hides errors.
        """
        return output

    def optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW."""
        import torch

        return torch.optim.AdamW(module.parameters(), lr=_LEARNING_RATE)


def _encoder() -> Any:
    """A BertModel whose output is a tensor, so that it can be traced; parameter names as ever."""
    from transformers import BertModel

    class Encoder(BertModel):  # type: ignore[misc] # transformers is untyped
        def __init__(self, config: Any) -> None:
            super().__init__(config, add_pooling_layer=False)

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = super().forward(input_ids=input_ids, return_dict=False)[0]
            return hidden

    return Encoder


def _classifier() -> Any:
    """A BertForSequenceClassification whose output is a tensor."""
    from transformers import BertForSequenceClassification

    class Classifier(BertForSequenceClassification):  # type: ignore[misc] # as above
        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = super().forward(input_ids=input_ids, return_dict=False)[0]
            return scores

    return Classifier


def _pretrained(kind: Any, weights: str, inputs: Inputs, config: dict[str, Any]) -> Any:
    """Load by folder or name, from safetensors only; UsageError if it is not here or no BERT."""
    local = is_local(weights)
    source = str(weights_folder(weights)) if local else weights
    from safetensors import SafetensorError
    from transformers import BertConfig

    options = {"local_files_only": local or not inputs.download}
    try:
        described, _ = BertConfig.get_config_dict(source, **options)
    except (OSError, ValueError) as error:
        raise UsageError(_not_here(weights, inputs)) from error
    if described.get("model_type") != "bert":
        raise UsageError(
            f"the weights '{weights}' are of a model of type '{described.get('model_type')}', "
            "and the bert workload needs 'bert'"
        )
    try:
        model, report = kind.from_pretrained(
            source,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report, and judged below
            **options,
            **config,
        )
    except SafetensorError as error:
        raise UsageError(f"the weights '{weights}' are not valid safetensors: {error}") from error
    except (OSError, ValueError) as error:
        raise UsageError(_not_here(weights, inputs)) from error
    if missing := _own(report["missing_keys"]):
        raise UsageError(f"the weights '{weights}' lack {', '.join(missing[:4])}")
    if misfits := _own(name for name, *_ in report["mismatched_keys"]):
        raise UsageError(
            f"the weights '{weights}' do not fit their own config.json: {', '.join(misfits[:4])} "
            "have another shape"
        )
    return model


def _own(names: Iterable[str]) -> list[str]:
    """The encoder's own parameters, in order, without the heads that may start anew."""
    return sorted(name for name in names if not name.startswith(_HEADS))


def _check_size(config: Any, case: RunCase) -> None:
    """UsageError if the user's model is too small for the tokens it would be given."""
    if config.max_position_embeddings < case.shape.size:
        raise UsageError(
            f"the weights '{case.weights}' take {config.max_position_embeddings} tokens at most, "
            f"and the shape {case.shape} has {case.shape.size}"
        )
    if config.vocab_size < _TOKENS[1]:
        raise UsageError(
            f"the weights '{case.weights}' have a vocabulary of {config.vocab_size}, and the "
            f"workload's tokens go up to {_TOKENS[1]}"
        )


def _not_here(weights: str, inputs: Inputs) -> str:
    what = f"no usable BERT weights '{weights}'"
    if inputs.download:
        return f"{what}: no such folder, and no model of that name could be fetched"
    return (
        f"{what}: no such folder, and no model of that name in the local cache; give a folder with "
        "config.json and safetensors, 'minilm' or 'random', or allow the download"
    )
