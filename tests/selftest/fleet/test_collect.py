"""Every machine is found once, by its name, and whatever returned nothing is named."""

from __future__ import annotations

import os
from pathlib import Path

import fleet_runs as fleet
import pytest

from amx_suite.errors import UsageError
from amx_suite.fleet.collect import collect, read_expected

pytestmark = pytest.mark.selftest


def faults(folder: Path, *expected: str) -> dict[str, str]:
    _, lost = collect([folder], expected)
    return {each.name: each.fault for each in lost}


def names(folder: Path, *expected: str) -> list[str]:
    machines, _ = collect([folder], expected)
    return [each.name for each in machines]


def test_results_are_found_at_any_depth(tmp_path: Path) -> None:
    fleet.write(tmp_path, "n1")
    fleet.write(tmp_path, "rack/n2")
    machines, lost = collect([tmp_path, tmp_path / "rack"])
    assert [each.name for each in machines] == ["n1", "rack/n2"]
    assert lost == ()


@pytest.mark.parametrize(
    ("place", "host", "expected", "name"),
    [
        ("n1", "vm", (), "n1"),
        ("n1", "vm", ("n1",), "n1"),
        ("n1.cluster", "vm", ("n1",), "n1"),
        ("tonight", "n1.cluster", ("n1",), "n1"),
        ("n1/amx-results", "vm", ("n1",), "n1"),
        ("n1/tonight", "n1", (), "n1"),
        ("10.0.0.1", "vm", ("10.0.0.1", "10.0.0.2"), "10.0.0.1"),
        (".", "vm", (), "vm"),
        (".", None, (), "fleet"),
    ],
)
def test_machines_have_their_nodes_names(
    tmp_path: Path, place: str, host: str | None, expected: tuple[str, ...], name: str
) -> None:
    folder = tmp_path / "fleet"
    fleet.write(folder, place, fleet.run_of(host))
    assert names(folder, *expected) == [name]


def test_folder_of_each_machine_names_it(tmp_path: Path) -> None:
    """Guests of a cloud may all have the same host name."""
    for name in ("a", "b"):
        fleet.write(tmp_path, name, fleet.run_of("vm", kernel=name))
    machines, _ = collect([tmp_path / "a", tmp_path / "b"])
    assert [each.name for each in machines] == [str(tmp_path / "a"), str(tmp_path / "b")]
    machines, _ = collect([tmp_path / "a", tmp_path / "b"], ["a", "b"])
    assert [each.name for each in machines] == ["a", "b"]


def test_newest_result_counts(tmp_path: Path) -> None:
    for day in ("23", "21", "22"):
        run = fleet.run_of("n1", started=f"2025-11-{day}T08:00:00+00:00")
        fleet.write(tmp_path, f"n1/{day}", run)
    ((machine,), lost) = collect([tmp_path])
    assert machine.started.startswith("2025-11-23")
    assert [Path(path).parent.name for path in machine.older] == ["21", "22"]
    assert lost == ()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is empty"),
        ('{"amx_suite": {"lev', "is not JSON"),
        ('{"benchmarks": []}', "was not written by amx-suite"),
        ('{"amx_suite": {"schema_version": 1}}', "has schema version 1"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, content: str, fault: str) -> None:
    path = fleet.write(tmp_path, "n1")
    fleet.write(tmp_path, "n2")
    path.write_text(content)
    assert names(tmp_path) == ["n2"]
    assert fault in faults(tmp_path)["n1"]
    assert str(path) in faults(tmp_path)["n1"]


def test_cut_file_is_named(tmp_path: Path) -> None:
    path = fleet.write(tmp_path, "n1")
    path.write_bytes(path.read_bytes()[:1000])
    assert "is not JSON" in faults(tmp_path)["n1"]


def test_expected_nodes_without_result_are_named(tmp_path: Path) -> None:
    fleet.write(tmp_path, "n1")
    assert faults(tmp_path) == {}
    assert "no results.json of this node in" in faults(tmp_path, "n1", "n2")["n2"]


def test_killed_runs_are_named(tmp_path: Path) -> None:
    fleet.write(tmp_path, "n1")
    (tmp_path / "n2" / ".unfinished-x").mkdir(parents=True)
    (tmp_path / "n3").mkdir()
    (tmp_path / "n3" / "qualify.txt").write_text("begins\namx-suite: error: no torch\n")
    found = faults(tmp_path, "n1", "n2", "n3")
    assert "was killed while it wrote" in found["n2"]
    assert "the run said last: amx-suite: error: no torch" in found["n3"]


def test_unfinished_files_are_no_results(tmp_path: Path) -> None:
    fleet.write(tmp_path / "n1", ".unfinished-x")
    assert names(tmp_path) == []
    assert list(faults(tmp_path)) == ["n1"]


def test_output_beside_a_folder_of_results_is_fine(tmp_path: Path) -> None:
    fleet.write(tmp_path, "n1/amx-results")
    (tmp_path / "n1" / "qualify.txt").write_text("QUALIFIED\n")
    assert faults(tmp_path, "n1") == {}


def test_copied_result_is_no_result(tmp_path: Path) -> None:
    """Two nodes that write into one folder must not look like two machines."""
    run = fleet.run_of("vm")
    for name in ("n1", "n2"):
        fleet.write(tmp_path, name, run)
    assert names(tmp_path) == ["n1"]
    assert "is a copy of" in faults(tmp_path)["n2"]


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    fleet.write(tmp_path / "elsewhere", "n1")
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "n1").symlink_to(tmp_path / "elsewhere" / "n1")
    (tmp_path / "elsewhere" / "n1" / "loop").symlink_to(folder)
    assert names(folder) == ["n1"]


def test_closed_folder_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.write(tmp_path, "closed")
    fleet.write(tmp_path, "n1")
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(tmp_path) == ["n1"]
    assert "cannot be read: Permission denied" in faults(tmp_path)["closed"]


def test_nothing_found_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no results"):
        collect([tmp_path])
    with pytest.raises(UsageError, match="is no folder"):
        collect([tmp_path / "no"])


def test_expected_nodes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    path.write_text("n1\nn2 # spare\n\nn1\n")
    assert read_expected(path) == ("n1", "n2")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "names no node"),
        ("n1\nn1 idle\n", "more than one name in line 2, 'n1 idle'"),
        ("n[1-4]\n", "more than one name in line 1"),
    ],
)
def test_bad_list_of_nodes_is_refused(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "nodes"
    path.write_text(content)
    with pytest.raises(UsageError, match=fault):
        read_expected(path)
