"""Gradient-boosted trees on binary features, all folds and learning rates fitted at once.

Squared loss, complete binary trees grown level by level (Friedman 2001; Chen and Guestrin 2016,
equations 6 and 7, with hessian 1).  A feature is 0 or 1, so a level needs neither sorting nor
bins: the sum of residuals over {masks in a node that keep feature i}, and their number, decide
every split.  The sums are one matrix product of (node × row) indicators with the masks, shared by
all lanes (folds × rates), the numbers are counts of bits, and only the right child of each node is
summed: the left one is the rest.

Everything but the sizes of the arrays is data (:mod:`spexjax.trees.settings`): one program boosts
with any depth up to its own, :mod:`spexjax.trees.ensemble` maps it over several settings.

Memory, in floats: N·n for the masks, 2^(depth − 2)·lanes·N for the indicators and
2^(depth + 1)·lanes·n for the sums; nothing grows with the number of trees but the trees. So 50 000
masks of 2 000 inputs, five folds and depth 5 stay under 1 GB.
"""

from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.codes import gf2
from spexjax.trees import growing
from spexjax.trees.growing import Masks
from spexjax.trees.settings import MAX_DEPTH, BoostConfig, Settings, as_data
from spexjax.typing import Array, ArrayLike, Key

__all__ = [
    "MAX_DEPTH", "BoostConfig", "Boosted", "Data", "Trees", "boost", "fit", "predict", "prepare",
]  # fmt: skip

_DEFAULTS = BoostConfig()


class Trees(NamedTuple):
    """Ensembles of complete trees, any leading axes: f(m) = base + Σ_t leaf reached in tree t.

    Attributes:
      features: int32 (..., T, 2^depth − 1), the input that each node tests, in heap order; one
        that is kept leads to the right child. −1 where a node is not split: all go left.
      leaves: float32 (..., T, 2^depth), the learning rate included.
      base: float32 (...).
      size: int32 (...), the trees that count are the first ``size``.
    """

    features: Int[ArrayLike, "*L T nodes"]
    leaves: Float[ArrayLike, "*L T leaves"]
    base: Float[ArrayLike, "*L"]
    size: Int[ArrayLike, "*L"]


class Boosted(NamedTuple):
    """What :func:`fit` returns, for R rates and F folds.

    Attributes:
      trees: (R, F + 1, …): ensemble c < F was fitted without fold c, the last one to all rows. The
        size is the number of trees, the same in all lanes of a rate, with the smallest error.
      errors: float32 (R, trees + 1), mean squared error of the folds' ensembles on their held-out
        rows after 0, 1, … trees; inf where they were not grown. Squares of values beyond 1e±19
        leave float32: they are inf or 0, the sizes are chosen before that.
      grown: int32, trees that were grown before the held-out errors stopped to fall.
    """

    trees: Trees
    errors: Float[Array, "R trees_plus_1"]
    grown: Int[Array, ""]


class Data(NamedTuple):
    """Masks and values as :func:`boost` wants them.

    Attributes:
      masks: (N, n).
      values: float32 (N,), divided by 2^exponent, so that the largest is in [½, 1); 0 in rows that
        do not count.
      exponent: int32, of the largest value.
      held_out: float32 (F, N), 1 in the rows of the fold.
      train: float32 (F + 1, N), 1 in the rows that a lane is fitted to.
    """

    masks: Masks
    values: Float[Array, "N"]
    exponent: Int[Array, ""]
    held_out: Float[Array, "F N"]
    train: Float[Array, "F_plus_1 N"]


def prepare(
    masks: Masks,
    values: Float[ArrayLike, "N"],
    fold: Int[ArrayLike, "N"],
    folds: int,
) -> Data:
    """The data of :func:`fit`, scaled by a power of two, which rounds nothing.

    Raises:
      ValueError: if the shapes do not fit together.
    """
    shape = jnp.shape(masks.X)
    if jnp.shape(values) != shape[:1]:
        raise ValueError(
            f"values must have shape (N,) for masks of shape (N, n), got {jnp.shape(values)} and "
            f"{shape}."
        )
    if jnp.shape(fold) != jnp.shape(values):
        raise ValueError(f"fold must have shape (N,) = {jnp.shape(values)}, got {jnp.shape(fold)}.")
    if folds < 1:
        raise ValueError(f"folds must be at least 1, got {folds}.")
    values, fold = jnp.asarray(values), jnp.asarray(fold).astype(jnp.int32)
    counts = (fold >= 0).astype(jnp.float32)
    values = jnp.where(fold >= 0, values.astype(jnp.float32), 0.0)
    _, exponent = jnp.frexp(jnp.max(jnp.abs(values)))
    held_out = (fold == jnp.arange(folds, dtype=jnp.int32)[:, None]).astype(jnp.float32)
    train = jnp.concatenate([counts - held_out, counts[None]])
    return Data(masks, jnp.ldexp(values, -exponent), exponent, held_out, train)


