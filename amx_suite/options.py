"""Every option, declared once.

One row of ``OPTIONS`` serves pytest (``--amx-level``), the command line (``--level``), the
environment (``AMX_SUITE_LEVEL``) and the arguments of a child pytest. The command line wins over
the environment, which wins over the default. An empty value means "not given": on the command line
it also hides the environment's value.
"""

from __future__ import annotations

__all__ = ["LEVEL_BUDGET_SECONDS", "OPTIONS", "Option", "Settings", "add_options"]

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from amx_suite.core.conditions import CONDITIONS
from amx_suite.engines import ENGINES
from amx_suite.errors import UsageError
from amx_suite.extensions import check_offered
from amx_suite.option_values import (
    LEVEL_BUDGET_SECONDS,
    Parser,
    allowed_cpus,
    to_condition,
    to_engine,
    to_level,
    to_path,
    to_seconds,
    to_seed,
    to_switch,
    to_threads,
    to_weights,
)

if TYPE_CHECKING:
    import pytest


class Option(msgspec.Struct, frozen=True):
    """One option: its names, how its text becomes a value, and its default.

    ``field`` is the name in ``Settings``. A ``default`` of None is filled in by ``Settings`` (or
    stays None); ``default_text`` says how, for the help. Flags need no ``parse``.
    """

    name: str
    field: str
    help: str
    default: Any
    default_text: str
    parse: Parser | None = None
    metavar: str | None = None
    repeatable: bool = False

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"AMX_SUITE_{self.name.upper()}"

    @property
    def is_flag(self) -> bool:
        """Whether the option takes no value."""
        return self.parse is None

    def spelling(self, prefix: str) -> str:
        """The long option, such as ``--amx-level`` for the prefix ``amx-``."""
        return f"--{prefix}{self.name}"

    def argparse_keywords(self) -> dict[str, Any]:
        """Keywords for ``add_argument`` and pytest's ``addoption``.

        Values stay text here: ``value_from`` reads them, so that the command line and the
        environment share one parser and one set of messages.
        """
        keywords: dict[str, Any] = {"dest": f"amx_{self.name}", "default": None}
        tail = f"Default: {self.default_text}. Environment: {self.variable}."
        keywords["help"] = f"{self.help} {tail}".replace("%", "%%")
        if self.is_flag:
            keywords["action"] = argparse.BooleanOptionalAction
        else:
            keywords["action"] = "append" if self.repeatable else "store"
            keywords["metavar"] = self.metavar
        return keywords

    def value_from(self, given: Any, environ: Mapping[str, str], prefix: str) -> Any:
        """The option's value: given on the command line, else in the environment, else default.

        ``given`` is None, a bool, a text or a list of texts. Raises UsageError.
        """
        if isinstance(given, bool):
            return given
        if given is not None:
            return self._parsed(given if isinstance(given, list) else [given], prefix)
        text = environ.get(self.variable, "")
        if self.is_flag:
            return to_switch(text, self.variable) if text else self.default
        return self._parsed(text.split(",") if self.repeatable else [text], None)

    def _parsed(self, texts: list[str], prefix: str | None) -> Any:
        where = self.variable if prefix is None else self.spelling(prefix)
        assert self.parse is not None  # flags never come here
        values = [self.parse(text.strip(), where) for text in texts if text.strip()]
        if not values:
            return self.default
        return tuple(dict.fromkeys(values)) if self.repeatable else values[-1]


#: Where results go unless the user says otherwise, under the working directory.
DEFAULT_OUTPUT = Path("amx-results")

OPTIONS: tuple[Option, ...] = (
    Option(
        "level",
        "level",
        "How much to run: 1 present and exact (seconds), 2 adds use, operator accuracy and GEMM "
        "speed, 3 adds ResNet50 and BERT, 4 the published shapes and a soak.",
        2,
        "2",
        to_level,
        "N",
    ),
    Option(
        "engine",
        "engines",
        "Software stack to run; repeatable, comma-separated in the environment. From level 3 on "
        "several are timed side by side too, against the first.",
        None,
        "every engine that is available here",
        to_engine,
        "NAME",
        repeatable=True,
    ),
    Option(
        "reference",
        "reference",
        "Quiet reference of this machine, as amx-suite calibrate stores it.",
        None,
        "the one stored for this machine in the user's data folder, if any",
        to_path,
        "FILE",
    ),
    Option("require", "require", "Fail, rather than skip, where AMX is missing.", False, "off"),
    Option(
        "strict",
        "strict",
        "Count an INCONCLUSIVE verdict, or a library's known defect, as a failure.",
        False,
        "off",
    ),
    Option(
        "wait",
        "wait",
        "Where another run measures on this machine, wait for it to end.",
        False,
        "off, this run is then refused",
    ),
    Option(
        "gates",
        "gates",
        "TOML table of minimum speedups, laid over the shipped one.",
        None,
        "the shipped table alone",
        to_path,
        "FILE",
    ),
    Option(
        "threads",
        "threads",
        "Compute threads of every arm.",
        None,
        "the number of CPUs this process may use",
        to_threads,
        "N",
    ),
    Option("seed", "seed", "Seed of weights, data and order.", 0, "0", to_seed, "N"),
    Option(
        "budget",
        "budget_seconds",
        "Seconds that one launch of a trial may measure; three times that if it lacks only time.",
        None,
        "by the level to which the trial belongs: "
        + ", ".join(f"{n}: {s:g}" for n, s in LEVEL_BUDGET_SECONDS.items()),
        to_seconds,
        "SECONDS",
    ),
    Option(
        "data",
        "data",
        "Folder that holds CIFAR-10 (or receives it, with the download option).",
        None,
        "none, images are synthetic",
        to_path,
        "DIR",
    ),
    Option("download", "download", "Allow downloads of data and weights.", False, "off"),
    Option(
        "weights",
        "weights",
        "Weights of a model: a file, a folder or a name; repeatable, comma-separated in the "
        "environment.",
        (),
        "random weights from the seed",
        to_weights,
        "MODEL=PATH",
        repeatable=True,
    ),
    Option(
        "checkpoint",
        "checkpoint",
        "Folder in which training runs save their checkpoint.",
        None,
        "none, nothing is saved",
        to_path,
        "DIR",
    ),
    Option(
        "soak",
        "soak_seconds",
        "Seconds for which level 4 keeps every CPU multiplying tiles and compares the results.",
        600.0,
        "600",
        to_seconds,
        "SECONDS",
    ),
    Option(
        "across",
        "across",
        f"Compare all the same with a baseline of another {', '.join(CONDITIONS[:-1])} or "
        f"{CONDITIONS[-1]}; repeatable, comma-separated in the environment.",
        (),
        "none, such a baseline is refused",
        to_condition,
        "WHAT",
        repeatable=True,
    ),
    Option(
        "output",
        "output",
        "Folder for the results.",
        None,
        "amx-results for `amx-suite qualify`; pytest writes none but mismatches, there too",
        to_path,
        "DIR",
    ),
)


