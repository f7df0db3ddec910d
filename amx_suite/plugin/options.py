"""Every option, declared once.

One row of ``OPTIONS`` serves pytest (``--amx-level``), the command line (``--level``) and the
environment (``AMX_SUITE_LEVEL``). The command line wins over the environment, which wins over the
default. An empty value means "not given": on the command line it also hides the environment's
value.
"""

from __future__ import annotations

__all__ = [
    "COMPARE_OPTIONS",
    "DEFAULT_OUTPUT",
    "LEVEL_BUDGET_SECONDS",
    "OPTIONS",
    "Option",
    "Settings",
    "add_options",
]

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from amx_suite.core.conditions import CONDITIONS
from amx_suite.core.instance import Instance
from amx_suite.core.run import LEVELS
from amx_suite.engines import ENGINES
from amx_suite.errors import UsageError
from amx_suite.host.instance import DEFAULT_CORES, choose_instance
from amx_suite.host.limits import read_limits
from amx_suite.host.topology import read_topology
from amx_suite.plugin.option_values import (
    LEVEL_BUDGET_SECONDS,
    Parser,
    one_of,
    to_path,
    to_seconds,
    to_switch,
    to_weights,
    whole_number,
)

#: In place of an engine's name: every engine that is available.
_EVERY_ENGINE = "all"
#: More than any node has; how many this machine has is seen when the instance is chosen.
_MOST_CORES = 4096
#: torch and numpy both take seeds of 32 bits.
_LARGEST_SEED = 2**32 - 1


