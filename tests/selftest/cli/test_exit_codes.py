"""One order of exit codes for every command."""

import itertools

import pytest

from amx_suite.core.exit_codes import ExitCode, exit_code

pytestmark = pytest.mark.selftest

ORDER = ("usage", "failed", "not_usable", "undecided")
CODES = (2, 1, 3, 4)


def test_nothing_wrong_is_0():
    assert exit_code() is ExitCode.OK == 0


@pytest.mark.parametrize("holds", list(itertools.product([False, True], repeat=4)))
def test_the_first_that_holds_wins(holds):
    code = exit_code(**dict(zip(ORDER, holds, strict=True)))
    expected = next((c for c, h in zip(CODES, holds, strict=True) if h), 0)
    assert code == expected