def add_options(
    add: Callable[..., object], prefix: str, names: Iterable[str] | None = None
) -> None:
    """Declare the options (or those in ``names``) through ``add``.

    ``add`` is ``ArgumentParser.add_argument`` or the ``addoption`` of a pytest option group.
    """
    wanted = None if names is None else frozenset(names)
    for option in OPTIONS:
        if wanted is None or option.name in wanted:
            add(option.spelling(prefix), **option.argparse_keywords())


class Settings(msgspec.Struct, frozen=True):
    """What the user asked for, every default filled in; fields are named in ``OPTIONS``.

    ``engines`` may be empty where no engine is available; an engine that was named is kept even if
    it is not. ``budget_seconds`` None leaves it to the trial (``budget_of``). ``weights`` are
    (model, file or folder or name). Paths are absolute.
    """

    level: int
    engines: tuple[str, ...]
    reference: Path | None
    require: bool
    strict: bool
    wait: bool
    gates: Path | None
    threads: int
    seed: int
    budget_seconds: float | None
    data: Path | None
    download: bool
    weights: tuple[tuple[str, str], ...]
    checkpoint: Path | None
    soak_seconds: float
    across: tuple[str, ...]
    output: Path | None

    @classmethod
    def from_pytest(cls, config: pytest.Config) -> Settings:
        """Read pytest's command line and the environment; raises UsageError."""
        given = {option.name: config.getoption(f"amx_{option.name}") for option in OPTIONS}
        return cls.from_given(given, os.environ, "amx-")

    @classmethod
    def from_namespace(cls, namespace: argparse.Namespace) -> Settings:
        """Read what argparse found and the environment; raises UsageError."""
        given = {option.name: getattr(namespace, f"amx_{option.name}", None) for option in OPTIONS}
        return cls.from_given(given, os.environ, "")

    @classmethod
    def from_given(
        cls, given: Mapping[str, Any], environ: Mapping[str, str], prefix: str
    ) -> Settings:
        """Settings from raw values by option name (absent or None: not given)."""
        check_offered()
        values = {
            option.field: option.value_from(given.get(option.name), environ, prefix)
            for option in OPTIONS
        }
        if values["engines"] is None:
            values["engines"] = tuple(
                name for name, engine in ENGINES.items() if engine.why_unavailable() is None
            )
        if values["threads"] is None:
            values["threads"] = allowed_cpus()
        settings = cls(**values)
        settings._check_together(prefix)
        return settings

    def _check_together(self, prefix: str) -> None:
        models = [model for model, _ in self.weights]
        twice = sorted({model for model in models if models.count(model) > 1})
        if twice:
            raise UsageError(
                f"--{prefix}weights (or AMX_SUITE_WEIGHTS) names {twice[0]} twice; give each model "
                "once"
            )
        if self.data is not None and not self.data.is_dir() and not self.download:
            raise UsageError(
                f"--{prefix}data (or AMX_SUITE_DATA): there is no folder {self.data}; name the "
                f"folder that holds CIFAR-10, or add --{prefix}download to have it fetched"
            )

    def budget_of(self, level: int) -> float:
        """Seconds that a trial of that level may measure: the user's figure, or the level's."""
        if self.budget_seconds is not None:
            return self.budget_seconds
        return LEVEL_BUDGET_SECONDS[level]

    def weights_of(self, model: str) -> str:
        """The weights chosen for a model, ``random`` where the user chose none."""
        return dict(self.weights).get(model, "random")

    def argv(self, prefix: str = "amx-") -> list[str]:
        """Arguments that give a child these settings, whatever its environment says."""
        return [word for option in OPTIONS for word in self._words(option, prefix)]

    def _words(self, option: Option, prefix: str) -> list[str]:
        value = getattr(self, option.field)
        if option.is_flag:
            return [option.spelling(prefix if value else f"no-{prefix}")]
        if option.repeatable:
            texts = ["=".join(v) if isinstance(v, tuple) else v for v in value] or [""]
        else:
            texts = ["" if value is None else str(value)]
        return [f"{option.spelling(prefix)}={text}" for text in texts]
