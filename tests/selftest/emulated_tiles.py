"""Runs a program on a CPU that refuses tile instructions, and emulates them.

The program is traced (ptrace). Every tile instruction stops it by SIGILL. The instruction is
decoded here and done on the program's memory and on tiles kept here, and the program continues
after it. So the machine code itself runs, and only the tiles are not the CPU's. Source of encodings
and operations: Intel SDM volume 2.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np

from amx_suite.tmul.instructions import INSTRUCTIONS

_TRACEME, _CONT, _GETREGS, _SETREGS = 0, 7, 12, 13

#: struct user_regs_struct of x86-64, and the index in it of each register by its number in code.
_REGISTERS = struct.Struct("27Q")
_NUMBERED = (10, 11, 12, 5, 19, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0)
_RIP = 16

#: (opcode, mandatory prefix as VEX encodes it) to mnemonic; all in the map 0F38.
_DOTS = {
    (0x5C, 2): "tdpbf16ps",
    (0x5C, 3): "tdpfp16ps",
    (0x5E, 0): "tdpbuud",
    (0x5E, 1): "tdpbusd",
    (0x5E, 2): "tdpbsud",
    (0x5E, 3): "tdpbssd",
    (0x6C, 0): "tcmmrlfp16ps",
    (0x6C, 1): "tcmmimfp16ps",
}
_MOVES = {(0x4B, 3): "tileloadd", (0x4B, 1): "tileloaddt1", (0x4B, 2): "tilestored"}

#: Exit code of a program that may not be traced.
NOT_TRACEABLE = 77

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def let_parent_trace() -> None:
    """The program calls this first; it then waits for ``run_emulated``."""
    if _libc.ptrace(_TRACEME, 0, None, None) != 0:
        sys.exit(NOT_TRACEABLE)
    os.kill(os.getpid(), signal.SIGSTOP)


def run_emulated(program: Sequence[str]) -> tuple[int, Counter[str]]:
    """The program's exit code (or minus its signal), and how often each instruction ran."""
    pid = os.posix_spawn(program[0], program, os.environ)
    done: Counter[str] = Counter()
    with _Process(pid) as process:
        while True:
            _, status = os.waitpid(pid, 0)
            if not os.WIFSTOPPED(status):
                return os.waitstatus_to_exitcode(status), done
            number = os.WSTOPSIG(status)
            if number == signal.SIGILL and (mnemonic := process.step()):
                done[mnemonic] += 1
                number = 0
            process.go_on(0 if number == signal.SIGSTOP else number)


class _Process:
    """A traced process, its memory, and its emulated tiles."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        self._config = bytes(64)
        self._shapes: list[tuple[int, int]] = []
        self._tiles: dict[int, np.ndarray] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._memory)

    def go_on(self, number: int) -> None:
        self._ptrace(_CONT, ctypes.c_void_p(number))

    def _ptrace(self, request: int, data: object) -> None:
        if _libc.ptrace(request, self._pid, None, data) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace request {request}")

    def step(self) -> str:
        """Do the instruction at which the process stopped; empty for any other instruction."""
        buffer = ctypes.create_string_buffer(_REGISTERS.size)
        self._ptrace(_GETREGS, buffer)
        registers = list(_REGISTERS.unpack(buffer.raw))
        code = os.pread(self._memory, 15, registers[_RIP])
        if code[0] != 0xC4 or code[1] & 0x1F != 2:
            return ""
        mnemonic, length = self._do(code, [registers[index] for index in _NUMBERED])
        registers[_RIP] += length
        self._ptrace(_SETREGS, _REGISTERS.pack(*registers))
        return mnemonic

    def _do(self, code: bytes, registers: list[int]) -> tuple[str, int]:
        """Mnemonic and length of the instruction, or ("", 0)."""
        extend_index, extend_base = ~code[1] >> 6 & 1, ~code[1] >> 5 & 1
        prefix, third = code[2] & 3, ~code[2] >> 3 & 15
        opcode, mode, middle, low = code[3], code[4] >> 6, code[4] >> 3 & 7, code[4] & 7
        if mode == 3:
            return self._do_registers(opcode, prefix, middle, low, third), 5
        at, stride = 5, 0
        if low == 4:
            low, scale, index = code[5] & 7, code[5] >> 6, code[5] >> 3 & 7 | extend_index << 3
            stride = registers[index] << scale
            at = 6
        size = (0, 1, 4)[mode]
        displacement = int.from_bytes(code[at : at + size], "little", signed=True)
        start = registers[low | extend_base << 3] + displacement
        return self._do_memory(opcode, prefix, middle, start, stride), at + size

    def _do_registers(self, opcode: int, prefix: int, middle: int, low: int, third: int) -> str:
        if (opcode, prefix) == (0x49, 0):
            self._config, self._shapes, self._tiles = bytes(64), [], {}
            return "tilerelease"
        if (opcode, prefix) == (0x49, 3) and self._shapes:
            self._tiles[middle][:] = 0
            return "tilezero"
        mnemonic = _DOTS.get((opcode, prefix), "")
        if mnemonic and self._shapes:
            c, a, b = (self._tiles[number][None] for number in (middle, low, third))
            result = INSTRUCTIONS[mnemonic].oracle(a, b, c.view(np.uint32))
            self._tiles[middle] = result[0].view(np.uint8)
            return mnemonic
        return ""

    def _do_memory(self, opcode: int, prefix: int, tile: int, start: int, stride: int) -> str:
        if (opcode, prefix) == (0x49, 0):
            self._config = os.pread(self._memory, 64, start)
            widths = struct.unpack_from("<8H", self._config, 16)
            self._shapes = list(zip(self._config[48:56], widths, strict=True))
            self._tiles = {
                number: np.zeros(shape, np.uint8) for number, shape in enumerate(self._shapes)
            }
            return "ldtilecfg"
        if (opcode, prefix) == (0x49, 1):
            os.pwrite(self._memory, self._config, start)
            return "sttilecfg"
        mnemonic = _MOVES.get((opcode, prefix), "")
        if not mnemonic or not self._shapes:
            return ""
        for row in range(self._shapes[tile][0]):
            address = (start + row * stride) % 2**64
            if mnemonic == "tilestored":
                os.pwrite(self._memory, self._tiles[tile][row].tobytes(), address)
            else:
                line = os.pread(self._memory, self._shapes[tile][1], address)
                self._tiles[tile][row] = np.frombuffer(line, np.uint8)
        return mnemonic
