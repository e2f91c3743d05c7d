"""The mean of several boosted ensembles, of other depths or grown on samples, as one ensemble.

Which sets a single ensemble names depends on its depth and on chance: the mean of a few names more
of those that matter (bagging: Breiman 1996), and its Fourier transform is as exact.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax import phases
from spexjax.compiling import QUICKLY, Program
from spexjax.spectra.subsets import Sets, merge
from spexjax.trees import boosting, fourier
from spexjax.trees.boosting import Trees
from spexjax.trees.growing import Masks
from spexjax.trees.settings import BoostConfig, Settings, as_data
from spexjax.typing import Array, ArrayLike, Key
from spexjax.workers import begin

# Of very many rows each tree sees a part: its time is in proportion to them. Of a function without
# noise all rows are worth having, so that few thousands are not divided.
MANY_ROWS, WINDOW = 8192, 4096


class Growing(NamedTuple):
    """Ensembles that may not be finished yet.

    Attributes:
      found: for each configuration the Fourier coefficients of its trees, by size, in every lane.
      n: how many columns the masks have.
      features: int (n,), the inputs that these are of, in ascending order; None if they are all.
    """

    found: list[Future[list[dict[int, Sets]]]]
    n: int
    features: Int[np.ndarray, "n"] | None = None

    def terms(self) -> list[dict[int, Sets]]:
        """The Fourier coefficients of their mean in every lane, which are waited for."""
        found = []
        for place, one in enumerate(self.found):
            phases.tell("growing trees", place / len(self.found))
            found.append(one.result())
        means = [mean(lanes, self.n) for lanes in zip(*found, strict=True)]
        if self.features is None:
            return means
        of = self.features
        return [{d: Sets(of[s.members], s.values) for d, s in one.items()} for one in means]


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
      The ensembles, which are grown in the background; :meth:`Growing.terms` has folds + 1 lanes.

    Raises:
      ValueError: if the shapes do not fit together, without configurations, or if ``max_depth``
        is less than 1.
    """
    cut, settings, args = _arguments(masks, values, fold, folds, configs, max_depth, key)
    # The deepest, which take longest, first.
    ordered = sorted(zip(cut, settings, strict=True), key=lambda one: -one[0].depth)
    return Growing(
        begin(_terms, *zip(*ordered, strict=True), [args] * len(cut)), jnp.shape(masks)[1]
    )


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
    return list(cut), settings, (Masks.of(masks), values, fold, key, folds, deepest, most_trees)


@partial(jax.jit, static_argnames=("folds", "deepest", "most_trees"), compiler_options=QUICKLY)
def _grow(
    setting: Settings,
    masks: Masks,
    values: Float[Array, "N"],
    fold: Int[Array, "N"],
    key: Key,
    folds: int,
    deepest: int,
    most_trees: int,
) -> Trees:
    """The trees of a setting at its best rate, with a leading axis of lanes."""
    data = boosting.prepare(masks, values, fold, folds)
    window = WINDOW if len(masks.X) > MANY_ROWS else None
    found = boosting.boost(data, key, setting, deepest, most_trees, window)
    rate = jnp.argmin(jnp.min(found.errors, axis=1))
    return Trees(*(x[rate] for x in found.trees))


def _terms(config: BoostConfig, setting: Settings, args: tuple) -> list[dict[int, Sets]]:
    """The Fourier coefficients of a setting's trees in every lane."""
    found = Trees(*jax.device_get(_grow(setting, *args)))
    # No node below the setting's depth is split.
    apart = found.leaves.shape[-1] // 2**config.depth
    trees = found._replace(
        features=found.features[..., : 2**config.depth - 1], leaves=found.leaves[..., ::apart]
    )
    n = args[0].X.shape[1]
    return [fourier.terms(Trees(*one), n) for one in zip(*trees, strict=True)]


def mean(transforms: Sequence[dict[int, Sets]], n: int) -> dict[int, Sets]:
    """The mean of Fourier transforms of n features, sets by their size."""
    found = {}
    for size in sorted(set().union(*transforms)):
        parts = [one[size] for one in transforms if size in one]
        values = np.concatenate([p.values for p in parts]) / len(transforms)
        found[size] = merge(np.concatenate([p.members for p in parts]), values, n)
    return found
