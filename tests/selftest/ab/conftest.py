"""Comparisons on the fake machine."""

import msgspec
import pytest
from fake_sides import Bench
from fake_trial import full_trial

from amx_suite.core.case import Mode


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def training():
    """The workload of a training comparison."""
    return msgspec.structs.replace(full_trial().workload, mode=Mode.TRAINING)
