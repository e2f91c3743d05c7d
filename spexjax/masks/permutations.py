"""Shapley-Taylor interactions by permutation sampling (Sundararajan, Dhamdhere, Agarwal 2020).

Sets of fewer than k inputs get their discrete derivative at the empty mask, exactly. A set S of k
inputs gets the mean, over random permutations, of its derivative at the inputs that come before
all of S. Over one permutation the sets share most of their masks, which are prefixes of it and a
few inputs more; every mask is asked for once.
"""

from functools import partial
from math import comb
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt32

from spexjax.codes import gf2
from spexjax.codes.gf2 import unique_rows
from spexjax.compiling import hasty
from spexjax.masks.budget import BudgetError
from spexjax.spectra import subsets
from spexjax.spectra.subsets import Terms
from spexjax.typing import Array, Key

# Sub-streams of the user's key; the numbers are part of the format of a reproducible run.
_PERMUTATIONS, _ORDERS = 21, 22
_BLOCK = 32
IDLE = 100
"""So many permutations in a row without a new mask, and hardly any mask can be left to ask for."""


class Permutations(NamedTuple):
    """Which masks to ask for, and which derivatives their values give."""

    rows: UInt32[np.ndarray, "N W"]
    """Distinct packed masks; the first two are 1…1 and 0…0."""
    lower: tuple[Int[np.ndarray, "sets 2**s"], ...]
    """For s = 0 … k − 1 and each set of s inputs, in lexical order, the rows of its 2^s subsets."""
    sets: Int[np.ndarray, "derivatives"]
    """The set of k inputs that each derivative sampled belongs to, by its lexical number."""
    cubes: Int[np.ndarray, "derivatives 2**k"]
    """The rows of base ∪ L for each derivative's base and all L ⊆ S; member j is bit j of L."""


def least_budget(n: int, order: int) -> int:
    """Masks that the exact part and one permutation of n inputs take, for sets of k = ``order``.

    They are the prefixes of the permutation with up to k − 1 inputs more, but not the next one,
    for every prefix that leaves k inputs; and all masks that lack only some of its last k − 1.
    """
    left = range(order - 1, n)
    return sum(comb(m, extra) for m in left for extra in range(order)) + 2 ** (order - 1)


def permutation_masks(key: Key, n: int, order: int, budget: int) -> Permutations:
    """Fills a budget with permutations; the last one may do for some sets only, random ones.

    The budget ends the sampling. Only where it comes near to all 2^n masks does it end before, once
    :data:`IDLE` permutations in a row have brought no new mask.

    Args:
      key: a JAX key.
      n: number of features.
      order: k, from 1 to n.
      budget: masks at most, at least :func:`least_budget` for every set to be sampled once.

    Raises:
      ValueError: if ``order`` is out of range, or ``budget`` less than the ends and the exact part.
    """
    if not 1 <= order <= n:
        raise ValueError(f"order must be between 1 and n = {n}, got {order}.")
    W = gf2.num_words(n)
    ends = np.stack([gf2.pack_numpy(np.full(n, keep), W) for keep in (True, False)])
    below = [subsets.of_size(n, s) for s in range(order)]
    parts = [subsets.cubes(np.zeros((len(b), W), np.uint32), b, n) for b in below]
    rows, place = unique_rows(np.concatenate([ends, *(p.reshape(-1, W) for p in parts)]))
    splits = np.split(place[2:], np.cumsum([p.shape[0] * p.shape[1] for p in parts])[:-1])
    lower = tuple(p.reshape(-1, 2**s) for s, p in enumerate(splits))
    if budget < len(rows):
        raise BudgetError(
            f"budget must be at least {len(rows)} for n = {n}, order = {order}: the masks of fewer "
            f"than {order} inputs and the full one; got {budget}."
        )

    positions = subsets.of_size(n, order)
    number = {row.tobytes(): i for i, row in enumerate(subsets.pack(positions, n))}
    known = {row.tobytes(): i for i, row in enumerate(rows)}
    parts, sets, cubes = [rows], [np.zeros(0, int)], [np.zeros((0, 2**order), int)]
    index, idle, whole = 0, 0, True
    while whole and len(known) < budget and idle < IDLE:
        if index % _BLOCK == 0:
            words = np.asarray(_random_numbers(key, jnp.uint32(index), n))
        members, base = _permutation(words[index % _BLOCK], n, positions)
        mine, place = unique_rows(subsets.cubes(base, members, n).reshape(-1, W))
        names = [row.tobytes() for row in mine]
        row_of = np.array([known.get(name, -1) for name in names])
        new = np.flatnonzero(row_of < 0)
        row_of[new] = len(known) + np.arange(len(new))
        place = place.reshape(len(members), -1)
        paid = row_of[place].max(axis=1) < budget
        # Of the new masks only those are asked for that a set paid for needs.
        used = new[np.isin(new, place[paid])]
        row_of[used] = len(known) + np.arange(len(used))
        known.update((names[i], int(row_of[i])) for i in used)
        parts.append(mine[used])
        sets.append(np.array([number[r.tobytes()] for r in subsets.pack(members[paid], n)], int))
        cubes.append(row_of[place[paid]])
        index, idle, whole = index + 1, 0 if len(used) else idle + 1, bool(paid.all())
    return Permutations(np.concatenate(parts), lower, np.concatenate(sets), np.concatenate(cubes))


