"""oneDNN's log: logs recorded on real machines, every format, and logs that are damaged."""

from pathlib import Path

import pytest

from amx_suite.core.evidence import Evidence, Family, Jail
from amx_suite.core.isa import Isa
from amx_suite.worker.kernel_log import add_up
from amx_suite.worker.onednn import (
    announced_isa,
    family_of,
    onednn_contradicts,
    onednn_kernels,
    onednn_level,
)

pytestmark = pytest.mark.selftest

RECORDED = Path(__file__).with_name("recorded")

#: Operations of ResNet50 on one image of 64 pixels, as PyTorch counts them.
RESNET_B1X64 = 671_383_552
#: One whole record of each kind, with and without AMX.
DESCRIPTORS = "src:bf16:a:blocked:acdb::f0 wei:bf16:a:blocked:AcdB48a::f0 dst:bf16:a:blocked::f0"
CONV_AMX = (
    "onednn_verbose,v1,primitive,exec,cpu,convolution,brgconv_1x1:avx10_1_512_amx,"
    f"forward_inference,{DESCRIPTORS},attr-scratchpad:user,alg:convolution_direct,"
    "mb16_ic64oc256_ih56oh56kh1sh1dh0ph0_iw56ow56kw1sw1dw0pw0,1.25\n"
)
CONV_BF16 = CONV_AMX.replace("avx10_1_512_amx", "avx512_core_bf16").replace(",1.25", ",0.75")
AMX_ISA = (
    "Intel AVX-512 with float16, Intel DL Boost and bfloat16 support "
    "and Intel AMX with bfloat16 and 8-bit integer support"
)


def kernels(text):
    return list(onednn_kernels(text))


def recorded(name):
    return (RECORDED / f"{name}.log").read_text()


class TestRecorded:
    def test_bf16(self):
        text = recorded("bert-bf16-avx512")
        assert announced_isa(text) == "Intel AVX-512 with Intel DL Boost and bfloat16 support"
        found = {use.kind: (use.family, use.count, use.data_type) for use in add_up(kernels(text))}
        assert found == {
            "inner_product": (Family.AVX512_BF16, 3, "bf16"),
            "matmul": (Family.AVX512_BF16, 3, "bf16"),
            "layer_normalization": (Family.UNNAMED, 3, "bf16"),
        }

    def test_bf16_on_amx(self):
        """ResNet50 by IPEX 2.8 on an Emerald Rapids, 2026-11-27."""
        text = recorded("resnet50-bf16-amx")
        assert announced_isa(text) == AMX_ISA
        uses = add_up(kernels(text))
        evidence = Evidence(Isa.AMX, Jail.NOT_ASKED, True, AMX_ISA, uses, operations=RESNET_B1X64)
        found = {use.implementation: use.count for use in evidence.matrix_kernels}
        assert found == {
            "brgconv_1x1:avx10_1_512_amx": 36,
            "brg_conv_fwd:avx10_1_512_amx": 17,
            "brgemm:avx10_1_512_amx": 1,
        }
        assert evidence.amx_share == 1.0
        assert {use.data_type for use in evidence.matrix_kernels} == {"bf16"}

    def test_int8_in_graphs_counts_once(self):
        uses = add_up(kernels(recorded("bert-int8-vnni")))
        found = {(use.kind, use.implementation): use for use in uses}
        matmul = found["matmul", "brg_matmul:avx512_core_vnni"]
        assert matmul.count == 2
        assert found["graph:quantized_sdp", "sdp_decomp_kernel_t:dnnl_backend"].count == 2
        assert found["graph:quantized_matmul_post_ops", "matmul_t:dnnl_backend"].count == 2
        evidence = Evidence(Isa.AVX512_VNNI, Jail.HELD, False, "", uses)
        assert evidence.matrix_kernels == (matmul,)

    def test_two_copies_of_onednn(self):
        same = recorded("bert-fp32-two-copies")
        said = "Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions"
        assert announced_isa(same) == said
        assert announced_isa(same + recorded("bert-int8-vnni")) == (
            f"{said}; Intel AVX-512 with Intel DL Boost"
        )


