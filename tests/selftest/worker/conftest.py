"""Workers whose child has no torch."""

import os
import sys
from pathlib import Path

import pytest

from amx_suite.core.isa import Isa
from amx_suite.worker.process import IsaWorker, Timeouts

FAKE_CHILD = (sys.executable, str(Path(__file__).with_name("fake_child.py")))


@pytest.fixture
def start_fake():
    """Start a fake worker; all of them are killed at the end of the test."""
    started = []

    def start(isa=Isa.AVX512, *, work_seconds=20.0, program=FAKE_CHILD, **more):
        worker = IsaWorker(
            isa,
            "fake",
            threads=1,
            cpus=tuple(sorted(os.sched_getaffinity(0)))[:1],
            label=more.pop("label", "fake-case"),
            timeouts=Timeouts(start=20.0, prepare=20.0, work=work_seconds),
            program=program,
            **more,
        )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()
