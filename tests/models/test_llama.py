"""The Llama port: recorded logits of transformers, the cache, windows, heads, weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from spexjax.models.llama.config import RopeScaling, config_from_dict, config_to_dict
from spexjax.models.llama.edits import Edits, Site
from spexjax.models.llama.generate import greedy
from spexjax.models.llama.model import Llama, LlamaConfig, head_factors, init_params, unembed
from spexjax.models.llama.weights import load_llama, rows, save_llama

GOLDEN = Path(__file__).parent / "golden"
TINY = LlamaConfig(
    vocab_size=31, dim=12, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=6, hidden_dim=20,
    max_position_embeddings=64, eos_token_ids=(2,),
)  # fmt: skip


@pytest.fixture(scope="module")
def params():
    shapes = jax.eval_shape(lambda: init_params(TINY, jax.random.key(0)))
    rng = np.random.default_rng(3)
    return jax.tree.map(lambda x: jnp.float32(rng.normal(0, 0.4, x.shape)), shapes)


@pytest.fixture(scope="module")
def apply():
    return jax.jit(lambda params, ids, **kw: Llama(TINY).apply({"params": params}, ids, **kw))


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_recorded_logits_and_continuations(name):
    golden = json.loads((GOLDEN / name / "logits.json").read_text())
    config, params = load_llama(GOLDEN / name)
    ids = np.array(golden["ids"], np.int32)
    hidden, _ = jax.jit(Llama(config).apply)({"params": params}, ids)
    chex.assert_shape(hidden, (3, 11, config.dim))
    np.testing.assert_allclose(unembed(config, params, hidden), golden["logits"], atol=1e-4)
    assert greedy(config, params, ids.tolist(), 64, stop=()) == golden["greedy"]


def test_a_shared_prefix_is_the_whole_row(params, apply):
    ids = np.random.default_rng(0).integers(0, 31, (5, 9), dtype=np.int32)
    ids[:, :4] = ids[0, :4]
    want, _ = apply(params, ids)
    _, prefix = apply(params, ids[:1, :4])
    found, _ = apply(params, ids[:, 4:], cache=prefix)
    np.testing.assert_allclose(found, want[:, 4:], atol=1e-5)


def test_padding_changes_nothing(params, apply):
    ids = np.random.default_rng(1).integers(0, 31, (5, 9), dtype=np.int32)
    valid = np.arange(9) != 3
    want, _ = apply(params, ids[:, valid])
    found, _ = apply(params, ids, valid=np.broadcast_to(valid, ids.shape))
    np.testing.assert_allclose(found[:, valid], want, atol=1e-5)


def test_a_window_hides_what_is_far_back(params):
    config = replace(TINY, n_layers=1, sliding_window=3)
    ids = np.random.default_rng(2).integers(0, 31, (1, 8), dtype=np.int32)
    other = ids.copy()
    other[0, 2] = (ids[0, 2] + 1) % 31
    run = jax.jit(Llama(config).apply)
    a, b = (run({"params": params}, x)[0] for x in (ids, other))
    changed = np.abs(np.asarray(a - b)).max(axis=-1)[0] > 0
    np.testing.assert_array_equal(changed, [False, False, True, True, True, False, False, False])


def test_masked_heads_add_nothing(params, apply):
    ids = np.random.default_rng(3).integers(0, 31, (2, 6), dtype=np.int32)
    kept = np.ones((2, 2, 4), bool)
    kept[1, 0, 2] = False
    found, _ = apply(params, ids, edits=Edits(heads=Site(jnp.moveaxis(head_factors(kept), 1, 0))))
    want, _ = apply(params, ids)
    np.testing.assert_allclose(found[0], want[0], atol=1e-6)
    # A head without its columns of the output's kernel, the others of its layer times 4/3.
    kernel = np.array(params["layers"]["attention"]["out"]["kernel"]).reshape(2, 4, 6, 12)
    kernel[0] *= 4 / 3
    kernel[0, 2] = 0
    layers = params["layers"]
    attention = layers["attention"] | {"out": {"kernel": kernel.reshape(2, 24, 12)}}
    pruned = params | {"layers": layers | {"attention": attention}}
    np.testing.assert_allclose(found[1], apply(pruned, ids)[0][1], atol=1e-5)
    np.testing.assert_array_equal(head_factors(np.zeros((1, 4), bool)), np.zeros((1, 4)))


def test_greedy_is_the_argmax_of_the_whole(params, apply):
    prompts = [[5, 7, 9], [11], [3, 4, 5, 6, 7, 8]]
    found = greedy(TINY, params, prompts, 12, stop=())
    for prompt, new in zip(prompts, found, strict=True):
        row = prompt + new
        logits = unembed(TINY, params, apply(params, np.array([row + [0] * (18 - len(row))]))[0])
        best = np.argmax(np.asarray(logits[0]), axis=-1)
        assert new == best[len(prompt) - 1 : len(row) - 1].tolist()
    assert len({len(p) for p in found}) == 1
    stop = found[0][3]
    cut = greedy(TINY, params, prompts, 12, stop=(stop,))
    assert cut[0] == found[0][: found[0].index(stop)]


def test_what_greedy_refuses(params):
    with pytest.raises(ValueError, match="no tokens"):
        greedy(TINY, params, [[3], []], 4)
    with pytest.raises(ValueError, match="positions"):
        greedy(TINY, params, [[3] * 61], 4)


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, tie_embeddings=True, attention_bias=True, out_bias=True, mlp_bias=True),
        replace(TINY, rope_scaling=RopeScaling("llama3", 8.0, 1.0, 4.0, 32), rope_theta=5e5),
        replace(TINY, rope_scaling=RopeScaling("linear", 2.0), eos_token_ids=(2, 5)),
        replace(TINY, family="mistral", sliding_window=8),
        replace(TINY, family="qwen2", attention_bias=True),
        replace(
            TINY, family="qwen3", qk_norm=True, sliding_window=4, first_windowed_layer=1,
            pad_token_id=0,
        ),
    ],
    ids=str,
)  # fmt: skip
def test_configuration_there_and_back(config):
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "yarn"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"num_key_value_heads": 3}, "divide"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "SequenceClassification"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ],
)
def test_configurations_that_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        config_from_dict(config_to_dict(TINY) | change)


def test_windows_by_layer():
    raw = config_to_dict(
        replace(TINY, family="qwen2", attention_bias=True, sliding_window=4)
    )  # fmt: skip
    kinds = ["full_attention", "sliding_attention"]
    assert config_from_dict(raw | {"layer_types": kinds}).first_windowed_layer == 1
    with pytest.raises(ValueError, match="layer_types"):
        config_from_dict(raw | {"layer_types": kinds[::-1]})
    assert config_from_dict(raw | {"use_sliding_window": False}).sliding_window is None


def test_what_a_family_cannot_say():
    with pytest.raises(ValueError, match="attention_bias = True"):
        config_to_dict(replace(TINY, family="mistral", attention_bias=True))
    with pytest.raises(ValueError, match="sliding_window = 3"):
        config_to_dict(replace(TINY, sliding_window=3))


def test_a_misshapen_parameter_is_named(params, apply):
    wrong = params | {"embedding": params["embedding"][:-1]}
    with pytest.raises(ValueError, match=r"'embedding' has shape \(30, 12\).*\(31, 12\)"):
        apply(wrong, np.zeros((1, 3), np.int32))


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16, np.float16])
def test_weights_there_and_back(params, tmp_path, dtype):
    save_llama(tmp_path, TINY, params, dtype, shard_bytes=4000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    config, again = load_llama(tmp_path, dtype=None)
    assert config == TINY
    want = jax.tree.map(lambda x: x if dtype is None else x.astype(dtype), params)
    chex.assert_trees_all_equal(again, want)


def test_weights_that_are_refused(params, tmp_path):
    save_llama(tmp_path, TINY, params)
    file = tmp_path / "model.safetensors"
    stored = load_file(file)
    name = "model.layers.1.mlp.up_proj.weight"

    def refuses(tensors, message):
        save_file(tensors, file)
        with pytest.raises(ValueError, match=message):
            load_llama(tmp_path)

    refuses({k: v for k, v in stored.items() if k != name}, f"'{name}' is missing")
    refuses(stored | {"model.layers.7.x": stored[name]}, "'model.layers.7.x' has no place")
    refuses(stored | {name: stored[name][:-1]}, rf"'{name}' has shape \(19, 12\)")
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_llama(tmp_path)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"No model\.safetensors"):
        load_llama(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_llama(tmp_path / "nowhere")
    shutil.rmtree(tmp_path)


def test_every_parameter_has_a_name(params):
    paths = {row.path for row in rows(TINY)}
    leaves = jax.tree_util.tree_leaves_with_path(params)
    assert paths == {tuple(part.key for part in path) for path, _ in leaves}
