"""The one thing that pyproject.toml cannot say: a wheel carries the conformance tests.

They go into ``amx_suite/conformance`` with their pytest.ini and conftest.py, in the same folders as
in a checkout, so that test ids are the same in both and baselines of one match the other.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CONFORMANCE = (
    "pytest.ini",
    "conftest.py",
    *(
        f"tests/{folder}/*.py"
        for folder in ("detection", "instructions", "dispatch", "correctness", "performance")
    ),
)


class BuildWithTests(build_py):
    """``build_py`` that also copies the tests; an editable install uses those of the checkout."""

    def run(self) -> None:
        """Copy the package, then the tests."""
        super().run()
        if not self.editable_mode:
            for source, target in self._conformance().items():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files of the build."""
        return [*super().get_outputs(include_bytecode), *self._conformance().values()]

    def _conformance(self) -> dict[str, str]:
        """Each file of the conformance tests, and where the build puts it."""
        target = Path(self.build_lib, "amx_suite", "conformance")
        sources = (path for pattern in CONFORMANCE for path in sorted(ROOT.glob(pattern)))
        return {str(path): str(target / path.relative_to(ROOT)) for path in sources}


setup(cmdclass={"build_py": BuildWithTests})
