"""Eight-bit weights: how exact they are, how small, and that models take them as they are."""

from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.models.llama.language import load_language_model
from spexjax.models.llama.model import Llama, LlamaConfig, init_params, unembed
from spexjax.models.llama.quantize import (
    Int8Kernel,
    bytes_of,
    quantize,
    quantize_kernel,
    quantize_table,
)
from spexjax.models.mini.two_hop.facts import held_out_examples

CONFIG = LlamaConfig(
    vocab_size=211, dim=128, n_layers=1, n_heads=4, n_kv_heads=2, head_dim=32, hidden_dim=256,
    max_position_embeddings=32, tie_embeddings=True,
)  # fmt: skip


def relative(found, want):
    return np.linalg.norm(np.asarray(found - want)) / np.linalg.norm(np.asarray(want))


def random_params(config, dtype=np.float32):
    """Weights of the usual scale, so that the states keep their size."""
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, 1.5 * x.shape[-2:][0] ** -0.5, x.shape), dtype), shapes
    )
    return jax.tree.map_with_path(
        lambda path, x: jnp.ones_like(x) if path[-1].key == "scale" else x, params
    )


@pytest.fixture(scope="module")
def model():
    params = random_params(CONFIG)
    params["embedding"] *= CONFIG.vocab_size**0.5 * CONFIG.dim**-0.5
    return params


@pytest.fixture(scope="module")
def log_probabilities():
    ids = np.random.default_rng(1).integers(0, CONFIG.vocab_size, (4, 32), dtype=np.int32)

    @jax.jit
    def run(params):
        hidden, _ = Llama(CONFIG).apply({"params": params}, ids)
        return jax.nn.log_softmax(unembed(CONFIG, params, hidden))

    return run


def test_codes_of_a_definition():
    """Against the rounding written out, one output at a time."""
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((37, 5)).astype(np.float32)
    kernel[11] *= 30
    kernel[:, 3] = 0
    found = quantize_kernel(jnp.asarray(kernel), 1)
    assert found.kept_at.tolist() == [11]
    np.testing.assert_array_equal(found.kept, kernel[[11]])
    rest = kernel.copy()
    rest[11] = 0
    for o in range(5):
        scale = np.abs(rest[:, o]).max() / 127
        np.testing.assert_allclose(found.scale[o], scale, rtol=1e-6)
        want = np.rint(rest[:, o] / scale) if scale else np.zeros(37)
        np.testing.assert_array_equal(found.codes[:, o], want)
    x = rng.standard_normal((3, 37)).astype(np.float32)
    np.testing.assert_allclose(
        found.product(jnp.asarray(x), jnp.float32), x @ np.asarray(found.dense()), atol=1e-4
    )


@pytest.mark.parametrize("where", ["weights", "activations"])
def test_outliers_of_a_wide_layer(where):
    """4 096 inputs, six of them × 60: within 1 % with channels kept, far off without."""
    rng = np.random.default_rng(2)
    kernel = rng.standard_normal((4096, 256), np.float32)
    x = rng.standard_normal((64, 4096), np.float32)
    six = rng.choice(4096, 6, replace=False)
    (kernel.T if where == "weights" else x)[:, six] *= 60
    want = x @ kernel
    kept = quantize_kernel(jnp.asarray(kernel), 32)
    assert relative(kept.product(jnp.asarray(x), jnp.float32), want) < 0.01
    none = quantize_kernel(jnp.asarray(kernel), 0)
    error = relative(none.product(jnp.asarray(x), jnp.float32), want)
    # Errors of weights count as much as the weights do, so loud activations do no harm.
    assert error > 0.05 if where == "weights" else error < 0.01
    if where == "weights":
        assert set(six.tolist()) <= set(kept.kept_at.tolist())


def test_a_table_has_a_scale_per_row():
    table = np.random.default_rng(3).standard_normal((50, 16), np.float32)
    table *= 10.0 ** np.arange(-25, 25)[:, None]
    table[7] = 0
    found = quantize_table(jnp.asarray(table))
    ids = jnp.array([[0, 49], [7, 20]])
    rows = found.rows(ids, jnp.float32)
    bound = np.abs(table).max(1)[np.asarray(ids)] / 254 * 1.001
    assert np.all(np.abs(rows - table[np.asarray(ids)]).max(-1) <= bound)
    x = np.random.default_rng(4).standard_normal((3, 16)).astype(np.float32)
    want = x @ (np.asarray(found.codes, np.float32) * np.asarray(found.scale)[:, None]).T
    np.testing.assert_allclose(
        found.product_transposed(jnp.asarray(x), jnp.float32), want, rtol=1e-4
    )


