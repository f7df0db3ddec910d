"""oneDNN's log: logs recorded on real machines, every format, and logs that are damaged."""

from pathlib import Path

import pytest

from amx_suite.core.evidence import Evidence, Family, Jail
from amx_suite.core.isa import Isa
from amx_suite.worker.verbose import family_of, onednn_level, parse_log

pytestmark = pytest.mark.selftest

RECORDED = Path(__file__).with_name("recorded")

#: One whole record of each kind, with and without AMX.
DESCRIPTORS = "src:bf16:a:blocked:acdb::f0 wei:bf16:a:blocked:AcdB48a::f0 dst:bf16:a:blocked::f0"
CONV_AMX = (
    "onednn_verbose,v1,primitive,exec,cpu,convolution,brgconv_1x1:avx10_1_512_amx,"
    f"forward_inference,{DESCRIPTORS},attr-scratchpad:user,alg:convolution_direct,"
    "mb16_ic64oc256_ih56oh56kh1sh1dh0ph0_iw56ow56kw1sw1dw0pw0,1.25\n"
)
CONV_BF16 = CONV_AMX.replace("avx10_1_512_amx", "avx512_core_bf16").replace(",1.25", ",0.75")
GEMM_API = (
    "onednn_verbose,v1,primitive,exec,cpu,gemm_api,,undef,"
    "src_s8::blocked:ab:f0 wei_s8::blocked:ab:f0 dst_s32::blocked:ab:f0,,,32x64:64x48,7.79712\n"
)
AMX_ISA = (
    "Intel AVX-512 with float16, Intel DL Boost and bfloat16 support "
    "and Intel AMX with bfloat16 and 8-bit integer support"
)


def uses(text):
    return {(use.kind, use.implementation): use for use in parse_log(text).kernels}


def recorded(name):
    return (RECORDED / f"{name}.log").read_text()


class TestRecorded:
    def test_bf16(self):
        log = parse_log(recorded("bert-bf16-avx512"))
        assert log.isa == "Intel AVX-512 with Intel DL Boost and bfloat16 support"
        found = {use.kind: (use.family, use.count, use.data_type) for use in log.kernels}
        assert found == {
            "inner_product": (Family.AVX512_BF16, 3, "bf16"),
            "matmul": (Family.AVX512_BF16, 3, "bf16"),
            "layer_normalization": (Family.UNNAMED, 3, "bf16"),
        }
        assert log.kernels[0].kind == "inner_product", "the slowest comes first"

    def test_bf16_on_amx(self):
        """ResNet50 by IPEX 2.8 on an Emerald Rapids, 2026-11-27."""
        log = parse_log(recorded("resnet50-bf16-amx"))
        assert log.isa == AMX_ISA
        evidence = Evidence(Isa.AMX, Jail.NOT_ASKED, True, log.isa, log.kernels)
        found = {use.implementation: use.count for use in evidence.matrix_kernels}
        assert found == {
            "brgconv_1x1:avx10_1_512_amx": 36,
            "brg_conv_fwd:avx10_1_512_amx": 17,
            "brgemm:avx10_1_512_amx": 1,
        }
        assert evidence.amx_share == 1.0
        assert {use.data_type for use in evidence.matrix_kernels} == {"bf16"}

    def test_int8_in_graphs(self):
        log = parse_log(recorded("bert-int8-vnni"))
        found = {(use.kind, use.implementation): use.count for use in log.kernels}
        assert found["matmul", "brg_matmul:avx512_core_vnni"] == 2
        assert found["graph:quantized_sdp", "sdp_decomp_kernel_t:dnnl_backend"] == 2
        assert found["graph:quantized_matmul_post_ops", "matmul_t:dnnl_backend"] == 2

    def test_graph_time_is_not_counted_twice(self):
        log = parse_log(recorded("bert-int8-vnni"))
        evidence = Evidence(Isa.AVX512_VNNI, Jail.HELD, False, log.isa, log.kernels)
        matmul = next(use for use in log.kernels if use.kind == "matmul")
        assert evidence.matrix_milliseconds == matmul.milliseconds

    def test_two_copies_of_onednn_that_agree_are_one_announcement(self):
        log = parse_log(recorded("bert-fp32-two-copies"))
        assert log.isa == "Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions"

    def test_two_copies_that_differ_are_both_told(self):
        text = recorded("bert-fp32-two-copies") + recorded("bert-int8-vnni")
        assert parse_log(text).isa.endswith("extensions; Intel AVX-512 with Intel DL Boost")


