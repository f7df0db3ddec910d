"""BERT from the user's folder, on a model small enough for a selftest."""

import json

import pytest

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.errors import UsageError
from amx_suite.workloads.base import Inputs
from amx_suite.workloads.bert import Bert

pytestmark = pytest.mark.selftest

BERT = Bert()
SIZE = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}


def case_of(weights, mode=Mode.INFERENCE, precision=Precision.FP32, size=16):
    shape = Shape(2, size)
    return RunCase(
        Workload("bert", mode), "ipex", precision, Isa.AVX512, shape, 1, weights=str(weights)
    )


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def saved(transformers, tmp_path_factory):
    """A tiny encoder as ``save_pretrained`` leaves it, pooler and all."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    transformers.BertModel(transformers.BertConfig(**SIZE)).save_pretrained(folder)
    return folder


@pytest.fixture
def altered(saved, tmp_path):
    """The same folder with a changed configuration."""

    def alter(**changes):
        config = json.loads((saved / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
        (tmp_path / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes())
        return tmp_path

    return alter


def test_the_saved_weights_are_used(saved):
    from safetensors.torch import load_file

    case = case_of(saved)
    model = BERT.build(case, Inputs())
    state, stored = model.state_dict(), load_file(saved / "model.safetensors")
    assert all((tensor == stored[name]).all() for name, tensor in state.items())
    (batch,), sentence = BERT.batches(case, Inputs(), 1)
    assert BERT.logits(model(*batch.inputs)).shape == (2, 16, 8)
    assert not model.training
    assert sentence == "random tokens, seed 0"


def test_the_arbiter_has_the_same_weights_in_double(saved):
    single = BERT.build(case_of(saved), Inputs())
    double = BERT.build(case_of(saved, precision=Precision.FP64), Inputs())
    pairs = zip(single.parameters(), double.parameters(), strict=True)
    assert all((a.double() == b).all() and str(b.dtype) == "torch.float64" for a, b in pairs)


def test_training_adds_a_seeded_head(saved):
    case = case_of(saved, Mode.TRAINING)
    first, second = (BERT.build(case, Inputs(), deterministic=True) for _ in range(2))
    assert (first.classifier.weight == second.classifier.weight).all()
    (batch,), _ = BERT.batches(case, Inputs(), 1)
    output = first(*batch.inputs)
    assert output.shape == (2, 2)
    assert (output == second(*batch.inputs)).all(), "dropout is off"
    assert BERT.loss(output, batch.targets).ndim == 0


def test_dropout_is_on_where_training_is_timed(saved):
    model = BERT.build(case_of(saved, Mode.TRAINING), Inputs())
    (batch,), _ = BERT.batches(case_of(saved), Inputs(), 1)
    assert (model(*batch.inputs) != model(*batch.inputs)).any()


def test_more_tokens_than_the_model_takes(saved):
    with pytest.raises(UsageError, match="take 32 tokens at most, and the shape b2x64 has 64"):
        BERT.build(case_of(saved, size=64), Inputs())


def test_a_model_of_another_kind(altered):
    with pytest.raises(UsageError, match="of type 'gpt2', and the bert workload needs 'bert'"):
        BERT.build(case_of(altered(model_type="gpt2")), Inputs())


def test_weights_that_are_not_all_there(altered):
    with pytest.raises(UsageError, match=r"lack encoder\.layer\.1\."):
        BERT.build(case_of(altered(num_hidden_layers=2)), Inputs())


def test_weights_of_another_size(altered):
    with pytest.raises(UsageError, match=r"do not fit their own config\.json"):
        BERT.build(case_of(altered(hidden_size=16)), Inputs())


def test_weights_that_are_broken(altered):
    folder = altered()
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UsageError, match="not valid safetensors"):
        BERT.build(case_of(folder), Inputs())


def test_a_configuration_that_is_broken(altered):
    folder = altered()
    (folder / "config.json").write_text("{")
    with pytest.raises(UsageError, match="no usable BERT weights"):
        BERT.build(case_of(folder), Inputs())


def test_a_name_is_not_fetched_unasked(transformers, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="'minilm' or 'random', or allow the download"):
        BERT.build(case_of("nobody/no-such-model"), Inputs())


def test_a_vocabulary_that_is_too_small(transformers, tmp_path):
    transformers.BertModel(transformers.BertConfig(**SIZE, vocab_size=500)).save_pretrained(
        tmp_path
    )
    with pytest.raises(UsageError, match="a vocabulary of 500"):
        BERT.build(case_of(tmp_path), Inputs())
