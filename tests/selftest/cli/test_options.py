from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest

from amx_suite import option_values
from amx_suite.engines import ENGINES
from amx_suite.errors import UnknownNameError, UsageError
from amx_suite.options import LEVEL_BUDGET_SECONDS, OPTIONS, Settings, add_options

pytestmark = pytest.mark.selftest

ENGINE = next(iter(ENGINES))


def settings(
    given: dict[str, Any] | None = None, environ: dict[str, str] | None = None, prefix: str = ""
) -> Settings:
    return Settings.from_given(given or {}, environ or {}, prefix)


def parsed(*argv: str, prefix: str = "") -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser.add_argument, prefix)
    return parser.parse_args(argv)


def test_defaults() -> None:
    found = settings()
    assert (found.level, found.seed, found.budget_seconds) == (2, 0, None)
    assert found.threads == len(os.sched_getaffinity(0))
    assert found.engines == tuple(n for n, e in ENGINES.items() if e.why_unavailable() is None)
    assert not any((found.require, found.strict, found.wait, found.download))
    assert found.gates is found.data is found.checkpoint is found.output is None
    assert found.weights == ()


@pytest.mark.parametrize("level", LEVEL_BUDGET_SECONDS)
def test_the_budget_follows_the_trials_level_unless_it_is_given(level: int) -> None:
    assert settings({}).budget_of(level) == LEVEL_BUDGET_SECONDS[level]
    assert settings({"budget": "7.5"}).budget_of(level) == 7.5


def test_the_command_line_wins_over_the_environment_and_that_over_the_default() -> None:
    environ = {"AMX_SUITE_LEVEL": "3", "AMX_SUITE_SEED": "5"}
    found = settings({"level": "4"}, environ)
    assert (found.level, found.seed) == (4, 5)


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("Yes", True), ("off", False)])
def test_flags_are_switched_by_the_environment_and_by_the_command_line(
    text: str, expected: bool
) -> None:
    environ = {"AMX_SUITE_REQUIRE": text, "AMX_SUITE_WAIT": text}
    found = settings({}, environ)
    assert found.require is found.wait is expected
    found = settings({"require": not expected, "wait": not expected}, environ)
    assert found.require is found.wait is not expected


def test_an_empty_value_means_not_given(tmp_path: Path) -> None:
    assert settings({}, {"AMX_SUITE_LEVEL": "", "AMX_SUITE_STRICT": ""}).level == 2
    environ = {"AMX_SUITE_OUTPUT": str(tmp_path)}
    assert settings({}, environ).output == tmp_path
    assert settings({"output": ""}, environ).output is None


def test_repeatable_options_are_repeated_or_separated_by_commas() -> None:
    assert settings({"engine": [ENGINE, ENGINE]}).engines == (ENGINE,)
    environ = {"AMX_SUITE_WEIGHTS": "resnet50=some/name, bert=other"}
    found = settings({}, environ)
    assert found.weights == (("resnet50", "some/name"), ("bert", "other"))
    assert found.weights_of("bert") == "other"
    assert found.weights_of("gemm") == "random"


def test_weights_that_exist_here_become_absolute_and_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.pth").touch()
    assert settings({"weights": ["bert=file.pth"]}).weights_of("bert") == str(tmp_path / "file.pth")
    assert settings({"weights": ["bert=nobody/model"]}).weights_of("bert") == "nobody/model"


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
        ("level", "two", "a whole number from 1 to 4"),
        ("level", "1.0", "a whole number from 1 to 4"),
        ("threads", "0", "a whole number from 1 to"),
        ("threads", "999999", "CPUs this process may use"),
        ("seed", "-1", "a whole number from 0 to 4294967295"),
        ("seed", "4294967296", "a whole number from 0 to 4294967295"),
        ("budget", "0", "a number of seconds above 0"),
        ("budget", "nan", "a number of seconds above 0"),
        ("budget", "inf", "a number of seconds above 0"),
        ("budget", "20s", "a number of seconds above 0"),
        ("weights", "resnet50", "MODEL=PATH"),
        ("weights", "=file", "MODEL=PATH"),
        ("weights", "resnet50=", "MODEL=PATH"),
        ("gates", "~nobody-of-that-name/x", "a path whose '~user' exists"),
    ],
)
def test_a_bad_value_names_its_source_what_was_given_and_what_was_expected(
    name: str, text: str, expected: str
) -> None:
    option = next(option for option in OPTIONS if option.name == name)
    given = [text] if option.repeatable else text
    for prefix in ("", "amx-"):
        with pytest.raises(UsageError) as caught:
            settings({name: given}, prefix=prefix)
        message = str(caught.value)
        assert message.startswith(f"--{prefix}{name}: got '{text}', expected ")
        assert expected in message
    with pytest.raises(UsageError) as caught:
        settings({}, {option.variable: text})
    assert str(caught.value).startswith(f"AMX_SUITE_{name.upper()}: got '{text}', expected ")


