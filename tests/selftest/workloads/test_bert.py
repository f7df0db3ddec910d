"""BERT from the user's folder, on a model small enough for a selftest."""

import importlib
import json
import sys

import pytest
from run_cases import case_of

from amx_suite.core.case import Mode
from amx_suite.core.precision import Precision
from amx_suite.errors import OutputError, UsageError
from amx_suite.workloads import bert
from amx_suite.workloads.base import Inputs
from amx_suite.workloads.bert import Bert, _transformers

pytestmark = pytest.mark.selftest

BERT = Bert()
SIZE = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}


def bert_of(weights, *values, **changes):
    return case_of("bert", *values, weights=str(weights), **changes)


def save(folder, **changes):
    """A tiny encoder as ``save_pretrained`` leaves it, pooler and all."""
    import transformers

    transformers.BertModel(transformers.BertConfig(**SIZE, **changes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(tmp_path_factory.mktemp("tiny-bert"))


def test_saved_weights_are_used(saved):
    from safetensors.torch import load_file

    case = bert_of(saved)
    model = BERT.build(case, Inputs())
    state, stored = model.state_dict(), load_file(saved / "model.safetensors")
    assert all((tensor == stored[name]).all() for name, tensor in state.items())
    (batch,), sentence = BERT.batches(case, Inputs(), 1)
    assert model(*batch.inputs).shape == (2, 16, 8)
    assert not model.training
    assert sentence == "random tokens, seed 0"


def test_fp64_has_the_same_weights(saved):
    single = BERT.build(bert_of(saved), Inputs())
    double = BERT.build(bert_of(saved, precision=Precision.FP64), Inputs())
    pairs = zip(single.parameters(), double.parameters(), strict=True)
    assert all((a.double() == b).all() and str(b.dtype) == "torch.float64" for a, b in pairs)


def test_training_adds_a_seeded_head(saved):
    case = bert_of(saved, Mode.TRAINING)
    first, second = (BERT.build(case, Inputs(), deterministic=True) for _ in range(2))
    assert (first.classifier.weight == second.classifier.weight).all()
    (batch,), _ = BERT.batches(case, Inputs(), 1)
    output = first(*batch.inputs)
    assert output.shape == (2, 2)
    assert (output == second(*batch.inputs)).all(), "dropout is off"
    assert BERT.loss(output, batch.targets).ndim == 0


def test_dropout_is_on_while_timed(saved):
    model = BERT.build(bert_of(saved, Mode.TRAINING), Inputs())
    (batch,), _ = BERT.batches(bert_of(saved), Inputs(), 1)
    assert (model(*batch.inputs) != model(*batch.inputs)).any()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model_type": "gpt2"}, "of type 'gpt2', and the bert workload needs 'bert'"),
        ({"num_hidden_layers": 2}, r"lack these parameters, .*: encoder\.layer\.1\."),
        ({"hidden_size": 16}, r"in another shape than their own config\.json: embeddings"),
        ({"num_attention_heads": 3}, "cannot be loaded, .*config.json: ValueError: "),
        ({"num_attention_heads": 0}, "cannot be loaded, .*config.json: ZeroDivisionError: "),
        ({"hidden_size": "eight"}, "cannot be loaded, .*config.json: "),
        ({"hidden_act": "none such"}, "cannot be loaded, .*config.json: "),
        ("{", r"config\.json' is not JSON"),
        ("<html>", r"config\.json' is a web page"),
    ],
    ids=["model", "missing", "shape", "heads", "0", "text", "activation", "broken", "page"],
)
def test_unusable_configuration(saved, tmp_path, changes, complaint):
    config = (saved / "config.json").read_text()
    text = changes if isinstance(changes, str) else json.dumps({**json.loads(config), **changes})
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes())
    with pytest.raises(UsageError, match=complaint):
        BERT.build(bert_of(tmp_path), Inputs())


def test_broken_safetensors(saved, tmp_path):
    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    content = (saved / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-9])
    with pytest.raises(UsageError, match="not valid safetensors"):
        BERT.build(bert_of(tmp_path), Inputs())


def test_models_too_small_for_the_tokens(saved, tmp_path):
    with pytest.raises(UsageError, match="take 32 tokens at most, and the shape b2x64 has 64"):
        BERT.build(bert_of(saved, shape=(2, 64)), Inputs())
    with pytest.raises(UsageError, match="a vocabulary of 500"):
        BERT.build(bert_of(save(tmp_path, vocab_size=500)), Inputs())


def test_names_are_not_fetched_unasked(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="'minilm' or 'random', or allow the download"):
        BERT.build(bert_of("nobody/no-such-model"), Inputs())


def test_an_unwritable_cache_names_its_variable(monkeypatch):
    """Known-bad: the hub answers, and nothing can be stored."""

    class Configuration:
        def get_config_dict(*_, **__):
            raise OSError("a library's words")

    monkeypatch.setattr(bert, "why_unreachable", lambda url: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/proc/self/hub")
    with pytest.raises(OutputError, match=r"cannot write in /proc/self/hub.*name it in HF_HOME"):
        bert._pretrained(Configuration, None, "joe/bert", Inputs(download=True), {})


TRANSFORMERS = """
from importlib.util import find_spec

if find_spec("torchao"):
    import torchao
BertConfig = BertForSequenceClassification = BertModel = None
"""


def test_broken_torchao_costs_no_arm(monkeypatch, tmp_path):
    """Known-bad: this transformers, like the real one, imports the torchao that it finds."""
    (tmp_path / "torchao.py").write_text("raise RuntimeError('broken')")
    (tmp_path / "transformers.py").write_text(TRANSFORMERS)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torchao", "transformers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(RuntimeError, match="broken"):
        importlib.import_module("transformers")
    _transformers()
    with pytest.raises(RuntimeError, match="broken"):
        importlib.import_module("torchao")