class TestFormats:
    @pytest.mark.parametrize(
        "before",
        ["onednn_verbose,v1,", "onednn_verbose,v1,1693533460193.346924,", "onednn_verbose,v2,"],
    )
    def test_versions_and_timestamps(self, before):
        (use,) = parse_log(CONV_AMX.replace("onednn_verbose,v1,", before)).kernels
        assert (use.kind, use.family, use.milliseconds) == ("convolution", Family.AMX, 1.25)

    def test_of_onednn_2(self):
        text = (
            "dnnl_verbose,info,cpu,isa:Intel AVX2\n"
            "dnnl_verbose,exec,cpu,matmul,brg:avx512_core_bf16,undef,src_bf16::blocked:ab:f0 "
            "wei_bf16::blocked:ab:f0 dst_f32::blocked:ab:f0,,,64x64:64x64,0.5\n"
        )
        log = parse_log(text)
        assert log.isa == "Intel AVX2"
        assert [(use.kind, use.milliseconds) for use in log.kernels] == [("matmul", 0.5)]

    def test_gemm_api_names_no_implementation(self):
        use = uses(GEMM_API)["gemm_api", ""]
        assert (use.family, use.data_type, use.milliseconds) == (Family.UNNAMED, "s8", 7.79712)

    def test_microkernels(self):
        text = (
            "onednn_verbose,v1,ukernel,exec,cpu,brgemm,,undef,src:bf16::blocked:ab::f0 "
            "wei:bf16::blocked:ab::f0 dst:f32::blocked:ab::f0,,,32x32:32x32,0.01\n"
        )
        assert uses(text)["brgemm", ""].count == 1

    def test_isa_of_an_amx_machine(self):
        assert parse_log(f"onednn_verbose,v1,info,cpu,isa:{AMX_ISA}\n").isa == AMX_ISA

    def test_creation_records_are_no_executions(self):
        created = CONV_AMX.replace("primitive,exec", "primitive,create:cache_miss")
        assert parse_log(created).kernels == ()

    def test_same_kernel_adds_up_and_another_does_not(self):
        found = uses(CONV_AMX * 3 + CONV_BF16)
        amx = found["convolution", "brgconv_1x1:avx10_1_512_amx"]
        assert (amx.count, amx.milliseconds) == (3, 3.75)
        assert found["convolution", "brgconv_1x1:avx512_core_bf16"].count == 1


class TestDamage:
    def test_a_record_cut_anywhere_counts_for_nothing(self):
        whole = CONV_AMX.rstrip("\n")
        for length in range(len(whole)):
            assert parse_log(whole[:length]).kernels == (), whole[:length]
        assert parse_log(whole).kernels == (), "its end was not seen: the time may lack digits"

    def test_a_record_with_fewer_fields_counts_for_nothing(self):
        fields = CONV_AMX.rstrip("\n").split(",")
        for count in range(len(fields) - 1):
            assert parse_log(",".join(fields[:count]) + ",1.25\n").kernels == ()

    def test_one_record_cut_short_by_another(self):
        text = CONV_AMX[:60] + CONV_BF16
        assert list(uses(text)) == [("convolution", "brgconv_1x1:avx512_core_bf16")]

    def test_text_of_others_is_passed_over(self):
        text = f"epoch 1, loss 2.5\n\x00\xff{CONV_AMX}progress 50%{CONV_BF16},,,\nexec,cpu,1.0\n"
        assert len(parse_log(text).kernels) == 2

    @pytest.mark.parametrize("time", ["", "nan", "inf", "-1", "1.2.3", "fast"])
    def test_a_time_that_is_none(self, time):
        assert parse_log(CONV_AMX.replace("1.25", time)).kernels == ()

    @pytest.mark.parametrize("text", ["", "\n", "onednn_verbose", "onednn_verbose,\n", ",,,\n"])
    def test_next_to_nothing(self, text):
        log = parse_log(text)
        assert (log.isa, log.kernels) == ("", ())


@pytest.mark.parametrize(
    ("implementation", "family"),
    [
        ("brgconv:avx512_core_amx", Family.AMX),
        ("brgconv_1x1:avx10_1_512_amx", Family.AMX),
        ("brg_matmul:avx10_1_512_amx_fp16", Family.AMX),
        ("brg_matmul:avx10_2_512_amx_2", Family.AMX),
        ("brg_conv_bwd:avx10_1_512_amx+brgconv_1x1:avx10_1_512_amx", Family.AMX),
        ("brg_matmul:avx512_core_fp16", Family.AVX512_FP16),
        ("brg_matmul:avx10_1_512", Family.AVX512_FP16),
        ("brg_matmul:avx512_core_bf16", Family.AVX512_BF16),
        ("brg_matmul:avx512_core_vnni", Family.AVX512_VNNI),
        ("jit_bf16:avx512_core", Family.AVX512),
        ("ref_int8:any", Family.REFERENCE),
        ("refined:any", Family.UNNAMED),
        ("jit:avx512_core", Family.AVX512),
        ("jit:avx2", Family.AVX2),
        ("brg_matmul:avx2_vnni_2", Family.AVX2),
        ("ref:any", Family.REFERENCE),
        ("simple:any", Family.REFERENCE),
        ("gemm:jit:bf16", Family.UNNAMED),
        ("jit:uni", Family.UNNAMED),
        ("", Family.UNNAMED),
    ],
)
def test_families(implementation, family):
    assert family_of(implementation) is family


@pytest.mark.parametrize(
    ("announced", "level"),
    [
        ("Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions", "AVX512_CORE"),
        ("Intel AVX-512 with Intel DL Boost", "AVX512_CORE_VNNI"),
        ("Intel AVX-512 with Intel DL Boost and bfloat16 support", "AVX512_CORE_BF16"),
        ("Intel AVX-512 with float16, Intel DL Boost and bfloat16 support ", "AVX512_CORE_FP16"),
        ("Intel AVX10.2", "AVX512_CORE_FP16"),
        (AMX_ISA, "AMX"),
        # The words of oneDNN 3.13.
        ("Intel AVX10.1 and Intel AMX with bfloat16, float16 and 8-bit integer support", "AMX"),
        (f"{AMX_ISA}; Intel AVX10.1 and Intel AMX with bfloat16", "AMX"),
        (f"{AMX_ISA}; Intel AVX-512 with Intel DL Boost", "AMX; AVX512_CORE_VNNI"),
        ("Intel AVX2", "AVX2"),
        ("Intel AVX2 with Intel DL Boost", "AVX2_VNNI"),
        ("Intel AVX2 with Intel DL Boost, float16 and bfloat16 support", "AVX2_VNNI_2"),
        ("Intel SSE4.1", "Intel SSE4.1"),
    ],
)
def test_the_level_that_an_announcement_names(announced, level):
    assert onednn_level(announced) == level
