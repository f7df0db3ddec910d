"""Asking the kernel in a child: answers, refusals, and children that are killed for asking."""

from __future__ import annotations

import platform
import sys

import pytest

from amx_suite.host.permission import Answer, Permission, amx_permission_held, ask_permission
from amx_suite.tmul import xcomp
from amx_suite.tmul.tile_probe import Ask

pytestmark = pytest.mark.selftest

on_x86_64_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="asks an x86-64 Linux kernel"
)


def _asked(handler: str) -> Permission:
    return ask_permission(f"fake_tiles:{handler}")


def test_a_granted_permission() -> None:
    permission = _asked("GRANTING")
    assert permission.granted
    assert permission.request == Answer(value=0)
    # Bit 17 alone, which every process has, is no permission.
    assert not permission.before.has_tiles


def test_a_refusal_keeps_its_errno() -> None:
    permission = _asked("REFUSING")
    assert permission.request == Answer(errno="EOPNOTSUPP")
    assert not permission.granted
    assert permission.error == ""


@pytest.mark.parametrize("killed_by", ["supported", "request"])
def test_a_killing_filter_is_named_by_question(killed_by: str) -> None:
    permission = _asked(f"KILLED_BY_{killed_by.upper()}")
    assert getattr(permission, killed_by) == Answer(signal="SIGSYS")
    assert permission.error == ""
    assert not permission.granted


@pytest.mark.parametrize("handler", ["fails", "Broken"])
def test_a_child_that_fails_is_an_error(handler: str) -> None:
    permission = _asked(handler)
    assert permission.error.startswith("the process that asks failed")
    assert "no ctypes here" in permission.error
    assert not permission.granted


def test_a_child_that_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ask, "seconds_to_answer", 0.2)
    assert "did not answer Ask within 0.2 s" in _asked("Hangs").error


@on_x86_64_linux
def test_asking_in_a_child_changes_nothing_here() -> None:
    before = amx_permission_held()
    permission = ask_permission()
    assert permission.error == ""
    assert permission.request != Answer()
    assert amx_permission_held() == before


def test_no_system_call_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    # On 64-bit Arm the same number is another system call.
    monkeypatch.setattr(sys, "platform", "darwin")
    assert xcomp.errno_name(xcomp.supported().errno) == "ENOSYS"
    assert amx_permission_held() is None


@pytest.mark.parametrize(
    ("mask", "held"), [(1 << 18, True), (1 << 17, False), (0xE7, False), (None, None)]
)
def test_permission_held_is_bit_18(
    monkeypatch: pytest.MonkeyPatch, mask: int | None, held: bool | None
) -> None:
    monkeypatch.setattr(xcomp, "permitted", lambda: xcomp.XcompReply(mask))
    assert amx_permission_held() is held


def test_errnos_have_the_kernels_names() -> None:
    assert xcomp.errno_name(95) == "EOPNOTSUPP"
    assert xcomp.errno_name(22) == "EINVAL"
    assert xcomp.errno_name(9999) == "errno 9999"
