"""Functions whose sparse spectrum is known: what the benchmarks decode and the tests check.

``family(name, n, seed)`` draws one of

=============  =====================================================================
flat           terms of degree 1–5 on random sets, coefficients ±U(0.5, 2)
hierarchical   random sets, each with its subsets
conjunctions   weighted ANDs of inputs: sparse in the Möbius basis
linear         every single input, and a few interactions
heavy          random sets with Pareto coefficients: a few terms hold most energy
trees          a sum of random decision trees: dense, of low degree, decaying
network        a random two-layer network: dense, decaying, no exact spectrum
noise          no terms at all, only noise
=============  =====================================================================

All take ``noise``, the standard deviation of Gaussian noise that is a function of the mask: asking
for the same mask twice gives the same value, as a model would.
"""

import difflib
from collections.abc import Callable, Iterable
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Float

from spexjax.experiments.functions.planted import (
    Network,
    Planted,
    Support,
    Synthetic,
    Trees,
    pack_members,
    subsets,
)


def draw_sets(
    rng: np.random.Generator, n: int, count: int, degrees: Iterable[int]
) -> list[Support]:
    """``count`` distinct random sets, degrees (at most n) in turn; fewer only if no more exist."""
    room = {d: comb(n, d) for d in dict.fromkeys(min(d, n) for d in degrees)}
    chosen: dict[Support, None] = {}
    while len(chosen) < count and any(room.values()):
        for d in [d for d in room if room[d]]:
            if len(chosen) == count:
                break
            candidate = tuple(sorted(rng.choice(n, d, replace=False).tolist()))
            room[d] -= candidate not in chosen
            chosen[candidate] = None
    return list(chosen)


def amplitudes(rng: np.random.Generator, count: int) -> Float[np.ndarray, "count"]:
    """±U(0.5, 2)."""
    return rng.choice([-1.0, 1.0], count) * rng.uniform(0.5, 2, count)


def flat(
    n: int,
    seed: int,
    n_terms: int = 100,
    degrees: Iterable[int] = (1, 2, 3, 4, 5),
    noise: float = 0.0,
    basis: Literal["fourier", "mobius"] = "fourier",
) -> Planted:
    """Random sets of the degrees given, in equal numbers, coefficients ±U(0.5, 2)."""
    rng = np.random.default_rng(seed)
    sets = draw_sets(rng, n, n_terms, degrees)
    return _planted(n, sets, amplitudes(rng, len(sets)), noise, seed, basis)


def hierarchical(
    n: int,
    seed: int,
    n_sets: int = 10,
    degrees: Iterable[int] = (3, 4, 5),
    share: float = 1.0,
    noise: float = 0.0,
) -> Planted:
    """Random sets, each with a ``share`` of its proper non-empty subsets (at least one input)."""
    rng = np.random.default_rng(seed)
    chosen: dict[Support, None] = {}
    for big in draw_sets(rng, n, n_sets, degrees):
        for small in subsets(big):
            keep = small == big or small == big[:1] or rng.random() < share
            if small and keep:
                chosen[small] = None
    return _planted(n, list(chosen), amplitudes(rng, len(chosen)), noise, seed)


def conjunctions(
    n: int,
    seed: int,
    n_terms: int = 30,
    degrees: Iterable[int] = (1, 2, 3, 4, 5),
    noise: float = 0.0,
) -> Planted:
    """A weighted sum of ANDs, weights ±U(0.5, 2)."""
    return flat(n, seed, n_terms, degrees, noise, basis="mobius")


def linear(n: int, seed: int, n_interactions: int = 5, noise: float = 0.0) -> Planted:
    """Every single input with a Gaussian weight, and a few pairs and triples."""
    rng = np.random.default_rng(seed)
    sets = draw_sets(rng, n, n_interactions, (2, 3)) if n > 1 else []
    weights = np.concatenate([rng.standard_normal(n), amplitudes(rng, len(sets))])
    return _planted(n, [(i,) for i in range(n)] + sets, weights, noise, seed)


def heavy(
    n: int,
    seed: int,
    n_terms: int = 100,
    degrees: Iterable[int] = (1, 2, 3, 4, 5),
    tail: float = 1.0,
    noise: float = 0.0,
) -> Planted:
    """Random sets whose |coefficients| follow P(> a) = (0.1 / a)^tail."""
    rng = np.random.default_rng(seed)
    sets = draw_sets(rng, n, n_terms, degrees)
    sizes = 0.1 * (1 + rng.pareto(tail, len(sets)))
    return _planted(n, sets, rng.choice([-1.0, 1.0], len(sets)) * sizes, noise, seed)


def trees(
    n: int, seed: int, n_trees: int = 20, depth: int = 4, active: int = 16, noise: float = 0.0
) -> Trees:
    """Random trees on ``active`` inputs, input j of them drawn in proportion to 1/(j + 1)."""
    rng = np.random.default_rng(seed)
    active = min(active, n)
    depth = min(depth, active)
    inputs = rng.choice(n, active, replace=False)
    odds = 1 / (1 + np.arange(active))
    splits = np.zeros((n_trees, 2**depth - 1), int)
    for tree in splits:
        for node in range(len(tree)):
            free = odds.copy()
            above = node
            while above:
                above = (above - 1) // 2
                free[tree[above]] = 0
            tree[node] = rng.choice(active, p=free / free.sum())
    leaves = rng.standard_normal((n_trees, 2**depth)) / np.sqrt(n_trees)
    return Trees(n, inputs[splits], leaves, noise, seed)


def network(n: int, seed: int, width: int = 16, gain: float = 1.0, noise: float = 0.0) -> Network:
    """Gaussian weights of standard deviation gain/√n; a larger gain means higher degrees."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((n, width)) * gain / np.sqrt(n)
    output = rng.standard_normal(width) / np.sqrt(width)
    return Network(n, hidden, rng.standard_normal(width) / 2, output, noise, seed)


def only_noise(n: int, seed: int, noise: float = 1.0) -> Planted:
    """No terms: whatever a decoder finds here is false."""
    return _planted(n, [], np.zeros(0), noise, seed)


def _planted(
    n: int,
    sets: list[Support],
    coefficients: np.ndarray,
    noise: float,
    seed: int,
    basis: Literal["fourier", "mobius"] = "fourier",
) -> Planted:
    packed = pack_members(sets, n)
    return Planted(n, packed, coefficients.astype(np.float32), basis, noise, seed)


FAMILIES: dict[str, Callable[..., Synthetic]] = {
    "flat": flat,
    "hierarchical": hierarchical,
    "conjunctions": conjunctions,
    "linear": linear,
    "heavy": heavy,
    "trees": trees,
    "network": network,
    "noise": only_noise,
}


def family(name: str, n: int, seed: int, **options: float | int | Iterable[int]) -> Synthetic:
    """Draws a function of the family ``name`` (see the module) with ``n`` inputs.

    Args:
      name: one of ``FAMILIES``.
      n: the number of inputs, at least 1.
      seed: the same name, n, seed and options give the same function.
      **options: the keyword arguments of that family's own function.

    Raises:
      ValueError: if there is no such family, or n < 1.
    """
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"name must be one of {', '.join(FAMILIES)}, got {name!r}{hint}")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    return FAMILIES[name](n, seed, **options)
