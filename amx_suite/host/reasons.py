"""Why AMX cannot be used, and notes: the codes, and what to do about each."""

from __future__ import annotations

__all__ = ["REMEDIES", "Finding", "Reason", "Support"]

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Codes of findings; a published code does not change."""

    # AMX cannot be used
    NOT_LINUX = "not-linux"
    NOT_X86_64 = "not-x86-64"
    CPUID_UNREADABLE = "cpuid-unreadable"
    NO_SILICON = "no-silicon"
    HYPERVISOR_MASK = "hypervisor-mask"
    TYPES_MISSING = "types-missing"
    INCONSISTENT_CPUID = "inconsistent-cpuid"
    KERNEL_TOO_OLD = "kernel-too-old"
    STAND_IN_KERNEL = "stand-in-kernel"
    OS_NOT_ENABLED = "os-not-enabled"
    SYSCALL_FILTERED = "syscall-filtered"
    SMALL_SIGALTSTACK = "small-sigaltstack"
    KERNEL_REFUSES = "kernel-refuses"
    PERMISSION_UNKNOWN = "permission-unknown"
    FIRST_USE_FAILS = "first-use-fails"
    WRONG_RESULT = "wrong-result"
    FIRST_USE_UNTRIED = "first-use-untried"
    # notes
    CAPPED_BY_ENVIRONMENT = "capped-by-environment"
    PARTIAL_MASK = "partial-mask"
    EXTRA_TYPES = "extra-types"


#: What to do, for each code; empty where nothing needs doing.
REMEDIES: dict[Reason, str] = {
    Reason.NOT_LINUX: "Run the suite on x86-64 Linux.",
    Reason.NOT_X86_64: "Run the suite on a 4th generation Intel Xeon or later.",
    Reason.CPUID_UNREADABLE: (
        "Install llvmlite for this Python, and allow this process executable memory "
        "(SELinux: execmem)."
    ),
    Reason.NO_SILICON: (
        "Use a 4th generation Intel Xeon (Sapphire Rapids) or later; if this is one, switch AMX on "
        "in the firmware setup."
    ),
    Reason.HYPERVISOR_MASK: (
        "Start the guest with the host's CPU features on a host that has AMX (QEMU: -cpu host, or "
        "a model with amx-tile, amx-bf16 and amx-int8), or choose an instance type that offers AMX."
    ),
    Reason.TYPES_MISSING: (
        "Have the hypervisor pass amx-bf16 and amx-int8 together with amx-tile; on bare metal look "
        "for a clearcpuid= option or a firmware setting."
    ),
    Reason.INCONSISTENT_CPUID: (
        "Update the hypervisor, and have it pass CPUID leaves D, 1D and 1E to the guest as well as "
        "the feature bits: libraries read them, and do without AMX in silence otherwise."
    ),
    Reason.KERNEL_TOO_OLD: "Boot a Linux kernel of 5.16 or later, or one with its AMX support.",
    Reason.STAND_IN_KERNEL: (
        "Run on a Linux kernel itself: outside gVisor or Gramine; for WSL update its kernel with "
        "wsl --update."
    ),
    Reason.OS_NOT_ENABLED: (
        "Remove clearcpuid=, noxsave and similar options from the kernel's command line and boot a "
        "kernel of 5.16 or later."
    ),
    Reason.SYSCALL_FILTERED: (
        "Let arch_prctl through the container's seccomp profile (docker: --security-opt "
        "seccomp=PROFILE with arch_prctl allowed), and start the suite outside any AMX jail."
    ),
    Reason.SMALL_SIGALTSTACK: (
        "Give every alternate signal stack at least getauxval(AT_MINSIGSTKSZ) bytes, or start "
        "without the library that sets it up too small (see LD_PRELOAD)."
    ),
    Reason.KERNEL_REFUSES: "Look for AMX and xstate messages in dmesg, and try a newer kernel.",
    Reason.PERMISSION_UNKNOWN: "Solve what the message names, then run `amx-suite doctor` again.",
    Reason.FIRST_USE_FAILS: (
        "Update the kernel and, in a guest, the hypervisor; if only some CPUs fail, take them "
        "offline and have the processor replaced."
    ),
    Reason.WRONG_RESULT: (
        "Take the machine out of service: the CPU computes wrong numbers without any error. Have "
        "the processor replaced."
    ),
    Reason.FIRST_USE_UNTRIED: (
        "Solve what stands beside each CPU, then run `amx-suite doctor` again."
    ),
    Reason.CAPPED_BY_ENVIRONMENT: (
        "Nothing to do here: the suite gives each worker its own ceiling. Other programs started "
        "from this shell run without AMX until the variable is unset."
    ),
    Reason.PARTIAL_MASK: (
        "Have the hypervisor pass the host's leaves; without them nobody can see which further AMX "
        "types the host has."
    ),
    Reason.EXTRA_TYPES: "",
}


#: AMX is present and does not work, so the machine has a defect.
_DEFECTS = (Reason.FIRST_USE_FAILS, Reason.WRONG_RESULT)


class Finding(msgspec.Struct, frozen=True):
    """``blocking`` findings keep AMX from being used, the others are notes."""

    reason: Reason
    message: str
    remedy: str
    blocking: bool = True


class Support(msgspec.Struct, frozen=True):
    """Whether AMX can be used, and all findings; if not, the first is the root cause."""

    usable: bool
    findings: tuple[Finding, ...] = ()

    @property
    def root_cause(self) -> Finding | None:
        """The finding to act on first; None where AMX is usable."""
        return None if self.usable else self.findings[0]

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
