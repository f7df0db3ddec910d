"""The machine's lock around a pytest run that measures it."""

from __future__ import annotations

__all__ = ["release", "take"]

from collections.abc import Callable, Iterable

import pytest

from amx_suite.host.lock import MachineLock

_LOCK = pytest.StashKey[MachineLock]()


def take(config: pytest.Config, items: Iterable[pytest.Item], *, wait: bool) -> None:
    """Take the machine's lock if the run is going to time any of the items.

    Raises MachineLockError where another run holds it and ``wait`` is False.
    """
    if _times(config) and any(map(_is_timed, items)):
        config.stash[_LOCK] = MachineLock().acquire(wait, _sayer(config))


def release(config: pytest.Config) -> None:
    """Release the lock if this run holds it."""
    lock = config.stash.get(_LOCK, None)
    if lock is not None:
        lock.release()


def _times(config: pytest.Config) -> bool:
    """Whether timed tests are going to time anything; under xdist they refuse to."""
    disabled = config._benchmarksession.disabled  # type: ignore[attr-defined]
    collect_only = config.getoption("collectonly")
    return not (disabled or collect_only or hasattr(config, "workerinput"))


def _is_timed(item: pytest.Item) -> bool:
    """Whether the test times the machine; one of another project may bear the same marker."""
    fixtures: Iterable[str] = getattr(item, "fixturenames", ())
    return item.get_closest_marker("performance") is not None and "amx_support" in fixtures


def _sayer(config: pytest.Config) -> Callable[[str], None]:
    terminal = config.pluginmanager.getplugin("terminalreporter")

    def say(text: str) -> None:
        if terminal is not None:
            terminal.write_line(text)
            terminal.flush()  # into a pipe, too, before a wait that may be long

    return say
