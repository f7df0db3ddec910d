"""What a baseline must have in common with the run that is compared with it."""

import copy

import pytest

from amx_suite.errors import ResultsFileError
from amx_suite.testing.baseline import check_machine, machine_info

pytestmark = pytest.mark.selftest

OURS = machine_info({"cores": "2", "kernel": "6.1"})


def test_the_same_machine_and_software_may_be_compared():
    check_machine(OURS, copy.deepcopy(OURS))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda info: info.pop("amx_suite"), "was not written by amx-suite"),
        (lambda info: info.update(amx_suite="text"), "was not written by amx-suite"),
        (lambda info: info["amx_suite"].update(schema_version=0), "schema version 0"),
        (lambda info: info["amx_suite"]["versions"].update(torch="1.0"), "torch was '1.0'"),
        (lambda info: info["amx_suite"]["fingerprint"].update(cores="9"), "cores was '9', is '2'"),
        (lambda info: info["amx_suite"]["fingerprint"].pop("kernel"), "kernel was 'None'"),
        (lambda info: info["amx_suite"]["fingerprint"].update(new="x"), "new was 'x', is 'None'"),
    ],
    ids=["foreign", "garbage", "stale", "torch", "machine", "a trait less", "a trait more"],
)
def test_what_differs_is_named_with_the_remedy(change, complaint):
    theirs = copy.deepcopy(OURS)
    change(theirs)
    with pytest.raises(ResultsFileError, match=complaint) as caught:
        check_machine(OURS, theirs)
    assert "--benchmark-save" in str(caught.value)


def test_nothing_volatile_is_in_it():
    assert machine_info({}) == machine_info({})
    assert not [name for name in str(OURS).lower().split("'") if name.endswith("hz")]
