"""Functions on which errors are told wrongly, if they can be: what :data:`CASES` draws.

===========  =======================================================================
flat         planted parities of degree 1–5 (:mod:`~spexjax.experiments.functions.synthetic`)
triples      single inputs, and 300 small triples that no fit of few masks can model
saturating   a logistic function of a weighted sum: half of its values are near 0 or 1
trees        a sum of random decision trees
network      a random two-layer network of large gain
noise        nothing but a value drawn for each mask
constant     one value
lognormal    the exponential of a weighted sum: values over orders of magnitude
rare         a conjunction of eight, on one mask in 256, beside small single effects
===========  =======================================================================

The last two have heavy tails.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from spexjax.experiments.functions.synthetic import flat, network, only_noise, trees
from spexjax.typing import ValueFunction

Masks = Bool[np.ndarray, "N n"]
Numbers = Float[np.ndarray, "N"]
HEAVY = ("lognormal", "rare")


def triples(n: int, seed: int) -> ValueFunction:
    """Σ w_i s_i + 0.05 Σ c_T Π_{i∈T} s_i over 300 triples, s = (−1)^m."""
    rng = np.random.default_rng(seed)
    sets = rng.permuted(np.tile(np.arange(n), (300, 1)), axis=1)[:, :3]
    weights, small = rng.standard_normal(n) / np.sqrt(n), 0.05 * rng.standard_normal(300)

    def f(masks: Masks) -> Numbers:
        signs = 1.0 - 2 * masks
        return signs @ weights + signs[:, sets].prod(axis=2) @ small

    return f


def saturating(n: int, seed: int) -> ValueFunction:
    """1/(1 + exp(−3 w·s/√n)), w Gaussian."""
    weights = 3 * np.random.default_rng(seed).standard_normal(n) / np.sqrt(n)
    return lambda masks: 1 / (1 + np.exp(-(1.0 - 2 * masks) @ weights))


def lognormal(n: int, seed: int) -> ValueFunction:
    """exp(1.5 w·s/√n), w Gaussian."""
    weights = 1.5 * np.random.default_rng(seed).standard_normal(n) / np.sqrt(n)
    return lambda masks: np.exp((1.0 - 2 * masks) @ weights)


def rare(n: int, seed: int, size: int = 8) -> ValueFunction:
    """0.2 w·m/√n, and 10 where all of ``size`` random inputs are kept."""
    rng = np.random.default_rng(seed)
    weights, chosen = 0.2 * rng.standard_normal(n) / np.sqrt(n), rng.permutation(n)[:size]
    return lambda masks: masks @ weights + 10.0 * masks[:, chosen].all(axis=1)


def constant(n: int, seed: int) -> ValueFunction:
    """The seed."""
    return lambda masks: np.full(len(masks), float(seed))


CASES: dict[str, Callable[[int, int], ValueFunction]] = {
    "flat": lambda n, seed: flat(n, seed, n_terms=30),
    "triples": triples,
    "saturating": saturating,
    "trees": trees,
    "network": lambda n, seed: network(n, seed, gain=3.0),
    "noise": only_noise,
    "constant": constant,
    "lognormal": lognormal,
    "rare": rare,
}
"""Draws of a function of n inputs by a seed."""
