"""What counts as close enough: each limit with its source."""

from __future__ import annotations

__all__ = [
    "ERROR_RATIO",
    "EXACT",
    "FP32_GRADIENT_SQNR_DB",
    "FP32_OPERATOR_SQNR_DB",
    "FP32_SQNR_DB",
    "GRADIENT_COSINE",
    "LOSS_GAP",
    "NAN_ROWS",
    "RERUN",
    "SAME_MULTIPLIER",
    "SAME_TOLERANCE",
    "TOLERANCES",
    "TOP1_SHARE",
    "Rounding",
    "Tolerances",
]

import msgspec

from amx_suite.core.agreement import Threshold
from amx_suite.core.precision import Precision

# What was seen is of full-size ResNet50 (batch 16, 224 pixels) and BERT-base (batch 16, 128
# tokens) with the suite's random weights, under IPEX 2.8.

#: Elements that may differ where every sum is exact.
EXACT = Threshold(0.0, "oneDNN benchdnn, matmul/cfg.cpp: integer fills with exact sums")
#: Elements that may differ when one arm runs again.
RERUN = Threshold(0.0, "ours: at a fixed thread count sums are taken in a fixed order")
#: Rows that may hold NaN without having been given one.
NAN_ROWS = Threshold(0.0, "oneDNN issue 5717: NaN leaked where K is no multiple of 32")

#: SQNR in dB of FP32 against FP64: of one operator, a whole network's outputs, and its gradients.
#: If it is BF16 instead, they are at most 55, 45 and 35 dB.
FP32_OPERATOR_SQNR_DB = Threshold(100.0, "ours: 24 bits give 130 dB and more")
FP32_SQNR_DB = Threshold(80.0, "ours: 126 dB seen on ResNet50 and BERT-base")
FP32_GRADIENT_SQNR_DB = Threshold(45.0, "ours: 59 dB seen on ResNet50, 117 on BERT-base")

#: Cosine of all of a model's gradients in a reduced precision with those of FP64.
GRADIENT_COSINE = Threshold(0.99, "torch/_dynamo/utils.py, same(cos_similarity=True)")

#: RMSE with AMX over RMSE without, same precision, both against FP64.
ERROR_RATIO = Threshold(1.25, "ours: the order of sums differs, the precision does not")

#: Allowed is the first times the peer's RMSE, plus a tenth of the second.
SAME_MULTIPLIER = Threshold(3.0, "torch/_dynamo/utils.py, same(): low precision")
SAME_TOLERANCE = Threshold(1e-2, "torch/_dynamo/utils.py, same(): tol of training in PyTorch's CI")

#: Share of top-1 answers that must be those of FP32.
TOP1_SHARE = Threshold(0.99, "MLPerf Inference, constants.py: 99 % of the FP32 accuracy")
#: Mean relative gap of the losses over the same steps.
LOSS_GAP = Threshold(0.01, "ours, after SuperBench's rule for training losses")


class Rounding(msgspec.Struct, frozen=True):
    """How far each element of a floating-point result may be from the right one."""

    rtol: float
    atol: float
    source: str


class Tolerances(msgspec.Struct, frozen=True):
    """How far results in one reduced precision may be off.

    ``bits`` are the significant bits of the format. A whole network's outputs are compared with
    FP32 by ``outputs_sqnr_db`` and ``outputs_cosine``. A single operator is compared with FP64 by
    the ``rounding`` of a floating-point format. A quantized format has ``peer_sqnr_db`` instead:
    with AMX against without, for a single operator.
    """

    bits: int
    outputs_sqnr_db: Threshold
    outputs_cosine: Threshold | None = None
    rounding: Rounding | None = None
    peer_sqnr_db: Threshold | None = None

    @property
    def least_error(self) -> float:
        """RMSE of rounding alone over the root mean square of a right result; a lower bound.

        A format with b significant bits errs by up to 2^-b of a number, and by 2^-(b + 2) or more
        in the root mean square of many.
        """
        return 2.0 ** -(self.bits + 2)


#: One row for each precision with an AMX arm.
TOLERANCES: dict[Precision, Tolerances] = {
    Precision.BF16: Tolerances(
        bits=8,
        outputs_sqnr_db=Threshold(30.0, "ours: 43 dB seen on ResNet50, 38 on BERT-base"),
        outputs_cosine=Threshold(0.999, "ours: the cosine of 27 dB"),
        rounding=Rounding(1.6e-2, 1e-5, "torch.testing.assert_close, default for bfloat16"),
    ),
    Precision.INT8: Tolerances(
        bits=8,
        outputs_sqnr_db=Threshold(20.0, "ours: 31 dB seen on ResNet50, 33 on BERT-base"),
        peer_sqnr_db=Threshold(60.0, "ours: integer sums are exact, only FP32 rescaling differs"),
    ),
    Precision.FP16: Tolerances(
        bits=11,
        # BF16 in its place would give 43 dB at most.
        outputs_sqnr_db=Threshold(45.0, "ours: 60 dB seen on ResNet50, 63 on BERT-base"),
        outputs_cosine=Threshold(0.9999, "ours: the cosine of 37 dB"),
        rounding=Rounding(1e-3, 1e-5, "torch.testing.assert_close, default for float16"),
    ),
}
