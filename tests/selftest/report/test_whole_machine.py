"""The whole machine in reports: what is measured is shown, and what is slow is named."""

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.instance import Instance
from amx_suite.core.whole_machine import InstanceRate, Latency, Throughput
from amx_suite.report.markdown import render_markdown
from amx_suite.report.whole_machine import whole_machine_tables

pytestmark = pytest.mark.selftest

TENTHS = tuple(1000.0 - 10 * tenth for tenth in range(10))


def throughput(
    case=runs.AMX,
    evidence=runs.AMX_EVIDENCE,
    speed=1.0,
    slow=1.0,
    layout="on all cores",
    steps=600,
):
    instances = tuple(
        InstanceRate(
            Instance(tuple(range(4 * n, 4 * n + 4)), n // 4),
            100.0 * speed * (slow if n == 5 else 1.0),
            steps,
            evidence,
        )
        for n in range(8)
    )
    return Throughput(case, layout, "images", 600.0, TENTHS, instances, idle_cores=2)


def without_amx(**changes):
    return throughput(runs.BF16, runs.JAILED, 0.25, **changes)


def cells(*results):
    (table,) = whole_machine_tables(results)
    return [dict(zip([c.name for c in table.columns], row, strict=True)) for row in table.rows]


@pytest.mark.parametrize("field", ["tenths", "instances"])
def test_damaged_figures_are_refused(field):
    stored = {**msgspec.to_builtins(throughput()), field: []}
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert(stored, Throughput)


def test_row_holds_rate_spread_and_drift():
    (row,) = cells(throughput())
    assert row["case"] == "resnet50-inference-bf16-amx-ipex b16x224"
    assert row["instances"] == "8 x 4 cores, on all cores, 2 cores idle"
    assert row["whole machine"] == "800.0 images/s"
    assert row["of an instance"] == "100.0 [100.0, 100.0]"
    assert row["last/first tenth"] == "0.91"
    assert row["outliers"] == "none"
    assert row["over no AMX"] == ""


def test_outlier_is_shown_with_cpus_and_node():
    (row,) = cells(throughput(slow=0.7))
    assert row["outliers"] == "4 cores of NUMA node 1, CPUs 20, 21, 22, 23: 70% of the median"


def test_few_steps_say_nothing_of_drift():
    assert cells(throughput(steps=9))[0]["last/first tenth"] == "-"
    assert cells(throughput(steps=10))[0]["last/first tenth"] == "0.91"


def test_amx_is_compared_with_its_own_layout():
    other = without_amx(layout="one per NUMA node")
    assert cells(other, throughput())[1]["over no AMX"] == ""
    assert cells(without_amx(), throughput())[1]["over no AMX"] == "4.00x"


def test_evidence_of_one_instance_counts():
    found = throughput()
    lacking = msgspec.structs.replace(found.instances[3], evidence=runs.JAILED)
    instances = (*found.instances[:3], lacking, *found.instances[4:])
    (row,) = cells(msgspec.structs.replace(found, instances=instances))
    assert row["evidence"] == "AMX 99%; AMX 0%"


def test_latency_shows_percentiles():
    seconds = (0.010,) * 985 + (0.025,) * 15
    (row,) = cells(Latency(runs.AMX, Instance((1, 2), 0), seconds, runs.AMX_EVIDENCE))
    assert (row["P50 ms"], row["P99 ms"], row["steps"]) == ("10.00", "25.00", "1000")
    assert row["instance"] == "2 cores of NUMA node 0, CPUs 1, 2"


def test_summary_says_that_no_gate_judges():
    summary = msgspec.structs.replace(runs.summary(), whole_machine=(throughput(),))
    text = render_markdown(summary).split("## Whole machine", 1)[1].split("\n## ", 1)[0]
    assert "800.0 images/s" in text
    assert "No gate judges these figures" in text
    assert "Whole machine" not in render_markdown(runs.summary())
