"""The covariance of a Gaussian process on masks, and the means that are sums of it.

With signs s, t ∈ {−1, 1}ⁿ the covariance exp(Σ_i b_i s_i t_i) = Π_i cosh b_i (1 + tanh b_i s_i t_i)
gives F(U) the variance Π_{i∈U} tanh b_i: few inputs matter much and large sets little, at rates b
that the values tell. Its odd part in s is sinh(Σ b_i s_i t_i), its even part the hyperbolic cosine.
What is smoother than independent of mask to mask is predicted; the rest is a nugget on the
diagonal. (Kernels on sets: Kondor, Lafferty 2002; Rasmussen, Williams 2006, chapters 2 and 5.)

All is float64 on the host: where nuggets are 10⁻¹⁰ of the variance, float32 has no Cholesky factor,
and these factors take less time than compiling them would.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spexjax.processes.pairs import EVEN, ODD

_REPRESENTABLE = 300.0  # of exponents, in float64
_STREAM = 0


class Mean(NamedTuple):
    """The posterior mean of K functions.

    Attributes:
      rates: float64 (n,), b.
      signs: float64 (P, n), of the masks, one of each pair, that it is conditioned on.
      weights: float64 (2, P, K): the mean of a part is Σ_j covariance(m, j) weights[j].
      level: float64 (K,), added to the even part.
    """

    rates: Float[np.ndarray, "n"]
    signs: Float[np.ndarray, "P n"]
    weights: Float[np.ndarray, "2 P K"]
    level: Float[np.ndarray, "K"]


def covariance(
    one: Float[np.ndarray, "A n"], other: Float[np.ndarray, "B n"], rates: Float[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "A B"], Float[np.ndarray, "A B"]]:
    """Of the even and of the odd part, 1 at equal masks."""
    total = rates.sum()
    inner = (one * rates) @ other.T
    up = np.exp(inner - total)
    # The quotient takes a fifth of another exponential's time.
    down = np.exp(-2 * total) / up if total < _REPRESENTABLE else np.exp(-inner - total)
    return (up + down) / (1 + np.exp(-2 * total)), (up - down) / -np.expm1(-2 * total)


def mixture(
    one: Float[np.ndarray, "A n"],
    other: Float[np.ndarray, "B n"],
    rates: Float[np.ndarray, "n"],
    odd: float,
) -> Float[np.ndarray, "A B"]:
    """(1 − odd) times the even part and odd times the odd one, in half the memory of both."""
    total = rates.sum()
    if total >= _REPRESENTABLE:
        both = covariance(one, other, rates)
        return (1 - odd) * both[EVEN] + odd * both[ODD]
    of_even, of_odd = (1 - odd) / (1 + np.exp(-2 * total)), odd / -np.expm1(-2 * total)
    up = (one * rates) @ other.T
    up -= total
    np.exp(up, out=up)
    down = (of_even - of_odd) * np.exp(-2 * total) / up
    up *= of_even + of_odd
    up += down
    return up


def predict(mean: Mean, signs: Float[np.ndarray, "A n"]) -> Float[np.ndarray, "A K"]:
    """The posterior mean at masks."""
    even, odd = covariance(signs, mean.signs, mean.rates)
    return mean.level + even @ mean.weights[EVEN] + odd @ mean.weights[ODD]


def some(count: int, most: int) -> Int[np.ndarray, "chosen"]:
    """The first place, where the ends are if there are pairs, and others at random."""
    if count <= most:
        return np.arange(count)
    others = np.random.default_rng(_STREAM).permutation(count - 1)[: most - 1] + 1
    return np.concatenate([[0], np.sort(others)])
