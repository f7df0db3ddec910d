"""Why AMX cannot be used, and notes: the codes, and what to do about each."""

# A comma forgotten here fails when the module is imported.
# ruff: noqa: ISC004

from __future__ import annotations

__all__ = ["Reason", "Support", "SupportFinding"]

from enum import StrEnum
from typing import Self

import msgspec


class Reason(StrEnum):
    """Codes of findings, each with its remedy; a published code does not change.

    A finding whose code is ``blocking`` keeps AMX from being used, any other is a note.
    """

    remedy: str
    blocking: bool

    def __new__(cls, code: str, remedy: str, blocking: bool = True) -> Self:
        """Make a member whose value is the code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.remedy = remedy
        member.blocking = blocking
        return member

    # AMX cannot be used
    NOT_LINUX = "not-linux", "Run the suite on x86-64 Linux."
    NOT_X86_64 = "not-x86-64", "Run the suite on a 4th generation Intel Xeon or later."
    CPUID_UNREADABLE = (
        "cpuid-unreadable",
        "Install llvmlite, and allow this process executable memory (SELinux: execmem; systemd: "
        "MemoryDenyWriteExecute=no).",
    )
    NO_SILICON = (
        "no-silicon",
        "Use a 4th generation Intel Xeon or later; if this is one, switch AMX on in the firmware.",
    )
    HYPERVISOR_MASK = (
        "hypervisor-mask",
        "Start the guest on a host that has AMX with the host's CPU features (QEMU: -cpu host), or "
        "choose an instance type that offers AMX.",
    )
    TYPES_MISSING = (
        "types-missing",
        "Have the hypervisor pass amx-bf16 and amx-int8 with amx-tile; on bare metal look for a "
        "clearcpuid= option or a firmware setting.",
    )
    INCONSISTENT_CPUID = (
        "inconsistent-cpuid",
        "Update the hypervisor, and have it pass CPUID leaves D, 1D and 1E too: libraries read "
        "them, and do without AMX in silence otherwise.",
    )
    KERNEL_TOO_OLD = (
        "kernel-too-old",
        "Boot a Linux kernel of 5.16 or later, or one with its AMX support.",
    )
    STAND_IN_KERNEL = (
        "stand-in-kernel",
        "Run on a Linux kernel itself, outside gVisor or Gramine; update WSL with wsl --update.",
    )
    OS_NOT_ENABLED = (
        "os-not-enabled",
        "Remove clearcpuid=, noxsave and similar options from the kernel's command line and boot a "
        "kernel of 5.16 or later.",
    )
    SYSCALL_FILTERED = (
        "syscall-filtered",
        "Let arch_prctl through the container's seccomp profile (docker: --security-opt "
        "seccomp=PROFILE), and start the suite outside any AMX jail.",
    )
    SMALL_SIGALTSTACK = (
        "small-sigaltstack",
        "Give every alternate signal stack at least getauxval(AT_MINSIGSTKSZ) bytes, or start "
        "without the library that sets it up too small (see LD_PRELOAD).",
    )
    KERNEL_REFUSES = (
        "kernel-refuses",
        "Look for AMX and xstate messages in dmesg, and try a newer kernel.",
    )
    PERMISSION_UNKNOWN = (
        "permission-unknown",
        "Solve what the message names, then run `amx-suite doctor` again.",
    )
    FIRST_USE_FAILS = (
        "first-use-fails",
        "Update the kernel and, in a guest, the hypervisor; if only some CPUs fail, take them "
        "offline and have the processor replaced.",
    )
    WRONG_RESULT = (
        "wrong-result",
        "Take the machine out of service and have the processor replaced: it computes wrong "
        "numbers without any error.",
    )
    FIRST_USE_UNTRIED = (
        "first-use-untried",
        "Solve what stands beside each CPU, then run `amx-suite doctor` again.",
    )
    # notes
    CAPPED_BY_ENVIRONMENT = (
        "capped-by-environment",
        "Nothing for the suite, which sets each worker's own; unset it for other programs.",
        False,
    )
    PARTIAL_MASK = (
        "partial-mask",
        "Have the hypervisor pass these leaves: they show which further AMX types the host has.",
        False,
    )
    EXTRA_TYPES = "extra-types", "", False


#: AMX is present and does not work, so the machine has a defect.
_DEFECTS = (Reason.FIRST_USE_FAILS, Reason.WRONG_RESULT)


class SupportFinding(msgspec.Struct, frozen=True):
    """One thing that keeps AMX from being used, or a note, with its code."""

    reason: Reason
    message: str
    remedy: str
    blocking: bool = True


class Support(msgspec.Struct, frozen=True):
    """All findings: AMX can be used if none is blocking, and otherwise the first is the cause."""

    findings: tuple[SupportFinding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether AMX can be used."""
        return self.root_cause is None

    @property
    def root_cause(self) -> SupportFinding | None:
        """The finding to act on first; None where AMX is usable."""
        return next((finding for finding in self.findings if finding.blocking), None)

    @property
    def reason(self) -> Reason | None:
        """The root cause's code; None where AMX is usable."""
        return self.root_cause.reason if self.root_cause else None

    @property
    def defective(self) -> bool:
        """Whether AMX is present and does not work: tests then fail instead of being skipped."""
        return any(finding.reason in _DEFECTS for finding in self.findings)

    @property
    def explanation(self) -> str:
        """The root cause as one sentence with its remedy; empty where AMX is usable."""
        cause = self.root_cause
        return f"{cause.message} {cause.remedy}" if cause else ""
