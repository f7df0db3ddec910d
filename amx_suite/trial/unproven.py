"""Whether the evidence proves that an arm, or an operator, ran what it says."""

from __future__ import annotations

__all__ = ["judge_operator", "why_beyond_ceiling", "why_unproven"]

from collections.abc import Callable, Iterable

from amx_suite.core.case import RunCase
from amx_suite.core.evidence import Evidence, Family, Jail, KernelUse
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.verdict import Decision, Verdict
from amx_suite.engines import engine_for
from amx_suite.engines.base import Ceiling
from amx_suite.worker.mkl import mkl_exceeds
from amx_suite.worker.onednn import onednn_contradicts

#: A recipe may leave some layers in FP32, or where no log sees them, but not half of the
#: operations.
_LEAST_TYPE_SHARE = 0.5
#: A step's log may hold somewhat more than the model's own operations, as where a library pads.
_MOST_LOGGED = 1.1
#: oneDNN's reference kernels are plain loops, a thousand times slower (PyTorch issue 193951: 8 ms
#: became 15.5 s). A step with more than this share of its operations on them is theirs.
_MOST_REFERENCE_SHARE = 0.01
_NAMED_KERNELS = 3
_ONEDNN, _MKL = "onednn", "mkl"
#: Whether what a library reports contradicts the ceiling it was told; others must report just that.
#: MKL may report a level below its ceiling, and none at all on CPUs of other vendors.
_CONTRADICTIONS: dict[str, Callable[[str, str], bool]] = {
    _ONEDNN: onednn_contradicts,
    _MKL: mkl_exceeds,
}
_CHECK_ONEDNN = "check that oneDNN is built with AMX and that nothing lowers its ISA"


def why_unproven(case: RunCase, evidence: Evidence, least_amx_share: float) -> Decision | None:
    """NO_EVIDENCE for the first thing that the evidence does not prove, or None.

    In this order: every library reports the ceiling that was set; the log is of this model; its
    products were not computed by oneDNN's reference kernels; an AMX arm did more than
    ``least_amx_share`` of its operations on AMX kernels, and any other arm could not use AMX; the
    products were in the case's precision.
    """
    if case.isa.allows_amx:
        wrong_units = _too_little_amx(case, evidence, least_amx_share)
    else:
        wrong_units = _perhaps_amx(case, evidence)
    return (
        _outside_ceiling(case, evidence)
        or _another_model(case, evidence)
        or _on_reference(case, evidence)
        or wrong_units
        or _other_precision(case, evidence)
    )


def why_beyond_ceiling(case: RunCase, what: str) -> Decision:
    """NO_EVIDENCE for an arm that the kernel killed for an instruction beyond its ceiling.

    ``what`` says how it died.
    """
    return _no_evidence(
        f"{case.arm}: {case.engine} ignores its ceiling of {case.isa}: {what}",
        f"report it to {case.engine}: it executes tile instructions though the kernel refuses it "
        "the permission; until that is mended, no arm without AMX can be measured with it",
    )


def judge_operator(what: str, precision: Precision, kernels: Iterable[KernelUse]) -> Decision:
    """Whether an operator that may use AMX did so, by the logs of all its examples.

    PASS with one product on an AMX kernel, NO_EVIDENCE if all were on others, and NOT_APPLICABLE if
    no log names a kernel of its products. A quantization recipe chooses what it quantizes, so that
    products it left in FP32 do not count. ``what`` names the operator.
    """
    products = [use for use in kernels if use.kind in Evidence.MATRIX_KINDS and use.names_kernel]
    if precision.spec.is_quantized:
        products = [use for use in products if use.data_type in precision.spec.operand_types]
    if not products:
        return Decision(
            Verdict.NOT_APPLICABLE,
            f"the numbers of {what} are right, but it ran no {precision.upper()} kernel of a "
            "library whose log names it, so it says nothing of AMX",
        )
    if any(use.family is Family.AMX for use in products):
        return Decision(Verdict.PASS, "")
    return _no_evidence(
        f"the numbers of {what} are right, but none of its {len(products)} products with a named "
        f"kernel was on AMX, in any shape; it ran: {_named(products)}",
        _CHECK_ONEDNN,
    )


