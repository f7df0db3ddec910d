"""What is worth knowing of a host besides whether AMX can be used on it."""

from __future__ import annotations

__all__ = ["notes_on"]

from collections.abc import Iterator

from amx_suite.host.facts import HostFacts
from amx_suite.host.reasons import REMEDIES, Finding, Reason

#: What every CPU with AMX has.
_BASE_TYPES = ("AMX-TILE", "AMX-BF16", "AMX-INT8")

#: Values that keep AMX off, in capitals. Sources: oneDNN dispatcher_control.md, oneMKL developer
#: guide. Values that are in neither list are ignored by the libraries, or allow AMX.
_ONEDNN_CAPS = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
    "AVX512_CORE_BF16",
    "AVX512_CORE_FP16",
    "AVX10_1_512",
    "AVX10_2_512",
)
_MKL_CAPS = ("SSE4_2", "AVX", "AVX2", "AVX2_E1", "AVX512", "AVX512_E1", "AVX512_E2", "AVX512_E3")
#: ATen's and IPEX's own levels (IPEX csrc/cpu/dyndisp); the ones that begin with AMX allow it.
_ATEN_CAPS = ("DEFAULT", "AVX2", "AVX2_VNNI", "AVX512", "AVX512_VNNI", "AVX512_BF16")
_CAPS = {
    "ONEDNN_MAX_CPU_ISA": _ONEDNN_CAPS,
    "DNNL_MAX_CPU_ISA": _ONEDNN_CAPS,
    "ATEN_CPU_CAPABILITY": _ATEN_CAPS,
    "MKL_ENABLE_INSTRUCTIONS": _MKL_CAPS,
}


def _note(reason: Reason, message: str) -> Finding:
    return Finding(reason, message, REMEDIES[reason], blocking=False)


def notes_on(facts: HostFacts) -> Iterator[Finding]:
    """Findings that keep nobody from using AMX. Pure."""
    cpuid = facts.cpuid
    extra = [name for name in cpuid.amx_features if name not in _BASE_TYPES]
    if extra:
        yield _note(Reason.EXTRA_TYPES, f"The CPU also has {', '.join(extra)}.")
    if "AMX-TILE" in cpuid.amx_features and cpuid.virtual:
        # Every CPU with AMX has subleaf 7.1, and leaf 1E with the multiplier's dimensions.
        hidden = [
            name
            for name, seen in (("7.1", cpuid.leaf("7.0").eax), ("1E", cpuid.leaf("1E.0").ebx))
            if not seen
        ]
        if hidden:
            yield _note(
                Reason.PARTIAL_MASK,
                f"The hypervisor ({cpuid.hypervisor}) shows AMX and hides CPUID leaf "
                f"{' and '.join(hidden)}.",
            )
    for name, value in sorted(facts.environment.items()):
        if value.upper() in _CAPS.get(name, ()):
            yield _note(
                Reason.CAPPED_BY_ENVIRONMENT,
                f"{name}={value} in the environment keeps AMX from programs that read it.",
            )
