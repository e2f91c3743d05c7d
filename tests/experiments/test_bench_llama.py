"""The benchmark of teacher-forced scoring measures the value function that users call."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.experiments.bench import llama
from spexjax.models.llama.model import Llama, LlamaConfig, init_params, unembed
from spexjax.models.values.language import LanguageValue

TINY = LlamaConfig(
    vocab_size=40, dim=64, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, hidden_dim=64,
    max_position_embeddings=64, tie_embeddings=True,
)  # fmt: skip
CONFIG = llama.Config(
    "small", masks=3, prefix=5, context=9, answer=4, rows=2, dtypes=("float32",), repeats=1
)


@pytest.fixture(scope="module")
def params():
    return init_params(TINY, jax.random.key(0))


@pytest.fixture(scope="module")
def f(params):
    return llama.asked(CONFIG, TINY, params, jnp.float32)


@pytest.fixture(scope="module")
def masks():
    return np.random.default_rng(0).random((3, 9)) < 0.5


def test_table(monkeypatch):
    monkeypatch.setitem(llama.GEOMETRIES, "small", TINY)
    monkeypatch.setattr(llama, "find_spec", lambda name: None)
    asked = []
    monkeypatch.setattr(
        LanguageValue, "__call__", lambda f, masks: asked.append(masks.shape) or np.zeros(3)
    )
    rows = list(llama.run(CONFIG).rows)
    assert [row[0] for row in rows] == ["float32", "float32, int8", "float32, int8 all"]
    assert asked == [(3, 9)] * 6  # once to compile, once on the clock
    sizes = [row[1] for row in rows]
    assert sizes[0] > sizes[1] >= sizes[2]
    assert len(list(llama.run(replace(CONFIG, int8=False)).rows)) == 1


def test_what_is_measured_is_masked_and_shares_a_prefix(f, masks):
    assert f.n == 9 and f.start == 5 and len(f.answer_ids) == 4
    rows = llama.whole_rows(f, masks)
    assert rows.shape == (3, 5 + 9 + 8 + 3)
    np.testing.assert_array_equal(rows[:, 5:14] == llama.UNKNOWN, ~masks)


def test_values_are_conditional_probabilities(f, masks, params):
    """Token by token, each from its whole past."""
    states = jax.jit(
        lambda ids: unembed(TINY, params, Llama(TINY).apply({"params": params}, ids)[0])
    )
    for row, value in zip(llama.whole_rows(f, masks), f(masks), strict=True):
        ids, total = row[: len(row) - 3], 0.0
        for token in f.answer_ids:
            # Zeros behind change nothing: attention looks back.
            padded = np.pad(ids, (0, 32 - len(ids)))[None]
            total += jax.nn.log_softmax(states(padded)[0, len(ids) - 1])[token]
            ids = np.append(ids, token)
        np.testing.assert_allclose(value, total, atol=1e-4)


def test_weights_of_layers(params):
    layer = params["layers"]
    kernels = [m["kernel"] for m in (*layer["attention"].values(), layer["gate"], layer["up"])]
    assert TINY.weights_of_layers == sum(k.size for k in kernels) + 64 * 64


@pytest.mark.filterwarnings("ignore")
def test_peer_computes_the_same(params, f, masks):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    theirs = llama.Torch(TINY, params, jnp.float32)
    for passes in ("one", "per token"):
        np.testing.assert_allclose(theirs(f, masks, 2, passes), f(masks), atol=1e-4)
