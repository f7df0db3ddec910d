"""Descriptor 1 is caught beneath Python's own stdout, and put back, in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.selftest

PREAMBLE = """\
import ctypes, os, sys
from amx_suite.worker.capture import captured_stdout
libc = ctypes.CDLL(None)
"""


def run(code):
    """Standard output and standard error of a program whose stdout is a pipe, hence buffered."""
    ran = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code], capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines(), ran.stderr.splitlines()


def test_what_is_written_meanwhile_is_caught_and_nothing_else():
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


def test_it_is_put_back_when_the_block_fails():
    out, _ = run(
        "try:\n"
        "    with captured_stdout():\n"
        "        print('lost')\n"
        "        1 / 0\n"
        "except ZeroDivisionError:\n"
        "    print('found')\n"
    )
    assert out == ["found"]


def test_no_descriptor_is_left_open():
    out, _ = run(
        "before = os.listdir('/proc/self/fd')\n"
        "for _ in range(5):\n"
        "    with captured_stdout():\n"
        "        pass\n"
        "print(len(os.listdir('/proc/self/fd')) - len(before))\n"
    )
    assert out == ["0"]


def test_a_long_log_does_not_block():
    out, _ = run(
        "with captured_stdout() as caught:\n    os.write(1, b'x' * 2**20)\nprint(len(caught[0]))\n"
    )
    assert out == [str(2**20)]