class TestFp16:
    """Lines of public reports on FP16, and of an Emerald Rapids guest with torch 2.8.0."""

    #: oneDNN issue 3868, an 8592+; its line breaks taken out.
    REPORTED = (
        "onednn_verbose,v1,primitive,exec,cpu,matmul,brg_matmul:avx10_1_512,undef,"
        "src:f16:a:blocked:ab::f0 wei:f16:a:blocked:BA16a64b::f0 dst:f16:a:blocked:ab::f0"
        ",,,4x14336:14336x4096,0.208008\n"
    )
    #: The guest, 2026-11-28: an eager product under autocast.
    PRODUCT = (
        "onednn_verbose,v1,primitive,exec,cpu,matmul,brg_matmul:avx10_1_512,undef,"
        "src:f16::blocked:ab::f0 wei:f16::blocked:ab::f0 dst:f16::blocked:ab::f0,"
        "attr-scratchpad:user,,2048x2048:2048x2048,63.6001\n"
    )
    #: PyTorch issue 193951: the same product with torch 2.14.0 (oneDNN 3.12.3); it leaves out what
    #: stands between the kernel and the sizes.
    FELL_BACK = PRODUCT.replace("brg_matmul:avx10_1_512", "ref:any").replace("63.6001", "15527")
    #: PyTorch issue 150514, a Granite Rapids with torch 2.7.
    GRANITE_RAPIDS = (
        "onednn_verbose,v1,info,cpu,isa:Intel AVX-512 with float16, Intel DL Boost and bfloat16 "
        "support and Intel AMX with bfloat16, float16 and 8-bit integer support\n"
    )

    @pytest.mark.parametrize(
        ("line", "family", "operations"),
        [
            (REPORTED, Family.AVX512_FP16, 2 * 4 * 14336 * 4096),
            (PRODUCT, Family.AVX512_FP16, 2 * 2048**3),
            (FELL_BACK, Family.REFERENCE, 2 * 2048**3),
        ],
    )
    def test_kernel_and_type_are_told(self, line, family, operations):
        (use,) = kernels(line)
        assert (use.family, use.data_type, use.operations) == (family, "f16", operations)

    def test_granite_rapids_announces_amx(self):
        assert onednn_level(announced_isa(self.GRANITE_RAPIDS)) == "AMX"


class TestFormats:
    @pytest.mark.parametrize(
        "before",
        [
            "onednn_verbose,v1,",
            "onednn_verbose,v1,1693533460193.346924,",
            "onednn_verbose,v2,",
            "dnnl_verbose,",
        ],
    )
    def test_versions_and_timestamps(self, before):
        (use,) = kernels(CONV_AMX.replace("onednn_verbose,v1,", before))
        assert (use.kind, use.family, use.milliseconds) == ("convolution", Family.AMX, 1.25)
        assert announced_isa(f"{before}info,cpu,isa:{AMX_ISA}\n") == AMX_ISA

    @pytest.mark.parametrize(
        ("start", "kind", "name", "source", "time", "expected"),
        [
            ("dnnl_verbose", "matmul", "ref:any", "src_bf16", "5e-01", (Family.REFERENCE, 0.5)),
            ("onednn_verbose,v1,primitive", "gemm_api", "", "src_s8", "7.8", (Family.UNNAMED, 7.8)),
            ("onednn_verbose,v1,ukernel", "brgemm", "", "src:bf16", "0.01", (Family.UNNAMED, 0.01)),
        ],
        ids=["oneDNN 2", "gemm_api", "microkernel"],
    )
    def test_other_records(self, start, kind, name, source, time, expected):
        (use,) = kernels(
            f"{start},exec,cpu,{kind},{name},undef,{source}::blocked:ab:f0 wei_s8::blocked:ab:f0 "
            f"dst_f32::blocked:ab:f0,,,64x64:64x64,{time}\n"
        )
        assert (use.kind, use.implementation, use.count) == (kind, name, 1)
        assert (use.family, use.milliseconds) == expected
        assert use.data_type == source[4:]

    def test_a_lower_math_mode_is_told(self):
        fp32 = CONV_AMX.replace("bf16", "f32").replace("attr-", "attr-fpmath:bf16 attr-")
        assert [use.data_type for use in kernels(fp32)] == ["f32/fpm:bf16"]

    def test_creation_records_are_no_executions(self):
        assert kernels(CONV_AMX.replace("primitive,exec", "primitive,create:cache_miss")) == []


class TestDamage:
    def test_a_cut_record_counts_for_nothing(self):
        """Even without its line end alone: the time may lack digits."""
        whole = CONV_AMX.rstrip("\n")
        for length in range(len(whole) + 1):
            assert kernels(whole[:length]) == [], whole[:length]

    def test_missing_fields_count_for_nothing(self):
        fields = CONV_AMX.rstrip("\n").split(",")
        for count in range(len(fields) - 1):
            assert kernels(",".join(fields[:count]) + ",1.25\n") == []

    def test_one_record_cut_short_by_another(self):
        (use,) = kernels(CONV_AMX[:60] + CONV_BF16)
        assert use.implementation == "brgconv_1x1:avx512_core_bf16"

    def test_other_text_is_passed_over(self):
        text = f"epoch 1, loss 2.5\n\x00\xff{CONV_AMX}progress 50%{CONV_BF16},,,\nexec,cpu,1.0\n"
        assert [use.milliseconds for use in kernels(text)] == [1.25, 0.75]

    @pytest.mark.parametrize("time", ["", "nan", "inf", "-1", "1.2.3", "fast"])
    def test_a_time_that_is_none(self, time):
        assert kernels(CONV_AMX.replace("1.25", time)) == []

    @pytest.mark.parametrize("text", ["", "\n", "onednn_verbose", "onednn_verbose,\n", ",,,\n"])
    def test_next_to_nothing(self, text):
        assert (announced_isa(text), kernels(text)) == ("", [])


