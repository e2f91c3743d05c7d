"""The covariance of a Gaussian process on masks, and the means that are sums of it.

With signs s, t ∈ {−1, 1}ⁿ the covariance exp(Σ_i b_i s_i t_i) = Π_i cosh b_i (1 + tanh b_i s_i t_i)
gives F(U) the variance Π_{i∈U} tanh b_i: few inputs matter much and large sets little, at rates b
that the values tell. Its odd part in s is sinh(Σ b_i s_i t_i), its even part the hyperbolic cosine,
to which ∅ adds a constant: it has a variance of its own, or low rates would leave none to pairs.
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
_LEAST = 1e-12  # of the variance of the sets other than ∅: one input has none
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


class EvenPart(NamedTuple):
    """Its covariance, ``share`` E + ``constant`` with E = cosh(Σ b s t) / cosh(Σ b).

    E has c = Π cosh b / cosh Σ b on ∅; this half, and 1 at equal masks, too.

    Attributes:
      share: 1 / (2 (1 − c)).
      constant: 1 − ``share``.
      slope: float64 (n,), ∂c/∂b / (1 − c).
    """

    share: float
    constant: float
    slope: Float[np.ndarray, "n"]


def even_part(rates: Float[np.ndarray, "n"]) -> EvenPart:
    """What E is multiplied by, and what is added."""
    total = rates.sum()
    c = np.exp(_log_cosh(rates).sum() - _log_cosh(total))
    others = max(1 - c, _LEAST)
    share = 1 / (2 * others)
    return EvenPart(share, 1 - share, c * (np.tanh(rates) - np.tanh(total)) / others)


class Halves(NamedTuple):
    """exp(Σ b s t) and its inverse, each over exp(Σ b), of which both parts are sums.

    Attributes:
      up, down: float64 (A, B).
      of_even, of_odd: E = (up + down) ``of_even`` and (up − down) ``of_odd`` are 1 at equal masks.
    """

    up: Float[np.ndarray, "A B"]
    down: Float[np.ndarray, "A B"]
    of_even: float
    of_odd: float

    def shares(self, even: float, odd: float) -> tuple[float, float]:
        """What ``up`` and ``down`` are multiplied by in a sum of E and the odd part."""
        return even * self.of_even + odd * self.of_odd, even * self.of_even - odd * self.of_odd


def halves(
    one: Float[np.ndarray, "A n"], other: Float[np.ndarray, "B n"], rates: Float[np.ndarray, "n"]
) -> Halves:
    """What the covariance of the even and of the odd part are sums of."""
    total = float(rates.sum())
    up = (one * rates) @ other.T
    # The quotient takes a tenth of another exponential's time.
    down = None if total < _REPRESENTABLE else np.exp(-up - total)
    up -= total
    np.exp(up, out=up)
    if down is None:
        down = np.exp(-2 * total) / up
    return Halves(up, down, 1 / (1 + np.exp(-2 * total)), -1 / np.expm1(-2 * total))


def covariance(
    one: Float[np.ndarray, "A n"], other: Float[np.ndarray, "B n"], rates: Float[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "A B"], Float[np.ndarray, "A B"]]:
    """Of the even and of the odd part, 1 at equal masks."""
    up, down, of_even, of_odd = halves(one, other, rates)
    share, constant, _ = even_part(rates)
    even = up + down
    up -= down  # in place: to be given memory takes longer than the sums
    even *= of_even * share
    even += constant
    up *= of_odd
    return even, up


def gradient(
    signs: Float[np.ndarray, "P n"],
    rates: Float[np.ndarray, "n"],
    even: Float[np.ndarray, "P P"],
    odd: Float[np.ndarray, "P P"],
    by_even: Float[np.ndarray, "P P"],
    by_odd: Float[np.ndarray, "P P"],
) -> Float[np.ndarray, "n"]:
    """∂/∂b of what has these gradients by the covariances of both parts between masks."""
    share, constant, slope = even_part(rates)
    E = (even - constant) / share
    # ∂E/∂b_i = odd tanh(Σb) s_i t_i − E tanh(Σb); of the odd part, odd for E, with 1/tanh.
    tanh, by_E = np.tanh(rates.sum()), share * by_even
    moved = by_E * odd * tanh + by_odd * E / tanh
    of_E, of_odd = np.vdot(by_E, E), np.vdot(by_odd, odd)
    fixed = tanh * of_E + of_odd / tanh
    return np.einsum("pn,pn->n", moved @ signs, signs) - fixed + (of_E - by_E.sum()) * slope


def mixture(
    one: Float[np.ndarray, "A n"],
    other: Float[np.ndarray, "B n"],
    rates: Float[np.ndarray, "n"],
    odd: float,
) -> Float[np.ndarray, "A B"]:
    """(1 − odd) times the even part and odd times the odd one, in the memory of two."""
    both, even = halves(one, other, rates), even_part(rates)
    of_up, of_down = both.shares((1 - odd) * even.share, odd)
    up, down = both.up, both.down
    up *= of_up
    down *= of_down
    up += down
    up += (1 - odd) * even.constant
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


def _log_cosh(x: float | Float[np.ndarray, "n"]) -> Float[np.ndarray, "..."]:
    return np.logaddexp(x, -x) - np.log(2.0)
