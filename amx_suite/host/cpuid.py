"""CPUID and XCR0 as this processor, or its hypervisor, reports them.

Source of the bits: Intel's instruction set extensions reference, "CPUID", leaves 7, 1D and 1E.
"""

from __future__ import annotations

__all__ = ["AMX_BITS", "Cpuid", "Registers", "read_cpuid", "survey"]

import ctypes
from collections.abc import Callable

import msgspec

from amx_suite.child.limits import limit_of
from amx_suite.errors import AmxSuiteError
from amx_suite.tmul.xcomp import XTILECFG, XTILEDATA

#: Name of a feature: CPUID leaf and subleaf, register, bit.
AMX_BITS: dict[str, tuple[str, str, int]] = {
    "AMX-TILE": ("7.0", "edx", 24),
    "AMX-BF16": ("7.0", "edx", 22),
    "AMX-INT8": ("7.0", "edx", 25),
    "AMX-FP16": ("7.1", "eax", 21),
    "AMX-COMPLEX": ("7.1", "edx", 8),
    "AMX-FP8": ("1E.1", "eax", 4),
    "AMX-AVX512": ("1E.1", "eax", 7),
    "AMX-MOVRS": ("1E.1", "eax", 8),
}

_OSXSAVE = ("1.0", "ecx", 27)
_HYPERVISOR = ("1.0", "ecx", 31)

#: Hypervisor signatures in leaf 0x40000000 and the names people know them by.
_HYPERVISORS = {
    "KVMKVMKVM": "KVM",
    "Microsoft Hv": "Hyper-V",
    "VMwareVMware": "VMware",
    "XenVMMXenVMM": "Xen",
    "TCGTCGTCGTCG": "QEMU TCG",
}

#: Arguments: leaf, subleaf, address of four 32-bit words. ``assemble`` gives the syntax.
_READ_CPUID = (
    "mov rax, $0",
    "mov rcx, $1",
    "cpuid",
    "mov [$2], eax",
    "mov [$2 + 4], ebx",
    "mov [$2 + 8], ecx",
    "mov [$2 + 12], edx",
)
#: Argument: address of a 64-bit word.
_READ_XCR0 = ("xor ecx, ecx", "xgetbv", "mov [$0], eax", "mov [$0 + 4], edx")
_CLOBBERED = ("rax", "rbx", "rcx", "rdx")


class Registers(msgspec.Struct, frozen=True):
    """The four 32-bit registers that one CPUID leaf returns."""

    eax: int = 0
    ebx: int = 0
    ecx: int = 0
    edx: int = 0


class Cpuid(msgspec.Struct, frozen=True):
    """Observed leaves by ``LEAF.SUBLEAF`` in hexadecimal, such as ``1D.1``, and XCR0.

    ``xcr0`` is None where the operating system forbids reading it. ``error`` says why nothing could
    be read.
    """

    leaves: dict[str, Registers] = {}
    xcr0: int | None = None
    error: str = ""

    def leaf(self, name: str) -> Registers:
        """The leaf's registers, all zero if it does not exist."""
        return self.leaves.get(name, Registers())

    def has(self, where: tuple[str, str, int]) -> bool:
        """Whether the bit (leaf, register, number) is set."""
        leaf, register, bit = where
        return bool(getattr(self.leaf(leaf), register) >> bit & 1)

    @property
    def amx_features(self) -> tuple[str, ...]:
        """Names of the AMX features reported, in the table's order."""
        return tuple(name for name, where in AMX_BITS.items() if self.has(where))

    @property
    def vendor(self) -> str:
        """The vendor's signature in leaf 0, such as ``GenuineIntel``."""
        leaf = self.leaf("0.0")
        return _text(leaf.ebx, leaf.edx, leaf.ecx)

    @property
    def virtual(self) -> bool:
        """Whether CPUID reports a hypervisor."""
        return self.has(_HYPERVISOR)

    @property
    def hypervisor(self) -> str:
        """The hypervisor's name, ``unknown`` for one without a signature, empty for none."""
        if not self.virtual:
            return ""
        leaf = self.leaf("40000000.0")
        signature = _text(leaf.ebx, leaf.ecx, leaf.edx)
        return _HYPERVISORS.get(signature, signature) or "unknown"

    @property
    def xcr0_text(self) -> str:
        """XCR0 in hexadecimal, or ``unreadable``."""
        return "unreadable" if self.xcr0 is None else f"{self.xcr0:#x}"

    @property
    def tile_states_possible(self) -> bool:
        """Whether the processor can save both tile states (leaf D.0, low half of XCR0)."""
        possible = self.leaf("D.0").eax
        return bool(possible >> XTILECFG & possible >> XTILEDATA & 1)

    @property
    def tile_states_enabled(self) -> bool:
        """Whether the operating system has both tile states switched on in XCR0."""
        enabled = self.xcr0 or 0
        return bool(enabled >> XTILECFG & enabled >> XTILEDATA & 1)


def _text(*registers: int) -> str:
    return b"".join(r.to_bytes(4, "little") for r in registers).decode("latin-1").rstrip("\0")


def survey(cpuid: Callable[[int, int], Registers], xcr0: Callable[[], int]) -> Cpuid:
    """Read every leaf about AMX that exists.

    Beyond the highest leaf CPUID returns another leaf's registers, so a leaf is read only where the
    highest leaf or subleaf says that it exists.
    """
    found: dict[str, Registers] = {}

    def ask(leaf: int, subleaf: int = 0) -> Registers:
        registers = found[f"{leaf:X}.{subleaf:X}"] = cpuid(leaf, subleaf)
        return registers

    highest = ask(0x0).eax
    ask(0x1)
    if highest >= 0x7 and ask(0x7).eax >= 1:
        ask(0x7, 1)
    if highest >= 0xD:
        for subleaf in (0, XTILECFG, XTILEDATA):
            ask(0xD, subleaf)
    if highest >= 0x1D and ask(0x1D).eax >= 1:
        ask(0x1D, 1)
    if highest >= 0x1E and ask(0x1E).eax >= 1:
        ask(0x1E, 1)
    if Cpuid(found).virtual:
        ask(0x40000000)
    # Without OSXSAVE the instruction that reads XCR0 is illegal.
    return Cpuid(found, xcr0() if Cpuid(found).has(_OSXSAVE) else None)


def read_cpuid() -> Cpuid:
    """Read the CPU of this thread; where that is impossible, ``error`` says why."""
    # Late, because loading LLVM takes time.
    try:
        from amx_suite.tmul.jit import assemble

        run = assemble(_READ_CPUID, ("i64", "i64", "ptr"), _CLOBBERED)
        read_xcr0 = assemble(_READ_XCR0, ("ptr",), _CLOBBERED)
    except (AmxSuiteError, ImportError, OSError, MemoryError) as error:
        # llvmlite hides the loader's own words behind advice of its own.
        limit = limit_of(error) or limit_of(error.__context__)
        return Cpuid(error=str(error) if limit is None else limit[1])
    words, word = (ctypes.c_uint32 * 4)(), ctypes.c_uint64()

    def cpuid(leaf: int, subleaf: int) -> Registers:
        run(leaf, subleaf, words)
        return Registers(*words)

    def xcr0() -> int:
        read_xcr0(ctypes.byref(word))
        return word.value

    return survey(cpuid, xcr0)
