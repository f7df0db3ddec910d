"""README and docs name commands, options, figures and pages that exist."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from amx_suite import cli, errors
from amx_suite.cli.entry import COMMANDS
from amx_suite.cli.fleet import SUBCOMMANDS
from amx_suite.core.run import ExitCode
from amx_suite.gates.loader import load_gates
from amx_suite.host.health_rules import _RULES
from amx_suite.host.instance import Instance
from amx_suite.host.reasons import Reason
from amx_suite.plugin import fixtures
from amx_suite.plugin.options import LEVEL_BUDGET_SECONDS, OPTIONS, Settings
from amx_suite.plugin.time_left import run_time
from amx_suite.workloads import WORKLOADS

pytestmark = pytest.mark.selftest

ROOT = Path(__file__).parents[3]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}
#: Each command with arguments of its own.
EACH_COMMAND = (*(COMMANDS.keys() - {"fleet"}), *(f"fleet {name}" for name in SUBCOMMANDS))
each_page = pytest.mark.parametrize("page", PAGES)

#: Options of pip, docker, wsl, rasdaemon, Bencher, ReFrame, Slurm and of scripts in benchmarks/.
OTHERS_OPTIONS = {
    *(
        "no-index",
        "find-links",
        "no-deps",
        "security-opt",
        "update",
        "load",
        "slower",
        "errors",
        "user",
        "project",
        "token",
        "testbed",
        "adapter",
        "file",
        "threshold-measure",
        "threshold-test",
        "threshold-max-sample-size",
        "threshold-upper-boundary",
        "err",
        # ReFrame's and Slurm's.
        *("distribute", "exec-policy", "prefix", "system", "exclusive", "mem"),
    )
}

FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def code(page: str) -> str:
    """Everything on a page that stands as code."""
    fenced = FENCED.findall(page)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", FENCED.sub("", page))])


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text))


def commands_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])amx-suite ([a-z]+)", text))


def own_options(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The options of a command, those in ``OPTIONS`` left out."""
    cli.main([*command.split(), "--help"])
    found = options_in(capsys.readouterr().out)
    shared = {option.name for option in OPTIONS}
    return {name for name in found if name.removeprefix("no-") not in shared} - {"help"}


def anchors(page: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: str, folder: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page)):
        name, _, anchor = target.partition("#")
        path = folder / name
        if target.startswith("https://") or (path.exists() and not anchor):
            continue
        text = path.read_text(encoding="utf-8") if path.is_file() else "" if name else page
        if anchor not in anchors(text):
            yield target


