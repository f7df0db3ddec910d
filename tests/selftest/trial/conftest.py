"""Trials on fake workers and a fake clock."""

import functools

import fake_trial
import pytest


@pytest.fixture
def world():
    return fake_trial.World()


@pytest.fixture
def make_session(world):
    """Makes sessions on the fake machine."""
    return functools.partial(fake_trial.make_session, world)
