"""Children with fake handlers; all of them end with the test."""

import pytest
from fake_handlers import OBEDIENT

from amx_suite.child.handle import Child


@pytest.fixture
def start():
    started = []

    def child(handler=OBEDIENT, **more):
        started.append(Child(handler, **{"label": "fake", **more}))
        return started[-1]

    yield child
    for each in started:
        each.close()
