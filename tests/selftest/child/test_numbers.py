"""Many children: what each costs, and what happens where there are too many."""

import resource

import pytest
from processes import open_descriptors

from amx_suite.child import handle
from amx_suite.plugin import fixtures

pytestmark = pytest.mark.selftest


def test_a_child_costs_one_descriptor(start):
    before = open_descriptors()
    child = start()
    assert open_descriptors() == before + 1
    child.close()
    assert open_descriptors() == before


def test_a_child_raises_the_descriptor_limit(start):
    """Usually 1024 are allowed, and a machine may have more CPUs, each with a child."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 64, hard))
    try:
        start()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("limit", "most"), [(1024, 900), (64, 1), (resource.RLIM_INFINITY, 10**6)])
def test_most_children_follows_the_descriptor_limit(monkeypatch, limit, most):
    monkeypatch.setattr(handle, "_raise_descriptor_limit", lambda: limit)
    assert 0.9 * most <= handle.most_children() <= 1.1 * most


def test_the_least_recently_used_child_is_closed(monkeypatch):
    closed = []

    class Cheap:
        def __init__(self, number):
            self.number = number

        def close(self):
            closed.append(self.number)

    monkeypatch.setattr(fixtures, "most_children", lambda: 2)
    with fixtures._kept(Cheap) as child:
        first = child(1)
        child(2)
        assert child(1) is first
        child(3)
        assert closed == [2]
        assert child(1) is first
    assert sorted(closed) == [1, 2, 3]
