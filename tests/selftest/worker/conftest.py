"""Workers whose child has no torch."""

import os

import pytest

from amx_suite.core.isa import Isa
from amx_suite.worker.process import IsaWorker


@pytest.fixture
def start_fake():
    """Start a fake worker; all of them are ended with of the test."""
    started = []

    def start(isa=Isa.AVX512, **more):
        worker = IsaWorker(
            isa,
            "fake",
            threads=1,
            cpus=tuple(sorted(os.sched_getaffinity(0)))[:1],
            label="fake-case",
            module="fake_arm",
            **more,
        )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.close()
