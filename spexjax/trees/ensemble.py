"""The mean of several boosted ensembles, of other depths or grown on samples, as one ensemble.

Which sets a single ensemble names depends on its depth and on chance: the mean of a few names more
of those that matter (bagging: Breiman 1996), and its Fourier transform is as exact.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax import phases
from spexjax.compiling import QUICKLY, Program
from spexjax.trees import boosting
from spexjax.trees.boosting import Trees
from spexjax.trees.settings import BoostConfig, Settings, as_data
from spexjax.typing import Array, ArrayLike, Key

# Of very many rows each tree sees a part: its time is in proportion to them. Of a function without
# noise all rows are worth having, so that few thousands are not divided.
MANY_ROWS, WINDOW = 8192, 4096


class Growing(NamedTuple):
    """Ensembles that a device may not have finished yet.

    Attributes:
      found: of each configuration, leading axes of lanes.
      configs: the configurations.
      features: int (columns,), the inputs that the masks' columns are of; None if they are all.
    """

    found: list[Trees]
    configs: list[BoostConfig]
    features: Int[np.ndarray, "columns"] | None = None

    def trees(self) -> Trees:
        """Their mean, which is waited for."""
        grown = []
        for place, (found, config) in enumerate(zip(self.found, self.configs, strict=True)):
            phases.tell("growing trees", place / len(self.configs))
            grown.append(_shallow(Trees(*jax.device_get(found)), config.depth))
        found = mean(grown)
        if self.features is None:
            return found
        split = np.asarray(found.features)
        return found._replace(features=np.where(split >= 0, self.features[split], -1))


def start(
    masks: Bool[ArrayLike, "N n"],
    values: Float[ArrayLike, "N"],
    fold: Int[ArrayLike, "N"],
    folds: int,
    configs: Sequence[BoostConfig],
    max_depth: int,
    key: Key,
) -> Growing:
    """The mean of an ensemble for each configuration, each at its best rate, in every lane.

    No tree is deeper than there are masks for: 2^depth times ``min_child`` is at most N. Neither
    that nor the settings recompile anything: the one program is for shapes, and for the largest
    depth, the most trees and the number of rates of all configurations.

    Args:
      masks, values, fold, folds, key: as in :func:`spexjax.trees.boosting.fit`. Values on a device
        stay there.
      configs: settings of the ensembles, at least one.
      max_depth: deeper trees are cut to that depth. Settings that are then equal are used once.

    Returns:
      The ensembles; :meth:`Growing.trees` has one leading axis of folds + 1 lanes, on the host.

    Raises:
      ValueError: if the shapes do not fit together, without configurations, or if ``max_depth``
        is less than 1.
    """
    cut, settings, args = _arguments(masks, values, fold, folds, configs, max_depth, key)
    return Growing([_grow(setting, *args) for setting in settings], cut)


def program(
    masks: Bool[ArrayLike, "N n"],
    values: Float[ArrayLike, "N"],
    fold: Int[ArrayLike, "N"],
    folds: int,
    configs: Sequence[BoostConfig],
    max_depth: int,
    key: Key,
) -> Program:
    """What :func:`start` will run for arguments of these shapes, to be compiled before."""
    _, settings, args = _arguments(masks, values, fold, folds, configs, max_depth, key)
    return Program(_grow, (settings[0], *args))


def _arguments(masks, values, fold, folds, configs, max_depth, key):
    """The configurations left after cutting, each as data, and what else :func:`_grow` gets."""
    if not configs:
        raise ValueError("configs must hold at least one configuration.")
    count = np.count_nonzero(jax.device_get(fold) >= 0)
    enough = [max(1, int(np.log2(max(count / c.min_child, 1)))) for c in configs]
    cut = dict.fromkeys(c.cut(min(max_depth, d)) for c, d in zip(configs, enough, strict=True))
    if jnp.ndim(masks) != 2:
        raise ValueError(f"masks must have shape (N, n), got {jnp.shape(masks)}.")
    if len(masks) > MANY_ROWS:  # windows need rows in random order
        order = np.random.default_rng(0).permutation(len(masks))
        masks, values, fold = masks[order], values[order], fold[order]
    rates = max(len(c.rates) for c in configs)
    settings = [jax.device_put(as_data(c, jnp.shape(masks)[1], rates)) for c in cut]
    deepest = min(max_depth, max(c.depth for c in configs))
    most_trees = max(c.trees for c in configs)
    return list(cut), settings, (masks, values, fold, key, folds, deepest, most_trees)


@partial(jax.jit, static_argnames=("folds", "deepest", "most_trees"), compiler_options=QUICKLY)
def _grow(
    setting: Settings,
    masks: Bool[Array, "N n"],
    values: Float[Array, "N"],
    fold: Int[Array, "N"],
    key: Key,
    folds: int,
    deepest: int,
    most_trees: int,
) -> Trees:
    """The trees of a setting at its best rate, with a leading axis of lanes."""
    data = boosting.prepare(masks, values, fold, folds)
    window = WINDOW if len(masks) > MANY_ROWS else None
    found = boosting.boost(data, key, setting, deepest, most_trees, window)
    rate = jnp.argmin(jnp.min(found.errors, axis=1))
    return Trees(*(x[rate] for x in found.trees))


def _shallow(trees: Trees, depth: int) -> Trees:
    """The same trees with the first ``depth`` levels only; no node below is split."""
    apart = trees.leaves.shape[-1] // 2**depth
    return trees._replace(
        features=trees.features[..., : 2**depth - 1], leaves=trees.leaves[..., ::apart]
    )


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
