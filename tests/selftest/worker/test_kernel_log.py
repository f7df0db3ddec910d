"""Descriptor 1 is caught beneath Python's own stdout, in a process of its own; kernels add up."""

import subprocess
import sys

import pytest

from amx_suite.core.evidence import Family, KernelUse
from amx_suite.worker.kernel_log import add_up

pytestmark = pytest.mark.selftest

#: Its stdout is a pipe, hence buffered. The log is longer than a pipe holds.
PROGRAM = """
import ctypes, os, sys, tempfile
tempfile.tempdir = '/nowhere'
from amx_suite.worker.kernel_log import captured_stdout
libc = ctypes.CDLL(None)
print('python before')
libc.printf(b'c before\\n')
with captured_stdout() as caught:
    libc.printf(b'from C\\n')
    print('from Python')
    os.write(1, b'x' * 2**20 + b'\\n')
print('after')
libc.printf(b'c after\\n')
try:
    with captured_stdout():
        print('lost')
        1 / 0
except ZeroDivisionError:
    print('back after a failure')
print(caught[0], end='', file=sys.stderr)
"""


def test_only_output_of_the_block_is_caught():
    """Without a temporary folder, as when the disk is full."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(ran.stderr.splitlines()) == ["from C", "from Python", "x" * 2**20]
    said = ["after", "back after a failure", "c after", "c before", "python before"]
    assert sorted(ran.stdout.splitlines()) == said


def test_same_kernels_add_up_slowest_first():
    amx = KernelUse("matmul", "brg:avx10_1_512_amx", Family.AMX, 1, 0.5, "bf16")
    other = KernelUse("matmul", "brg:avx10_1_512_amx", Family.AMX, 1, 2.0, "s8")
    found = add_up([amx, other, amx])
    assert [(use.data_type, use.count, use.milliseconds) for use in found] == [
        ("s8", 1, 2.0),
        ("bf16", 2, 1.0),
    ]
