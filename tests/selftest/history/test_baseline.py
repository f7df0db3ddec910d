"""Gates from accepted machines: their minima, and what is refused."""

import math
import statistics

import msgspec
import pytest
import sample_runs
import stored_runs

from amx_suite.core.run import CheckOutcome
from amx_suite.core.verdict import Verdict
from amx_suite.errors import ResultsFileError, UsageError
from amx_suite.gates.loader import read_gates
from amx_suite.history.baseline import derive_gates
from amx_suite.history.store import load_run

pytestmark = pytest.mark.selftest


@pytest.fixture
def runs(tmp_path):
    """Stores one run for each speedup, on machines of one class; changes are by number."""

    def store(*speedups, **changes):
        found = []
        for number, speedup in enumerate(speedups):
            logs = [math.log(speedup)] * 12
            started = f"2026-11-{number + 1:02}T08:00:00+00:00"
            made = stored_runs.summary(logs, started=started, **changes.get(f"of_{number}", {}))
            found.append(load_run(stored_runs.write(tmp_path / f"m{number}.json", made)))
        return found

    return store


@pytest.mark.parametrize(
    ("speedups", "minimum"),
    [
        ((4.0, 4.2, 4.4), 3.15),
        # 0.95 times the lowest, so that an accepted machine is never below its own gate.
        ((3.0, 4.2, 4.4), 2.85),
    ],
)
def test_minimum_follows_from_median_and_lowest(runs, tmp_path, speedups, minimum):
    found = derive_gates(runs(*speedups))
    (gate,) = found.gates
    assert gate.minimum == minimum
    path = tmp_path / "gates.toml"
    path.write_text(found.toml())
    (read,) = read_gates(path)
    assert (read.minimum, read.cores, read.engine) == (minimum, (2, 2), "ipex")
    assert read.covers(sample_runs.AMX)
    assert read.source.startswith("3 accepted machines: median 4.20x")
    assert "m2.json" in found.toml()


def test_gates_are_for_the_machines_cpu(runs, tmp_path):
    found = derive_gates(runs(4.0, 4.1, 4.2))
    path = tmp_path / "gates.toml"
    for gate in found.gates:
        gate.row.environment.host["amx_features"] = "AMX-TILE AMX-BF16"
    path.write_text(found.toml())
    assert {gate.cpu for gate in read_gates(path)} == {("AMX-TILE", "AMX-BF16")}


def test_rare_machine_is_told_from_twenty_on(runs):
    speedups = [4.0 + 0.01 * number for number in range(20)]
    (gate,) = derive_gates(runs(*speedups[:19])).gates
    assert gate.rare is None
    (gate,) = derive_gates(runs(*speedups)).gates
    logs = [math.log(speedup) for speedup in speedups]
    expected = math.exp(statistics.mean(logs) - 3.0902 * statistics.stdev(logs))
    assert gate.rare == pytest.approx(expected, rel=1e-4)
    assert f"1 in 1,000 such machines would miss {expected:.2f}x" in gate.toml()


def test_two_machines_are_too_few(runs):
    with pytest.raises(UsageError, match="3 accepted machines or more, got 2"):
        derive_gates(runs(4.0, 4.1))


def test_gate_of_too_few_machines_is_left_out(runs):
    found = runs(4.0, 4.1, 4.2)
    found[1] = msgspec.structs.replace(found[1], rows=())
    derived = derive_gates(found)
    assert not derived.gates
    assert "Left out, decided by fewer than 3: resnet50-inference-bf16-amx" in derived.toml()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"host": {"isa_flags": "amx_tile avx2"}}, "isa_flags was .* is 'amx_tile avx2'"),
        ({"versions": {"torch": "2.15.0"}}, r"torch was '2\.8\.0', is '2\.15\.0'"),
    ],
)
def test_another_class_is_refused_by_name(runs, change, complaint):
    with pytest.raises(ResultsFileError, match=rf"m0.json and .*m2.json .*{complaint}"):
        derive_gates(runs(4.0, 4.1, 4.2, of_2=change))


def test_machine_that_was_not_accepted_is_refused(runs):
    found = runs(4.0, 4.1, 4.2)
    failed = msgspec.structs.replace(
        found[2].summary,
        checks=(msgspec.structs.replace(sample_runs.PASSED, outcome=CheckOutcome.FAILED),),
    )
    found[2] = msgspec.structs.replace(found[2], summary=failed)
    with pytest.raises(ResultsFileError, match=r"m2\.json is of a machine that is NOT QUALIFIED"):
        derive_gates(found)


def test_same_run_twice_is_refused(runs):
    found = runs(4.0, 4.1)
    with pytest.raises(ResultsFileError, match="hold the same run"):
        derive_gates([*found, found[0]])


def test_undecided_run_is_refused(runs):
    found = runs(4.0, 4.1, 4.2, of_1={"verdict": Verdict.INCONCLUSIVE})
    with pytest.raises(ResultsFileError, match=r"m1\.json is of a machine that is INCONCLUSIVE"):
        derive_gates(found)
