"""oneDNN's verbose log, read into kernel uses.

Line formats (oneDNN developer guide, "Verbose Mode"), with an optional timestamp after ``v1``::

    onednn_verbose,v1,info,cpu,isa:ISA
    onednn_verbose,v1,primitive,exec,cpu,KIND,IMPLEMENTATION,...,PROBLEM,MILLISECONDS
    onednn_verbose,v1,graph,exec,cpu,ID,PARTITION,OPERATIONS,...,IMPLEMENTATION,BACKEND,MILLISECONDS
    onednn_verbose,v1,ukernel,exec,cpu,KIND,IMPLEMENTATION,...,MILLISECONDS
    dnnl_verbose,exec,cpu,KIND,IMPLEMENTATION,...,PROBLEM,MILLISECONDS        (oneDNN 2)

Threads and libraries share the descriptor, so a record may begin in the middle of a line or be cut
off; a record that is not whole is left out.
"""

from __future__ import annotations

__all__ = ["KernelLog", "family_of", "onednn_level", "parse_log"]

import math
import re
from collections import defaultdict

import msgspec

from amx_suite.core.evidence import Family, KernelUse

_RECORD = re.compile(r"(?:onednn|dnnl)_verbose,")
_GRAPH, _UKERNEL = "graph", "ukernel"
#: Fields from the kind on: kind, implementation, propagation, descriptors, attributes, auxiliary,
#: problem, milliseconds; a shorter record was cut off.
_PRIMITIVE_FIELDS = 8
#: From the partition's number on: number, partition, operations, formats, tensors, math mode,
#: implementation, backend, milliseconds.
_GRAPH_FIELDS = 9
_UKERNEL_FIELDS = 5

#: What a name must hold to belong to a family, most capable first. ``avx10_1_512`` is what oneDNN
#: calls AVX-512 with FP16 (dispatcher_control.md), ``avx10_1_512_amx`` the same with AMX.
_FAMILIES: tuple[tuple[str, Family], ...] = (
    ("_amx", Family.AMX),
    ("avx10_", Family.AVX512_FP16),
    ("avx512_core_fp16", Family.AVX512_FP16),
    ("avx512_core_bf16", Family.AVX512_BF16),
    ("avx512_core_vnni", Family.AVX512_VNNI),
    ("avx512", Family.AVX512),
    ("avx2", Family.AVX2),
)
_REFERENCES = re.compile(r"(?:ref|simple)(?:_|$)")
#: The values of ONEDNN_MAX_CPU_ISA by the words of the announcement, most capable first
#: (src/cpu/x64/cpu_isa_traits.cpp, get_isa_info). Which AMX it is depends on the CPU alone.
_LEVELS = (
    ("Intel AMX", "AMX"),
    ("AVX10", "AVX512_CORE_FP16"),
    ("AVX 10", "AVX512_CORE_FP16"),
    ("AVX-512 with float16", "AVX512_CORE_FP16"),
    ("AVX-512 with Intel DL Boost and bfloat16", "AVX512_CORE_BF16"),
    ("AVX-512 with Intel DL Boost", "AVX512_CORE_VNNI"),
    ("AVX-512 with AVX512BW", "AVX512_CORE"),
    ("AVX2 with Intel DL Boost, float16", "AVX2_VNNI_2"),
    ("AVX2 with Intel DL Boost", "AVX2_VNNI"),
    ("AVX2", "AVX2"),
)

#: The source operand's type: ``src_bf16::...`` until oneDNN 3.0, ``src:bf16::...`` since. A
#: backward pass has ``diff_src`` in its place.
_SOURCE_TYPE = re.compile(r"\b(?:diff_)?src[_:]([a-z]+[0-9]+(?:_e[0-9]m[0-9])?)")
#: The math mode among the attributes; ``strict`` is the default and allows nothing.
_MATH_MODE = re.compile(r"\battr-fpmath:(?!strict)([a-z0-9]+)")


