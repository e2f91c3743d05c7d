"""Grouped-query attention (Ainslie et al. 2023), its softmax in float32, in three ways.

:func:`dense` forms all scores and is what gives attention weights. :func:`in_blocks` forms those of
a block of queries at a time, and none of keys that come later, so that memory grows with the length
and not with its square. :func:`fused` hands the work to a device's own kernel.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.models.nn.attention import scaled_scores
from spexjax.models.nn.precision import sums, wide
from spexjax.typing import Array

Kernel = Literal["cudnn", "xla"]


class Part(NamedTuple):
    """Keys that are attended to: those of a cache, or the new tokens' own.

    Attributes:
      keys: (B, kv, S, d), or (1, kv, S, d) where all rows share them.
      values: the same shape.
      sees: bool (B, L, S), whether a query sees a key.
    """

    keys: Float[Array, "#B kv S d"]
    values: Float[Array, "#B kv S d"]
    sees: Bool[Array, "B L S"]


def dense(
    q: Float[Array, "B kv group L d"], parts: Sequence[Part]
) -> tuple[Float[Array, "B kv group L d"], Float[Array, "B kv group L S"]]:
    """softmax(q kᵀ / √d) v over the keys of all parts, and the weights.

    Args:
      q: queries; ``group`` of them share a head of keys.
      parts: at least one; a query that sees no key gets the mean of all values.
    """
    scores = []
    for keys, _, sees in parts:
        # A batch of one is one matrix for all rows, not a copy per row.
        axes = "bkgqd,bksd->bkgqs" if len(keys) == len(q) else "bkgqd,ksd->bkgqs"
        keys = keys if len(keys) == len(q) else keys[0]
        products = sums(axes, q, keys, q.dtype)
        scores.append(scaled_scores(products, sees[:, None, None], q.shape[-1]))
    weights = jax.nn.softmax(jnp.concatenate(scores, axis=-1), axis=-1).astype(q.dtype)
    mixed = jnp.zeros((), wide(q.dtype))
    start = 0
    for _, values, _ in parts:
        w = weights[..., start : start + values.shape[2]]
        start += values.shape[2]
        axes = "bkgqs,bksd->bkgqd" if len(values) == len(q) else "bkgqs,ksd->bkgqd"
        values = values if len(values) == len(q) else values[0]
        mixed = mixed + sums(axes, w, values, q.dtype)
    return mixed.astype(q.dtype), weights


def in_blocks(
    q: Float[Array, "B kv group L d"],
    before: Part | None,
    own: Part,
    block: int = 128,
) -> Float[Array, "B kv group L d"]:
    """As :func:`dense`, ``block`` queries or fewer at a time, one block after the other.

    Args:
      q: queries.
      before: earlier keys, all of which are looked at.
      own: keys of the queries themselves, in order: none sees one that stands behind it.
      block: queries; scores take (B, kv, group, block, S).
    """
    L = q.shape[3]
    # Each quarter of the queries looks at the keys up to its end: 5/8 of all pairs, in four loops,
    # each of two blocks at least, which then use the same memory.
    count = 4 * max(-(-L // (4 * block)), 2)
    block = -(-L // count)
    ahead = ((0, 0), (0, count * block - L), (0, 0))
    sees = jnp.pad(own.sees, ahead), None if before is None else jnp.pad(before.sees, ahead)
    q = jnp.pad(q, ((0, 0), (0, 0), (0, 0), ahead[1], (0, 0)))
    mixed = []
    for quarter in range(4):
        end = (quarter + 1) * (count // 4) * block

        def one(i: Array, end: int = end) -> Array:
            def rows(a: Array, axis: int) -> Array:
                return jax.lax.dynamic_slice_in_dim(a, i * block, block, axis)

            keys, values = own.keys[:, :, :end], own.values[:, :, :end]
            parts = [Part(keys, values, rows(sees[0], 1)[:, :, :end])]
            if before is not None and sees[1] is not None:
                parts.insert(0, before._replace(sees=rows(sees[1], 1)))
            return dense(rows(q, 3), parts)[0]

        blocks = jnp.arange(quarter * (count // 4), (quarter + 1) * (count // 4))
        mixed.append(jnp.moveaxis(jax.lax.map(one, blocks), 0, 3))
    whole = jnp.concatenate(mixed, axis=3)  # (B, kv, group, blocks, block, d)
    return whole.reshape(*q.shape)[:, :, :, :L]


def fused(
    q: Float[Array, "B kv group L d"],
    before: tuple[Array, Array, Int[Array, ""]] | None,
    own: tuple[Array, Array],
    window: int | None,
    kernel: Kernel = "cudnn",
) -> Float[Array, "B kv group L d"]:
    """As :func:`dense`, by ``jax.nn.dot_product_attention``, for rows whose padding stands behind.

    Then all rows have one mask, (L, S). (Parts could be attended to apart and merged by their
    log-sum-exp, but that comes back in the precision of the queries, which is too coarse.)

    Args:
      q: queries, one behind the other. What those of padding get means nothing.
      before: keys and values (1, kv, S, d) that all rows share, and how many of the S count; they
        stand directly before the queries.
      own: keys and values of the queries themselves.
      window: how many tokens back a query sees, itself included.
      kernel: "cudnn", or "xla" to check the rest anywhere.
    """
    B, kv, group, L, d = q.shape
    heads = jnp.moveaxis(q.reshape(B, kv * group, L, d), 1, 2)
    keys, values = own
    if before is None:
        reach = None if window is None else (window - 1, 0)
        causal: dict[str, Any] = {"is_causal": True, "local_window_size": reach}
    else:
        count = before[2]
        keys, values = (
            jnp.concatenate([jnp.broadcast_to(a, (B, *a.shape[1:])), b], axis=2)
            for a, b in zip(before[:2], own, strict=True)
        )
        S = before[0].shape[2]
        back = (count + jnp.arange(L))[:, None] - jnp.r_[jnp.arange(S), count + jnp.arange(L)]
        mask = (back >= 0) & jnp.r_[jnp.arange(S) < count, jnp.ones(L, bool)]
        mask = mask if window is None else mask & (back < window)
        causal = {"mask": mask[None, None]}
    mixed = jax.nn.dot_product_attention(
        heads, *(jnp.swapaxes(a, 1, 2) for a in (keys, values)), implementation=kernel, **causal
    )
    return jnp.moveaxis(mixed, 2, 1).reshape(q.shape)


@lru_cache(maxsize=32)
def has_kernel(head_dim: int, group: int, dtype: Any, windowed: bool) -> bool:
    """Whether the default device has a fused kernel for heads like these.

    It is tried: short rows must come out as :func:`dense` has them in float32, to 2 % of their
    size.
    """

    def exact(a: Array) -> Array:
        return a.astype(jnp.float32)

    if jax.default_backend() != "gpu" or dtype not in (jnp.bfloat16, jnp.float16):
        return False
    rng = np.random.default_rng(0)
    with jax.ensure_compile_time_eval():
        q = jnp.asarray(rng.normal(size=(2, 2, group, 128, head_dim)), dtype)
        k, v, k0, v0 = (jnp.asarray(rng.normal(size=(2, 2, 128, head_dim)), dtype) for _ in "kvkv")
        window = 40 if windowed else None
        here = jnp.arange(128)
        back = here[:, None] - here
        near = (back >= 0) & (back < (window or 128))
        past = (here < 100) & (back + 100 < (window or 512))
        own, count = Part(k, v, jnp.stack([near] * 2)), jnp.int32(100)
        before = Part(k0[:1], v0[:1], jnp.stack([past] * 2))
        try:
            for parts, earlier in (([own], None), ([before, own], (k0[:1], v0[:1], count))):
                found = jax.jit(fused, static_argnums=3)(q, earlier, (k, v), window)
                want = dense(exact(q), [Part(exact(k), exact(v), see) for k, v, see in parts])[0]
                if not jnp.linalg.norm(exact(found) - want) < 0.02 * jnp.linalg.norm(want):
                    return False
        except Exception:  # whatever keeps it from running here, there are other ways
            return False
    return True
