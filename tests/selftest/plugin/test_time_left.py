"""The design time in a run's header, and the time left as each trial begins."""

import argparse
import re
from types import SimpleNamespace

import msgspec
import pytest
from fake_trial import full_trial

from amx_suite.core.precision import Precision
from amx_suite.host.instance import Instance
from amx_suite.plugin.options import Settings
from amx_suite.plugin.selection import engine_of
from amx_suite.plugin.time_left import run_time

pytestmark = pytest.mark.selftest

#: Runs of (level, seconds, ended early) with ipex on the two busy CPUs of docs/measured.md. None is
#: from a quiet machine, so none shows whether the lower end of a design time is right.
RECORDED = [
    (1, 5.236, False),
    (1, 23.0, False),
    (2, 250.8, False),
    (2, 253.2, False),
    (2, 277.2, False),
    (2, 284.2, False),
    (3, 1199.8, True),
]
#: A trial begins, with its number and the minutes that are left.
BEGINS = re.compile(r"trial (\d) of (\d): (\S+) \S+, about (\d+) to (\d+) min left")


def designed(*, with_amx=True, **chosen):
    settings = Settings.read(argparse.Namespace(), environ={})
    chosen.setdefault("engines", ("ipex",))
    return run_time(
        msgspec.structs.replace(settings, instance=Instance((0, 1)), **chosen),
        with_amx=with_amx,
    )


def trials_begun(stdout):
    return [
        (*map(int, found[:2]), found[2], *map(int, found[3:])) for found in BEGINS.findall(stdout)
    ]


class TestDesignTime:
    @pytest.mark.parametrize(("level", "seconds", "ended_early"), RECORDED)
    def test_recorded_run_within_its_time(self, level, seconds, ended_early):
        design = designed(level=level)
        assert seconds <= design.most_seconds
        assert ended_early or seconds >= design.quiet_seconds

    def test_run_without_second_measurement_is_short(self):
        """Known-bad: 90 s are too few for level 2, and 10 minutes are too many."""
        design = designed(level=2)
        assert not design.quiet_seconds <= 90 <= design.most_seconds
        assert not design.quiet_seconds <= 600 <= design.most_seconds

    def test_grows_with_level_and_engines(self):
        times = [designed(level=level) for level in (1, 2, 3, 4)]
        times.append(designed(level=4, engines=("ipex", "inductor")))
        for time in (lambda each: each.quiet_seconds, lambda each: each.most_seconds):
            assert sorted(set(map(time, times))) == list(map(time, times))

    def test_users_budget_counts(self):
        assert designed(level=3, budget_seconds=20.0).most_seconds < designed(level=3).most_seconds

    def test_shorter_without_amx(self):
        """Arms and tests that need AMX take no time where it is not usable."""
        without, whole = designed(level=3, with_amx=False), designed(level=3)
        assert without.quiet_seconds < whole.quiet_seconds
        assert without.most_seconds < whole.most_seconds

    def test_users_soak_counts(self):
        long, short = (designed(level=4, soak_seconds=float(s)) for s in (1000, 600))
        assert long.quiet_seconds - short.quiet_seconds == pytest.approx(400)


@pytest.mark.parametrize(
    ("parameters", "engine"),
    [
        ({"amx_trial": full_trial()}, "ipex"),
        ({"precision": Precision.BF16, "amx_engine": "eager"}, "eager"),
        ({"amx_engine": None}, ""),
        ({"any_name": full_trial().arms[1]}, "ipex"),
        ({"size": 256}, ""),
    ],
)
def test_engine_of_a_test(parameters, engine):
    callspec = SimpleNamespace(params=parameters)
    assert engine_of(SimpleNamespace(callspec=callspec)) == engine
    assert engine_of(SimpleNamespace()) == ""


class TestHeader:
    def test_shorter_if_not_timed(self, run_suite, level_3):
        disabled = run_suite("--collect-only", "--amx-level", "3", "--benchmark-disable")
        header = r"amx run: level 3, by design \d+ to (\d+) min, engines: ipex"
        longer, shorter = (
            int(re.search(header, done.stdout)[1]) for done in (level_3[0], disabled)
        )
        assert shorter < longer


@pytest.fixture
def whole(level_3):
    """The trials that begin in a run of level 3."""
    return trials_begun(level_3[0].stdout)


class TestTimeLeft:
    def test_falls_from_trial_to_trial(self, whole):
        assert [trial[:2] for trial in whole] == [(number, 5) for number in (1, 2, 3, 4, 5)]
        assert whole[0][2] == "gemm-inference-ipex"
        for column in (3, 4):
            left = [trial[column] for trial in whole]
            assert left == sorted(left, reverse=True)
            assert left[0] > left[-1]

    def test_only_collected_tests_count(self, run_suite, whole):
        """The last trial's time is the same whether or not others ran before it."""
        first, last = trials_begun(run_suite("--amx-level", "3", "-k", "bert").stdout)
        assert first[:3] == (1, 2, "bert-inference-ipex")
        assert first[3] < whole[0][3]
        assert first[4] < whole[0][4]
        assert last == (2, 2, *whole[-1][2:])

    def test_budget_counts(self, run_suite):
        (long,) = trials_begun(run_suite("--amx-budget", "600").stdout)
        assert long[4] > designed(level=2).most_seconds / 60
