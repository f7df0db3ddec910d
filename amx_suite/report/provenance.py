"""What ran in each arm, on which data, and where: the lines of every report."""

from __future__ import annotations

__all__ = ["data_lines", "machine_of", "provenance_lines", "versions_of"]

from collections.abc import Iterator, Mapping

from amx_suite.core.evidence import Evidence
from amx_suite.core.measurement import ArmFacts
from amx_suite.core.run import RunSummary


def provenance_lines(summary: RunSummary) -> tuple[str, ...]:
    """What is proven about each arm, its data, and the machine, software and variables of trials.

    Its kernels have a table of their own (``rows.kernel_table``).
    """
    proofs = (f"{facts.case.id}: {_proof(facts.evidence)}" for facts in _arms(summary))
    return tuple(dict.fromkeys([*proofs, *data_lines(summary), *_environments(summary)]))


def data_lines(summary: RunSummary) -> tuple[str, ...]:
    """A line for each workload's inputs and weights."""
    return tuple(dict.fromkeys(map(_data, _arms(summary))))


def machine_of(summary: RunSummary) -> dict[str, str]:
    """The machine's traits; in files of earlier versions only its trials have them."""
    trials = (trial.measurement.environment.host for trial in summary.trials)
    return summary.machine or next(trials, {})


def versions_of(summary: RunSummary) -> dict[str, str]:
    """The versions of all packages that a report knows of."""
    found = dict(summary.versions)
    for trial in summary.trials:
        found |= trial.measurement.environment.versions
    return found


def _arms(summary: RunSummary) -> Iterator[ArmFacts]:
    for trial in summary.trials:
        yield from trial.measurement.arms


def _proof(evidence: Evidence | None) -> str:
    if evidence is None:
        return "none recorded"
    permission = {True: "granted", False: "never granted", None: "not known to this kernel"}
    words = [
        f"jail {evidence.jail}",
        f"tile permission {permission[evidence.amx_permission]}",
        f"oneDNN ISA {evidence.onednn_isa or 'not reported'}",
        f"on AMX: {evidence.amx_share:.1%} of {evidence.operations / 1e9:.3g} 10^9 operations",
        f"unseen: {evidence.unseen_share:.1%} of {evidence.step_milliseconds:.1f} ms of the step",
        f"read back: {_pairs(evidence.read_back) or 'nothing'}",
        f"threads on CPUs {', '.join(map(str, evidence.cpus)) or 'unknown'}",
    ]
    return "; ".join(words)


def _data(facts: ArmFacts) -> str:
    weights = f"weights {facts.case.weights}"
    if facts.case.weights == "random":
        weights = f"random weights, seed {facts.case.seed}"
    return f"{facts.case.workload}: {facts.data}; {weights}"


def _environments(summary: RunSummary) -> Iterator[str]:
    for environment in (trial.measurement.environment for trial in summary.trials):
        yield from (f"{key}: {value}" for key, value in environment.host.items())
        yield f"CPUs of the workers: {', '.join(map(str, environment.cpus)) or 'not bound'}"
        yield f"versions: {_pairs(environment.versions) or 'not recorded'}"
        yield f"variables kept from the workers: {_pairs(environment.removed_variables) or 'none'}"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}".rstrip() for key, value in sorted(values.items()))
