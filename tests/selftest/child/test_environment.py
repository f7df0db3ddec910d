"""What a child gets of the user's variables, and what it gets where the user has too few."""

import os
import pwd
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_handlers import Do, Told

from amx_suite.child.environment import PYTHON_SWITCHES, child_variables
from amx_suite.errors import OutputError

pytestmark = pytest.mark.selftest

FOLDER = Path("/tmp/child")


@pytest.fixture
def no_account(monkeypatch):
    """The user's id is in no table of accounts, as in a container."""

    def lookup(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", lookup)


def test_pythons_switches_reach_no_child(start, monkeypatch):
    for name in PYTHON_SWITCHES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    told = start().ask(Do("environment"), Told).text.splitlines()
    found = dict(line.split("=", 1) for line in told if "=" in line)
    assert PYTHON_SWITCHES & found.keys() == {"PYTHONWARNINGS"}
    assert found["PYTHONWARNINGS"] == "ignore"


@pytest.mark.usefixtures("no_account")
def test_a_user_without_account_gets_both():
    found = child_variables({}, FOLDER)
    assert (found["HOME"], found["USER"]) == (str(FOLDER), f"uid-{os.getuid()}")


def test_the_accounts_home_and_name_are_used():
    account = pwd.getpwuid(os.getuid())
    for given in ({}, {"HOME": "", "USER": ""}, {"HOME": "relative"}):
        found = child_variables(given, FOLDER)
        assert (found["HOME"], found["USER"]) == (account.pw_dir, account.pw_name)


@pytest.mark.usefixtures("no_account")
def test_the_users_home_and_name_stay():
    given = {"HOME": "/home/joe", "LOGNAME": "joe", "HF_HOME": "/models", "HF_ENDPOINT": "http://x"}
    found = child_variables(given, FOLDER)
    assert given.items() <= found.items()
    assert "USER" not in found


def test_relative_folders_are_ignored():
    given = {"XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "/data"}
    found = child_variables(given, FOLDER)
    assert "XDG_CACHE_HOME" not in found
    assert found["XDG_DATA_HOME"] == "/data"


@pytest.mark.parametrize("ignored", [False, True])
def test_pythonhome_goes_where_python_ignores_it(monkeypatch, ignored):
    """A relocated Python needs it, and one that was started with -E never saw it."""
    monkeypatch.setattr(sys, "flags", SimpleNamespace(ignore_environment=ignored))
    assert ("PYTHONHOME" in child_variables({"PYTHONHOME": "/opt"}, FOLDER)) is not ignored


def test_without_temporary_folder_tmpdir_is_named(start, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/nowhere/at/all"])
    with pytest.raises(OutputError, match="name one in TMPDIR"):
        start()
