"""Assembled bytes against known encodings, and code that runs.

The byte literals are what GNU binutils 2.40 assembles for the same text; those of AMX-COMPLEX,
which it does not know, are from Intel's SDM volume 2 (VEX.128, map 0F38, opcode 6C).
"""

from __future__ import annotations

import ctypes
import gc
import platform
import struct
import subprocess
import sys

import pytest

from amx_suite.tmul import jit
from amx_suite.tmul.config import tile_config
from amx_suite.tmul.tile_child import TILE_MULTIPLY

pytestmark = [
    pytest.mark.selftest,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="assembles x86-64 code"),
]

_RET = b"\xc3"


def _bytes_of(*instructions: str) -> bytes:
    """The instructions alone: a function without arguments is nothing but them and a return."""
    code = jit.machine_code(jit.asm_function("f", instructions))
    assert code.endswith(_RET)
    return code[: -len(_RET)]


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("ldtilecfg [rdi]", "c4e2784907"),
        ("sttilecfg [rdi]", "c4e2794907"),
        ("tilezero tmm0", "c4e27b49c0"),
        ("tilezero tmm7", "c4e27b49f8"),
        ("tileloadd tmm1, [rsi + r8*1]", "c4a27b4b0c06"),
        ("tileloaddt1 tmm3, [rsi + rcx*1]", "c4e2794b1c0e"),
        ("tilestored [rcx + r8*1], tmm0", "c4a27a4b0401"),
        ("tdpbf16ps tmm0, tmm1, tmm2", "c4e26a5cc1"),
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
def test_tile_instructions_have_their_known_encoding(instruction: str, expected: str) -> None:
    assert _bytes_of(instruction).hex() == expected


def test_the_probe_runs_each_tile_instruction_once_in_order() -> None:
    code = jit.machine_code(TILE_MULTIPLY)
    # ldtilecfg [rdi]; tilezero; two loads; tdpbf16ps tmm0, tmm1, tmm2; tilestored; tilerelease.
    # Arguments arrive in rdi, rsi, rdx, rcx, r8 (System V ABI).
    expected = bytes.fromhex(
        "c4e2784907 c4e27b49c0 c4a27b4b0c06 c4a27b4b1402 c4e26a5cc1 c4a27a4b0401 c4e27849c0"
    )
    assert code == expected + _RET


def test_assembled_code_runs_and_outlives_its_library() -> None:
    ir = """
define i64 @add(i64 %a, i64 %b) {
  %sum = add i64 %a, %b
  ret i64 %sum
}
"""
    add = jit.Library(ir, cpu="x86-64", features=()).function(
        "add", ctypes.c_int64, ctypes.c_int64, restype=ctypes.c_int64
    )
    gc.collect()
    assert add(40, 2) == 42


def test_inline_assembly_reaches_its_arguments() -> None:
    ir = jit.asm_function(
        "copy", ("mov rax, [$0]", "mov [$1], rax"), arguments=("ptr", "ptr"), clobbers=("rax",)
    )
    copy = jit.load(ir, features=()).function("copy", ctypes.c_void_p, ctypes.c_void_p)
    source, target = ctypes.c_int64(0x1122334455667788), ctypes.c_int64(0)
    copy(ctypes.byref(source), ctypes.byref(target))
    assert target.value == source.value


def test_the_same_text_is_assembled_once() -> None:
    ir = jit.asm_function("nothing", ("nop",))
    assert jit.load(ir) is jit.load(ir)


def test_malformed_ir_is_a_typed_error() -> None:
    with pytest.raises(jit.AssemblyError, match="does not accept this IR"):
        jit.machine_code("define void @f( {")


def test_an_absent_function_is_a_typed_error() -> None:
    library = jit.load(jit.asm_function("present", ("nop",)))
    with pytest.raises(jit.AssemblyError, match="no function 'absent'"):
        library.function("absent")


def test_another_architecture_is_a_typed_error() -> None:
    program = (
        "import platform\n"
        "platform.machine = lambda: 'aarch64'\n"
        "from amx_suite.tmul import jit\n"
        "try:\n"
        "    jit.machine_code('')\n"
        "except jit.AssemblyError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "this machine is aarch64" in done.stdout


def test_tile_config_has_the_layout_of_ldtilecfg() -> None:
    config = tile_config([(16, 64), (3, 12)])
    assert len(config) == 64
    assert config[:2] == b"\x01\x00"  # palette 1, start row 0
    assert not any(config[2:16])
    assert struct.unpack_from("<16H", config, 16)[:3] == (64, 12, 0)
    assert tuple(config[48:51]) == (16, 3, 0)


@pytest.mark.parametrize("shape", [(0, 64), (17, 64), (16, 0), (16, 65)])
def test_tile_config_refuses_what_the_cpu_would_fault_on(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="palette 1"):
        tile_config([(16, 64), shape])


def test_tile_config_refuses_a_ninth_tile() -> None:
    with pytest.raises(ValueError, match="palette 1 has 8"):
        tile_config([(16, 64)] * 9)
