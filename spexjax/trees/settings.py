"""Settings of boosted trees, as a configuration and as data.

What a program is compiled for is the largest depth, the most trees and the number of rates; all
else, depth included, is data, so that one program serves any settings.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spexjax.trees.growing import Limits
from spexjax.typing import ArrayLike

MAX_DEPTH = 6


@dataclasses.dataclass(frozen=True)
class BoostConfig:
    """Settings of :func:`spexjax.trees.boosting.fit`.

    The defaults are LightGBM's where it has them (rate, ``min_child``, no ``leaf_l2``, no
    sampling); ``python -m spexjax.experiments boosting`` compares the two at equal settings.

    Attributes:
      depth: levels of a tree, 1 to 6; a tree has at most 2^depth leaves.
      rates: learning rates, each a lane of its own.
      trees: most trees.
      min_child: fewest rows on either side of a split.
      leaf_l2: λ in a leaf's value, Σ residuals / (rows + λ).
      rows: share of the rows that a tree is grown on, drawn anew for each tree.
      columns: share of the features that a tree may split on, drawn anew for each tree.
      patience: stop when no rate's held-out error has improved for that many trees.
    """

    depth: int = 5
    rates: tuple[float, ...] = (0.1,)
    trees: int = 500
    min_child: float = 20.0
    leaf_l2: float = 0.0
    rows: float = 1.0
    columns: float = 1.0
    patience: int = 25

    def __post_init__(self):
        if not 1 <= self.depth <= MAX_DEPTH:
            raise ValueError(f"depth must be between 1 and {MAX_DEPTH}, got {self.depth}.")
        if self.trees < 1 or self.patience < 1:
            raise ValueError("trees and patience must be at least 1.")
        if not self.rates or not all(0 < rate <= 1 for rate in self.rates):
            raise ValueError(f"rates must be in (0, 1], got {self.rates}.")
        if not (0 < self.rows <= 1 and 0 < self.columns <= 1):
            raise ValueError("rows and columns must be shares in (0, 1].")
        if self.min_child <= 0 or self.leaf_l2 < 0:
            raise ValueError("min_child must be > 0 and leaf_l2 at least 0.")

    def cut(self, depth: int) -> "BoostConfig":
        """The same with trees of at most ``depth`` levels."""
        return dataclasses.replace(self, depth=min(self.depth, depth))


class Settings(NamedTuple):
    """A :class:`BoostConfig` as data, for masks of n features; any leading axes.

    Attributes:
      limits: of each tree.
      rates: float32 (..., R), the learning rates; a lane of rate 0 learns nothing.
      trees: int32, most trees; with 0 none is grown.
      patience: int32, as in the configuration.
      rows: float32, share of the rows that a tree is grown on.
      columns: int32, how many of the n features a tree may split on.
    """

    limits: Limits
    rates: Float[ArrayLike, "*S R"]
    trees: Int[ArrayLike, "*S"]
    patience: Int[ArrayLike, "*S"]
    rows: Float[ArrayLike, "*S"]
    columns: Int[ArrayLike, "*S"]


def as_data(config: BoostConfig, n: int, rates: int) -> Settings:
    """``config`` for masks of n features, on the host; its rates padded with zeros to ``rates``.

    At least one column is drawn, and ``columns`` times n rounded.
    """
    pad = (0, rates - len(config.rates))
    return Settings(
        Limits(_int(config.depth), _float(config.min_child), _float(config.leaf_l2)),
        np.pad(_float(config.rates), pad),
        _int(config.trees),
        _int(config.patience),
        _float(config.rows),
        _int(max(1, round(config.columns * n))),
    )


def _int(x: int) -> Int[np.ndarray, ""]:
    return np.asarray(x, np.int32)


def _float(x: float | tuple[float, ...]) -> Float[np.ndarray, "..."]:
    return np.asarray(x, np.float32)
