"""Mask distributions of the baselines: pairs of complements, and the Shapley kernel.

Least squares for Shapley values weighs masks of size s by 1 / (C(n, s) s (n − s)) each: sizes near
0 and n carry most weight, and have few masks. Sizes of which more masks would be drawn than exist
are therefore asked for completely (Covert, Lee 2021; Fumagalli et al. 2023); the others are drawn
without repeats, always together with their complements, in numbers proportional to their weight
(systematic sampling: each number is its expectation, rounded at random).
"""

from math import comb
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from spexjax.codes import gf2
from spexjax.codes.gf2 import unique_rows
from spexjax.compiling import hasty
from spexjax.masks.uniform import canonical, with_complements
from spexjax.spectra.subsets import of_size
from spexjax.typing import Array, Key

# Sub-streams of the user's key; the numbers are part of the format of a reproducible run.
_SIZES, _MEMBERS = 12, 13
_BLOCK = 1024


class SizePlan(NamedTuple):
    """How many masks of each size 0 … n are asked for; the ends are not planned."""

    complete: Bool[np.ndarray, "sizes"]
    """All masks of this size."""
    counts: Int[np.ndarray, "sizes"]
    """Masks of the size."""
    expected: Float[np.ndarray, "sizes"]
    """Their expectation over the rounding."""


def kernel_mass(n: int) -> Float[np.ndarray, "sizes"]:
    """The Shapley kernel of all masks of a size together, 1 / (s (n − s)); 0 at the ends."""
    s = np.arange(1, n)
    return np.concatenate([[0.0], 1 / (s * (n - s)), [0.0]])[: n + 1]


def root_mass(n: int) -> Float[np.ndarray, "sizes"]:
    """The square root of :func:`kernel_mass`, which a surrogate's residuals are best drawn by.

    Of masks of a size that vary alike, the number that makes a weighted sum least uncertain is in
    proportion to their weight times their spread (Neyman 1934); the kernel's own is for residuals
    as large as f (Witter et al. 2025).
    """
    return np.sqrt(kernel_mass(n))