class _State(NamedTuple):
    t: Array
    predictions: Array  # (R, F + 1, N)
    features: Array  # (T, R, F + 1, nodes)
    leaves: Array
    errors: Array  # (T + 1, R)


def boost(
    data: Data,
    key: Key,
    settings: Settings,
    deepest: int,
    most_trees: int,
    most_rows: int | None = None,
) -> Boosted:
    """:func:`fit` with settings that are data.

    Args:
      data: see :func:`prepare`.
      key: draws rows and columns.
      settings: without leading axes; their depth is at most ``deepest``, their trees at most
        ``most_trees``.
      deepest: D (static), the trees returned have 2^D leaves.
      most_trees: T (static).
      most_rows: rows that a tree is grown on at most (static), consecutive ones from a random word
        on (stochastic gradient boosting: Friedman 2002); all if None. Their order must be random,
        and like those of all masks they are whole words of 32.

    Returns:
      :class:`Boosted`, its errors divided by 4^exponent, so that no scale overflows them.
    """
    masks, values, exponent, held_out, train = data
    N, n = masks.X.shape
    F, L = held_out.shape[0], train.shape[0]
    T, R = most_trees, settings.rates.shape[0]
    M = min(N, most_rows or N)
    if M < N:  # the window of a tree may go over the end
        chex.assert_is_divisible(N, gf2.WORD)
        chex.assert_is_divisible(M, gf2.WORD)
        bits = jnp.concatenate([masks.bits, masks.bits[:, : M // gf2.WORD]], axis=1)
        wide = Masks(jnp.concatenate([masks.X, masks.X[:M]]), bits)
    counted = train > 0
    rate = jnp.asarray(settings.rates)[:, None, None]
    base = jnp.matmul(train, values, precision="highest") / jnp.maximum(jnp.sum(train, axis=1), 1.0)
    tested = jnp.maximum(jnp.sum(held_out), 1.0)

    def error(predictions: Array) -> Array:
        residual = (values - predictions[:, :F]) ** 2
        return jnp.einsum("rfn,fn->r", residual, held_out, precision="highest") / tested

    def unfinished(state: _State) -> Array:
        best = jnp.argmin(state.errors, axis=0).astype(jnp.int32)
        return (state.t < settings.trees) & jnp.any(best + settings.patience >= state.t)

    put = partial(jax.lax.dynamic_update_index_in_dim, axis=0)

    def everything(_: Array) -> tuple[Array, Array]:
        return counted, jnp.ones(n, bool)

    def sample(t: Array) -> tuple[Array, Array]:
        row_key, column_key = jax.random.split(jax.random.fold_in(key, t))
        drawn = jax.random.uniform(row_key, (N,), jnp.float32) < settings.rows
        draws = jax.random.uniform(column_key, (n,), jnp.float32)
        columns = draws <= jnp.sort(draws)[settings.columns - 1]
        return counted & drawn, columns

    def one_tree(state: _State) -> _State:
        used, allowed = jax.lax.cond(
            (settings.rows < 1) | (settings.columns < n), sample, everything, state.t
        )
        residual = (values - state.predictions).reshape(R * L, N)
        used = jnp.broadcast_to(used, (R, L, N)).reshape(R * L, N)
        if M == N:
            tree = growing.grow(masks, residual, used, allowed, settings.limits, deepest)
            leaf = tree.leaf
        else:
            window_key = jax.random.fold_in(key, -1 - state.t)
            word = jax.random.randint(window_key, (), 0, N // gf2.WORD, jnp.int32)
            cut = jax.lax.dynamic_slice_in_dim
            window = partial(cut, start_index=gf2.WORD * word, slice_size=M)
            seen = Masks(window(wide.X), cut(wide.bits, word, M // gf2.WORD, axis=1))
            left, used = (
                window(jnp.concatenate([x, x[:, :M]], axis=1), axis=1) for x in (residual, used)
            )
            tree = growing.grow(seen, left, used, allowed, settings.limits, deepest)
            leaf = _ends(tree.features, masks.X, deepest)
        leaves = tree.leaves.reshape(R, L, -1) * rate
        step = jnp.take_along_axis(leaves, leaf.reshape(R, L, N), axis=-1)
        predictions = state.predictions + step
        return _State(
            t=state.t + 1,
            predictions=predictions,
            features=put(state.features, tree.features.reshape(R, L, -1), state.t),
            leaves=put(state.leaves, leaves, state.t),
            errors=put(state.errors, error(predictions), state.t + 1),
        )

    predictions = jnp.broadcast_to(base[:, None], (R, L, N))
    state = _State(
        t=jnp.int32(0),
        predictions=predictions,
        features=jnp.full((T, R, L, 2**deepest - 1), -1, jnp.int32),
        leaves=jnp.zeros((T, R, L, 2**deepest), jnp.float32),
        errors=jnp.full((T + 1, R), jnp.inf, jnp.float32).at[0].set(error(predictions)),
    )
    state = jax.lax.while_loop(unfinished, one_tree, state)
    size = jnp.argmin(state.errors, axis=0).astype(jnp.int32)
    trees = Trees(
        jnp.moveaxis(state.features, 0, 2),
        jnp.ldexp(jnp.moveaxis(state.leaves, 0, 2), exponent),
        jnp.ldexp(jnp.broadcast_to(base, (R, L)), exponent),
        jnp.broadcast_to(size[:, None], (R, L)),
    )
    return Boosted(trees, state.errors.T, state.t)


def _ends(features: Int[Array, "L nodes"], X: Float[Array, "N n"], depth: int) -> Int[Array, "L N"]:
    """The leaf in which every row ends."""
    N, n = X.shape
    kept, row = X.ravel() > 0.5, n * jnp.arange(N, dtype=jnp.int32)

    def down(_: Array, node: Array) -> Array:
        tested = jnp.take_along_axis(features, node, axis=1)
        right = kept[row + jnp.maximum(tested, 0)] & (tested >= 0)
        return 2 * node + 1 + right.astype(jnp.int32)

    node = jnp.zeros((len(features), N), jnp.int32)
    return jax.lax.fori_loop(0, depth, down, node) - features.shape[1]


def fit(
    masks: Bool[ArrayLike, "N n"],
    values: Float[ArrayLike, "N"],
    fold: Int[ArrayLike, "N"],
    key: Key,
    config: BoostConfig = _DEFAULTS,
    folds: int = 5,
) -> Boosted:
    """Boosts trees on all rows and without each fold; the folds choose the number of trees.

    Args:
      masks: bool (N, n), True keeps an input. Constant columns, such as padding, are never split.
      values: float32 (N,).
      fold: int32 (N,), 0 to folds − 1, or −1 for rows that do not count, whatever they hold.
      key: draws rows and columns where ``config`` asks for shares of them.
      config: settings; programs are shared by those of equal depth, trees and number of rates.
      folds: F (static), at least 1. With 1, rows of fold 0 are only tested on.

    Returns:
      :class:`Boosted`.

    Raises:
      ValueError: if the shapes do not fit together.
    """
    if jnp.ndim(masks) != 2:
        raise ValueError(f"masks must have shape (N, n), got {jnp.shape(masks)}.")
    data = jax.device_put(as_data(config, jnp.shape(masks)[1], len(config.rates)))
    return _fit(masks, values, fold, key, data, folds, config.depth, config.trees)


@partial(jax.jit, static_argnames=("folds", "deepest", "most_trees"))
def _fit(
    masks: Bool[Array, "N n"],
    values: Float[Array, "N"],
    fold: Int[Array, "N"],
    key: Key,
    settings: Settings,
    folds: int,
    deepest: int,
    most_trees: int,
) -> Boosted:
    data = prepare(Masks.of(masks), values, fold, folds)
    found = boost(data, key, settings, deepest, most_trees)
    return found._replace(errors=jnp.ldexp(found.errors, 2 * data.exponent))


@jax.jit
def predict(trees: Trees, masks: Bool[ArrayLike, "N n"]) -> Float[Array, "*L N"]:
    """The ensembles' values at masks, float32 (..., N)."""
    chex.assert_rank(masks, 2)
    bits = jnp.asarray(masks, bool)
    lanes = trees.base.shape
    T, inner = trees.features.shape[-2:]
    flat = [x.reshape(-1, *x.shape[len(lanes) :]) for x in trees]

    def ensemble(one: list[Array]) -> Array:
        features, leaves, base, size = one

        def add(t: Array, total: Array) -> Array:
            node = jnp.zeros(bits.shape[0], jnp.int32)
            for _ in range((inner + 1).bit_length() - 1):
                asked = features[t, node]
                kept = jnp.take_along_axis(bits, jnp.maximum(asked, 0)[:, None], axis=1)[:, 0]
                node = 2 * node + 1 + (kept & (asked >= 0)).astype(jnp.int32)
            return total + leaves[t, node - inner]

        start = jnp.broadcast_to(base, bits.shape[:1])
        return jax.lax.fori_loop(jnp.int32(0), jnp.minimum(size, T).astype(jnp.int32), add, start)

    return jax.lax.map(ensemble, flat).reshape(*lanes, -1)