@pytest.mark.parametrize(
    ("implementation", "family"),
    [
        ("brgconv:avx512_core_amx", Family.AMX),
        ("brgconv_1x1:avx10_1_512_amx", Family.AMX),
        ("brg_matmul:avx10_1_512_amx_fp16", Family.AMX),
        ("brg_matmul:avx10_2_512_amx_2", Family.AMX),
        # oneDNN pull request 4888: FP16 on Diamond Rapids.
        ("brg_matmul:avx10_2_amx_2", Family.AMX),
        ("brg_conv_fwd:avx10_1_512", Family.AVX512_FP16),
        ("brg_conv_bwd:avx10_1_512_amx+brgconv_1x1:avx10_1_512_amx", Family.AMX),
        ("brg_matmul:avx512_core_fp16", Family.AVX512_FP16),
        ("brg_matmul:avx10_1_512", Family.AVX512_FP16),
        ("brg_matmul:avx512_core_bf16", Family.AVX512_BF16),
        ("brg_matmul:avx512_core_vnni", Family.AVX512_VNNI),
        ("jit_bf16:avx512_core", Family.AVX512),
        ("jit:avx2", Family.AVX2),
        ("brg_matmul:avx2_vnni_2", Family.AVX2),
        ("ref:any", Family.REFERENCE),
        ("ref_int8:any", Family.REFERENCE),
        ("simple:any", Family.REFERENCE),
        ("refined:any", Family.UNNAMED),
        ("gemm:jit:bf16", Family.UNNAMED),
        ("", Family.UNNAMED),
    ],
)
def test_families(implementation, family):
    assert family_of(implementation) is family


#: Of releases 3.9 to 3.11.
AVX10_2_AMX = (
    "Intel AVX10.2/512 with float16, Intel DL Boost and Intel AMX with bfloat16, float16, float8 "
    "and 8-bit integer support"
)


@pytest.mark.parametrize(
    ("announced", "level"),
    [
        # All sentences of releases 3.0 to 3.13 that AVX-512 or AMX is in, the oldest first.
        ("Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions", "AVX512_CORE"),
        ("Intel AVX-512 with Intel DL Boost", "AVX512_CORE_VNNI"),
        ("Intel AVX-512 with Intel DL Boost and bfloat16 support", "AVX512_CORE_BF16"),
        ("Intel AVX-512 with Intel DL Boost and bfloat16 support on Ymm/Zmm", "AVX512_CORE_BF16"),
        ("Intel AVX-512 with float16, Intel DL Boost and bfloat16 support ", "AVX512_CORE_FP16"),
        (AMX_ISA, "AMX"),
        (f"{AMX_ISA} (preview support)", "AMX"),
        # 3.9 to 3.11.
        (
            "Intel AVX10.2/512 with float16, Intel DL Boost and bfloat16 support ",
            "AVX10_2_512",
        ),
        (AVX10_2_AMX, "AMX"),
        # 3.12 and 3.13.
        ("Intel AVX 10.1", "AVX512_CORE_FP16"),
        ("Intel AVX10.2", "AVX10_2_512"),
        ("Intel AVX10.1 and Intel AMX with bfloat16 and 8-bit integer support", "AMX"),
        ("Intel AVX10.1 and Intel AMX with bfloat16, float16 and 8-bit integer support", "AMX"),
        (
            "Intel AVX10.2 and Intel AMX with float8, float16, bfloat16 and 8-bit integer support",
            "AMX",
        ),
        (f"{AMX_ISA}; Intel AVX10.1 and Intel AMX with bfloat16", "AMX"),
        (f"{AMX_ISA}; Intel AVX-512 with Intel DL Boost", "AMX; AVX512_CORE_VNNI"),
        ("Intel AVX2", "AVX2"),
        ("Intel AVX2 with Intel DL Boost", "AVX2_VNNI"),
        ("Intel AVX2 with Intel DL Boost, float16 and bfloat16 support", "AVX2_VNNI_2"),
        (
            "Intel AVX2 with Intel DL Boost, float16 and bfloat16 support (preview support)",
            "AVX2_VNNI_2",
        ),
        ("Intel AVX", "AVX"),
        ("Intel SSE4.1", "SSE41"),
        # In development after 3.13: it is shown as it is.
        ("Intel AVX10.2 and ACE support (preview)", "Intel AVX10.2 and ACE support (preview)"),
        ("Intel 64", "Intel 64"),
    ],
)
def test_announced_levels(announced, level):
    assert onednn_level(announced) == level


@pytest.mark.parametrize(
    ("levels", "ceiling", "contradicts"),
    [
        ("AMX", "AMX", False),
        ("AVX10_2_512", "AMX", True),
        ("AMX; AVX512_CORE_BF16", "AMX", True),
        ("Intel AVX10.2 and ACE support (preview)", "AMX", False),
        ("AMX; Intel AVX10.3", "AMX", False),
        ("Intel AVX10.3", "AVX512_CORE_BF16", True),
        ("AMX", "AVX512_CORE_BF16", True),
        ("AVX512_CORE_BF16", "AVX512_CORE_BF16", False),
    ],
)
def test_unknown_words_never_deny_amx(levels, ceiling, contradicts):
    assert onednn_contradicts(levels, ceiling) is contradicts
