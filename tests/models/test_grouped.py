"""Attention in blocks and by a kernel's interface is dense attention; memory grows with length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.models.llama.layers import BLOCKED
from spexjax.models.llama.model import Llama, LlamaConfig, init_params
from spexjax.models.nn import grouped
from spexjax.models.nn.grouped import Part, dense, fused, in_blocks


def inputs(L, S, window, dtype=jnp.float32):
    """Queries, keys, and who sees whom: S earlier places that rows share, of which S − 3 count."""
    rng = np.random.default_rng(0)
    q = jnp.asarray(rng.normal(size=(2, 2, 3, L, 8)), dtype)
    k, v = (jnp.asarray(rng.normal(size=(2, 2, S + L, 8)), dtype) for _ in "kv")
    count = max(S - 3, 0)
    back = (count + np.arange(L))[:, None] - np.r_[np.arange(S), count + np.arange(L)]
    sees = (back >= 0) & np.r_[np.arange(S) < count, np.ones(L, bool)]
    sees = jnp.asarray(sees & (back < (window or 10**6)))[None]
    return q, Part(k, v, sees), jnp.int32(count)


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize(("L", "S"), [(37, 0), (37, 9), (16, 12), (12, 30)])
def test_three_ways(L, S, window):
    q, part, count = inputs(L, S, window)
    want, weights = dense(q, [part])
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    for block in (4, 5, None):
        found = jax.jit(in_blocks, static_argnums=4)(q, *part, block)
        np.testing.assert_allclose(found, want, atol=2e-6)
    found = fused(q, part.keys, part.values, count, window, "xla")
    np.testing.assert_allclose(found, want, atol=2e-6)


def test_two_parts_are_one():
    """A token of its own, which sees a cache that all rows share."""
    q, part, _ = inputs(1, 9, None)
    keys, values = (a.at[1, :, :9].set(a[0, :, :9]) for a in part[:2])
    want, _ = dense(q, [Part(keys, values, part.sees)])
    shared = Part(keys[:1, :, :9], values[:1, :, :9], part.sees[..., :9])
    own = Part(keys[:, :, 9:], values[:, :, 9:], part.sees[..., 9:])
    np.testing.assert_allclose(dense(q, [shared, own])[0], want, atol=2e-6)


def test_derivatives_of_blocks():
    q, part, _ = inputs(20, 9, 7)

    def size(run):
        return jax.jit(jax.grad(lambda q, k, v: jnp.sum(run(q, k, v) ** 2), (0, 1, 2)))

    want = size(lambda q, k, v: dense(q, [Part(k, v, part.sees)])[0])(q, *part[:2])
    found = size(lambda q, k, v: in_blocks(q, k, v, part.sees, 6))(q, *part[:2])
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("S", [0, 9])
def test_narrow_numbers_in_blocks(S):
    """In bfloat16 blocks are as near to float32 as the whole is."""
    q, part, _ = inputs(37, S, None, jnp.bfloat16)
    keys, values = (a.astype(jnp.float32) for a in part[:2])
    exact = dense(q.astype(jnp.float32), [Part(keys, values, part.sees)])[0]
    whole, found = dense(q, [part])[0], in_blocks(q, *part, 8)
    assert found.dtype == jnp.bfloat16

    def off(a):
        return jnp.sqrt(jnp.mean((a.astype(jnp.float32) - exact) ** 2))

    assert off(found) < 1.2 * off(whole)


def test_a_kernel_is_tried_before_it_is_used(monkeypatch):
    """Where it gives something else, or fails, there are other ways."""
    if jax.default_backend() == "cpu":
        assert not grouped.has_kernel(64, 4, jnp.dtype("bfloat16"), False)
    monkeypatch.setattr(grouped.jax, "default_backend", lambda: "gpu")

    def answer(kernel, size=1.0):
        def run(q, keys, values, filled, window):
            return size * fused(q, keys, values, filled, window, kernel)

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


@pytest.mark.parametrize("window", [None, 9])
@pytest.mark.parametrize("before", [5, 30])
def test_a_model_by_the_kernels_interface(monkeypatch, window, before):
    """Rows of several lengths behind tokens that all share, of a length that the cache exceeds."""
    config = LlamaConfig(
        vocab_size=32, dim=16, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=4, hidden_dim=16,
        max_position_embeddings=64, sliding_window=window, family="mistral",
    )  # fmt: skip
    params = init_params(config, jax.random.key(0))
    ids = np.random.default_rng(0).integers(0, 32, (3, 24), dtype=np.int32)
    first = np.random.default_rng(1).integers(0, 32, (1, before + 3), dtype=np.int32)
    valid = np.arange(24) < np.array([[24], [15], [9]])

    def run(valid):
        model = Llama(config)
        there = np.arange(before + 3)[None] < before
        _, prefix = model.apply({"params": params}, first, valid=there, packed=True)
        return model.apply({"params": params}, ids, valid=valid, cache=prefix, packed=True)[0]

    want, taken = jax.jit(run)(valid), []

    def by_kernel(*given):
        taken.append(given[0].shape)
        return fused(*given, "xla")

    monkeypatch.setattr("spexjax.models.llama.layers.fused", by_kernel)
    monkeypatch.setattr("spexjax.models.llama.model.has_kernel", lambda *kind: True)
    monkeypatch.setattr("spexjax.models.llama.model.BLOCKED", 16)
    found = jax.jit(lambda valid: run(valid))(valid)
    assert (3, 2, 2, 24, 4) in taken
    np.testing.assert_allclose(found[valid], want[valid], atol=2e-5)


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
