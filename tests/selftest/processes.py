"""What became of processes that a test started."""

import time

import psutil


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
