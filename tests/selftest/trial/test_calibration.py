"""Measuring, storing and refusing a quiet reference."""

import math
import os
from functools import partial
from pathlib import Path

import msgspec
import pytest
from fake_trial import FakeProber, World
from simulated import QUIET_SHARE, SharedMachine

from amx_suite.core.quiet import Reading, Reference
from amx_suite.core.units import PER_CYCLE, Unit
from amx_suite.errors import OutputError, ResultsFileError
from amx_suite.trial.calibrate import (
    calibrate,
    default_path,
    describe,
    ensure_storable,
    is_worth_keeping,
    load_calibration,
    save_calibration,
    stored_calibration,
)

pytestmark = pytest.mark.selftest

MACHINE = {"cpu_brand": "a CPU", "microcode": "0x1", "kernel": "6.1"}


def found_on(world, seconds=30.0, theory=PER_CYCLE, progress=None):
    return calibrate(
        FakeProber(world),
        seconds,
        theory=theory,
        machine=MACHINE,
        cores=2,
        clock=lambda: world.now,
        progress=progress,
    )


class TestReference:
    @pytest.mark.parametrize("busy", [0.0, 12.0])
    def test_reached_theory_is_the_reference(self, busy):
        reference = found_on(SharedMachine(1, busy=busy, quiet=3.0)).reference
        assert reference.below == {}
        assert (reference.rates[Unit.TILE], reference.rates[Unit.FMA]) == (1024.0, 64.0)
        assert reference.rates[Unit.MEMORY] == pytest.approx(QUIET_SHARE * 1e10, rel=0.05)

    def test_else_the_best_reading_is_the_reference(self):
        found = found_on(SharedMachine(2, busy=math.inf, quiet=0.0))
        assert found.reference.below[Unit.TILE] == pytest.approx(QUIET_SHARE / 2, rel=0.05)
        assert found.reference.rates[Unit.TILE] == pytest.approx(QUIET_SHARE * 512, rel=0.05)
        assert "of theory: never undisturbed" in describe(found)

    def test_an_unknown_core_has_its_best_reading(self):
        reference = found_on(SharedMachine(2, busy=3.0, quiet=3.0), theory={}).reference
        assert reference.below == {}
        assert reference.rates[Unit.FMA] == pytest.approx(QUIET_SHARE * 64, rel=0.05)

    def test_a_few_odd_readings_do_not_count(self):
        """Known-bad: spikes far above what the machine can do."""
        rates = World().rates
        series = [Reading(rates)] * 500 + [Reading({u: 2 * r for u, r in rates.items()})] * 3
        assert Reference.of(series, {}).rates == rates

    def test_every_unit_must_be_quiet(self):
        reference = Reference({Unit.TILE: 1024.0, Unit.FMA: 64.0})
        assert reference.is_quiet(Reading({Unit.TILE: 932.0, Unit.FMA: 63.0}))
        assert not reference.is_quiet(Reading({Unit.TILE: 930.0, Unit.FMA: 63.0}))
        assert not reference.is_quiet(Reading({Unit.TILE: 1000.0})), "FMA was not read"
        assert reference.only([Unit.TILE]).is_quiet(Reading({Unit.TILE: 1000.0}))


def test_calibration_reads_until_time_is_up():
    world, told = World(), []
    world.probe_seconds = 1 / 16
    found = found_on(world, progress=told.append)
    assert (found.readings, found.quiet_share) == (480, 1.0)
    assert (told[0], told[-1]) == (0.0, pytest.approx(30 - 1 / 16))
    text = describe(found)
    assert "480 readings of 2 cores in 30 s, 100% of them quiet" in text
    assert "1024.0 a cycle" in text
    assert "10.0 10^9 bytes/s" in text


def test_a_busier_hour_does_not_replace_a_reference():
    quiet = found_on(SharedMachine(6, busy=0.0, quiet=math.inf))
    busy = found_on(SharedMachine(6, busy=math.inf, quiet=0.0))
    rates = {**quiet.reference.rates, Unit.MEMORY: 0.7e10}
    slower = msgspec.structs.replace(quiet, reference=Reference(rates))
    assert is_worth_keeping(quiet, None)
    assert is_worth_keeping(quiet, quiet)
    assert is_worth_keeping(quiet, slower)
    assert not is_worth_keeping(slower, quiet)
    assert not is_worth_keeping(busy, None)