def _outside_ceiling(case: RunCase, evidence: Evidence) -> Decision | None:
    isa = evidence.isa if case.isa is Isa.NO_AMX else case.isa
    onednn = "AMX" if isa.allows_amx else isa.spec.onednn
    ceilings = {
        **engine_for(case.engine, case.precision).ceilings(isa),
        _ONEDNN: Ceiling(onednn, "ONEDNN_MAX_CPU_ISA"),
        _MKL: Ceiling(isa.spec.mkl, "MKL_ENABLE_INSTRUCTIONS"),
    }
    for library, wanted in ceilings.items():
        found = evidence.read_back.get(library)
        contradicts = _CONTRADICTIONS.get(library, str.__ne__)
        if found is not None and contradicts(found, wanted.report):
            return _no_evidence(
                f"{case.arm}: {library} reports {found} where {wanted.variable} asked for "
                f"{wanted.report}",
                f"check that this build of {library} reads {wanted.variable} and that the CPU has "
                f"what {wanted.report} needs (amx-suite doctor)",
            )
    return None


def _another_model(case: RunCase, evidence: Evidence) -> Decision | None:
    if evidence.logged_operations <= _MOST_LOGGED * evidence.operations:
        return None
    return _no_evidence(
        f"{case.arm}: the kernel log holds {evidence.logged_operations:.3g} operations, and a step "
        f"of this model has {evidence.operations:.3g}: it is not the log of one step of it",
        "report it with results.json: something else computes in this process",
    )


def _on_reference(case: RunCase, evidence: Evidence) -> Decision | None:
    slow = [use for use in evidence.matrix_kernels if use.family is Family.REFERENCE]
    share = sum(use.operations for use in slow) / max(1, evidence.operations)
    if share <= _MOST_REFERENCE_SHARE:
        return None
    return _no_evidence(
        f"{case.arm}: {share:.0%} of the step's operations were on oneDNN's reference kernels, "
        f"which are plain loops: {_named(slow)}",
        f"take a build of PyTorch whose oneDNN has a kernel for {case.precision} under {case.isa}",
    )


def _too_little_amx(case: RunCase, evidence: Evidence, least_share: float) -> Decision | None:
    if not evidence.amx_permission:
        return _no_evidence(
            f"{case.arm} ended without the kernel's tile permission, so it cannot have used AMX",
            "run amx-suite doctor",
        )
    if evidence.amx_share <= least_share:
        return _no_evidence(
            f"{case.arm}: {evidence.amx_share:.0%} of the step's operations were on AMX kernels, "
            f"more than {least_share:.0%} expected; most operations: "
            f"{_named(evidence.matrix_kernels)}",
            _CHECK_ONEDNN,
        )
    return None


def _perhaps_amx(case: RunCase, evidence: Evidence) -> Decision | None:
    if evidence.amx_permission is False:
        return None
    if evidence.jail is Jail.UNAVAILABLE:
        return _no_evidence(
            f"{case.arm} could not be jailed, so it may have used AMX",
            "allow seccomp filters (no_new_privs) in this container",
        )
    return _no_evidence(
        f"{case.arm} held the tile permission or the kernel does not say, so it may have used AMX",
        "start its worker in the jail; if it was in the jail, report that the jail did not hold",
    )


def _other_precision(case: RunCase, evidence: Evidence) -> Decision | None:
    typed = [use for use in evidence.matrix_kernels if use.data_type]
    wrong = [use for use in typed if use.data_type not in case.precision.spec.operand_types]
    remedy = (
        "look for a default math mode (ONEDNN_DEFAULT_FPMATH_MODE, "
        "torch.set_float32_matmul_precision) or a recipe that did not convert the model"
    )
    if case.precision is Precision.FP32:
        # It allows nothing else: a single product in BF16 makes the baseline another one.
        if not wrong:
            return None
        share = _operations(wrong) / _operations(typed)
        return _no_evidence(
            f"{case.arm}: {share:.0%} of the logged operations were not in "
            f"{case.precision}: {_named(wrong)}",
            remedy,
        )
    right = sum(use.operations for use in typed if use not in wrong)
    if right > _LEAST_TYPE_SHARE * evidence.operations:
        return None
    share = right / max(1, evidence.operations)
    return _no_evidence(
        f"{case.arm}: {share:.0%} of the step's operations were logged in {case.precision}, more "
        f"than {_LEAST_TYPE_SHARE:.0%} expected; logged in others: {_named(wrong)}",
        remedy,
    )


def _operations(uses: Iterable[KernelUse]) -> int:
    # A kernel of unknown size still counts for something.
    return sum(max(1, use.operations) for use in uses)


def _no_evidence(reason: str, remedy: str) -> Decision:
    return Decision(Verdict.NO_EVIDENCE, reason, remedy)


def _named(uses: Iterable[KernelUse]) -> str:
    return ", ".join(list(dict.fromkeys(map(str, uses)))[:_NAMED_KERNELS]) or "none logged"
