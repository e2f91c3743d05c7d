"""How good an attribution is: what it predicts of other subsets, and what its choices change."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from spexjax.models.training.value import DataValue


def half_subsets(n: int, count: int, seed: int) -> Bool[np.ndarray, "count n"]:
    """Uniform masks of exactly ⌊n/2⌋ features, for tests of a score."""
    rng = np.random.default_rng(seed)
    rank = rng.random((count, n)).argsort(axis=1).argsort(axis=1)
    return rank < n // 2


def linear_datamodelling_score(
    predicted: Float[np.ndarray, "subsets K"], true: Float[np.ndarray, "subsets K"]
) -> Float[np.ndarray, "K"]:
    """Spearman's correlation over subsets between predicted and true scores, per test point.

    Its mean over test points is the score of Park et al. 2023; between two trainings of the same
    subsets it is a ceiling. A test point for which one side is constant has 0.
    """
    a, b = (stats.rankdata(v, axis=0) for v in (predicted, true))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.where(scale > 0, (a * b).sum(axis=0) / np.where(scale > 0, scale, 1.0), 0.0)


def flips(
    f: DataValue, removed: Bool[np.ndarray, "K n"], full: Float[np.ndarray, "K"] | None = None
) -> Float[np.ndarray, "K"]:
    """Whether a test point that the model of all points gets right is lost without some features.

    Args:
      f: margins.
      removed: the features that are left out for each test point.
      full: f(1…1), if it is known.

    Returns:
      1 or 0; NaN where the model of all points is wrong already.

    Raises:
      ValueError: if f gives no margins, or the shape is wrong.
    """
    if f.asked.score != "margin" or removed.shape != (f.outputs, f.n):
        raise ValueError(
            f"flips need margins and (K, n) = {f.outputs, f.n} features to remove, got "
            f"{f.asked.score} and {removed.shape}."
        )
    if full is None:
        full = f(np.ones((1, f.n), bool))[0]
    without = np.diagonal(f(~np.asarray(removed, bool)))
    return np.where(full > 0, without <= 0, np.nan).astype(float)


class Pairs(NamedTuple):
    """Interactions of pairs of training points, in two groups.

    Redundant ones are negative: together the two do less than one would expect from each alone.
    Synergistic ones are positive.
    """

    same_redundant: float
    """Sum of the negative values among pairs whose points are both of the test point's class."""
    same_synergistic: float
    """Sum of the positive ones."""
    other_redundant: float
    """The same for all other pairs."""
    other_synergistic: float


def pairs_by_class(
    pairs: Iterable[tuple[tuple[int, ...], float]], labels: Int[np.ndarray, "n"], target: int
) -> Pairs:
    """Sorts interactions as Butler et al. 2025 (appendix C.1) do: the target's class, or not.

    Args:
      pairs: sets of features with their values; only those of two are counted.
      labels: the class of each feature.
      target: the class of the test point.
    """
    sums = np.zeros((2, 2))
    for members, value in pairs:
        if len(members) == 2:
            same = all(labels[i] == target for i in members)
            sums[0 if same else 1, int(value > 0)] += value
    return Pairs(*sums.reshape(-1).tolist())
