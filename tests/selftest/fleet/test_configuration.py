"""Machines that are set up differently are named, and a fleet of two halves accuses none."""

from __future__ import annotations

import fleet_runs as fleet
import pytest

from amx_suite.fleet.configuration import Deviation, deviations
from amx_suite.fleet.machines import Machine, machine_of_run

pytestmark = pytest.mark.selftest


def machine(name: str, **traits: str) -> Machine:
    return machine_of_run(name, name, fleet.run_of(name, **traits))


USUAL = [machine(f"n{number}") for number in range(4)]


def test_equal_machines_have_no_deviation() -> None:
    assert deviations(USUAL) == ()


def test_odd_one_is_named_with_both_values() -> None:
    found = deviations([*USUAL, machine("odd", microcode="0x1")])
    assert found == (Deviation("microcode", "0x2b000590", 5, "0x1", ("odd",)),)


def test_versions_are_compared_across_classes() -> None:
    odd = machine_of_run("odd", "odd", fleet.run_of("odd", torch="2.7.0"))
    assert deviations([*USUAL, odd]) == (
        Deviation("version of torch", "2.8.0", 5, "2.7.0", ("odd",)),
    )


def test_two_halves_have_no_majority() -> None:
    found = deviations([machine(f"n{n}", kernel="6.1" if n % 2 else "6.2") for n in range(6)])
    assert [(each.usual, each.value, len(each.machines)) for each in found] == [
        (None, "6.2", 3),
        (None, "6.1", 3),
    ]


def test_kinds_of_machines_are_not_mixed() -> None:
    other = [machine(f"m{n}", isa_flags="amx_fp16", kernel="6.2") for n in range(2)]
    assert deviations([*USUAL, *other]) == ()
