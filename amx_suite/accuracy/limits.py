"""What counts as near enough: each limit with its source beside it."""

from __future__ import annotations

__all__ = [
    "BF16_ATOL",
    "BF16_COSINE",
    "BF16_RTOL",
    "BF16_SQNR_DB",
    "ERROR_RATIO",
    "EXACT",
    "FP32_GRADIENT_SQNR_DB",
    "FP32_OPERATOR_SQNR_DB",
    "FP32_SQNR_DB",
    "GRADIENT_COSINE",
    "INT8_PEER_SQNR_DB",
    "INT8_SQNR_DB",
    "LOSS_GAP",
    "NAN_ROWS",
    "RERUN",
    "SAME_MULTIPLIER",
    "SAME_TOLERANCE",
    "TOP1_SHARE",
    "Threshold",
]

import msgspec


class Threshold(msgspec.Struct, frozen=True):
    """A limit and where it is from."""

    value: float
    source: str


# What was seen is of full-size ResNet50 (batch 16, 224 pixels) and BERT-base (batch 16, 128
# tokens) with the suite's random weights, under IPEX 2.8.

#: Elements that differ where every sum is exact.
EXACT = Threshold(0.0, "oneDNN benchdnn, matmul/cfg.cpp: integer fills with exact sums")
#: Bits that differ when one arm runs again.
RERUN = Threshold(0.0, "ours: at a fixed thread count sums are taken in a fixed order")
#: Rows outside the poisoned ones that hold NaN.
NAN_ROWS = Threshold(0.0, "oneDNN issue 5717: NaN leaked where K is no multiple of 32")

#: SQNR in dB of FP32 against FP64: of one operator, a whole network's outputs, and its gradients.
#: BF16 in FP32's place gives at most 55, 45 and 35 dB.
FP32_OPERATOR_SQNR_DB = Threshold(100.0, "ours: 24 bits give 130 dB and more")
FP32_SQNR_DB = Threshold(80.0, "ours: 126 dB seen on ResNet50 and BERT-base")
FP32_GRADIENT_SQNR_DB = Threshold(45.0, "ours: 59 dB seen on ResNet50, 117 on BERT-base")

#: SQNR in dB and cosine of a whole network's BF16 outputs against FP32.
BF16_SQNR_DB = Threshold(30.0, "ours: 43 dB seen on ResNet50, 38 on BERT-base")
BF16_COSINE = Threshold(0.999, "ours: the cosine of 27 dB")
#: SQNR in dB of a whole network's INT8 outputs against FP32.
INT8_SQNR_DB = Threshold(20.0, "ours: 31 dB seen on ResNet50, 33 on BERT-base")
#: Cosine of all of a model's BF16 gradients with those of FP64.
GRADIENT_COSINE = Threshold(0.99, "torch/_dynamo/utils.py, same(cos_similarity=True)")

#: SQNR in dB of INT8 with AMX against INT8 without, from the same quantized graph.
INT8_PEER_SQNR_DB = Threshold(60.0, "ours: integer sums are exact, only FP32 rescaling differs")
#: RMSE with AMX over RMSE without, same precision, both against FP64.
ERROR_RATIO = Threshold(1.25, "ours: the order of sums differs, the precision does not")

#: Relative and absolute tolerance of BF16 operators.
BF16_RTOL = Threshold(1.6e-2, "torch.testing.assert_close, default for bfloat16")
BF16_ATOL = Threshold(1e-5, "torch.testing.assert_close, default for bfloat16")
#: Multiplier on the peer's own RMSE, and the tolerance of which a tenth is added.
SAME_MULTIPLIER = Threshold(3.0, "torch/_dynamo/utils.py, same(): low precision")
SAME_TOLERANCE = Threshold(1e-2, "torch/_dynamo/utils.py, same(): tol of training in PyTorch's CI")

#: Share of top-1 answers that must be those of FP32.
TOP1_SHARE = Threshold(0.99, "MLPerf Inference, constants.py: 99 % of the FP32 accuracy")
#: Mean relative gap of the losses over the same steps.
LOSS_GAP = Threshold(0.01, "ours, after SuperBench's rule for training losses")