class KernelLog(msgspec.Struct, frozen=True):
    """What a log says: the ISA that oneDNN announces, and the kernels by kind and implementation.

    ``isa`` holds each distinct announcement once, joined by ``; ``, since a process can hold
    several copies of oneDNN; empty if the log has none. ``kernels`` are sorted, slowest first.
    """

    isa: str
    kernels: tuple[KernelUse, ...]


def family_of(implementation: str) -> Family:
    """The instruction family in an implementation's name, such as ``brgconv:avx512_core_amx``."""
    name = implementation.lower()
    for part, family in _FAMILIES:
        if part in name:
            return family
    if _REFERENCES.match(name.split(":")[0]):
        return Family.REFERENCE
    return Family.UNNAMED


def onednn_level(announced: str) -> str:
    """The level that the announcement of ``KernelLog.isa`` names, or its own words if it is none.

    Several copies of oneDNN that announce different levels give them all, joined by ``; ``.
    """
    found = (
        next((level for words, level in _LEVELS if words in one), one)
        for one in announced.split("; ")
    )
    return "; ".join(dict.fromkeys(found))


def parse_log(text: str) -> KernelLog:
    """Read a log; whatever is no whole record of it is passed over.

    Executions of oneDNN Graph become the kind ``graph:PARTITION``. Their time contains that of the
    primitives inside, which are logged as well, so their kind is no matrix kind.
    """
    announced: list[str] = []
    uses: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for record in _records(text):
        fields = record.split(",")
        if (isa := _announced_isa(fields)) is not None:
            if isa not in announced:
                announced.append(isa)
        elif (use := _execution(fields)) is not None:
            kind, implementation, milliseconds = use
            uses[kind, implementation, _data_type(record)].append(milliseconds)
    kernels = (
        KernelUse(kind, name, family_of(name), len(times), math.fsum(times), data_type)
        for (kind, name, data_type), times in uses.items()
    )
    ordered = sorted(kernels, key=lambda use: (-use.milliseconds, use.kind, use.implementation))
    return KernelLog("; ".join(announced), tuple(ordered))


def _records(text: str) -> list[str]:
    """The text from the last start of a record in each line to the line's end.

    What a later start in the same line cuts short, and a last line without its end, is not whole.
    """
    lines = text.split("\n")[:-1]
    return [_RECORD.split(line)[-1] for line in lines if _RECORD.search(line)]


def _announced_isa(fields: list[str]) -> str | None:
    """The ISA of an ``info,cpu,isa:`` record; ISA names may hold commas."""
    for index in range(min(3, len(fields))):
        if fields[index : index + 2] == ["info", "cpu"]:
            rest = ",".join(fields[index + 2 :])
            return rest.removeprefix("isa:").strip() if rest.startswith("isa:") else None
    return None


def _execution(fields: list[str]) -> tuple[str, str, float] | None:
    """Kind, implementation and milliseconds of an ``exec`` record, None if it is none or cut."""
    head = fields[:4]
    if "exec" not in head:
        return None
    at = head.index("exec")
    component = fields[at - 1] if at else ""
    body = fields[at + 2 :]
    milliseconds = _milliseconds(body[-1]) if body else None
    if milliseconds is None:
        return None
    if component == _GRAPH:
        if len(body) < _GRAPH_FIELDS:
            return None
        return f"{_GRAPH}:{body[1]}", f"{body[-3]}:{body[-2]}", milliseconds
    least = _UKERNEL_FIELDS if component == _UKERNEL else _PRIMITIVE_FIELDS
    if len(body) < least or not body[0]:
        return None
    return body[0], body[1], milliseconds


def _data_type(record: str) -> str:
    source, mode = _SOURCE_TYPE.search(record), _MATH_MODE.search(record)
    return (source[1] if source else "") + (f"/fpm:{mode[1]}" if mode else "")


def _milliseconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
