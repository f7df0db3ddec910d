"""Assembling: known encodings, code that runs, and errors with a type."""

from __future__ import annotations

import ctypes
import gc
import platform
import struct

import pytest
from hardened import run_without_executable_memory

from amx_suite.errors import AssemblyError
from amx_suite.tmul import jit
from amx_suite.tmul.config import tile_config

pytestmark = [
    pytest.mark.selftest,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="assembles x86-64 code"),
]


@pytest.mark.parametrize(
    # As GNU binutils 2.40 assembles the text; AMX-COMPLEX, which it does not know, from Intel's SDM
    # volume 2 (VEX.128, map 0F38, opcode 6C).
    ("instruction", "expected"),
    [
        ("ldtilecfg [rdi]", "c4e2784907"),
        ("sttilecfg [rdi]", "c4e2794907"),
        ("tilezero tmm7", "c4e27b49f8"),
        ("tileloadd tmm1, [rsi + r8*1]", "c4a27b4b0c06"),
        ("tileloaddt1 tmm3, [rsi + rcx*1]", "c4e2794b1c0e"),
        ("tilestored [rcx + r8*1], tmm0", "c4a27a4b0401"),
        ("tdpbf16ps tmm5, tmm6, tmm7", "c4e2425cee"),
        ("tdpbssd tmm0, tmm1, tmm2", "c4e26b5ec1"),
        ("tdpbsud tmm0, tmm1, tmm2", "c4e26a5ec1"),
        ("tdpbusd tmm0, tmm1, tmm2", "c4e2695ec1"),
        ("tdpbuud tmm0, tmm1, tmm2", "c4e2685ec1"),
        ("tdpfp16ps tmm0, tmm1, tmm2", "c4e26b5cc1"),
        ("tcmmimfp16ps tmm0, tmm1, tmm2", "c4e2696cc1"),
        ("tcmmrlfp16ps tmm0, tmm1, tmm2", "c4e2686cc1"),
        ("tilerelease", "c4e27849c0"),
    ],
)
def test_known_encodings(instruction, expected):
    # A function without arguments is its instructions and a return.
    code = ctypes.cast(jit.assemble((instruction,)), ctypes.c_void_p).value
    assert ctypes.string_at(code, len(expected) // 2 + 1).hex() == expected + "c3"


def test_code_reaches_its_arguments_and_stays_loaded():
    copy = jit.assemble(("mov rax, [$0]", "mov [$1], rax"), ("ptr", "ptr"), ("rax",))
    jit._loaded.cache_clear()
    gc.collect()
    source, target = ctypes.c_int64(0x1122334455667788), ctypes.c_int64(0)
    copy(ctypes.byref(source), ctypes.byref(target))
    assert target.value == source.value


def test_timed_code_runs_and_counts_its_ticks():
    lines = ("mov rax, $1", "2:", "dec rax", "jnz 2b", "mov [$0], $1")
    count = jit.assemble_timed(lines, ("ptr", "i64"), ("rax",))
    target = ctypes.c_int64(0)
    few = min(count(ctypes.byref(target), 1_000) for _ in range(100))
    many = min(count(ctypes.byref(target), 1_000_000) for _ in range(20))
    assert target.value == 1_000_000
    assert 0 < 20 * few < many


def test_another_architecture_is_an_assembly_error(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(AssemblyError, match="this machine is aarch64"):
        jit.assemble(("nop",), clobbers=("rax",))


def test_refused_executable_memory_is_no_crash():
    """LLVM itself would die of SIGSEGV."""
    code = "from amx_suite.tmul import jit\njit.assemble(('nop',), clobbers=('rax',))"
    done = run_without_executable_memory(code)
    assert done.returncode == 1
    assert "NotApplicableError: the kernel refuses this process executable memory" in done.stdout
    assert "MemoryDenyWriteExecute=no" in done.stdout


def test_tile_config_has_the_layout_of_ldtilecfg():
    config = tile_config([(16, 64), (3, 12)])
    assert len(config) == 64
    assert config[:2] == b"\x01\x00"  # palette 1, start row 0
    assert not any(config[2:16])
    assert struct.unpack_from("<16H", config, 16)[:3] == (64, 12, 0)
    assert tuple(config[48:51]) == (16, 3, 0)
