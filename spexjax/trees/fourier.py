"""The exact Fourier transform of boosted trees on binary features, on the host.

A complete tree is a sum over its inner nodes v: f = m_root + Σ_v 1[path to v] s_a (m_L − m_R) / 2,
where v tests input a, s_a = (−1)^{x_a}, and m is the mean leaf below a node.  The indicator of a
path through the inputs P is Π_{i∈P} (1 ± s_i) / 2, so v spreads over the 2^|P| sets A ∪ {a},
A ⊆ P: (4^depth − 1) / 3 terms a tree, where leaf by leaf there would be 4^depth.  All trees are
expanded at once, level by level, and equal sets are added by sorting integers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.spectra import spectrum, subsets
from spexjax.spectra.spectrum import Spectrum
from spexjax.spectra.subsets import Sets, merge
from spexjax.trees.boosting import Trees


def terms(trees: Trees, n: int) -> dict[int, Sets]:
    """The Fourier coefficients of one ensemble, by size of the set; no two sets are equal.

    Args:
      trees: an ensemble without leading axes; only its first ``size`` trees count.
      n: number of features.
    """
    size = int(trees.size)
    features = np.asarray(trees.features)[:size]
    leaves = np.asarray(trees.leaves)[:size].astype(float)
    depth = leaves.shape[1].bit_length() - 1
    means, halves = _means(features, leaves)
    parts = []
    for level in range(depth):
        place, shifts = np.arange(2**level), np.arange(level)[::-1]
        ancestors = 2 ** np.arange(level) - 1 + (place[:, None] >> (shifts + 1))
        right = (place[:, None] >> shifts) & 1 == 1
        node = 2**level - 1 + place
        parts.append(Steps(features[:, ancestors], right, features[:, node], halves[:, node]))
    return expand(parts, float(trees.base) + means[:, 0].sum(), n)


class Steps(NamedTuple):
    """Inner nodes at one depth j of any number of trees; leading axes broadcast.

    Attributes:
      tests: int (..., j), the inputs tested on the way; −1 where a node is not split.
      right: bool (..., j), whether the way goes to the right there.
      feature: int (...), the input tested.
      half: float (...), (m_L − m_R) / 2; 0 where the node is not split.
    """

    tests: Int[np.ndarray, "*nodes j"]
    right: Bool[np.ndarray, "*nodes j"]
    feature: Int[np.ndarray, "*nodes"]
    half: Float[np.ndarray, "*nodes"]


def expand(parts: list[Steps], constant: float, n: int) -> dict[int, Sets]:
    """The Fourier coefficients of ``constant`` and the steps of all nodes of n features.

    Args:
      parts: at least the steps of one node in each; values in float64.
      constant: the mean of the function.
      n: number of features.

    Returns:
      Sets by their size, distinct; ∅ is always among them.
    """
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for steps in parts:
        for inside in _subsets(steps.tests.shape[-1]):
            members, values = _spread(steps, inside)
            used = values != 0
            found.setdefault(members.shape[1], []).append((members[used], values[used]))
    sets = {0: Sets(np.zeros((1, 0), np.int64), np.array([constant]))}
    for count, pieces in sorted(found.items()):
        members = np.sort(np.concatenate([m for m, _ in pieces]), axis=1)
        sets[count] = merge(members, np.concatenate([v for _, v in pieces]), n)
    return sets


def fourier(trees: Trees, n: int) -> Spectrum:
    """The Fourier transform of one ensemble as a :class:`~spexjax.spectra.spectrum.Spectrum`."""
    return to_spectrum(terms(trees, n), n)


def to_spectrum(sets: dict[int, Sets], n: int) -> Spectrum:
    """The float32 spectrum of sets by size, as :func:`terms` and :func:`expand` give them."""
    supports = np.concatenate([subsets.pack(s.members, n) for s in sets.values()])
    coefficients = np.concatenate([s.values for s in sets.values()])
    return spectrum.from_terms(supports, coefficients.astype(np.float32), n)


def _means(
    features: Int[np.ndarray, "T nodes"], leaves: Float[np.ndarray, "T leaves"]
) -> tuple[Float[np.ndarray, "T all"], Float[np.ndarray, "T nodes"]]:
    """The mean leaf below each node (leaves last), and (m_L − m_R) / 2 of each inner node."""
    T, inner = features.shape
    means = np.concatenate([np.zeros((T, inner)), leaves], axis=1)
    halves = np.zeros((T, inner))
    level = (inner + 1) // 2
    while level:
        nodes = np.arange(level - 1, 2 * level - 1)
        left, right = means[:, 2 * nodes + 1], means[:, 2 * nodes + 2]
        split = features[:, nodes] >= 0
        means[:, nodes] = np.where(split, (left + right) / 2, left)
        halves[:, nodes] = np.where(split, (left - right) / 2, 0.0)
        level //= 2
    return means, halves


def _subsets(level: int) -> list[Bool[np.ndarray, "level"]]:
    """Which ancestors, the root first, are in A."""
    return [(i >> np.arange(level)) & 1 == 1 for i in range(2**level)]


def _spread(
    steps: Steps, inside: Bool[np.ndarray, "j"]
) -> tuple[Int[np.ndarray, "terms size"], Float[np.ndarray, "terms"]]:
    """Members and coefficients of A ∪ {a} for every node, A the tests ``inside``."""
    split = steps.tests >= 0
    # A node that is split halves the indicator; one that is not sends all rows left.
    signed = np.where(split, np.where(steps.right, -0.5, 0.5), 0.0)
    plain = np.where(split, 0.5, 1.0 - steps.right)
    values = steps.half * np.where(inside, signed, plain).prod(axis=-1)
    members = np.concatenate([steps.tests[..., inside], steps.feature[..., None]], axis=-1)
    return members.reshape(-1, members.shape[-1]), values.ravel()
