"""The encoder and heads against a NumPy oracle and against logits of transformers."""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.models.bert import families, weights
from spexjax.models.bert.config import Config, config_from_dict, config_to_dict
from spexjax.models.bert.model import Classifier, Encoder, apply, init_params
from spexjax.models.nn.attention import attend

GOLDEN = Path(__file__).parent / "golden"
TINY = Config(
    vocab_size=50, dim=12, n_layers=2, n_heads=3, hidden_dim=20, max_position_embeddings=9,
    num_labels=3,
)  # fmt: skip
TINY_BERT = Config(
    family="bert", vocab_size=50, dim=12, n_layers=1, n_heads=2, hidden_dim=20,
    max_position_embeddings=9, type_vocab_size=2,
)  # fmt: skip


TINY_ROBERTA = Config(
    family="roberta", vocab_size=50, dim=12, n_layers=1, n_heads=2, hidden_dim=20,
    max_position_embeddings=9, type_vocab_size=1, pad_token_id=1,
)  # fmt: skip


@pytest.fixture(params=[TINY, TINY_BERT], ids=["distilbert", "bert"])
def config(request):
    return request.param


def random_params(config):
    """Normal parameters, none of them 0 or 1, so that a swapped pair shows."""
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    rng = np.random.default_rng(5)
    return jax.tree.map(
        lambda x: np.float32(0.4) * rng.standard_normal(x.shape, np.float32), shapes
    )


def logits_of(config, params, ids, keep, dtype=jnp.float32):
    return jax.jit(apply, static_argnums=(0, 4))(config, params, ids, keep, dtype)


def oracle(config, params, ids, types=None):
    """Logits of one unpadded row from the papers' definitions, in float64, head by head."""
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def dense(p, x):
        return x @ p["kernel"] + p["bias"]

    def norm(p, x):
        mean = x.mean(-1, keepdims=True)
        var = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) / np.sqrt(var + config.norm_eps) * p["scale"] + p["bias"]

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    e = params["encoder"]
    x = np.stack([e["word"]["embedding"][t] + e["position"]["embedding"][i]
                  for i, t in enumerate(ids)])  # fmt: skip
    if types is not None:
        x = x + e["token_type"]["embedding"][np.asarray(types)]
    x = norm(e["norm"], x)
    d = config.dim // config.n_heads
    for i in range(config.n_layers):
        p = e[f"layer_{i}"]
        q, k, v = (dense(p["attention"][name], x) for name in ("query", "key", "value"))
        mixed = np.zeros_like(x)
        for h in range(config.n_heads):
            part = slice(h * d, (h + 1) * d)
            for row in range(len(ids)):
                scores = np.exp([q[row, part] @ k[j, part] / math.sqrt(d) for j in range(len(ids))])
                mixed[row, part] = scores / scores.sum() @ v[:, part]
        x = norm(p["attention_norm"], x + dense(p["attention"]["out"], mixed))
        x = norm(p["ffn_norm"], x + dense(p["ffn_out"], gelu(dense(p["ffn_in"], x))))
    head = dense(params["pre_classifier"], x[0])
    head = np.tanh(head) if config.family == "bert" else np.maximum(head, 0)
    return dense(params["classifier"], head)


def padded(rows, length):
    ids = np.zeros((len(rows), length), np.int32)
    keep = np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)], keep[i, : len(row)] = row, True
    return ids, keep


ROWS = [[2, 7, 3, 44, 1], [9], [3, 1, 4, 1, 5, 9, 2, 6, 5], [8, 8]]


def test_logits_are_those_of_the_definition(config):
    params = random_params(config)
    ids, keep = padded(ROWS, 9)
    logits = logits_of(config, params, ids, keep)
    assert logits.shape == (4, config.num_labels)
    assert logits.dtype == jnp.float32
    types = [0] * 9 if config.family == "bert" else None
    for row, found in zip(ROWS, logits, strict=True):
        want = oracle(config, params, row, types and types[: len(row)])
        np.testing.assert_allclose(found, want, atol=1e-4, rtol=1e-4)


def test_padding_changes_nothing():
    params = random_params(TINY)
    row = [[2, 7, 3, 44, 1]]
    want = logits_of(TINY, params, *padded(row, 5))
    ids, keep = padded(row, 9)
    ids = np.where(keep, ids, 17)  # whatever the padding holds
    np.testing.assert_allclose(logits_of(TINY, params, ids, keep), want, atol=2e-6, rtol=2e-6)


def test_vmap_agrees_with_a_batch():
    params = random_params(TINY)
    ids, keep = padded(ROWS, 9)
    want = logits_of(TINY, params, ids, keep)
    rows = jax.jit(jax.vmap(lambda i, k: apply(TINY, params, i[None], k[None])[0]))(ids, keep)
    np.testing.assert_allclose(rows, want, atol=2e-5)


def test_the_first_row_alone_is_the_first_of_all():
    params = random_params(TINY)["encoder"]
    ids, keep = padded(ROWS, 9)
    encode = jax.jit(Encoder(TINY).apply, static_argnums=4)
    whole = encode({"params": params}, ids, keep)
    assert whole.shape == (4, 9, 12)
    first = encode({"params": params}, ids, keep, None, True)
    np.testing.assert_allclose(first, whole[:, :1], atol=2e-6, rtol=2e-6)


