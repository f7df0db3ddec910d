"""MKL's verbose log: its level, how it is held to a ceiling, and its products."""

import pytest

from amx_suite.core.evidence import Family
from amx_suite.core.isa import ISA_SPECS
from amx_suite.worker.kernel_log import add_up
from amx_suite.worker.mkl import mkl_exceeds, mkl_kernels, mkl_level

pytestmark = pytest.mark.selftest

HEAD = "MKL_VERBOSE oneMKL 2024.0 Update 2 Product build 20240605 for Intel(R) 64 architecture "
AVX512 = "Intel(R) Advanced Vector Extensions 512 (Intel(R) AVX-512)"
BOOST = f"{AVX512} with support of Intel(R) Deep Learning Boost (Intel(R) DL Boost)"
AMX = "Intel(R) Advanced Matrix Extensions (Intel(R) AMX)"
#: Strings of libtorch_cpu.so of torch 2.8.0, in the order of their levels.
ANNOUNCED = {
    "AVX2": "Intel(R) Advanced Vector Extensions 2 (Intel(R) AVX2) enabled processors",
    "AVX2_E1": (
        "Intel(R) Advanced Vector Extensions 2 (Intel(R) AVX-2) with support of Intel(R) Deep "
        "Learning Boost (Intel(R) DL Boost)"
    ),
    "AVX512": f"{AVX512} enabled processors",
    "AVX512_E1": BOOST,
    "AVX512_E2": f"{BOOST}, EVEX-encoded AES and Carry-Less Multiplication Quadword instructions",
    "AVX512_E3": f"{BOOST} and bfloat16",
    "AVX512_E4": (
        f"{AVX512} with support for INT8, BF16, FP16 (limited) instructions, and {AMX} with INT8 "
        "and BF16"
    ),
    "AVX512_E5": (
        f"{AVX512} with support for INT8, BF16, FP16 (limited) instructions, and {AMX} with INT8, "
        "BF16, and FP16"
    ),
}
#: Recorded from torch 2.8.0 on a CPU of another vendor, two threads.
RECORDED = (
    f"{HEAD}Intel(R) Architecture processors, Lnx 2.60GHz lp64 gnu_thread\n"
    "MKL_VERBOSE SGEMM(N,N,256,256,512,0x7fff,0x56c0,256,0x5612,512,0x7fff,0x5612,256) 17.72ms "
    "CNR:OFF Dyn:1 FastMM:1 TID:0  NThr:2\n"
    "MKL_VERBOSE SGEMM_BATCH(N,N,0x7ffc,0x7ffc) 5.79ms CNR:OFF Dyn:1 FastMM:1 TID:0  NThr:2\n"
    "onednn_verbose,v1,primitive,exec,cpu,matmul,brg_matmul:avx512_core_bf16,undef,"
    "src:bf16::blocked:ab::f0,attr-scratchpad:user,,256x512:512x256,5.71387\n"
    "MKL_VERBOSE GEMM_BF16BF16F32(T,N,128,32,64,0x7f78,0x5612,64) 232.00us CNR:OFF Dyn:1 "
    "FastMM:1 TID:1  NThr:1\n"
    "MKL_VERBOSE GEMM_BF16BF16F32(N,N,64,32,128,0x7f78,0x5612,64) 168.00us CNR:OFF Dyn:1 "
    "FastMM:1 TID:0  NThr:1\n"
    "MKL_VERBOSE SGEMM_PACK(N,N,1,2,3) 1.50us CNR:OFF Dyn:1 FastMM:1 TID:0  NThr:1\n"
    "MKL_VERBOSE SGEMM(N,N,256,256,512,0x7fff"
)


def test_products_count_by_their_share_of_threads():
    kernels = add_up(mkl_kernels(RECORDED, threads=2))
    found = {(u.kind, u.implementation): (u.count, u.milliseconds, u.data_type) for u in kernels}
    sizes = {u.implementation: u.operations for u in kernels}
    assert sizes["mkl:sgemm"] == 2 * 256 * 256 * 512
    assert sizes["mkl:gemm_bf16bf16f32"] == 2 * 2 * 128 * 32 * 64
    assert sizes["mkl:sgemm_batch"] == sizes["mkl:sgemm_pack"] == 0
    assert found == {
        ("matmul", "mkl:sgemm"): (1, 17.72, "f32"),
        ("matmul", "mkl:sgemm_batch"): (1, 5.79, "f32"),
        ("matmul", "mkl:gemm_bf16bf16f32"): (2, pytest.approx(0.2), "bf16"),
        ("blas", "mkl:sgemm_pack"): (1, pytest.approx(0.00075), "f32"),
    }
    assert {use.family for use in kernels} == {Family.UNNAMED}


def test_a_log_without_mkl_is_empty():
    text = "onednn_verbose,v1,info,cpu,isa:Intel AVX2\n"
    assert list(mkl_kernels(text, 2)) == []
    assert mkl_level(text) == "not built in"


@pytest.mark.parametrize(("level", "words"), ANNOUNCED.items(), ids=ANNOUNCED)
def test_each_level_by_its_announcement(level, words):
    assert mkl_level(f"{HEAD}{words}, Lnx 2.80GHz lp64 gnu_thread\n") == level


def test_no_level_on_other_vendors_cpus():
    level = mkl_level(RECORDED)
    assert level == "Intel(R) Architecture processors"
    assert not any(mkl_exceeds(level, spec.mkl) for spec in ISA_SPECS.values())


@pytest.mark.parametrize("ceiling", [spec.mkl for spec in ISA_SPECS.values()])
def test_only_higher_levels_exceed_a_ceiling(ceiling):
    levels = list(ANNOUNCED)
    exceeding = [level for level in levels if mkl_exceeds(level, ceiling)]
    assert exceeding == levels[levels.index(ceiling) + 1 :]