def test_a_bad_switch_in_the_environment_names_its_variable() -> None:
    with pytest.raises(UsageError, match="AMX_SUITE_STRICT: got 'maybe', expected one of 1, true"):
        settings({}, {"AMX_SUITE_STRICT": "maybe"})


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match=rf"engine in --amx-engine 'nope'.*{ENGINE}"):
        settings({"engine": ["nope"]}, prefix="amx-")
    with pytest.raises(UnknownNameError, match="engine in AMX_SUITE_ENGINE 'nope'"):
        settings({}, {"AMX_SUITE_ENGINE": "nope"})
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet50'"):
        settings({"weights": ["resnet=x"]})


def test_differences_to_compare_across_are_of_known_kinds() -> None:
    assert settings({"across": ["machine", "shape"]}).across == ("machine", "shape")
    assert settings({}, {"AMX_SUITE_ACROSS": "software,seed"}).across == ("software", "seed")
    with pytest.raises(UnknownNameError, match=r"difference in --across 'torch'.*software"):
        settings({"across": ["torch"]})


def test_a_model_has_one_set_of_weights() -> None:
    with pytest.raises(UsageError, match=r"weights .* names bert twice"):
        settings({"weights": ["bert=a", "bert=b"]})


def test_data_must_be_there_unless_it_may_be_downloaded(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    with pytest.raises(UsageError, match="--amx-download"):
        settings({"data": absent}, prefix="amx-")
    assert settings({"data": absent, "download": True}).data == Path(absent)
    assert settings({"data": str(tmp_path)}).data == tmp_path


def test_more_threads_than_cpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(option_values, "allowed_cpus", lambda: 4)
    assert settings({"threads": "4"}).threads == 4
    with pytest.raises(UsageError, match="from 1 to 4"):
        settings({"threads": "5"})


@pytest.mark.parametrize("prefix", ["", "amx-"])
def test_the_argv_for_a_child_gives_it_the_same_settings(prefix: str, tmp_path: Path) -> None:
    environ = {
        "AMX_SUITE_LEVEL": "3",
        "AMX_SUITE_BUDGET": "2.5",
        "AMX_SUITE_REQUIRE": "1",
        "AMX_SUITE_WAIT": "1",
        "AMX_SUITE_WEIGHTS": "bert=a,resnet50=b",
        "AMX_SUITE_DATA": str(tmp_path),
    }
    found = settings({}, environ, prefix)
    namespace = parsed(*found.argv(prefix), prefix=prefix)
    given = {option.name: getattr(namespace, f"amx_{option.name}") for option in OPTIONS}
    against = {"AMX_SUITE_STRICT": "1", "AMX_SUITE_GATES": "x", "AMX_SUITE_SEED": "9"}
    assert Settings.from_given(given, against, prefix) == found


def test_every_option_is_one_row_with_a_help_that_names_default_and_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # or argparse would break lines within a default
    assert {option.field for option in OPTIONS} == set(Settings.__struct_fields__)
    parser = argparse.ArgumentParser()
    add_options(parser.add_argument, "amx-")
    text = " ".join(parser.format_help().split())
    for option in OPTIONS:
        assert f"--amx-{option.name}" in text
        assert option.variable in text
        assert option.default_text in text


def test_pytest_takes_the_same_options(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from amx_suite.options import Settings

        def pytest_configure(config):
            found = Settings.from_pytest(config)
            print(f"found {found.level} {found.seed} {found.require} {found.weights}")
        """
    )
    result = pytester.runpytest_subprocess(
        "--amx-level=1", "--amx-require", "--amx-weights", "bert=x", "--collect-only"
    )
    result.stdout.fnmatch_lines(["*found 1 0 True (('bert', 'x'),)*"])
