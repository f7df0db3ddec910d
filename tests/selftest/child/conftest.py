"""Children with fake handlers; all of them end with the test, or with the module."""

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


@pytest.fixture(scope="module")
def child():
    """One that the tests of a module share; each leaves it alive."""
    with Child(OBEDIENT, label="fake") as shared:
        yield shared
