"""Every option as pytest, the command line and the environment read it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from amx_suite.core.instance import Instance
from amx_suite.engines import ENGINES
from amx_suite.errors import UnknownNameError, UsageError
from amx_suite.host.instance import choose_instance
from amx_suite.host.limits import Limits, read_limits
from amx_suite.host.topology import Core, Topology, read_topology
from amx_suite.plugin import options
from amx_suite.plugin.options import LEVEL_BUDGET_SECONDS, OPTIONS, Settings, add_options

pytestmark = pytest.mark.selftest


def settings(
    given: dict[str, Any] | None = None, environ: dict[str, str] | None = None, prefix: str = ""
) -> Settings:
    named = {f"amx_{name}": value for name, value in (given or {}).items()}
    return Settings.read(argparse.Namespace(**named), prefix, environ or {})


def test_defaults() -> None:
    found = settings()
    assert (found.level, found.seed, found.budget_seconds) == (2, 0, None)
    assert found.instance == choose_instance(read_topology(), read_limits())
    assert not any((found.require, found.strict, found.wait, found.download))
    assert found.gates is found.data is found.checkpoint is found.output is None
    assert found.weights == ()


@pytest.fixture
def available(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the engines that are available; a test changes them."""
    names = set(ENGINES)
    for name, engine in ENGINES.items():

        def why(self: object, name: str = name) -> str | None:
            return None if name in names else "not here"

        monkeypatch.setattr(type(engine), "why_unavailable", why)
    return names


def test_one_engine_by_default(available: set[str]) -> None:
    for name in ("ipex", "inductor", "eager"):
        assert settings().engines == (name,)
        available.remove(name)
    assert settings().engines == ()


def test_all_is_every_available_engine(available: set[str]) -> None:
    available.remove("ipex")
    assert settings({"engine": ["all"]}).engines == ("inductor", "eager")
    assert settings({}, {"AMX_SUITE_ENGINE": "all"}).engines == ("inductor", "eager")


def test_named_engines_are_kept(available: set[str]) -> None:
    available.clear()
    assert settings({"engine": ["eager", "ipex", "eager"]}).engines == ("eager", "ipex")
    assert settings({}, {"AMX_SUITE_ENGINE": "eager,ipex"}).engines == ("eager", "ipex")


def test_all_beside_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--amx-engine .* got all, ipex; expected names"):
        settings({"engine": ["all", "ipex"]}, prefix="amx-")
    with pytest.raises(UsageError, match="'all' alone"):
        settings({}, {"AMX_SUITE_ENGINE": "eager,all"})


@pytest.mark.parametrize("level", LEVEL_BUDGET_SECONDS)
def test_budget_follows_the_trials_level(level: int) -> None:
    assert settings({}).budget_of(level) == LEVEL_BUDGET_SECONDS[level]
    assert settings({"budget": "7.5"}).budget_of(level) == 7.5


def test_command_line_wins_over_environment() -> None:
    environ = {"AMX_SUITE_LEVEL": "3", "AMX_SUITE_SEED": "5"}
    found = settings({"level": "4"}, environ)
    assert (found.level, found.seed) == (4, 5)


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("Yes", True), ("off", False)])
def test_flags_have_both_forms(text: str, expected: bool) -> None:
    environ = {"AMX_SUITE_REQUIRE": text}
    assert settings({}, environ).require is expected
    assert settings({"require": not expected}, environ).require is not expected


def test_empty_value_means_not_given(tmp_path: Path) -> None:
    assert settings({}, {"AMX_SUITE_LEVEL": "", "AMX_SUITE_STRICT": ""}).level == 2
    environ = {"AMX_SUITE_OUTPUT": str(tmp_path)}
    assert settings({}, environ).output == tmp_path
    assert settings({"output": ""}, environ).output is None


