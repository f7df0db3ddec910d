"""oneDNN's verbose log: the ISA that it announces, and the kernels that it ran.

Line formats (oneDNN developer guide, "Verbose Mode"), with an optional timestamp after ``v1``::

    onednn_verbose,v1,info,cpu,isa:ISA
    onednn_verbose,v1,primitive,exec,cpu,KIND,IMPLEMENTATION,...,PROBLEM,MILLISECONDS
    onednn_verbose,v1,graph,exec,cpu,ID,PARTITION,OPERATIONS,...,IMPLEMENTATION,BACKEND,MILLISECONDS
    onednn_verbose,v1,ukernel,exec,cpu,KIND,IMPLEMENTATION,...,MILLISECONDS
    dnnl_verbose,exec,cpu,KIND,IMPLEMENTATION,...,PROBLEM,MILLISECONDS        (oneDNN 2)

Threads and libraries share the descriptor, so a record may begin in the middle of a line or be cut
off; only whole records count.
"""

from __future__ import annotations

__all__ = ["announced_isa", "family_of", "onednn_contradicts", "onednn_kernels", "onednn_level"]

import re
from collections.abc import Iterator

from amx_suite.core.evidence import Family, KernelUse
from amx_suite.worker.operations import onednn_operations

_START = re.compile(r"(?:onednn|dnnl)_verbose,(?:v\d+,)?(?:[\d.]+,)?")
_ISA = re.compile(r"info,cpu,isa:(.*)")
_EXECUTION = re.compile(r"(?:(\w+),)?exec,[^,]*,(.+),(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*")
#: Fields from the kind to the problem; a shorter record was cut off. A primitive has: kind,
#: implementation, propagation, descriptors, attributes, auxiliary, problem.
_FIELDS = 7
#: A graph has: number, partition, operations, formats, tensors, math mode, implementation, backend.
_FIELDS_OF = {"graph": 8, "ukernel": 4}

#: What the name of an implementation holds by family, most capable first. ``avx10_1_512`` is what
#: oneDNN calls AVX-512 with FP16 (dispatcher_control.md), ``avx10_1_512_amx`` the same with AMX.
_FAMILIES: tuple[tuple[str, Family], ...] = (
    ("_amx", Family.AMX),
    ("avx10_", Family.AVX512_FP16),
    ("avx512_core_fp16", Family.AVX512_FP16),
    ("avx512_core_bf16", Family.AVX512_BF16),
    ("avx512_core_vnni", Family.AVX512_VNNI),
    ("avx512", Family.AVX512),
    ("avx2", Family.AVX2),
)
_REFERENCES = re.compile(r"(?:ref|simple)(?:[_:]|$)")
#: The values of ONEDNN_MAX_CPU_ISA by its announcement: whole sentences of releases 2.7 to 3.13
#: (src/cpu/x64/cpu_isa_traits.cpp, get_name). A sentence that merely begins like one of these may
#: name more, as that of AVX10.2 with ACE does, which is in development.
_LEVELS = {
    "Intel AVX10.2": "AVX10_2_512",
    "Intel AVX10.2/512 with float16, Intel DL Boost and bfloat16 support": "AVX10_2_512",
    "Intel AVX 10.1": "AVX512_CORE_FP16",
    "Intel AVX-512 with float16, Intel DL Boost and bfloat16 support": "AVX512_CORE_FP16",
    "Intel AVX-512 with Intel DL Boost and bfloat16 support": "AVX512_CORE_BF16",
    "Intel AVX-512 with Intel DL Boost and bfloat16 support on Ymm/Zmm": "AVX512_CORE_BF16",
    "Intel AVX-512 with Intel DL Boost": "AVX512_CORE_VNNI",
    "Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions": "AVX512_CORE",
    "Intel AVX2 with Intel DL Boost, float16 and bfloat16 support": "AVX2_VNNI_2",
    "Intel AVX2 with Intel DL Boost": "AVX2_VNNI",
    "Intel AVX2": "AVX2",
    "Intel AVX": "AVX",
    "Intel SSE4.1": "SSE41",
}
#: Which AMX it is depends on the CPU alone.
_WITH_AMX, _AMX = "Intel AMX", "AMX"
_PREVIEW = "(preview support)"
_JOINT = "; "

#: The source operand's type: ``src_bf16::...`` until oneDNN 3.0, ``src:bf16::...`` since. A
#: backward pass has ``diff_src`` in its place.
_SOURCE_TYPE = re.compile(r"\b(?:diff_)?src[_:]([a-z]+[0-9]+(?:_e[0-9]m[0-9])?)")
#: The math mode among the attributes; ``strict`` is the default and allows nothing.
_MATH_MODE = re.compile(r"\battr-fpmath:(?!strict)([a-z0-9]+)")


def announced_isa(text: str) -> str:
    """The ISA that the log announces, empty if it announces none.

    A process can hold several copies of oneDNN; different announcements are joined by ``; ``.
    """
    found = (_ISA.fullmatch(record) for record in _records(text))
    return _JOINT.join(dict.fromkeys(match[1].strip() for match in found if match))


def onednn_level(announced: str) -> str:
    """The level of each announcement, as ONEDNN_MAX_CPU_ISA calls it, or its own words."""
    found = (
        _AMX if _WITH_AMX in one else _LEVELS.get(one.removesuffix(_PREVIEW).strip(), one)
        for one in announced.split(_JOINT)
    )
    return _JOINT.join(dict.fromkeys(found))


def onednn_contradicts(levels: str, ceiling: str) -> bool:
    """Whether one of these levels is not the one that was asked for.

    Under a ceiling with AMX, words that name no level do not contradict: a later oneDNN may say it
    in its own way, and whether there were AMX kernels its log shows. Below AMX a level must be as
    asked for, since no kernel shows it.
    """
    allowed = {ceiling}
    if ceiling == _AMX:
        allowed |= set(levels.split(_JOINT)) - set(_LEVELS.values())
    return not allowed.issuperset(levels.split(_JOINT))


def onednn_kernels(text: str) -> Iterator[KernelUse]:
    """Each execution in the log; damaged records are left out.

    Executions of oneDNN Graph have the kind ``graph:PARTITION``. Their time contains that of the
    primitives inside, which are logged as well, so their kind is no matrix kind.
    """
    for record in _records(text):
        if (match := _EXECUTION.fullmatch(record)) is None:
            continue
        component, fields = match[1], match[2].split(",")
        if len(fields) < _FIELDS_OF.get(component, _FIELDS) or not fields[0]:
            continue
        kind, name = fields[:2]
        if component == "graph":
            kind, name = f"graph:{fields[1]}", f"{fields[-2]}:{fields[-1]}"
        yield KernelUse(
            kind,
            name,
            family_of(name),
            1,
            float(match[3]),
            _data_type(record),
            onednn_operations(kind, fields[-1]),
        )


def family_of(implementation: str) -> Family:
    """The instruction family in an implementation's name, such as ``brgconv:avx512_core_amx``."""
    for part, family in _FAMILIES:
        if part in implementation:
            return family
    return Family.REFERENCE if _REFERENCES.match(implementation) else Family.UNNAMED


def _records(text: str) -> Iterator[str]:
    """What follows the last start of a record in each line; a last line without end is cut off."""
    for line in text.split("\n")[:-1]:
        if len(parts := _START.split(line)) > 1:
            yield parts[-1]


def _data_type(record: str) -> str:
    source, mode = _SOURCE_TYPE.search(record), _MATH_MODE.search(record)
    return (source[1] if source else "") + (f"/fpm:{mode[1]}" if mode else "")
