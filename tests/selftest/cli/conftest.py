"""Commands run without the settings of whoever runs the selftests."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AMX_SUITE_")]:
        monkeypatch.delenv(name)