def test_weights_by_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.pth").touch()
    found = settings({}, {"AMX_SUITE_WEIGHTS": "resnet50=file.pth, bert=nobody/model"})
    assert found.weights_of("resnet50") == str(tmp_path / "file.pth")
    assert found.weights_of("bert") == "nobody/model"
    assert found.weights_of("gemm") == "random"


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings({"output": "here"}).output == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings({"gates": "~/gates.toml"}).gates == tmp_path / "gates.toml"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("level", "0", "a whole number from 1 to 4"),
        ("level", "5", "a whole number from 1 to 4"),
        ("level", "1.0", "a whole number from 1 to 4"),
        ("cores", "0", "a whole number from 1 to"),
        ("seed", "-1", "a whole number from 0 to 4294967295"),
        ("seed", "4294967296", "a whole number from 0 to 4294967295"),
        ("budget", "0", "a number of seconds above 0"),
        ("budget", "nan", "a number of seconds above 0"),
        ("budget", "20s", "a number of seconds above 0"),
        ("weights", "resnet50", "MODEL=PATH"),
        ("weights", "=file", "MODEL=PATH"),
        ("gates", "~nobody-of-that-name/x", "a path whose '~user' exists"),
    ],
)
def test_bad_value_names_source_and_expectation(name: str, text: str, expected: str) -> None:
    option = next(option for option in OPTIONS if option.name == name)
    given = [text] if option.repeatable else text
    with pytest.raises(UsageError) as caught:
        settings({name: given}, prefix="amx-")
    message = str(caught.value)
    assert message.startswith(f"--amx-{name}: got '{text}', expected ")
    assert expected in message
    with pytest.raises(UsageError) as caught:
        settings({}, {option.variable: text})
    assert str(caught.value).startswith(f"AMX_SUITE_{name.upper()}: got '{text}', expected ")


def test_bad_switch_names_its_variable() -> None:
    with pytest.raises(UsageError, match="AMX_SUITE_STRICT: got 'maybe', expected one of 1, true"):
        settings({}, {"AMX_SUITE_STRICT": "maybe"})


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UnknownNameError, match=r"engine in --amx-engine 'nope'.*all, .*ipex"):
        settings({"engine": ["nope"]}, prefix="amx-")
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet50'"):
        settings({"weights": ["resnet=x"]})
    with pytest.raises(UnknownNameError, match=r"difference in --across 'torch'.*software"):
        settings({"across": ["torch"]})


def test_model_has_one_set_of_weights() -> None:
    with pytest.raises(UsageError, match=r"weights .* names bert twice"):
        settings({"weights": ["bert=a", "bert=b"]})


def test_data_must_exist_unless_downloaded(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    with pytest.raises(UsageError, match="--amx-download"):
        settings({"data": absent}, prefix="amx-")
    assert settings({"data": absent, "download": True}).data == Path(absent)
    assert settings({"data": str(tmp_path)}).data == tmp_path


def test_cores_within_node_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = tuple(Core((cpu,), (cpu,), node=0) for cpu in range(8))
    monkeypatch.setattr(options, "read_topology", lambda: Topology(cores))
    monkeypatch.setattr(options, "read_limits", Limits)
    assert settings().instance == Instance((1, 2, 3, 4), 0)
    assert settings({"cores": "6"}).instance.cores == 6
    with pytest.raises(
        UsageError, match=r"--amx-cores \(or AMX_SUITE_CORES\): got 9, .*from 1 to 8"
    ):
        settings({"cores": "9"}, prefix="amx-")
    monkeypatch.setattr(options, "read_limits", lambda: Limits(cpus=2.5))
    assert settings().instance.cores == 2
    with pytest.raises(UsageError, match="got 3, but a CPU quota"):
        settings({"cores": "3"})


def test_help_names_defaults_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # or argparse breaks lines within a default
    assert {option.field for option in OPTIONS} == set(Settings.__struct_fields__)
    parser = argparse.ArgumentParser()
    add_options(parser.add_argument, "amx-")
    text = " ".join(parser.format_help().split())
    assert "Default: the first available of ipex, inductor, eager." in text
    for option in OPTIONS:
        assert f"--amx-{option.name}" in text
        assert option.variable in text
        assert option.default_text in text
