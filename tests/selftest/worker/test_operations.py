"""Operations by problem description: each notation, and whole logs against PyTorch's own count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from amx_suite.worker.operations import blas_operations, onednn_operations

pytestmark = pytest.mark.selftest

RECORDED = Path(__file__).with_name("recorded")


@pytest.mark.parametrize(
    ("kind", "problem", "expected"),
    [
        ("matmul", "16x768:768x3072", 2 * 16 * 768 * 3072),
        ("matmul", "12x16x64:12x64x16", 2 * 12 * 16 * 64 * 16),
        ("matmul", "16x12x128x64:1x1x64x128", 2 * 16 * 12 * 128 * 64 * 128),
        ("matmul", '64x768:768x30_n"named"', 2 * 64 * 768 * 30),
        ("inner_product", "mb16ic2048oc1000", 2 * 16 * 2048 * 1000),
        ("inner_product", "mb2ic8ih7iw7oc10", 2 * 2 * 8 * 7 * 7 * 10),
        (
            "convolution",
            "mb16_ic3oc64_ih224oh112kh7sh2dh0ph3_iw224ow112kw7sw2dw0pw3",
            2 * 16 * 3 * 64 * 112 * 112 * 49,
        ),
        ("convolution", "g32mb2_ic32oc32_ih8oh8kh3ph1_iw8ow8kw3pw1", 2 * 2 * 32 * 64 * 9),
        ("convolution", "mb1ic1oc1_id4od4kd3_ih1oh1kh1_iw1ow1kw1", 2 * 4 * 3),
        ("deconvolution", "mb1_ic4oc2_ih5oh10kh2_iw5ow10kw2", 2 * 8 * 25 * 4),
        ("reorder", "16x768", 0),
        ("matmul", "16x768", 0),
        ("convolution", "something new", 0),
    ],
)
def test_notations(kind: str, problem: str, expected: int) -> None:
    assert onednn_operations(kind, problem) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("SGEMM(T,N,3072,64,768,0x7ff,0x55,768)", 2 * 3072 * 64 * 768),
        ("GEMM_BF16BF16F32(N,N,8,8,8,0x7ff)", 2 * 512),
        ("SGEMM_BATCH(T,N,0x7ff,0x7ff,0x7ff)", 0),
        ("SAXPY(16,0x7ff)", 0),
    ],
)
def test_calls_of_mkl(call: str, expected: int) -> None:
    assert blas_operations(call) == expected


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        # What torch.utils.flop_counter counts in the same model and shape.
        ("gemm-int8-amx-eager-b1x16", 150_994_944),
        ("bert-bf16-amx-ipex-b1x16", 2_727_346_176),
        ("resnet50-int8-amx-ipex-b1x64", 671_383_552),
    ],
)
def test_whole_logs_hold_every_operation(name: str, counted: int) -> None:
    text = (RECORDED / f"emulated-{name}.log").read_text()
    found = re.findall(r"primitive,exec,cpu,(\w+),.*,([^,\n]*),[\d.]+\n", text)
    assert sum(onednn_operations(kind, problem) for kind, problem in found) == counted