def test_a_model_keeps_its_distribution(model, log_probabilities):
    want = log_probabilities(model)
    found = log_probabilities(quantize(model, CONFIG, embeddings=True))
    entropy = -float(jnp.mean(jnp.sum(jnp.exp(want) * want, -1)))
    assert entropy < 0.95 * np.log(CONFIG.vocab_size)
    divergence = float(jnp.mean(jnp.sum(jnp.exp(want) * (want - found), -1)))
    assert 0 < divergence < 1e-3
    # Perplexity on tokens drawn from the model itself.
    drawn = jax.random.categorical(jax.random.key(1), want, shape=(64, *want.shape[:-1]))
    gap = jnp.take_along_axis(want - found, jnp.moveaxis(drawn, 0, -1), axis=-1)
    assert abs(float(jnp.mean(gap))) < 0.01


def test_the_embedded_model_keeps_its_perplexity():
    """Of the true answers to held-out questions, within 1 %."""
    model = load_language_model()
    prompts = [
        (model.encode(f"{e.context} {e.question}"), model.tokenizer.token_to_id(e.answer))
        for hops in (1, 2)
        for e in islice(held_out_examples(0, 12, hops), 32)
    ]
    last = np.array([len(ids) - 1 for ids, _ in prompts])
    answers = np.array([answer for _, answer in prompts])
    ids = np.array([ids + [0] * (max(last) + 1 - len(ids)) for ids, _ in prompts], np.int32)

    @jax.jit
    def loss(params):
        hidden, _ = Llama(model.config).apply({"params": params}, ids)
        logits = unembed(model.config, params, hidden[np.arange(len(ids)), last])
        found = jax.nn.log_softmax(logits)[np.arange(len(ids)), answers]
        return -jnp.mean(found)

    want, found = loss(model.params), loss(quantize(model.params, model.config, embeddings=True))
    assert want < 1.5  # the model knows most of the answers
    assert found != want
    assert abs(np.exp(found - want) - 1) < 0.01


@pytest.mark.parametrize("tied", [True, False])
def test_sizes(model, tied):
    config = CONFIG if tied else LlamaConfig(**{**vars(CONFIG), "tie_embeddings": False})
    params = random_params(config, jnp.bfloat16)
    low = quantize(params, config)
    pairs = [
        (low["layers"][name]["kernel"], params["layers"][name]["kernel"])
        for name in ("gate", "up", "down")
    ]
    attention = low["layers"]["attention"]
    pairs += [
        (attention[name]["kernel"], params["layers"]["attention"][name]["kernel"])
        for name in ("query", "key", "value", "out")
    ]
    assert all(isinstance(a, Int8Kernel) for a, _ in pairs)
    assert sum(bytes_of(a) for a, _ in pairs) <= 0.55 * sum(bytes_of(b) for _, b in pairs)
    assert low["embedding"].dtype == jnp.bfloat16
    assert bytes_of(quantize(params, config, embeddings=True)) <= 0.55 * bytes_of(params)


def test_bfloat16(model):
    """In bfloat16 the codes add little to what bfloat16 itself loses."""
    ids = np.arange(12, dtype=np.int32)[None]
    low = quantize(jax.tree.map(lambda x: x.astype(jnp.bfloat16), model), CONFIG)
    hidden, _ = jax.jit(Llama(CONFIG, jnp.bfloat16).apply)({"params": low}, ids)
    assert hidden.dtype == jnp.float32
    want, _ = jax.jit(Llama(CONFIG).apply)({"params": model}, ids)
    assert relative(hidden, want) < 0.03


def test_errors(model):
    with pytest.raises(ValueError, match="kept_share"):
        quantize(model, CONFIG, kept_share=1.5)
    with pytest.raises(ValueError, match="already"):
        quantize(quantize(model, CONFIG), CONFIG)
