"""Which limit an error speaks of, whoever words it, and that no other error speaks of one."""

import resource

import pytest

from amx_suite.child import limits
from amx_suite.child.limits import reached_limit
from amx_suite.errors import LimitReachedError, OutOfMemoryError

pytestmark = pytest.mark.selftest

#: What Python, PyTorch, libgomp, OpenBLAS, the loader and the C++ runtime say.
SAID = [
    ("[Errno 24] Too many open files: '/dev/null'", LimitReachedError, "ulimit -n"),
    ("OSError: [Errno 23] Too many open files in system", LimitReachedError, "ulimit -n"),
    ("BlockingIOError: [Errno 11] Resource temporarily unavailable", LimitReachedError, "pids.max"),
    ("RuntimeError: can't start new thread", LimitReachedError, "ulimit -u"),
    ("libgomp: Thread creation failed: Resource temporarily", LimitReachedError, "ulimit -u"),
    ("OpenBLAS blas_thread_init: pthread_create failed", LimitReachedError, "ulimit -u"),
    ("MemoryError: ", OutOfMemoryError, "smaller shape"),
    ("RuntimeError: DefaultCPUAllocator: can't allocate memory", OutOfMemoryError, "smaller shape"),
    ("what():  std::bad_alloc", OutOfMemoryError, "smaller shape"),
    ("libtorch.so: failed to map segment from shared object", OutOfMemoryError, "smaller shape"),
]


@pytest.mark.parametrize(("text", "kind", "remedy"), SAID)
def test_limit_is_named_with_its_remedy(text, kind, remedy):
    found, why = reached_limit(text)
    assert found is kind
    assert remedy in why
    assert "\n" not in why


@pytest.mark.parametrize("text", ["", "KeyError: 'memory'", "[Errno 2] No such file or directory"])
def test_other_errors_speak_of_no_limit(text):
    assert reached_limit(text) is None


def test_limit_of_address_space_is_blamed(monkeypatch):
    monkeypatch.setattr(
        limits.resource, "getrlimit", lambda kind: (2 << 30, resource.RLIM_INFINITY)
    )
    _, why = reached_limit("MemoryError")
    assert "ulimit -v: 2097152 KiB" in why
    assert "`ulimit -v unlimited`" in why
