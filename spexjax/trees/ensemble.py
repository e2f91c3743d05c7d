"""The mean of several boosted ensembles, of other depths or grown on samples, as one ensemble.

Which sets a single ensemble names depends on its depth and on chance: the mean of a few names more
of those that matter (bagging: Breiman 1996), and its Fourier transform is as exact.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.trees import boosting
from spexjax.trees.boosting import BoostConfig, Boosted, Trees
from spexjax.typing import Key


def grow(
    masks: Bool[np.ndarray, "N n"],
    values: Float[np.ndarray, "N"],
    fold: Int[np.ndarray, "N"],
    folds: int,
    configs: Sequence[BoostConfig],
    max_depth: int,
    key: Key,
) -> Trees:
    """The mean of an ensemble for each configuration, each at its best rate, in every lane.

    No tree is deeper than there are masks for: 2^depth times ``min_child`` is at most N.

    Args:
      masks, values, fold, folds, key: as in :func:`spexjax.trees.boosting.fit`.
      configs: settings of the ensembles, at least one.
      max_depth: deeper trees are cut to that depth. Settings that are then equal are used once.
    """
    count = np.count_nonzero(fold >= 0)
    enough = [max(1, int(np.log2(max(count / c.min_child, 1)))) for c in configs]
    cut = dict.fromkeys(c.cut(min(max_depth, d)) for c, d in zip(configs, enough, strict=True))

    # Threads do not inherit it.
    device = jax.config.jax_default_device  # type: ignore[attr-defined]

    def one(config: BoostConfig) -> Boosted:
        with jax.default_device(device):
            return jax.block_until_ready(boosting.fit(masks, values, fold, key, config, folds))

    # Compiling one overlaps with growing another.
    with ThreadPoolExecutor(2) as pool:
        fits = list(pool.map(one, cut))
    best = [int(np.argmin(np.asarray(f.errors).min(axis=1))) for f in fits]
    trees = jax.device_get([f.trees for f in fits])
    return mean([Trees(*(x[rate] for x in t)) for t, rate in zip(trees, best, strict=True)])


def mean(ensembles: Sequence[Trees]) -> Trees:
    """One ensemble (lanes, …), on the host, whose predictions are the mean of those of several."""
    depth = max(e.leaves.shape[-1] for e in ensembles).bit_length() - 1
    features, leaves = [], []
    for e in ensembles:
        most = int(np.max(e.size, initial=1))
        lanes, apart = len(e.base), 2**depth // e.leaves.shape[-1]
        nodes = np.full((lanes, most, 2**depth - 1), -1, np.int32)
        nodes[..., : e.features.shape[-1]] = e.features[:, :most]
        # Below a node that is not split all rows go left, to the first of the new leaves.
        ends = np.zeros((lanes, most, 2**depth), np.float32)
        counts = np.arange(most) < np.asarray(e.size)[:, None]
        ends[..., ::apart] = np.where(counts[..., None], e.leaves[:, :most], 0.0)
        features.append(nodes)
        leaves.append(ends / len(ensembles))
    base = np.mean([e.base for e in ensembles], axis=0)
    joined = np.concatenate(features, axis=1)
    size = np.full(len(base), joined.shape[1], np.int32)
    on_host: list[Any] = [joined, np.concatenate(leaves, axis=1), base, size]
    return Trees(*on_host)
