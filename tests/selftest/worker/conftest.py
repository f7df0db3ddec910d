"""Workers whose child has no torch."""

import os

import pytest

from amx_suite.core.isa import Isa
from amx_suite.worker.process import IsaWorker


@pytest.fixture
def start_fake():
    """Start a fake worker; all of them end with the test."""
    started = []

    def start(isa=Isa.AVX512, module="fake_arm"):
        cpus = tuple(sorted(os.sched_getaffinity(0)))[:1]
        started.append(IsaWorker(isa, "eager", cpus=cpus, module=module))
        return started[-1]

    yield start
    for worker in started:
        worker.close()
