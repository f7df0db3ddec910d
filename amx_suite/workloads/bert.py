"""BERT of transformers: matrix products and attention."""

from __future__ import annotations

__all__ = ["Bert"]

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, RunCase, Shape
from amx_suite.errors import AmxSuiteError, OutputError, UsageError
from amx_suite.files import ensure_writable
from amx_suite.workloads.base import Batch, Inputs, ModelWorkload, floating
from amx_suite.workloads.network import why_unreachable
from amx_suite.workloads.weights import local_folder, require_finite

if TYPE_CHECKING:
    import torch

_LABELS = 2
#: The parts of a sequence classifier beyond the encoder: a checkpoint need not have them.
_HEADS = ("classifier.", "bert.pooler.")
#: Attention as plain matrix products. The extension fuses it in BF16 and, as ``quantized_sdp``, in
#: INT8; the fused PyTorch operator is opaque to its quantizer and INT8 runs a quarter slower.
_ATTENTION = "eager"
#: Token ids that every published BERT has as ordinary tokens: below 999 the uncased vocabulary has
#: padding, markers and unused ids, and the smallest vocabulary (Chinese) ends at 21128.
_TOKENS = (999, 21128)
#: A usual rate for fine-tuning BERT (Devlin et al. 2018, appendix A.3: 2e-5 to 5e-5).
_LEARNING_RATE = 2e-5
_NAMES_SHOWN = 4
_ERROR_WIDTH = 120


class Bert(ModelWorkload):
    """BERT-base (110 M parameters) unless the weights say otherwise."""

    name = "bert"
    unit = "tokens"
    distributions = ("torch", "transformers")
    shapes = {
        (Mode.INFERENCE, 3): Shape(8, 128),
        (Mode.INFERENCE, 4): Shape(64, 512),
        (Mode.TRAINING, 3): Shape(2, 128),
        (Mode.TRAINING, 4): Shape(32, 128),
    }

    def check_weights(self, weights: str) -> None:
        """The parts of a local model; a name is looked up when the model is built."""
        local_folder(weights)

    def build(
        self, case: RunCase, inputs: Inputs, *, deterministic: bool = False
    ) -> torch.nn.Module:
        """The encoder for inference, a classifier of two labels for training.

        The encoder's output is the last hidden state [batch, size, hidden]; the pooled vector is
        one token of each row behind a tanh, which hides errors. The classifier's is
        [batch, labels].

        ``case.weights`` is ``random``, ``minilm`` (a real 6-layer model in an installable package),
        a folder with config.json and safetensors, or a published model's name, which must be in the
        local cache unless ``inputs.download``.
        """
        import torch

        training = case.workload.mode is Mode.TRAINING
        configuration, encoder, classifier = _transformers()
        options: dict[str, Any] = {"attn_implementation": _ATTENTION}
        if training:
            options["num_labels"] = _LABELS
        if deterministic:
            options.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        kind = _with_tensor_output(classifier if training else encoder)
        parts: dict[str, Any] = {} if training else {"add_pooling_layer": False}
        torch.manual_seed(case.seed)
        if case.weights == "random":
            model = kind(configuration(**options), **parts)
        else:
            model = _pretrained(configuration, kind, case.weights, inputs, {**options, **parts})
            _check_size(model.config, case)
        # No input has padding. transformers would look for it in every forward pass, by a branch on
        # the data.
        model.config.pad_token_id = None
        trained: torch.nn.Module = model.to(floating(case.precision)).train(training)
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

    def optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW."""
        import torch

        return torch.optim.AdamW(module.parameters(), lr=_LEARNING_RATE)


def _transformers() -> tuple[Any, Any, Any]:
    """Configuration, encoder and classifier, imported as if torchao were not installed.

    transformers imports torchao with its first model, for quantized checkpoints, which no BERT here
    is. An import that is broken or too old would cost every arm.
    """
    absent = object()
    torchao = sys.modules.get("torchao", absent)
    # With None here Python finds no such module, and find_spec does not either.
    sys.modules["torchao"] = None  # type: ignore[assignment]
    try:
        from transformers import BertConfig, BertForSequenceClassification, BertModel
    finally:
        del sys.modules["torchao"]
        if torchao is not absent:
            sys.modules["torchao"] = torchao  # type: ignore[assignment]
    return BertConfig, BertModel, BertForSequenceClassification


def _with_tensor_output(base: Any) -> Any:
    """The class with one tensor as output, so that it can be traced; it keeps parameter names."""

    class TensorOutput(base):  # type: ignore[misc] # transformers is untyped
        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = super().forward(input_ids=input_ids, return_dict=False)[0]
            return output

    return TensorOutput


def _pretrained(
    configuration: Any, kind: Any, weights: str, inputs: Inputs, options: dict[str, Any]
) -> Any:
    """Load by folder or name, from safetensors only; UsageError if that is impossible."""
    from safetensors import SafetensorError

    folder = local_folder(weights)
    online, unreachable = inputs.download and folder is None, None
    if online:
        unreachable = why_unreachable(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    source = weights if folder is None else str(folder)
    where = {"local_files_only": not online or unreachable is not None}
    try:
        described, _ = configuration.get_config_dict(source, **where)
        if (found := described.get("model_type")) != "bert":
            raise UsageError(
                f"the weights '{weights}' are of a model of type '{found}', and the bert workload "
                "needs 'bert'"
            )
        model, report = kind.from_pretrained(
            source,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report, and judged below
            **where,
            **options,
        )
    except SafetensorError as error:
        raise UsageError(f"the weights '{weights}' are not valid safetensors: {error}") from error
    except (AmxSuiteError, MemoryError, RuntimeError):  # PyTorch's lack of memory among them
        raise
    except Exception as error:  # whatever a value of the configuration leads transformers to
        if not where["local_files_only"]:
            _check_cache()
        if folder is None and isinstance(error, OSError):
            raise UsageError(_not_here(weights, inputs, unreachable)) from error
        raise UsageError(
            f"the weights '{weights}' cannot be loaded, most likely for a value in their "
            f"config.json: {type(error).__name__}: {textwrap.shorten(str(error), _ERROR_WIDTH)}"
        ) from error
    # Names, to which transformers 5 adds both shapes.
    misfits = (key if isinstance(key, str) else key[0] for key in report["mismatched_keys"])
    faulty = {*report["missing_keys"], *misfits}
    if own := sorted(name for name in faulty if not name.startswith(_HEADS)):
        raise UsageError(
            f"the weights '{weights}' lack these parameters, or have them in another shape than "
            f"their own config.json: {', '.join(own[:_NAMES_SHOWN])}"
        )
    require_finite(model, weights)
    return model


def _check_cache() -> None:
    """Raise OutputError if nothing can be downloaded into the hub's cache."""
    from huggingface_hub import constants

    try:
        ensure_writable(Path(constants.HF_HUB_CACHE))
    except OutputError as error:
        raise OutputError(f"{error} (for downloaded weights: name it in HF_HOME)") from error


def _check_size(config: Any, case: RunCase) -> None:
    """UsageError if the user's model is too small for the workload's tokens."""
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


def _not_here(weights: str, inputs: Inputs, unreachable: str | None) -> str:
    what = f"no usable BERT weights '{weights}': no such folder"
    remedy = "give a folder with config.json and safetensors, 'minilm' or 'random'"
    if unreachable is not None:
        return f"{what} or cached model, and {unreachable}: {remedy}, or run where there is network"
    if inputs.download:
        return f"{what}, and no model of that name could be fetched: {remedy}"
    return f"{what} or cached model: {remedy}, or allow the download"
