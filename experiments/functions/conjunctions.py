"""Sums of conjunctions f(m) = Σ_l v_l Π_{i∈A_l} m_i Π_{i∈B_l} (1 − m_i), whose indices are known.

Planted ones, and trees: a leaf is reached if the inputs that lead there are the row's own on some
tests (A) and the background's on others (B). Their Shapley values are those of interventional
TreeSHAP with one background row (Lundberg et al. 2020).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from spexjax.codes import gf2
from spexjax.indices.interaction_values import Interactions
from spexjax.indices.of_spectrum import from_terms
from spexjax.spectra import subsets

_ROWS = 1 << 10


@dataclass(frozen=True, eq=False)
class Conjunctions:
    """A value function.

    Attributes:
      keep, drop: bool (L, n), A and B of each conjunction, disjoint.
      weights: float64 (L,).
    """

    keep: Bool[np.ndarray, "L n"]
    drop: Bool[np.ndarray, "L n"]
    weights: Float[np.ndarray, "L"]

    @property
    def n(self) -> int:
        """The number of inputs."""
        return self.keep.shape[1]

    def __call__(self, masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        masks = np.atleast_2d(np.asarray(masks, bool))
        keep, drop = self.keep.T.astype(np.float32), self.drop.T.astype(np.float32)
        parts = []
        for start in range(0, len(masks), _ROWS):
            kept = masks[start : start + _ROWS].astype(np.float32)
            met = ((1 - kept) @ keep == 0) & (kept @ drop == 0)
            parts.append(met @ self.weights)
        return np.concatenate([np.zeros(0), *parts])

    def interactions(self, index: str, order: int) -> Interactions:
        """An interaction index, from the 2^(|A| + |B|) Fourier coefficients of each conjunction."""
        supports, values = [], []
        for keep, drop, weight in zip(self.keep, self.drop, self.weights, strict=True):
            members = np.flatnonzero(keep | drop)
            base = np.zeros((1, gf2.num_words(self.n)), np.uint32)
            below = subsets.cubes(base, members[None], self.n)[0]
            flipped = np.bitwise_count(below & gf2.pack_numpy(keep, below.shape[1])).sum(axis=1)
            supports.append(below)
            values.append(weight * (-1.0) ** flipped / 2 ** len(members))
        return from_terms(np.concatenate(supports), np.concatenate(values), self.n, index, order)


def planted(n: int, seed: int, terms: int, size: int) -> Conjunctions:
    """Random sets of 1 to ``size`` inputs, all kept, with normal weights."""
    rng = np.random.default_rng(seed)
    keep = np.zeros((terms, n), bool)
    for row in keep:
        row[rng.choice(n, rng.integers(1, size + 1), replace=False)] = True
    return Conjunctions(keep, np.zeros_like(keep), rng.standard_normal(terms))


def of_trees(
    trees: Iterable[Any],
    row: Float[np.ndarray, "n"],
    background: Float[np.ndarray, "n"],
    scale: float,
) -> Conjunctions:
    """``scale`` times the sum of scikit-learn's trees at a row, masked inputs as in the background.

    Args:
      trees: ``tree_`` of each estimator.
      row, background: what a kept, and what a masked input is.
      scale: of the sum.
    """
    found = [leaf for tree in trees for leaf in _leaves(tree, row, background)]
    keep, drop = (np.array([leaf[i] for leaf in found]) for i in (0, 1))
    return Conjunctions(keep, drop, scale * np.array([leaf[2] for leaf in found]))


def _leaves(
    tree: Any, row: np.ndarray, background: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """The leaves that row, background, or a mixture of both can reach."""
    nothing = np.zeros(len(row), bool)
    stack = [(0, nothing, nothing)]
    while stack:
        node, keep, drop = stack.pop()
        if tree.children_left[node] < 0:
            yield keep, drop, float(tree.value[node].ravel()[0])
            continue
        i, threshold = tree.feature[node], tree.threshold[node]
        sides = (tree.children_left[node], tree.children_right[node])
        own, other = (sides[int(np.float32(x[i]) > threshold)] for x in (row, background))
        if own == other:
            stack.append((own, keep, drop))
            continue
        one = np.arange(len(row)) == i
        if not drop[i]:
            stack.append((own, keep | one, drop))
        if not keep[i]:
            stack.append((other, keep, drop | one))
