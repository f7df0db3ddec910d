"""Installed packages by decree."""

import importlib.metadata

import pytest


@pytest.fixture
def installed(monkeypatch):
    """Have the packages' metadata name these versions and no other package."""

    def decree(**versions):
        def version(name):
            try:
                return versions[name.replace("-", "_")]
            except KeyError:
                raise importlib.metadata.PackageNotFoundError(name) from None

        monkeypatch.setattr(importlib.metadata, "version", version)

    return decree