def test_bfloat16_is_near():
    params = jax.tree.map(lambda x: 0.3 * x, random_params(TINY))
    ids, keep = padded(ROWS, 9)
    low = logits_of(TINY, params, ids, keep, jnp.bfloat16)
    assert low.dtype == jnp.float32
    full = logits_of(TINY, params, ids, keep)
    error = np.max(np.abs(np.asarray(low - full)))
    assert 0 < error < 0.05


def test_token_types_count_for_bert_only():
    params = random_params(TINY_BERT)
    ids, keep = padded([[4, 5, 6]], 3)
    types = np.array([[0, 1, 1]])
    found = jax.jit(Classifier(TINY_BERT).apply)({"params": params}, ids, keep, types)[0]
    np.testing.assert_allclose(found, oracle(TINY_BERT, params, ids[0], types[0]), atol=1e-4)
    with pytest.raises(ValueError, match="token_types"):
        Classifier(TINY).apply({"params": random_params(TINY)}, ids, keep, types)


def test_attention_ignores_hidden_keys(key):
    q, k, v = (jax.random.normal(kk, (2, 4, 3)) for kk in jax.random.split(key, 3))
    keep = jnp.array([True, False, True, False])
    want = attend(q, k[:, ::2], v[:, ::2], jnp.array([True, True]))
    np.testing.assert_allclose(attend(q, k, v, keep), want, atol=1e-6)
    only = attend(q, k, v, jnp.array([False, True, False, False]))
    np.testing.assert_allclose(only, jnp.broadcast_to(v[:, 1:2], only.shape), atol=1e-6)


@pytest.mark.parametrize("family", ["distilbert", "bert", "roberta", "modernbert", "deberta"])
def test_logits_of_transformers(family):
    folder = GOLDEN / family
    config, params = weights.load(folder)
    golden = json.loads((folder / "logits.json").read_text())
    types = golden.get("token_type_ids")
    ids, keep = np.array(golden["input_ids"]), np.array(golden["attention_mask"], bool)
    if types is None:
        found = jax.jit(families.apply, static_argnums=0)(config, params, ids, keep)
    else:
        found = jax.jit(Classifier(config).apply)({"params": params}, ids, keep, np.array(types))
    assert np.std(golden["logits"]) > 0.1
    again = families.from_dict(json.loads(json.dumps(families.to_dict(config))))
    assert families.to_dict(again) == families.to_dict(config)
    np.testing.assert_allclose(found, golden["logits"], atol=2e-6, rtol=1e-5)
    if family == "distilbert":
        assert config.label_names == ("BAD", "SO-SO", "GOOD")


def test_fresh_parameters_keep_the_size_of_what_passes(key):
    params = init_params(TINY, key)
    encoder = jax.device_get(params["encoder"])
    assert np.all(encoder["norm"]["scale"] == 1) and not np.any(encoder["norm"]["bias"])
    for kernel in (encoder["word"]["embedding"], encoder["layer_0"]["ffn_in"]["kernel"]):
        assert np.std(kernel) == pytest.approx(TINY.dim**-0.5, rel=0.15)


def test_config_round_trip(config):
    again = config_from_dict(json.loads(json.dumps(config_to_dict(config))))
    names = tuple(f"LABEL_{i}" for i in range(config.num_labels))
    assert again.label_names == names
    assert config_to_dict(again) == config_to_dict(config)


def test_config_defaults_are_the_published_ones():
    assert config_from_dict({"model_type": "distilbert"}) == Config()
    bert = config_from_dict({"model_type": "bert", "pad_token_id": None})
    assert (bert.n_layers, bert.type_vocab_size, bert.num_labels, bert.pad_token_id) == (
        12,
        2,
        2,
        0,
    )


def test_roberta_counts_positions_behind_the_padding():
    again = config_from_dict(config_to_dict(TINY_ROBERTA))
    assert (again.max_position_embeddings, again.first_position) == (9, 2)
    assert config_to_dict(TINY_ROBERTA)["max_position_embeddings"] == 11
    base = config_from_dict({"model_type": "roberta", "max_position_embeddings": 514})
    assert (base.vocab_size, base.max_position_embeddings, base.n_layers) == (50265, 512, 12)
    params = random_params(TINY_ROBERTA)
    assert params["encoder"]["position"]["embedding"].shape == (11, 12)
    row = [[2, 7, 3, 44, 9]]
    ids, keep = padded(row, 9)
    ids = np.where(keep, ids, 1)
    want = logits_of(TINY_ROBERTA, params, *padded(row, 5))
    np.testing.assert_allclose(logits_of(TINY_ROBERTA, params, ids, keep), want, atol=2e-6)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "model_type"),
        ({"model_type": "electra"}, "electra"),
        ({"model_type": "distilbert", "activation": "relu"}, "activation"),
        ({"model_type": "bert", "hidden_act": "gelu_new"}, "gelu_new"),
        ({"model_type": "bert", "position_embedding_type": "relative_key"}, "relative_key"),
        ({"model_type": "distilbert", "dim": 10, "n_heads": 3}, "n_heads = 3"),
    ],
)
def test_config_errors(raw, message):
    with pytest.raises(ValueError, match=message):
        config_from_dict(raw)


def test_too_long_a_row_is_an_error():
    with pytest.raises(ValueError, match="max_position_embeddings = 9"):
        apply(TINY, random_params(TINY), np.zeros((1, 10), np.int32), np.ones((1, 10), bool))
