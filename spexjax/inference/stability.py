"""Would other masks have given the same answer?"""

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from spexjax.typing import Explained


class Stability(NamedTuple):
    """Agreement of explanations that differ in their masks only."""

    jaccard: float
    """Mean over pairs of seeds of |A ∩ B| / |A ∪ B|, A and B their k strongest sets."""
    interval: tuple[float, float]
    """Nominal 95 %, by the jackknife over seeds."""
    rank_correlation: float
    """Mean over pairs of seeds of Spearman's correlation of the sets in either's k strongest."""
    always: tuple[tuple[int, ...], ...]
    """The sets that are among the k strongest of every seed."""


def stability(
    explain: Callable[[int], Explained],
    seeds: Iterable[int],
    k: int = 10,
    index: str = "FBII",
    max_order: int | None = None,
) -> Stability:
    """How far the strongest sets depend on the masks that were drawn.

    Args:
      explain: a seed to an explanation of one output:
        ``lambda seed: sx.explain(f, n, budget=500, seed=seed)``.
      seeds: at least three.
      k: how many sets are compared.
      index, max_order: the interaction index; its k strongest sets count.

    Raises:
      ValueError: if there are fewer than three seeds, or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    tops = [dict(explain(seed).interactions(index, max_order).items()) for seed in seeds]
    if len(tops) < 3:
        raise ValueError(f"seeds must be at least three, got {len(tops)}.")
    chosen = [set(list(top)[:k]) for top in tops]
    pairs = list(combinations(range(len(tops)), 2))
    overlap = {(i, j): _jaccard(chosen[i], chosen[j]) for i, j in pairs}
    mean = float(np.mean(list(overlap.values())))
    without = [
        np.mean([v for pair, v in overlap.items() if seed not in pair]) for seed in range(len(tops))
    ]
    error = np.sqrt((len(tops) - 1) / len(tops) * np.sum((without - np.mean(without)) ** 2))
    ranks = [_spearman(tops[i], tops[j], chosen[i] | chosen[j]) for i, j in pairs]
    always = sorted(set.intersection(*chosen), key=lambda s: (len(s), s))
    return Stability(
        mean,
        (float(max(mean - 1.96 * error, 0.0)), float(min(mean + 1.96 * error, 1.0))),
        float(np.mean(ranks)),
        tuple(always),
    )


def _jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0


def _spearman(a: dict, b: dict, sets: set) -> float:
    """Of the values of these sets, 0 where one has none; 1 where nothing varies in both."""
    from scipy.stats import rankdata  # here, because importing it takes half a second

    listed = sorted(sets)
    ranks = [rankdata([top.get(s, 0.0) for s in listed]) for top in (a, b)]
    spread = [np.std(r) for r in ranks]
    if min(spread, default=0.0) == 0:
        return 1.0 if max(spread, default=0.0) == 0 else 0.0
    return float(np.corrcoef(*ranks)[0, 1])
