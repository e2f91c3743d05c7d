"""What bfloat16 costs: scores beside those of the same weights computed in float32.

Bounds are below what it cost while residual streams, scores and logits were rounded as well, and
above what it costs under the oldest and the newest JAX. Rounded weights alone move a score by as
much as what is left here.
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.models.llama.language import load_language_model
from spexjax.models.llama.model import Llama, init_params, unembed
from spexjax.models.llama.quantize import quantize
from spexjax.models.llama.weights import load_llama
from spexjax.models.mini.two_hop.facts import held_out_examples
from spexjax.models.values.language import language_value

GOLDEN = Path(__file__).parent / "golden"
LOW = jnp.bfloat16


def widened(params):
    return jax.tree.map(lambda x: x.astype(jnp.float32), params)


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_tokens_of_recorded_models(name):
    config, params = load_llama(GOLDEN / name, LOW)
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (400, 12), dtype=np.int32)

    def scores(params, dtype):
        hidden, _ = jax.jit(Llama(config, dtype).apply)({"params": params}, ids)
        assert hidden.dtype == jnp.float32
        found = jax.nn.log_softmax(unembed(config, params, hidden))[:, :-1]
        return np.take_along_axis(np.asarray(found), ids[:, 1:, None], axis=-1)

    off = np.abs(scores(params, LOW) - scores(widened(params), jnp.float32))
    assert 0 < off.mean() < 0.0036
    assert np.quantile(off, 0.99) < 0.015


def test_values_of_the_embedded_model():
    low = load_language_model(None, LOW)
    same = replace(low, params=widened(low.params), read=None)
    off = []
    for e, _ in zip(held_out_examples(0, 8, 2), range(4), strict=False):
        f, g = (
            language_value(model, e.context, e.question, e.answer, "words") for model in (low, same)
        )
        assert (f.dtype, g.dtype) == (LOW, jnp.float32)
        masks = np.random.default_rng(0).random((64, f.n)) < 0.7
        off.append(np.abs(f(masks) - g(masks)))
    assert 0 < np.mean(off) < 0.015  # of values that spread over ten


@pytest.mark.parametrize("codes", [False, True])
def test_states_meet_narrow_tables_in_full(codes):
    """Logits of float32 states are exact to what two parts of eight bits leave."""
    config, _ = load_llama(GOLDEN / "llama")
    params = init_params(replace(config, tie_embeddings=True), jax.random.key(0), LOW)
    config = replace(config, tie_embeddings=True)
    table = params["embedding"].astype(jnp.float32)
    if codes:
        params = quantize(params, config, embeddings=True)
        table = params["embedding"].codes * params["embedding"].scale[:, None]
    states = jnp.float32(np.random.default_rng(1).normal(size=(5, config.dim)))
    want = np.asarray(states, np.float64) @ np.asarray(table, np.float64).T
    found = unembed(config, params, states)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, want, atol=2**-15 * np.abs(want).max())
    rounded = np.asarray(states.astype(LOW), np.float64) @ np.asarray(table, np.float64).T
    assert np.abs(rounded - want).max() > 20 * np.abs(found - want).max()