def row(text: str, start: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


@each_page
def test_links_and_anchors_resolve(page: str) -> None:
    assert list(broken_links(PAGES[page], (ROOT / page).parent)) == []


def test_broken_links_are_found() -> None:
    page = "# One\n[a](README.md) [b](no.md) [c](#one) [d](#two) [e](README.md#no)\n"
    assert list(broken_links(page, ROOT)) == ["no.md", "#two", "README.md#no"]


@each_page
def test_options_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    shared = {option.name for option in OPTIONS}
    known = OTHERS_OPTIONS | shared | {"help", "version"}
    known |= {f"{no}{amx}{name}" for name in shared for no in ("", "no-") for amx in ("", "amx-")}
    for command in EACH_COMMAND:
        known |= own_options(command, capsys)
    named = options_in(code(PAGES[page]))
    assert {name for name in named - known if not name.startswith("benchmark-")} == set()


@each_page
def test_commands_exist(page: str) -> None:
    text = code(PAGES[page])
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert commands_in(text) <= set(COMMANDS)
    assert set(re.findall(r"(?:^|\s|`)make ([a-z]+)", text)) <= targets


def test_unknown_names_are_found() -> None:
    text = code(
        "`amx-suite prophesy --level 2 --amx-levle 3`\n```\namx-suite qualify --engin x\n```"
    )
    assert commands_in(text) == {"prophesy", "qualify"}
    assert options_in(text) == {"level", "amx-levle", "engin"}


def test_readme_names_every_command_and_code() -> None:
    readme = PAGES["README.md"]
    assert commands_in(code(readme)) == set(COMMANDS)
    for exit_code in ExitCode:
        row(readme, str(int(exit_code)))


def test_every_option_is_documented() -> None:
    rows = [line for line in PAGES["docs/options.md"].splitlines() if line.startswith("| `--")]
    assert len(rows) == len(OPTIONS)
    for option, line in zip(OPTIONS, rows, strict=True):
        metavar = "" if option.metavar is None else f" {option.metavar}"
        assert f"| `--{option.name}{metavar}` | `--amx-{option.name}` |" in line


def test_every_own_option_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    for command in EACH_COMMAND:
        (line,) = (
            line
            for line in PAGES["docs/options.md"].splitlines()
            if re.match(rf"\| `amx-suite {command}\b", line)
        )
        assert own_options(command, capsys) <= options_in(line)


@pytest.mark.parametrize("page", ["README.md", "docs/options.md"])
def test_budgets_are_right(page: str) -> None:
    cells = row(PAGES[page], "`--budget SECONDS`")
    numbers = re.findall(r"\d+", cells[-1].rpartition(":")[2])
    assert set(map(float, numbers)) == set(LEVEL_BUDGET_SECONDS.values())


def test_shapes_stand_at_their_levels() -> None:
    for workload in WORKLOADS.values():
        for (mode, level), shape in workload.shapes.items():
            cells = " ".join(row(PAGES["docs/options.md"], str(level)))
            assert str(shape) in cells, f"{workload.name} {mode}"


@pytest.mark.parametrize("level", LEVEL_BUDGET_SECONDS)
def test_design_times_are_those_computed(level: int) -> None:
    settings = msgspec.structs.replace(
        Settings.read(argparse.Namespace(), environ={}),
        level=level,
        engines=("ipex",),
        instance=Instance((0, 1)),
    )
    assert row(PAGES["docs/options.md"], str(level))[1] == str(run_time(settings))
    if level == 3:
        assert f"{run_time(settings)} by design" in PAGES["README.md"].replace("\n", " ")


def test_minima_are_those_of_the_table() -> None:
    columns = [("bf16", "fp32"), ("bf16", "no-amx"), ("int8", "fp32"), ("int8", "no-amx")]
    for gate in load_gates(None):
        start = "any other: engine, cores, shapes of level 4"
        if gate.cores is not None:
            start = f"{gate.workload.model} {gate.workload.mode} {gate.shape}, "
            cores = " to ".join(map(str, dict.fromkeys(gate.cores)))
            start += f"`{gate.engine}`" if gate.engine else "any engine"
            start += f", {cores} cores"
        cells = row(PAGES["docs/gates.md"], start)
        assert cells[1 + columns.index((gate.precision, gate.versus))] == f"{gate.minimum:.2f}"


def first_cells(page: str, heading: str) -> list[str]:
    """What stands as code in the first cell of each row of a section's tables."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_every_reason_has_its_row() -> None:
    rows = first_cells(PAGES["docs/troubleshooting.md"], "Reason codes")
    assert sorted(rows) == sorted(Reason)


def test_every_error_has_its_row() -> None:
    rows = first_cells(PAGES["docs/troubleshooting.md"], "Errors")
    assert sorted(rows) == sorted(errors.__all__)
    for name in errors.__all__:
        assert re.search(rf"\b{name}\b", errors.__doc__ or ""), "the tree draws every error"


def test_all_errors_are_in_one_tree() -> None:
    declared = {
        name
        for path in (ROOT / "amx_suite").rglob("*.py")
        for name in re.findall(r"^class ([A-Z]\w*Error)\b", path.read_text(), re.MULTILINE)
    }
    assert declared == set(errors.__all__)


def test_rows_left_over_are_found() -> None:
    page = "# A\n## One\n| `a` | x |\n| `b` | `c` |\n## Two\n| `d` | x |\n"
    assert first_cells(page, "One") == ["a", "b"]


def test_every_rule_of_health_has_its_row() -> None:
    for rule in _RULES:
        assert f" | {rule.why} | " in PAGES["docs/troubleshooting.md"]


def test_every_fixture_has_its_row() -> None:
    for name in fixtures.__all__:
        if name.islower():
            row(PAGES["docs/extending.md"], f"`{name}`")
