"""Attention in blocks and by a kernel's interface is dense attention; memory grows with length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.models.llama.layers import BLOCKED
from spexjax.models.llama.model import Llama, LlamaConfig, init_params
from spexjax.models.nn import grouped
from spexjax.models.nn.grouped import Part, dense, fused, in_blocks


def inputs(L, S, window, seed=0):
    """Queries, keys, and who sees whom: S shared earlier places, of which S − 3 count."""
    rng = np.random.default_rng(seed)
    q = jnp.float32(rng.normal(size=(2, 2, 3, L, 8)))
    k, v = (jnp.float32(rng.normal(size=(2, 2, L, 8))) for _ in "kv")
    k0, v0 = (jnp.float32(rng.normal(size=(1, 2, S, 8))) for _ in "kv")
    count = max(S - 3, 0)
    back = (count + np.arange(L))[:, None] - np.r_[np.arange(S), count + np.arange(L)]
    sees = (back >= 0) & np.r_[np.arange(S) < count, np.ones(L, bool)]
    sees = jnp.asarray(np.stack([sees & (back < (window or 10**6))] * 2))
    own = Part(k, v, sees[:, :, S:])
    return q, Part(k0, v0, sees[:, :, :S]) if S else None, own, jnp.int32(count)


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize(("L", "S"), [(37, 0), (37, 9), (16, 12)])
def test_three_ways(L, S, window):
    q, before, own, count = inputs(L, S, window)
    want, weights = dense(q, [own] if before is None else [before, own])
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    found = jax.jit(in_blocks, static_argnums=3)(q, before, own, 4)
    np.testing.assert_allclose(found, want, atol=2e-6)
    earlier = None if before is None else (before.keys, before.values, count)
    found = fused(q, earlier, own[:2], window, "xla")
    np.testing.assert_allclose(found, want, atol=2e-6)


def test_a_kernel_is_tried_before_it_is_used(monkeypatch):
    """Where it gives something else, or fails, there are other ways."""
    assert not grouped.has_kernel(64, 4, jnp.dtype("bfloat16"), False)  # no accelerator here
    monkeypatch.setattr(grouped.jax, "default_backend", lambda: "gpu")

    def answer(kernel, size=1.0):
        def run(q, before, own, window):
            return size * fused(q, before, own, window, kernel)

        monkeypatch.setattr(grouped, "fused", run)
        grouped.has_kernel.cache_clear()
        return grouped.has_kernel(16, 2, jnp.dtype("bfloat16"), True)

    assert answer("xla")
    monkeypatch.undo()
    monkeypatch.setattr(grouped.jax, "default_backend", lambda: "gpu")
    assert not answer("xla", 1.1)
    monkeypatch.undo()
    monkeypatch.setattr(grouped.jax, "default_backend", lambda: "gpu")
    assert not answer("cudnn")
    grouped.has_kernel.cache_clear()


@pytest.mark.parametrize("L", [512, 1024])
def test_no_array_of_all_scores(L):
    """The memory that the compiled program says it needs beside its inputs."""
    config = LlamaConfig(
        vocab_size=32, dim=16, n_layers=2, n_heads=16, n_kv_heads=4, head_dim=8, hidden_dim=16,
        max_position_embeddings=4096,
    )  # fmt: skip
    assert L >= BLOCKED
    params = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    ids = jax.ShapeDtypeStruct((2, L), jnp.int32)

    def temporary(rows, **given):
        run = jax.jit(lambda p, ids: Llama(config).apply({"params": p}, ids, **given)[0])
        return run.lower(params, rows).compile().memory_analysis().temp_size_in_bytes

    scores = 2 * config.n_heads * L * L * 4
    assert temporary(ids) < 0.75 * scores * BLOCKED / L
    assert temporary(ids, look="weights", mutable=["inside"]) > scores


def test_long_rows_are_as_short_ones(monkeypatch):
    config = LlamaConfig(
        vocab_size=32, dim=16, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=4, hidden_dim=16,
        max_position_embeddings=64, sliding_window=9, first_windowed_layer=1, family="qwen2",
    )  # fmt: skip
    params = init_params(config, jax.random.key(0))
    ids = np.random.default_rng(0).integers(0, 32, (3, 40), dtype=np.int32)
    valid = np.arange(40) < np.array([[40], [31], [17]])
    run = jax.jit(lambda ids, **kw: Llama(config).apply({"params": params}, ids, **kw))
    want, _ = run(ids, valid=valid)
    monkeypatch.setattr("spexjax.models.llama.layers.BLOCKED", 16)
    monkeypatch.setattr("spexjax.models.llama.model.BLOCKED", 16)
    jax.clear_caches()
    found, _ = run(ids, valid=valid)
    np.testing.assert_allclose(found[valid], want[valid], atol=2e-5)
    _, prefix = run(ids[:1, :18])
    same = np.concatenate([np.repeat(ids[:1, :18], 3, axis=0), ids[:, 18:]], axis=1)
    want, _ = run(same)
    found, _ = run(same[:, 18:], cache=prefix)
    np.testing.assert_allclose(found, want[:, 18:], atol=2e-5)