class TestStorage:
    @pytest.fixture
    def stored(self, tmp_path):
        calibration = found_on(SharedMachine(7, quiet=3.0, busy=3.0))
        path = tmp_path / "somewhere" / "reference.json"
        save_calibration(calibration, path)
        return calibration, path

    def test_a_stored_calibration_is_read_back(self, stored):
        calibration, path = stored
        assert load_calibration(path, MACHINE, 2) == calibration
        assert [file.name for file in path.parent.iterdir()] == ["reference.json"]

    @pytest.mark.parametrize(
        ("machine", "cores", "complaint"),
        [
            ({**MACHINE, "microcode": "0x2"}, 2, "microcode was '0x1', is '0x2'"),
            (MACHINE, 1, "cores of the instance was '2', is '1'"),
        ],
    )
    def test_another_machines_reference_is_refused(self, stored, machine, cores, complaint):
        """Known-bad: a reference of another machine."""
        with pytest.raises(ResultsFileError, match=complaint):
            load_calibration(stored[1], machine, cores)

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            # By it every reading would be quiet.
            ({"reference": Reference({})}, "has no unit's rate"),
            ({"schema_version": 99}, "has schema version 99, not 4"),
        ],
    )
    def test_a_useless_reference_is_refused(self, stored, changes, complaint):
        calibration, path = stored
        save_calibration(msgspec.structs.replace(calibration, **changes), path)
        with pytest.raises(ResultsFileError, match=complaint):
            load_calibration(path, MACHINE, 2)

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"", "is empty"),
            (b"\x00\xff", "is not JSON"),
            (b"[1]", "is damaged"),
            (b'{"schema_version": 4, "machine": 3}', "is damaged"),
            (b'{"schema_version": 3}', "has schema version 3, not 4"),
            (b'{"a":' * 100_000, "is nested too deeply"),
        ],
    )
    def test_garbage_counts_only_if_named(self, tmp_path, monkeypatch, content, complaint):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        path = default_path(MACHINE, 2)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        with pytest.raises(ResultsFileError, match=rf"{path} {complaint}.*make a new file"):
            load_calibration(path, MACHINE, 2)
        found, why = stored_calibration(MACHINE, 2)
        assert found is None
        assert why.startswith(f"the stored reference {path} {complaint}")

    def test_only_a_named_file_must_exist(self, tmp_path, monkeypatch):
        with pytest.raises(ResultsFileError, match="cannot be read: No such file"):
            load_calibration(tmp_path / "none.json", MACHINE, 2)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert stored_calibration(MACHINE, 2) == (None, "")

    def test_each_machine_has_its_own_file(self, tmp_path):
        place = default_path(MACHINE, 2, {"XDG_DATA_HOME": str(tmp_path)})
        assert place.is_relative_to(tmp_path / "amx-suite")
        assert place.name != default_path({**MACHINE, "kernel": "6.2"}, 2).name
        assert place.name != default_path(MACHINE, 1).name
        assert default_path(MACHINE, 2, {"XDG_DATA_HOME": "relative"}).is_absolute()

    def test_without_home_nothing_is_stored(self, stored, monkeypatch, tmp_path):
        """A user without an account, and one whose home is another's, go on without a reference."""
        for name in ("HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os, "getuid", lambda: 4_123_456_789)
        assert stored_calibration(MACHINE, 2) == (None, "")
        with pytest.raises(OutputError, match=r"no home folder.*XDG_DATA_HOME, or a file with --r"):
            default_path(MACHINE, 2)

    def test_an_unwritable_home_names_the_variable(self, stored, tmp_path):
        (tmp_path / "file").touch()
        for path in (tmp_path / "file" / "x.json", Path("/proc/self/references/x.json")):
            for store in (ensure_storable, partial(save_calibration, stored[0])):
                with pytest.raises(OutputError, match="name one in XDG_DATA_HOME"):
                    store(path)
