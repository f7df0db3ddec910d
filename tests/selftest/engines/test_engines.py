"""The engines' table, and what an engine says of itself without importing anything heavy."""

import importlib.metadata

import pytest

from amx_suite.core.case import Mode, Precision
from amx_suite.core.isa import Isa
from amx_suite.core.trial import arms_of
from amx_suite.engines import ARBITER, ENGINES, engine, engine_for
from amx_suite.errors import UnknownNameError

pytestmark = pytest.mark.selftest


def install(monkeypatch, **versions):
    """Have the packages' metadata say so, whatever is really installed."""

    def version(name):
        try:
            return versions[name.replace("-", "_")]
        except KeyError:
            raise importlib.metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize("isa", Isa)
def test_every_engine_tells_its_libraries_of_a_ceiling_in_their_words(isa):
    stock = "avx2" if isa is Isa.AVX2 else "avx512"
    for name, word in (("ipex", isa.spec.aten), ("eager", stock), ("inductor", stock)):
        assert ENGINES[name].variables(isa)["ATEN_CPU_CAPABILITY"] == word
        assert ENGINES[name].ceilings(isa)


def test_every_row_is_under_its_own_name():
    assert all(row.name == name for name, row in ENGINES.items())
    assert ENGINES


def test_an_unknown_engine_is_told_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'ipex'"):
        engine("ipx")


def test_fp64_is_the_arbiters_whatever_the_engine():
    for name in ENGINES:
        assert engine_for(name, Precision.FP64) is ARBITER
        assert engine_for(name, Precision.BF16) is ENGINES[name]
    with pytest.raises(UnknownNameError):
        engine_for("arbiter", Precision.FP64)


def test_the_arbiter_has_no_arm_and_no_engine_has_its_precision():
    for mode in Mode:
        for precision, _ in arms_of(mode):
            assert ARBITER.why_not(mode, precision) is not None
        assert ARBITER.why_not(mode, Precision.FP64) is None
        assert all(row.why_not(mode, Precision.FP64) for row in ENGINES.values())


class TestIpex:
    IPEX = ENGINES["ipex"]

    def test_has_every_arm_of_the_published_recipe(self):
        for mode in Mode:
            for precision, _ in arms_of(mode):
                assert self.IPEX.why_not(mode, precision) is None

    def test_has_no_int8_training(self):
        assert "no INT8 training" in self.IPEX.why_not(Mode.TRAINING, Precision.INT8)

    @pytest.mark.parametrize("torch", ["2.8.0", "2.8.0+cpu", "2.8.1"])
    def test_is_available_with_the_torch_it_was_built_for(self, monkeypatch, torch):
        install(monkeypatch, torch=torch, intel_extension_for_pytorch="2.8.0")
        assert self.IPEX.why_unavailable() is None

    @pytest.mark.parametrize("torch", ["2.7.1", "2.9.0", "2.80.0", "3.8.0"])
    def test_needs_that_torch_and_names_the_one_it_found(self, monkeypatch, torch):
        install(monkeypatch, torch=torch, intel_extension_for_pytorch="2.8.0")
        reason = self.IPEX.why_unavailable()
        assert f"found torch {torch}" in reason
        assert "pip install 'amx-suite[ipex]'" in reason

    @pytest.mark.parametrize("packages", [{}, {"torch": "2.8.0"}])
    def test_absent(self, monkeypatch, packages):
        install(monkeypatch, **packages)
        reason = self.IPEX.why_unavailable()
        assert "not installed" in reason
        assert "pip install 'amx-suite[ipex]'" in reason

    def test_without_torch(self, monkeypatch):
        install(monkeypatch, intel_extension_for_pytorch="2.8.0")
        assert "PyTorch is not installed" in self.IPEX.why_unavailable()
