"""A Python of its own with only what an arm's Python must have; its torch is made up."""

import venv
from pathlib import Path

import msgspec
import numpy as np

TORCH = "9.9.0"
#: Enough for what comes before an engine is asked what it can do.
_TORCH = """
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *given: None
"""
_HERE = Path(__file__).parent


def make_python(folder, *, packages=("numpy", "msgspec", "torch")):
    """The interpreter of a new virtual environment that has these packages, and our handlers."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    versions = {"numpy": np.__version__, "msgspec": msgspec.__version__, "torch": TORCH}
    for module in (np, msgspec):
        source = Path(module.__file__).parent
        # The shared libraries of a wheel of numpy lie beside it.
        for each in (source, source.with_name(f"{source.name}.libs")):
            if module.__name__ in packages and each.exists():
                (site / each.name).symlink_to(each)
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text(_TORCH)
    for name in packages:
        described = site / f"{name}-{versions[name]}.dist-info"
        described.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {versions[name]}\n"
        (described / "METADATA").write_text(text)
    (site / "fake_handlers.py").symlink_to(_HERE / "fake_handlers.py")
    return folder / "bin" / "python"
