"""Running code in a fork of this process, and what became of processes that a test started."""

import functools
import gc
import importlib.metadata
import os
import signal
import subprocess
import sys
import time

import psutil

from amx_suite.child.main import exit_code_of, fork

_MOST_SECONDS = 120


@functools.cache
def _packages_with_plugins():
    """What ``importlib.metadata.distributions`` returns, without packages that have no plugin."""
    return [
        package
        for package in importlib.metadata.distributions()
        if package.entry_points.select(group="pytest11")
    ]


class Forked:
    """``work`` in a folder and environment, in a fork, which has done its imports already.

    ``pid`` is its process.
    """

    def __init__(self, work, folder, environ):
        reading, writing = os.pipe()
        # Found once, and inherited by the forks.
        _packages_with_plugins()

        def run():
            # pytest collects garbage some ten times as it ends, and need not look at what is ours.
            gc.disable()
            gc.freeze()
            # It looks for plugins in every installed package.
            importlib.metadata.distributions = _packages_with_plugins
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)
            os.environ.clear()
            os.environ.update(environ)
            os.chdir(folder)
            signal.alarm(_MOST_SECONDS)
            # A shell that starts the tests in the background, or nohup, has them ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            return int(work())

        self.pid = fork(run)
        os.close(writing)
        self._stream = os.fdopen(reading)

    def wait(self):
        """Its exit code and all that it wrote, as ``returncode`` and ``stdout``, once it ended."""
        with self._stream as stream:
            text = stream.read()
        return subprocess.CompletedProcess("fork", exit_code_of(self.pid), text)


def gone(pid, seconds=5.0):
    """Whether the process ends (or is a mere zombie) within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def descendants(pid):
    """Process ids of all that descend from it now."""
    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def open_descriptors():
    return psutil.Process().num_fds()
