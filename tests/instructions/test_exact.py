"""Does every tile instruction give the bits of its definition? On every CPU."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amx_suite.plugin.options import Settings
from amx_suite.plugin.outcome import record_cpus
from amx_suite.plugin.run import HostView
from amx_suite.tmul.batch import BatchResult, Load, TileBatch, TileWorker
from amx_suite.tmul.config import TILES
from amx_suite.tmul.fills import fills_for
from amx_suite.tmul.instructions import INSTRUCTIONS, TileInstruction

pytestmark = [pytest.mark.instruction, pytest.mark.level(1)]

StartWorker = Callable[[int], TileWorker]
Mismatch = Callable[[BatchResult], str]
Record = Callable[[str, object], None]

#: The fewest elements of one instruction that are compared, on all CPUs together and on each.
_ELEMENTS, _ELEMENTS_ON_EACH = 1_000_000, 65_536
_ELEMENTS_AT_LEVEL_1 = 20_000
_ELEMENTS_IN_A_FULL_TILE = 256
#: CPUs that are busy at a time; the oracle needs memory for each, and the parent a thread.
_AT_ONCE = 8

#: MXCSR: the ABI's; towards zero, down and up; denormals are zero and flushed; all exceptions
#: unmasked. The instructions must ignore it.
_CONTROL_WORDS = {
    "default": 0x1F80,
    "towards-zero": 0x7F80,
    "down": 0x3F80,
    "up": 0x5F80,
    "no-denormals": 0x9FC0,
    "unmasked": 0x0000,
}

_each_instruction = pytest.mark.parametrize(
    "instruction", list(INSTRUCTIONS.values()), ids=list(INSTRUCTIONS)
)


def _require(instruction: TileInstruction, host: HostView) -> None:
    features = host.facts.cpuid.amx_features
    if instruction.feature not in features:
        pytest.skip(
            f"{instruction.mnemonic} needs {instruction.feature}, which this CPU does not report"
        )


@st.composite
def batches(draw: st.DrawFn, instruction: TileInstruction) -> TileBatch:
    """Any shape, fill, chain, layout and choice of registers."""
    fours = st.integers(1, 16).map(lambda n: 4 * n)
    return TileBatch(
        instruction=instruction.mnemonic,
        fill=draw(st.sampled_from(fills_for(instruction))),
        seed=draw(st.integers(0, 2**32 - 1)),
        tiles=draw(st.integers(1, 8)),
        rows=draw(st.integers(1, 16)),
        k_bytes=draw(fours),
        n_bytes=draw(fours),
        steps=draw(st.sampled_from([1, 1, 2, 5])),
        first_register=draw(st.integers(0, TILES - 1)),
        load=draw(st.sampled_from(Load)),
        padding=draw(st.sampled_from([0, 0, 1, 7, 64, 4096 - 64])),
        misalignment=draw(st.integers(0, 63)),
    )


@_each_instruction
def test_any_shape_and_layout(
    instruction: TileInstruction,
    amx_support: HostView,
    tile_worker: StartWorker,
    amx_mismatch: Mismatch,
    record_property: Record,
) -> None:
    _require(instruction, amx_support)
    worker = tile_worker(amx_support.facts.allowed_cpus[0])

    wrong: list[BatchResult] = []

    @given(batch=batches(instruction))
    def check(batch: TileBatch) -> None:
        result = worker.check_tiles(batch)
        assert result.elements == batch.elements
        if not result.is_exact:
            wrong.append(result)
        assert result.is_exact

    try:
        check()
    finally:
        record_cpus((r.cpu for r in wrong), (r.cpu for r in wrong), record_property)
        if wrong:  # Hypothesis ends with the simplest
            pytest.fail(amx_mismatch(wrong[-1]), pytrace=False)


@pytest.mark.parametrize("control", list(_CONTROL_WORDS))
@_each_instruction
def test_mxcsr_changes_nothing(
    instruction: TileInstruction,
    control: str,
    amx_support: HostView,
    tile_worker: StartWorker,
    amx_mismatch: Mismatch,
    record_property: Record,
) -> None:
    _require(instruction, amx_support)
    worker = tile_worker(amx_support.facts.allowed_cpus[0])
    for fill in fills_for(instruction):
        word = _CONTROL_WORDS[control]
        result = worker.check_tiles(TileBatch(instruction.mnemonic, fill, 1, tiles=8, mxcsr=word))
        if not result.is_exact:
            record_cpus([result.cpu], [result.cpu], record_property)
        assert result.is_exact, amx_mismatch(result)


@_each_instruction
def test_every_cpu(
    instruction: TileInstruction,
    amx_support: HostView,
    amx_settings: Settings,
    amx_progress: Callable[..., None],
    tile_worker: StartWorker,
    amx_mismatch: Mismatch,
    record_property: Record,
) -> None:
    """At least 1,000,000 elements from level 2 on; a quick look at one CPU at level 1."""
    _require(instruction, amx_support)
    cpus = amx_support.facts.allowed_cpus
    wanted = max(_ELEMENTS_ON_EACH, -(-_ELEMENTS // len(cpus)))
    if amx_settings.level == 1:
        cpus, wanted = cpus[:1], _ELEMENTS_AT_LEVEL_1
    fills = fills_for(instruction)
    tiles = -(-wanted // (_ELEMENTS_IN_A_FULL_TILE * len(fills)))

    def check(cpu: int) -> list[BatchResult]:
        worker = tile_worker(cpu)
        return [
            worker.check_tiles(TileBatch(instruction.mnemonic, fill, seed, tiles=tiles))
            for seed, fill in enumerate(fills, start=amx_settings.seed)
        ]

    results: list[BatchResult] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for found in pool.map(check, cpus):
            results += found
            amx_progress(
                f"{instruction.mnemonic}: {sum(r.elements for r in results):,} elements compared, "
                f"{sum(r.wrong for r in results)} wrong"
            )
    assert {result.cpu for result in results} == set(cpus)
    assert sum(result.elements for result in results) >= wanted * len(cpus)
    wrong = [result for result in results if not result.is_exact]
    record_cpus((result.cpu for result in wrong), cpus, record_property)
    assert not wrong, "\n".join(map(amx_mismatch, wrong))
