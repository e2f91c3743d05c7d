"""What rates and nuggets are learned by: the marginal likelihood of some values, and a prior.

The prior is log-normal: rates spread around a mean of their own (Rasmussen, Williams 2006,
section 5.4.1).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

LEARNED_FROM = 300
"""Masks, or pairs, that rates are learned from; with twice as many the errors were the same."""
STEPS = 40
# Of the logarithm of the density, which is some hundreds: less is not worth another step.
ENOUGH = 1e-4
LOG_RATES, LOG_NUGGETS = (-12.0, 2.0), (-25.0, 3.0)
_SPREAD = 1.0  # of the logarithms of the rates around their mean,
_SPREAD_OF_MEAN = 2.0  # and of that around 1/n


def log_prior(
    theta: Float[np.ndarray, "n+1+others"],
    n: int,
    others: Sequence[tuple[float, float]],
    slope: Float[np.ndarray, "n+1+others"],
) -> float:
    """−log of the prior density, the gradient of which is added to ``slope``.

    Args:
      theta: logarithms of the rates, their mean, and other numbers.
      n: number of rates.
      others: mean and spread of each other number.
      slope: a gradient.
    """
    centre = np.concatenate([np.full(n, theta[n]), [-np.log(n)], [at for at, _ in others]])
    spread = np.concatenate(
        [np.full(n, _SPREAD), [_SPREAD_OF_MEAN], [width for _, width in others]]
    )
    off = (theta - centre) / spread
    slope += off / spread
    slope[n] -= off[:n].sum() / _SPREAD
    return 0.5 * float(off @ off)


class Factored(NamedTuple):
    """A covariance with its nugget, A = K + nugget I, and what it makes of values y.

    Attributes:
      factor: float64 (P, P), the Cholesky factor of A, lower; 0 above the diagonal.
      weights: float64 (P, K), A⁻¹ y.
      scale: float64 (K,), the best one of each output.
      value: −log of the marginal likelihood at these.
    """

    factor: Float[np.ndarray, "P P"]
    weights: Float[np.ndarray, "P K"]
    scale: Float[np.ndarray, "K"]
    value: float


def factored(
    K: Float[np.ndarray, "P P"], nugget: float, y: Float[np.ndarray, "P K"]
) -> Factored | None:
    """Factors a covariance; None where, in double precision, it is not positive definite."""
    from scipy.linalg import lapack

    A = K.T.copy(order="F")  # the same, and copied in its own order
    diagonal = np.arange(len(A))
    A[diagonal, diagonal] += nugget
    factor, failed = lapack.dpotrf(A, lower=1, overwrite_a=1)
    if failed:
        return None
    weights, _ = lapack.dpotrs(factor, y, lower=1)
    scale = np.maximum((y * weights).mean(axis=0), 1e-300)
    value = 0.5 * len(y) * np.log(scale).sum()
    value += y.shape[1] * np.log(factor[diagonal, diagonal]).sum()
    return Factored(factor, weights, scale, value)


def surely_factored(
    K: Float[np.ndarray, "P P"], nugget: float, y: Float[np.ndarray, "P K"]
) -> tuple[Factored, float]:
    """:func:`factored` with the nugget, or the first e, e², … times as large that will do."""
    found = factored(K, nugget, y)
    while found is None:
        nugget *= np.e
        found = factored(K, nugget, y)
    return found, nugget


def likelihood(
    K: Float[np.ndarray, "P P"], nugget: float, y: Float[np.ndarray, "P K"]
) -> tuple[float, Float[np.ndarray, "P P"]] | None:
    """−log of the marginal likelihood at the best scale of each output, and its gradient by K.

    The gradient is not symmetric: to be multiplied by symmetric changes of K and summed.
    """
    from scipy.linalg import lapack

    found = factored(K, nugget, y)
    if found is None:
        return None
    factor, weights, scale, value = found
    diagonal = np.arange(len(K))
    # Of the inverse LAPACK returns the lower half: doubled, it stands for the other.
    slope, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    slope *= y.shape[1]
    slope[diagonal, diagonal] *= 0.5
    slope -= (0.5 * weights / scale) @ weights.T
    return value, slope.T  # in the order of the other matrices
