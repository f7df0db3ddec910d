"""Compiled models on disk: found whole or not at all, and not without end."""

import os
import shutil
import time

import pytest

from amx_suite.engines import libraries

pytestmark = pytest.mark.selftest


@pytest.fixture
def keep(tmp_path):
    """Compile and keep a model of that content under a key."""

    def make(key, content=b"code"):
        made = tmp_path / "compiling"
        made.mkdir(exist_ok=True)
        (made / "model.so").write_bytes(content)
        (made / "model.json").write_bytes(b"calls")
        kept = libraries.keep(tmp_path, key, made)
        shutil.rmtree(made, ignore_errors=True)
        return kept

    return make


def test_models_are_found_by_key(keep, tmp_path):
    kept = keep("one")
    assert libraries.find(tmp_path, "one") == kept
    assert (kept / "model.so").read_bytes() == b"code"
    assert libraries.find(tmp_path, "on") is None
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize("content", [None, b"", b"cod", b"code+", b"c0de"], ids=str)
def test_damaged_models_are_removed(keep, tmp_path, content):
    kept = keep("one")
    if content is None:
        (kept / "model.json").unlink()
    else:
        (kept / "model.so").write_bytes(content)
    assert libraries.find(tmp_path, "one") is None
    assert not kept.exists()


def test_models_under_another_key_are_refused(keep, tmp_path):
    kept = keep("one")
    kept.rename(tmp_path / kept.name.replace("one", "two-one"))
    assert libraries.find(tmp_path, "two") is None


def test_two_processes_may_compile_the_same(keep, tmp_path):
    first, second = keep("one", b"code"), keep("one", b"the same, compiled again")
    assert keep("one", b"code") == first
    assert libraries.find(tmp_path, "one") in {first, second}


def test_longest_unused_models_make_room(keep, tmp_path, monkeypatch):
    monkeypatch.setattr(libraries, "_MOST_BYTES", 2 * len(b"code" + b"calls"))
    for age, key in enumerate(("one", "two"), start=1):
        os.utime(keep(key), (time.time() - 100 / age,) * 2)
    assert libraries.find(tmp_path, "one") is not None  # used just now
    keep("three")
    assert libraries.find(tmp_path, "two") is None
    assert libraries.find(tmp_path, "one") is not None
    alone = keep("four", b"more than the limit")
    assert list(tmp_path.iterdir()) == [alone]