class Option(msgspec.Struct, frozen=True):
    """One option: its names, its default and its parser; without a parser it is a flag.

    ``default_text`` describes the default in the help.
    """

    name: str
    help: str
    default: Any
    default_text: str
    parse: Parser | None = None
    metavar: str | None = None
    repeatable: bool = False
    setting: str = ""

    @property
    def field(self) -> str:
        """The field of ``Settings``: ``setting``, or named as the option."""
        return self.setting or self.name

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
        """The option's value: as given on the command line, else in the environment, else default.

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
        "How much to run, each level with those below it: "
        f"{', '.join(f'{level} {what}' for level, what in LEVELS.items())}.",
        2,
        "2",
        whole_number(min(LEVEL_BUDGET_SECONDS), max(LEVEL_BUDGET_SECONDS)),
        "N",
    ),
    Option(
        "engine",
        f"Software stack to run, or '{_EVERY_ENGINE}' for every one that is available; repeatable, "
        "comma-separated in the environment.",
        (),
        f"the first available of {', '.join(ENGINES)}",
        one_of("engine", (*ENGINES, _EVERY_ENGINE)),
        "NAME",
        repeatable=True,
        setting="engines",
    ),
    Option(
        "reference",
        "Quiet reference of this machine, as amx-suite calibrate stores it.",
        None,
        "the one stored for this machine in the user's data folder, if any",
        to_path,
        "FILE",
    ),
    Option("require", "Fail, rather than skip, where AMX is missing.", False, "off"),
    Option(
        "strict",
        "Count an INCONCLUSIVE verdict, or a library's known defect, as a failure.",
        False,
        "off",
    ),
    Option(
        "wait",
        "Where another run measures on this machine, wait for it to end.",
        False,
        "off, this run is then refused",
    ),
    Option(
        "gates",
        "TOML table of minimum speedups, laid over the shipped one.",
        None,
        "the shipped table alone",
        to_path,
        "FILE",
    ),
    Option(
        "waivers",
        "TOML table of failures that are accepted for a while.",
        None,
        "none",
        to_path,
        "FILE",
    ),
    Option(
        "cores",
        "Physical cores of one NUMA node on which every arm runs, one thread on each.",
        None,
        f"{DEFAULT_CORES}, or as many as a node or the CPU quota has",
        whole_number(1, _MOST_CORES),
        "N",
        setting="instance",
    ),
    Option("seed", "Seed of weights, data and order.", 0, "0", whole_number(0, _LARGEST_SEED), "N"),
    Option(
        "budget",
        "Seconds that one launch of a trial may measure, three times that if it lacks only time; "
        "also of the whole machine, if below 600.",
        None,
        "by the level to which the trial belongs: "
        + ", ".join(f"{n}: {s:g}" for n, s in LEVEL_BUDGET_SECONDS.items()),
        to_seconds,
        "SECONDS",
        setting="budget_seconds",
    ),
    Option(
        "data",
        "Folder that holds CIFAR-10 (or receives it, with the download option).",
        None,
        "none, images are synthetic",
        to_path,
        "DIR",
    ),
    Option("download", "Allow downloads of data and weights.", False, "off"),
    Option(
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
        "Folder in which training runs save their checkpoint.",
        None,
        "none, nothing is saved",
        to_path,
        "DIR",
    ),
    Option(
        "soak",
        "Seconds for which level 4 keeps every CPU multiplying tiles and compares the results.",
        600.0,
        "600",
        to_seconds,
        "SECONDS",
        setting="soak_seconds",
    ),
    Option(
        "across",
        f"Also compare with a baseline of another {', '.join(CONDITIONS[:-1])} or "
        f"{CONDITIONS[-1]}; repeatable, comma-separated in the environment.",
        (),
        "none, such a baseline is refused",
        one_of("difference", CONDITIONS),
        "WHAT",
        repeatable=True,
    ),
    Option(
        "output",
        "Folder for the results.",
        None,
        "amx-results for `amx-suite qualify`; pytest writes none but mismatches, there too",
        to_path,
        "DIR",
    ),
)

#: Options that only a comparison uses.
COMPARE_OPTIONS = ("across",)


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
    """What the user asked for, with defaults filled in; the fields are those of ``OPTIONS``.

    ``engines`` is empty where none is available; an engine that the user named is in it even if
    it is not available. ``budget_seconds`` None means the level's (``budget_of``). ``weights`` are
    (model, file or folder or name), one for each model. Paths are absolute.
    """

    level: int
    engines: tuple[str, ...]
    reference: Path | None
    require: bool
    strict: bool
    wait: bool
    gates: Path | None
    waivers: Path | None
    instance: Instance
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
    def read(
        cls,
        namespace: argparse.Namespace,
        prefix: str = "",
        environ: Mapping[str, str] = os.environ,
    ) -> Settings:
        """Read what argparse (or pytest, in ``config.option``) found; raises UsageError."""
        values = {
            option.field: option.value_from(
                getattr(namespace, f"amx_{option.name}", None), environ, prefix
            )
            for option in OPTIONS
        }
        values["engines"] = _chosen_engines(values["engines"], prefix)
        values["instance"] = choose_instance(
            read_topology(),
            read_limits(),
            values["instance"],
            option=f"--{prefix}cores (or AMX_SUITE_CORES)",
        )
        settings = cls(**values)
        models = [model for model, _ in settings.weights]
        for model in models:
            if models.count(model) > 1:
                raise UsageError(
                    f"--{prefix}weights (or AMX_SUITE_WEIGHTS) names {model} twice; give each "
                    "model once"
                )
        if settings.data is not None and not settings.data.is_dir() and not settings.download:
            raise UsageError(
                f"--{prefix}data (or AMX_SUITE_DATA): there is no folder {settings.data}; name the "
                f"folder that holds CIFAR-10, or add --{prefix}download to have it fetched"
            )
        return settings

    def budget_of(self, level: int) -> float:
        """Seconds that a trial of that level may measure: as the user says, else the level's."""
        if self.budget_seconds is not None:
            return self.budget_seconds
        return LEVEL_BUDGET_SECONDS[level]

    def weights_of(self, model: str) -> str:
        """The weights chosen for a model, ``random`` where the user chose none."""
        return dict(self.weights).get(model, "random")


def _chosen_engines(asked: tuple[str, ...], prefix: str) -> tuple[str, ...]:
    if asked and _EVERY_ENGINE not in asked:
        return asked
    if len(asked) > 1:
        raise UsageError(
            f"--{prefix}engine (or AMX_SUITE_ENGINE): got {', '.join(asked)}; expected names, or "
            f"'{_EVERY_ENGINE}' alone"
        )
    available = tuple(name for name, engine in ENGINES.items() if engine.why_unavailable() is None)
    return available if asked else available[:1]
