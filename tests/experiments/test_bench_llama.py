"""The benchmark of teacher-forced scoring runs and measures the values that it should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.experiments.bench import inference as bench_inference
from spexjax.experiments.bench import llama as bench_llama
from spexjax.models.llama.model import Llama, LlamaConfig, init_params, unembed

TINY = LlamaConfig(
    vocab_size=40, dim=64, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, hidden_dim=64,
    max_position_embeddings=32, tie_embeddings=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def params():
    return init_params(TINY, jax.random.key(0))


@pytest.fixture(scope="module")
def prompts():
    return bench_llama.random_prompts(TINY, 3, context=9, answer=4, rows=2)


def test_table(capsys, monkeypatch):
    monkeypatch.setitem(bench_llama.GEOMETRIES, "small", TINY)
    monkeypatch.setattr(bench_llama.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(bench_inference, "REPEATS", 1)
    sizes = ["--masks", "3", "--context", "9", "--answer", "4", "--rows", "2"]
    bench_llama.main(["--geometry", "small", *sizes])
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert "4 masks of 9 tokens" in title
    assert [row[:18].strip() for row in rows] == ["float32", "float32, int8", "float32, int8 all"]
    sizes, rates = np.array([[float(x) for x in row[18:].split()[:2]] for row in rows]).T
    assert np.all(rates > 0)
    assert sizes[0] > sizes[1] >= sizes[2]


def test_values_are_conditional_probabilities(params, prompts):
    """Token by token, each from its whole past."""
    found = bench_llama.ours(TINY, jnp.float32, params, prompts)
    assert found.shape == (4,)
    states = jax.jit(
        lambda ids: unembed(TINY, params, Llama(TINY).apply({"params": params}, ids)[0])
    )
    for mask, value in zip(prompts.masks[:2], found[:2], strict=True):
        ids, total = np.where(mask, prompts.context, 0), 0.0
        for token in prompts.answer:
            # Zeros behind change nothing: attention looks back.
            padded = np.pad(ids, (0, 13 - len(ids)))[None]
            total += jax.nn.log_softmax(states(padded)[0, len(ids) - 1])[token]
            ids = np.append(ids, token)
        np.testing.assert_allclose(value, total, atol=1e-4)


def test_weights_of_layers(params):
    layer = params["layer_0"]
    kernels = [m["kernel"] for m in (*layer["attention"].values(), layer["gate"], layer["up"])]
    assert bench_llama.weights_of_layers(TINY) == sum(k.size for k in kernels) + 64 * 64


@pytest.mark.filterwarnings("ignore")
def test_peer_computes_the_same(params, prompts):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    theirs = bench_llama.Torch(TINY, params, jnp.float32)
    want = bench_llama.ours(TINY, jnp.float32, params, prompts)
    for passes in ("one", "per token"):
        np.testing.assert_allclose(theirs(prompts, passes), want, atol=1e-4)
