"""Grouped-query attention (Ainslie et al. 2023), its softmax in float32, in three ways.

:func:`dense` forms all scores and is what gives attention weights. :func:`in_blocks` forms those of
a block of queries at a time, and none of keys that come later, so that memory grows with the length
and not with its square. :func:`fused` hands the work to a device's own kernel.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.models.nn.attention import scaled_scores
from spexjax.models.nn.precision import sums, wide
from spexjax.typing import Array

Kernel = Literal["cudnn", "xla"]
_BLOCK = 128  # queries


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
    keys: Float[Array, "B kv T d"],
    values: Float[Array, "B kv T d"],
    sees: Bool[Array, "#B L T"],
    block: int | None = None,
) -> Float[Array, "B kv group L d"]:
    """As :func:`dense`, of a block of queries and one of keys at a time (Rabe and Staats 2021).

    All pairs of blocks but those that lie wholly behind the queries are gone through in one loop:
    each query keeps its largest score yet, and sums relative to that (Milakov and Gimelshein 2018).

    Args:
      q: queries.
      keys: T ≥ L of them; the last L are the queries' own, in order.
      values: the same shape.
      sees: whether a query sees a key; none sees one that stands behind its own.
      block: queries, and keys; scores take (B, kv, group, block, block). Such that there are four
        blocks of queries or more if not given.
    """
    L, T = q.shape[3], keys.shape[2]
    count = max(-(-L // _BLOCK), 4) if block is None else -(-L // block)
    block = -(-L // count)
    of_keys = -(-T // block)
    more, behind = count * block - L, of_keys * block - T
    queries = jnp.pad(q, (*[(0, 0)] * 3, (0, more), (0, 0)))
    keys, values = (jnp.pad(a, (*[(0, 0)] * 2, (0, behind), (0, 0))) for a in (keys, values))
    sees = jnp.pad(sees, ((0, 0), (0, more), (0, behind)))
    pairs = [
        (i, j) for i in range(count) for j in range(of_keys) if j * block < T - L + (i + 1) * block
    ]
    kind = wide(q.dtype)

    def step(state: _Sums, pair: Int[Array, "2"]) -> tuple[_Sums, None]:
        i, j = pair * block

        def at(a: Array, start: Array, axis: int) -> Array:
            return jax.lax.dynamic_slice_in_dim(a, start, block, axis)

        products = sums("bkgqd,bksd->bkgqs", at(queries, i, 3), at(keys, j, 2), q.dtype)
        seen = at(at(sees, i, 1), j, 2)[:, None, None]
        scores = scaled_scores(products, seen, q.shape[-1])
        before = _Sums(*(at(a, i, 3) for a in state))
        # The result does not depend on it, nor does a derivative.
        largest = jax.lax.stop_gradient(jnp.maximum(before.largest, jnp.max(scores, axis=-1)))
        weights, shrunk = jnp.exp(scores - largest[..., None]), jnp.exp(before.largest - largest)
        mixed = sums("bkgqs,bksd->bkgqd", weights.astype(q.dtype), at(values, j, 2), q.dtype)
        after = _Sums(
            largest,
            before.weight * shrunk + jnp.sum(weights, axis=-1),
            before.mixed * shrunk[..., None] + mixed,
        )
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=i, axis=3)
        return _Sums(*(put(a, b) for a, b in zip(state, after, strict=True))), None

    shape = queries.shape[:4]
    least = jnp.full(shape, jnp.finfo(jnp.float32).min)
    start = _Sums(least, jnp.zeros(shape), jnp.zeros(queries.shape, kind))
    end, _ = jax.lax.scan(step, start, jnp.asarray(pairs, jnp.int32))
    return (end.mixed / end.weight[..., None])[:, :, :, :L].astype(q.dtype)


class _Sums(NamedTuple):
    """Of each query, over the keys that it has met.

    Attributes:
      largest: its largest score.
      weight: Σ exp(score − largest).
      mixed: Σ exp(score − largest) · value.
    """

    largest: Float[Array, "B kv group L"]
    weight: Float[Array, "B kv group L"]
    mixed: Float[Array, "B kv group L d"]


def fused(
    q: Float[Array, "B kv group L d"],
    keys: Float[Array, "B kv T d"],
    values: Float[Array, "B kv T d"],
    filled: Int[Array, ""],
    window: int | None,
    kernel: Kernel = "cudnn",
) -> Float[Array, "B kv group L d"]:
    """As :func:`dense`, by ``jax.nn.dot_product_attention``, for rows whose padding stands behind.

    Of the T − L earlier places, of which ``filled`` count, those that do not are moved to the end:
    then the mask is that of one causal sequence, and the kernel forms the scores on one side of the
    diagonal alone. The price is a query for each earlier place; where these are more than the
    queries, all scores are formed instead, under a mask. (Earlier keys and own ones could also be
    attended to apart and merged by their log-sum-exp. That comes back rounded to the precision of
    the queries: in bfloat16 the result is then off by 2.7 times as much.)

    Args:
      q: queries, one behind the other. What those of padding get means nothing.
      keys: first the earlier ones, then the queries' own.
      values: the same shape.
      filled: how many of the earlier ones count; the others stand behind these.
      window: how many tokens back a query sees, itself included.
      kernel: "cudnn", or "xla" to check the rest anywhere.
    """
    B, kv, group, L, d = q.shape
    S = keys.shape[2] - L
    heads = jnp.moveaxis(q.reshape(B, kv * group, L, d), 1, 2)
    keys, values = (jnp.swapaxes(a, 1, 2) for a in (keys, values))  # (B, T, kv, d)
    reach = None if window is None else (window - 1, 0)
    given: dict[str, Any] = {"is_causal": True, "local_window_size": reach}
    whole = S <= L
    if S and whole:
        heads = jnp.pad(heads, ((0, 0), (0, S), (0, 0), (0, 0)))
        heads = jnp.roll(heads, filled, axis=1)
        keys, values = (
            jax.lax.dynamic_update_slice_in_dim(a, a[:, S:], filled, 1) for a in (keys, values)
        )
    elif S:
        place = jnp.r_[jnp.arange(S), filled + jnp.arange(L)]
        back = (filled + jnp.arange(L))[:, None] - place
        mask = (back >= 0) & jnp.r_[jnp.arange(S) < filled, jnp.ones(L, bool)]
        mask = mask if window is None else mask & (back < window)
        given = {"mask": mask[None, None]}
    mixed = jax.nn.dot_product_attention(heads, keys, values, implementation=kernel, **given)
    if S and whole:
        mixed = jax.lax.dynamic_slice_in_dim(mixed, filled, L, 1)
    return jnp.moveaxis(mixed, 2, 1).reshape(q.shape)


@lru_cache(maxsize=32)
def has_kernel(head_dim: int, group: int, dtype: Any, windowed: bool) -> bool:
    """Whether the default device has a fused kernel for heads like these.

    It is tried, on rows without earlier places, with fewer than queries and with more: they must
    come out as :func:`dense` has them in float32, to 2 % of their size.
    """

    def exact(a: Array) -> Array:
        return a.astype(jnp.float32)

    if jax.default_backend() != "gpu" or dtype not in (jnp.bfloat16, jnp.float16):
        return False
    rng = np.random.default_rng(0)
    window = 40 if windowed else None
    with jax.ensure_compile_time_eval():
        for earlier, own in ((0, 128), (64, 128), (128, 64)):
            T, filled = earlier + own, earlier // 2
            q = jnp.asarray(rng.normal(size=(2, 2, group, own, head_dim)), dtype)
            k, v = (jnp.asarray(rng.normal(size=(2, 2, T, head_dim)), dtype) for _ in "kv")
            place = np.r_[np.arange(earlier), filled + np.arange(own)]
            back = (filled + np.arange(own))[:, None] - place
            sees = (
                (back >= 0)
                & (back < (window or T))
                & np.r_[np.arange(earlier) < filled, np.ones(own, bool)]
            )
            want = dense(exact(q), [Part(exact(k), exact(v), jnp.asarray(sees)[None])])[0]
            try:
                run = jax.jit(fused, static_argnums=4)
                found = run(q, k, v, jnp.int32(filled), window)
                if not jnp.linalg.norm(exact(found) - want) < 0.02 * jnp.linalg.norm(want):
                    return False
            except Exception:  # whatever keeps it from running here, there are other ways
                return False
    return True