def plan_sizes(
    n: int,
    budget: int,
    rounding: float,
    paired: bool = True,
    mass: Float[np.ndarray, "sizes"] | None = None,
) -> SizePlan:
    """Distributes a budget over the sizes 1 … n − 1 in proportion to their masses.

    Args:
      n: number of features.
      budget: masks, at most 2^n − 2; an odd one may stay over.
      rounding: in [0, 1), uniform.
      paired: as many masks of size n − s as of size s, an even number of size n/2.
      mass: of each size 0 … n; :func:`kernel_mass` if None.

    Raises:
      ValueError: if the budget is out of range.
    """
    if not 0 <= budget <= 2**n - 2:
        raise ValueError(f"budget must be between 0 and 2^n − 2 = {2**n - 2}, got {budget}.")
    sizes = np.arange(1, n // 2 + 1 if paired else n)
    both = paired & (2 * sizes != n)  # a size and its complement are one unit
    mass = (kernel_mass(n) if mass is None else mass)[sizes] * np.where(both, 2, 1)
    existing = np.array([comb(n, s) for s in sizes.tolist()], object)
    room = existing * np.where(both, 2, 1)
    complete, left = np.zeros(len(sizes), bool), budget
    while not complete.all():
        share = np.where(complete, 0.0, mass)
        full = ~complete & (left * share / share.sum() >= room.astype(float))
        if not full.any():
            break
        complete |= full
        left -= int(room[full].sum())
    share = np.where(complete, 0.0, mass)
    draws = left // (1 + paired) * (share / share.sum() if share.any() else share)
    drawn = np.diff(np.floor(np.cumsum(draws) + rounding), prepend=0.0).astype(int)
    masks_each = np.where(paired & ~both, 2, 1)
    plan = SizePlan(np.zeros(n + 1, bool), np.zeros(n + 1, int), np.zeros(n + 1))
    for size in (sizes, n - sizes) if paired else (sizes,):
        plan.complete[size] = complete
        plan.counts[size] = np.where(complete, existing, drawn * masks_each)
        plan.expected[size] = np.where(complete, existing, draws * masks_each).astype(float)
    return plan


def shapley_masks(
    key: Key,
    n: int,
    budget: int,
    paired: bool = True,
    mass: Float[np.ndarray, "sizes"] | None = None,
) -> tuple[UInt32[np.ndarray, "rows W"], SizePlan]:
    """Distinct packed masks for least squares with the Shapley kernel, and how they were planned.

    Args:
      key: a JAX key.
      n: number of features.
      budget: masks at most, below 2^n − 1; the two ends are not among them.
      paired: every mask with its complement. This halves the variance of what is odd in the mask
        (Covert, Lee 2021), but gives the even and the odd sets only half of the equations each.
      mass: how often each size is drawn; see :func:`plan_sizes`.
    """
    rounding = float(jax.random.uniform(jax.random.fold_in(key, _SIZES), dtype=jnp.float32))
    plan = plan_sizes(n, budget, rounding, paired, mass)
    W = gf2.num_words(n)
    parts = [np.zeros((0, W), np.uint32)]
    for size in np.flatnonzero(plan.complete).tolist():
        bits = np.zeros((comb(n, size), n), bool)
        np.put_along_axis(bits, of_size(n, size), True, axis=1)
        parts.append(gf2.pack_numpy(bits, W))
    sizes = np.arange(n + 1)
    draws = np.where(plan.complete, 0, plan.counts)
    if paired:
        draws = np.where(2 * sizes < n, draws, np.where(2 * sizes == n, draws // 2, 0))
    stream = jax.random.fold_in(key, _MEMBERS)
    drawn = _distinct(stream, n, np.repeat(sizes, draws), paired)
    return np.concatenate([*parts, with_complements(drawn, n) if paired else drawn]), plan


def kernel_weights(
    sizes: Int[np.ndarray, "rows"], plan: SizePlan, uniform: int, n: int
) -> Float[np.ndarray, "rows"]:
    """What each mask stands for in Σ_m kernel(m) (f(m) − f̂(m))²; 0 for the ends.

    A size's weight is shared by its masks, planned ones and ``uniform`` further ones that were
    drawn uniformly from those left. Where the plan can leave a size out, the expected number
    stands in for the actual one, so that sizes left out by chance are made up for by the others.

    Args:
      sizes: |m| of the masks fitted to.
      plan: how those that are not uniform were planned.
      uniform: how many of them are uniform.
      n: number of features.
    """
    present = np.bincount(sizes, minlength=n + 1).astype(float)
    binomial = np.array([comb(n, s) / 2**n for s in range(n + 1)])
    certain = plan.complete | (plan.expected >= 2)
    number = np.where(certain, present, plan.expected + uniform * binomial)
    share = kernel_mass(n) / np.maximum(number, 1e-30)
    return share[sizes] / share[sizes].max(initial=1e-30)


def random_subsets(
    key: Key, n: int, sizes: Int[np.ndarray, "rows"], start: int = 0
) -> UInt32[np.ndarray, "rows W"]:
    """Packed uniform subsets of the sizes given; number i depends on the key, i and its size.

    Args:
      key: a JAX key.
      n: number of features.
      sizes: of the subsets number ``start``, ``start`` + 1, …
      start: the first number.

    Returns:
      uint32, (rows, W).
    """
    n_pad = gf2.num_words(n) * gf2.WORD
    out = np.zeros((len(sizes), gf2.num_words(n)), np.uint32)
    first = start // _BLOCK * _BLOCK
    for block in range(first, start + len(sizes), _BLOCK):
        low, high = max(block, start), min(block + _BLOCK, start + len(sizes))
        words = np.asarray(_random_numbers(key, jnp.uint32(block), n_pad))
        order = np.argsort(words[low - block : high - block, :n], axis=1, kind="stable")
        chosen = np.arange(n) < sizes[low - start : high - start, None]
        bits = np.zeros(order.shape, bool)
        np.put_along_axis(bits, order, chosen, axis=1)
        out[low - start : high - start] = gf2.pack_numpy(bits, out.shape[1])
    return out


@hasty("n_pad")
def _random_numbers(key: Key, start: Array, n_pad: int) -> Array:
    rows = start + jnp.arange(_BLOCK, dtype=jnp.uint32)
    return jax.vmap(
        lambda i: gf2.random_words(jax.random.fold_in(key, i), n_pad * gf2.WORD, n_pad)
    )(rows)


def _distinct(key: Key, n: int, sizes: np.ndarray, paired: bool) -> UInt32[np.ndarray, "rows W"]:
    """Random masks of the sizes given, no two equal, nor complements of each other if paired."""
    rows = np.zeros((len(sizes), gf2.num_words(n)), np.uint32)
    order = np.zeros(0, int)  # the distinct rows so far, then the newly drawn
    left, drawn = np.arange(len(sizes)), 0
    while len(left):
        new = random_subsets(key, n, sizes[left], drawn)
        half = 2 * sizes[left] == n
        rows[left] = np.where(half[:, None] & paired, canonical(new, n), new)
        drawn += len(left)
        order = np.concatenate([order, left])
        _, place = unique_rows(rows[order])
        first = np.zeros(len(order), bool)
        first[np.unique(place, return_index=True)[1]] = True
        order, left = order[first], order[~first]
    return rows
