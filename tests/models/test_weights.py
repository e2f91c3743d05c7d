"""Folders of weights: there and back, shards, old names, and an error for every misfit."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from spexjax.models.bert import families, weights
from spexjax.models.bert.model import Config, init_params
from spexjax.models.checkpoints import folders

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = ["distilbert", "bert"]


@pytest.fixture
def folder(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((GOLDEN / "distilbert" / name).read_bytes())
    return tmp_path


def edit(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip(family, tmp_path):
    config, params = weights.load(GOLDEN / family)
    weights.save(tmp_path, config, params)
    again_config, again = weights.load(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    assert families.to_dict(again_config) == families.to_dict(config)
    stored, want = weights.read_tensors(tmp_path), load_file(GOLDEN / family / "model.safetensors")
    assert stored.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(stored[name], value)


def test_every_parameter_is_in_the_table():
    no_types = Config("bert", 9, 4, 1, 2, 8, 5)
    for config in [weights.read_config(GOLDEN / family) for family in FAMILIES] + [no_types]:
        shapes = jax.eval_shape(lambda c=config: init_params(c, jax.random.key(0)))
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)
        params = weights.params_from_tensors(config, weights.tensors_from_params(config, zeros))
        assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, zeros)


def test_half_precision_is_stored_and_read_as_float32(folder):
    config, params = weights.load(folder)
    weights.save(folder, config, params, np.float16)
    assert weights.read_tensors(folder)["classifier.weight"].dtype == np.float16
    for a, b in zip(*map(jax.tree.leaves, (weights.load(folder)[1], params)), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_missing_tensor(folder):
    edit(folder, lambda t: t.pop("distilbert.transformer.layer.1.ffn.lin2.bias"))
    with pytest.raises(ValueError, match=r"layer\.1\.ffn\.lin2\.bias.* is missing"):
        weights.load(folder)


def test_unknown_tensor(folder):
    edit(folder, lambda t: t.update({"qa_outputs.weight": np.zeros((2, 2), np.float32)}))
    with pytest.raises(ValueError, match=r"qa_outputs\.weight.* has no place"):
        weights.load(folder)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("pre_classifier.weight", (24, 23), r"pre_classifier\.weight.*\(24, 23\).*\(24, 24\)"),
        ("distilbert.transformer.layer.0.ffn.lin1.weight", (24, 40), r"\(24, 40\).*\(40, 24\)"),
        ("distilbert.embeddings.position_embeddings.weight", (15, 24), r"\(15, 24\).*\(16, 24\)"),
        ("classifier.bias", (3, 1), r"classifier\.bias.*\(3, 1\).*\(3,\)"),
    ],
)
def test_misshapen_tensor(folder, name, shape, message):
    edit(folder, lambda t: t.update({name: np.zeros(shape, np.float32)}))
    with pytest.raises(ValueError, match=message):
        weights.load(folder)


def test_old_names_and_constants(folder):
    want = weights.load(folder)[1]

    def age(tensors):
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            name = "distilbert.embeddings.LayerNorm"
            tensors[name + old] = tensors.pop(name + new)
        tensors["distilbert.embeddings.position_ids"] = np.arange(16)[None]

    edit(folder, age)
    jax.tree.map(np.testing.assert_array_equal, weights.load(folder)[1], want)


def shard(folder):
    tensors = weights.read_tensors(folder)
    (folder / "model.safetensors").unlink()
    parts = {"a.safetensors": {}, "b.safetensors": {}}
    for i, (name, value) in enumerate(tensors.items()):
        parts[list(parts)[i % 2]][name] = value
    for file, part in parts.items():
        save_file(part, folder / file)
    where = {name: file for file, part in parts.items() for name in part}
    (folder / folders.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return where


def test_shards(folder):
    want = weights.load(folder)[1]
    where = shard(folder)
    jax.tree.map(np.testing.assert_array_equal, weights.load(folder)[1], want)
    name = min(where)
    other = next(f for f in ("a.safetensors", "b.safetensors") if f != where[name])
    (folder / folders.INDEX).write_text(json.dumps({"weight_map": where | {name: other}}))
    with pytest.raises(ValueError, match=f"{name}.*disagree"):
        weights.load(folder)
    (folder / folders.INDEX).write_text(json.dumps({"weight_map": where}))
    (folder / "b.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.safetensors"):
        weights.load(folder)


def test_missing_and_broken_files(folder):
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match="not a safetensors file"):
        weights.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        weights.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        weights.load(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="JSON object"):
        weights.load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        weights.load(folder)
