"""Descriptor 1 is caught beneath Python's own stdout, in a process of its own; kernels add up."""

import subprocess
import sys

import pytest

from amx_suite.core.evidence import Family, KernelUse
from amx_suite.worker.kernel_log import add_up

pytestmark = pytest.mark.selftest

PREAMBLE = """\
import ctypes, os, sys
from amx_suite.worker.kernel_log import captured_stdout
libc = ctypes.CDLL(None)
"""


def run(code):
    """Standard output and standard error of a program whose stdout is a pipe, hence buffered."""
    ran = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code], capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines(), ran.stderr.splitlines()


def test_only_output_of_the_block_is_caught():
    out, err = run(
        "print('python before')\n"
        "libc.printf(b'c before\\n')\n"
        "with captured_stdout() as caught:\n"
        "    libc.printf(b'from C\\n')\n"
        "    print('from Python')\n"
        "    os.write(1, b'from the kernel\\n')\n"
        "print('after')\n"
        "libc.printf(b'c after\\n')\n"
        "print(caught[0], end='', file=sys.stderr)\n"
    )
    assert sorted(err) == ["from C", "from Python", "from the kernel"]
    assert sorted(out) == ["after", "c after", "c before", "python before"]


def test_stdout_is_back_after_a_failure():
    out, _ = run(
        "try:\n"
        "    with captured_stdout():\n"
        "        print('lost')\n"
        "        1 / 0\n"
        "except ZeroDivisionError:\n"
        "    print('found')\n"
    )
    assert out == ["found"]


def test_a_long_log_does_not_block():
    out, _ = run(
        "with captured_stdout() as caught:\n    os.write(1, b'x' * 2**20)\nprint(len(caught[0]))\n"
    )
    assert out == [str(2**20)]


def test_same_kernels_add_up_slowest_first():
    amx = KernelUse("matmul", "brg:avx10_1_512_amx", Family.AMX, 1, 0.5, "bf16")
    other = KernelUse("matmul", "brg:avx10_1_512_amx", Family.AMX, 1, 2.0, "s8")
    found = add_up([amx, other, amx])
    assert [(use.data_type, use.count, use.milliseconds) for use in found] == [
        ("s8", 1, 2.0),
        ("bf16", 2, 1.0),
    ]