def _permutation(
    words: UInt32[np.ndarray, "2 n"], n: int, positions: Int[np.ndarray, "sets k"]
) -> tuple[Int[np.ndarray, "sets k"], UInt32[np.ndarray, "sets W"]]:
    """All sets of k inputs and what comes before each; grouped by their first input at random."""
    order, rank = np.argsort(words, axis=1, kind="stable")
    positions = positions[np.argsort(rank[positions[:, 0]], kind="stable")]
    before = np.zeros((n + 1, n), bool)
    before[:, order] = np.arange(n) < np.arange(n + 1)[:, None]
    prefixes = gf2.pack_numpy(before, gf2.num_words(n))
    return order[positions], prefixes[positions[:, 0]]


@hasty("n")
def _random_numbers(key: Key, start: Array, n: int) -> UInt32[Array, "block 2 n"]:
    """What ranks the inputs, and the groups of sets, of a block of permutations."""

    def ranking(stream: int, index: Array) -> Array:
        own = jax.random.fold_in(jax.random.fold_in(key, stream), index)
        return gf2.random_words(own, gf2.WORD * n, n)

    indices = start + jnp.arange(_BLOCK, dtype=jnp.uint32)
    both = [jax.vmap(partial(ranking, stream))(indices) for stream in (_PERMUTATIONS, _ORDERS)]
    return jnp.stack(both, axis=1)


def values(
    sampled: Permutations, answers: Float[np.ndarray, "N K"], sets: Terms, order: int
) -> Float[np.ndarray, "S K"]:
    """The Shapley-Taylor values of all sets of at most k inputs; 0 where none was sampled.

    Args:
      sampled: from :func:`permutation_masks`.
      answers: f at its rows.
      sets: :func:`spexjax.spectra.subsets.terms` of n and order.
      order: k.
    """
    answers = np.asarray(answers, float)
    out = np.zeros((len(sets.sizes), answers.shape[1]))
    for s, cube in enumerate(sampled.lower):
        out[sets.sizes == s] = _derivatives(answers, cube)
    top = np.flatnonzero(sets.sizes == order)
    times = np.bincount(sampled.sets, minlength=len(top))
    np.add.at(out, top[sampled.sets], _derivatives(answers, sampled.cubes))
    out[top] /= np.maximum(times, 1)[:, None]
    return out


def _derivatives(
    answers: Float[np.ndarray, "N K"], cubes: Int[np.ndarray, "sets size"]
) -> Float[np.ndarray, "sets K"]:
    """Σ_{L⊆S} (−1)^{|S|−|L|} f(base ∪ L)."""
    size = cubes.shape[1]
    missing = size.bit_length() - 1 - np.bitwise_count(np.arange(size)).astype(int)
    return np.einsum("l,slk->sk", (-1.0) ** missing, answers[cubes])
