"""Shapley-Taylor interactions by permutation sampling (Sundararajan, Dhamdhere, Agarwal 2020).

Sets of fewer than k inputs get their discrete derivative at the empty mask, exactly. A set S of k
inputs gets the mean, over random permutations, of its derivative at the inputs that come before
all of S. Over one permutation the sets share most of their masks, which are prefixes of it and a
few inputs more; every mask is asked for once.
"""

from math import comb
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, UInt32

from spexjax.codes import gf2
from spexjax.codes.gf2 import unique_rows
from spexjax.spectra import subsets
from spexjax.spectra.subsets import Terms
from spexjax.typing import Key

_PERMUTATIONS, _ORDERS = 21, 22
_MOST_PERMUTATIONS = 1000


class Design(NamedTuple):
    """Which masks to ask for, and which derivatives they give."""

    rows: UInt32[np.ndarray, "N W"]
    """Distinct masks; the first two are 1…1 and 0…0."""
    lower: tuple[Int[np.ndarray, "sets 2**s"], ...]
    """For s = 0 … k − 1 the rows of the cube below each set of s inputs."""
    sets: Int[np.ndarray, "derivatives"]
    """The set of k inputs, by number, of each derivative sampled."""
    cubes: Int[np.ndarray, "derivatives 2**k"]
    """The rows of its cube."""


def least_budget(n: int, order: int) -> int:
    """Masks that the exact part and one permutation take.

    They are the prefixes of the permutation with up to k − 1 inputs more, but not the next one,
    for every prefix that leaves k inputs; and all masks that lack only some of its last k − 1.
    """
    left = range(order - 1, n)
    return sum(comb(m, extra) for m in left for extra in range(order)) + 2 ** (order - 1)


def design(key: Key, n: int, order: int, budget: int) -> Design:
    """Fills a budget with permutations; the last one may do for some sets only, random ones.

    Args:
      key: a JAX key.
      n: number of features.
      order: k.
      budget: masks at most, at least :func:`least_budget`.
    """
    W = gf2.num_words(n)
    ends = np.stack([gf2.pack_numpy(np.full(n, keep), W) for keep in (True, False)])
    below = [subsets.of_size(n, s) for s in range(order)]
    parts = [subsets.cubes(np.zeros((len(b), W), np.uint32), b, n) for b in below]
    rows, place = unique_rows(np.concatenate([ends, *(p.reshape(-1, W) for p in parts)]))
    splits = np.split(place[2:], np.cumsum([p.shape[0] * p.shape[1] for p in parts])[:-1])
    lower = tuple(p.reshape(-1, 2**s) for s, p in enumerate(splits))

    positions = subsets.of_size(n, order)
    known = subsets.pack(positions, n)
    number = {row.tobytes(): i for i, row in enumerate(known)}
    sets, cubes = [np.zeros(0, int)], [np.zeros((0, 2**order), int)]
    for turn in range(_MOST_PERMUTATIONS):
        if len(rows) >= budget:
            break
        members, base = _permutation(key, turn, n, positions)
        cube = subsets.cubes(base, members, n)
        more, place = unique_rows(np.concatenate([rows, cube.reshape(-1, W)]))
        place = place[len(rows) :].reshape(len(members), -1)
        paid = place.max(axis=1) < budget
        used = np.union1d(np.arange(len(rows)), place[paid])
        again = np.full(len(more), -1)
        again[used] = np.arange(len(used))
        rows = more[used]
        packed = subsets.pack(members[paid], n)
        sets.append(np.array([number[row.tobytes()] for row in packed], int))
        cubes.append(again[place[paid]])
        if not paid.all():
            break
    return Design(rows, lower, np.concatenate(sets), np.concatenate(cubes))


def _permutation(
    key: Key, turn: int, n: int, positions: Int[np.ndarray, "sets k"]
) -> tuple[Int[np.ndarray, "sets k"], UInt32[np.ndarray, "sets W"]]:
    """All sets of k inputs and what comes before each; grouped by their first input at random."""
    order = _ranking(jax.random.fold_in(key, _PERMUTATIONS), turn, n)
    rank = _ranking(jax.random.fold_in(key, _ORDERS), turn, n)
    positions = positions[np.argsort(rank[positions[:, 0]], kind="stable")]
    before = np.zeros((n + 1, n), bool)
    before[:, order] = np.arange(n) < np.arange(n + 1)[:, None]
    prefixes = gf2.pack_numpy(before, gf2.num_words(n))
    return order[positions], prefixes[positions[:, 0]]


def _ranking(key: Key, turn: int, n: int) -> Int[np.ndarray, "n"]:
    """A random permutation of 0 … n − 1 that depends on the key and its number."""
    words = np.asarray(gf2.random_words(jax.random.fold_in(key, turn), gf2.WORD * n, n))
    return np.argsort(words, kind="stable")


def values(
    plan: Design, answers: Float[np.ndarray, "N K"], sets: Terms, order: int
) -> Float[np.ndarray, "S K"]:
    """The Shapley-Taylor values of all sets of at most k inputs; 0 where none was sampled.

    Args:
      plan: from :func:`design`.
      answers: f at its rows.
      sets: ``low_order.terms(n, order)``.
      order: k.
    """
    answers = np.asarray(answers, float)
    out = np.zeros((len(sets.sizes), answers.shape[1]))
    for s, cube in enumerate(plan.lower):
        out[sets.sizes == s] = _derivatives(answers, cube)
    top = np.flatnonzero(sets.sizes == order)
    times = np.bincount(plan.sets, minlength=len(top))
    np.add.at(out, top[plan.sets], _derivatives(answers, plan.cubes))
    out[top] /= np.maximum(times, 1)[:, None]
    return out


def _derivatives(
    answers: Float[np.ndarray, "N K"], cubes: Int[np.ndarray, "sets size"]
) -> Float[np.ndarray, "sets K"]:
    """Σ_{L⊆S} (−1)^{|S|−|L|} f(base ∪ L)."""
    size = cubes.shape[1]
    missing = size.bit_length() - 1 - np.bitwise_count(np.arange(size)).astype(int)
    return np.einsum("l,slk->sk", (-1.0) ** missing, answers[cubes])
