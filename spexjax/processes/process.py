"""A Gaussian process on pairs of masks, apart for the even and the odd part of a function.

Rates maximise the marginal likelihood of some pairs, both parts together, under the prior of
:mod:`spexjax.processes.likelihood` (:func:`learn`); nuggets that of more (:func:`adapt`).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from spexjax.processes.covariance import Mean, covariance, some
from spexjax.processes.likelihood import (
    LEARNED_FROM,
    LOG_NUGGETS,
    LOG_RATES,
    STEPS,
    factored,
    likelihood,
    log_prior,
    surely_factored,
)
from spexjax.processes.pairs import EVEN, ODD
from spexjax.workers import begin, finish

_ADAPTED_TO = 1024
# Pairs that a process is conditioned on: its matrix then has 134 MB.
_MOST = 4096
_NUGGETS = ((-6.0, 3.0),) * 2
_NUGGET_STEPS = (3.0, 1.0)


class Settings(NamedTuple):
    """What is learned of a function.

    Attributes:
      rates: float64 (n,), b.
      nuggets: float64 (2,), logarithms, in units of the variance of the even and the odd part.
    """

    rates: Float[np.ndarray, "n"]
    nuggets: Float[np.ndarray, "2"]


class Process(NamedTuple):
    """The posterior of a function given its values at pairs of masks.

    Attributes:
      mean: what is expected of it.
      inside: float64 (2, pairs, K), what the mean leaves at all pairs,
      left_out: and what a mean without the pair would leave.
      members, fixed: sets, padded with −1, and what is added to F of each; see
        :mod:`spexjax.processes.sparse`.
    """

    mean: Mean
    inside: Float[np.ndarray, "2 pairs K"]
    left_out: Float[np.ndarray, "2 pairs K"]
    members: Int32[np.ndarray, "T t"] | None = None
    fixed: Float[np.ndarray, "T K"] | None = None


def learn(signs: Float[np.ndarray, "P n"], parts: Float[np.ndarray, "2 P K"]) -> Settings:
    """Rates and nuggets that maximise the posterior density given some of the pairs.

    Args:
      signs: of the pairs, the ends first.
      parts: the even part, its mean taken away, and the odd part.
    """
    from scipy.optimize import minimize  # here, because importing it takes a fifth of a second

    n = signs.shape[1]
    chosen = some(len(signs), LEARNED_FROM)
    at = signs[chosen]
    y = [_unit(part)[chosen] for part in parts]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        rates, nuggets = np.exp(theta[:n]), theta[n + 1 :]
        both = covariance(at, at, rates)
        total, slope = 0.0, np.zeros_like(theta)
        tanh = np.tanh(rates.sum())
        for part in (EVEN, ODD):
            found = likelihood(both[part], np.exp(nuggets[part]), y[part])
            if found is None:
                return 1e10, np.zeros_like(theta)
            value, W = found
            # ∂ even/∂b_i = odd tanh(Σb) s_i t_i − even tanh(Σb); for the odd part 1/tanh.
            factor = tanh if part == EVEN else 1 / tanh
            moved = W * both[1 - part]
            slope[:n] += factor * rates * (((moved @ at) * at).sum(0) - (W * both[part]).sum())
            slope[n + 1 + part] += np.exp(nuggets[part]) * np.trace(W)
            total += value
        total += log_prior(theta, n, _NUGGETS, slope)
        return total, slope

    start = np.concatenate([np.full(n + 1, np.log(0.7 / n)), np.full(2, -4.0)])
    bounds = [LOG_RATES] * (n + 1) + [LOG_NUGGETS] * 2
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}
    )
    return Settings(np.exp(found.x[:n]), found.x[n + 1 :])


def adapt(
    signs: Float[np.ndarray, "P n"], parts: Float[np.ndarray, "2 P K"], settings: Settings
) -> Settings:
    """Nuggets that maximise the marginal likelihood given more pairs, which tell noise better."""
    if len(signs) <= LEARNED_FROM:
        return settings
    at, y, _ = _centred(signs, parts, some(len(signs), _ADAPTED_TO))
    both = covariance(at, at, settings.rates)
    return settings._replace(nuggets=np.array(finish(begin(_adapted, both, settings.nuggets, y))))


def _adapted(K: Float[np.ndarray, "P P"], nugget: float, y: Float[np.ndarray, "P K"]) -> float:
    """The best logarithm of a nugget, in steps from one."""
    value = _misfit(K, nugget, y)
    for step in _NUGGET_STEPS:
        for sign in (-1, 1):
            while LOG_NUGGETS[0] <= nugget + sign * step <= LOG_NUGGETS[1]:
                tried = _misfit(K, nugget + sign * step, y)
                if tried >= value and np.isfinite(value):
                    break
                nugget, value = nugget + sign * step, tried
    return nugget


def condition(
    signs: Float[np.ndarray, "pairs n"], parts: Float[np.ndarray, "2 pairs K"], settings: Settings
) -> Process:
    """The posterior given all pairs, or 4 096 of them."""
    chosen = some(len(signs), _MOST)
    rest = np.setdiff1d(np.arange(len(signs)), chosen)
    at, y, level = _centred(signs, parts, slice(None))
    at = at[chosen]
    weights = np.zeros((2, len(at), parts.shape[2]))
    inside, left_out = y.copy(), y.copy()
    for part, K in enumerate(covariance(at, at, settings.rates)):
        solved = _solve(K, settings.nuggets[part], y[part][chosen])
        weights[part], inside[part][chosen], left_out[part][chosen] = solved
    for rows in np.array_split(rest, max(1, len(rest) // _MOST)):
        for part, K in enumerate(covariance(signs[rows], at, settings.rates)):
            inside[part][rows] -= K @ weights[part]
    left_out[:, rest] = inside[:, rest]
    return Process(Mean(settings.rates, at, weights, level), inside, left_out)


def _centred(
    signs: np.ndarray, parts: np.ndarray, chosen: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some pairs, their parts without the level, and the level, which is that of all."""
    level = parts[EVEN].mean(axis=0)
    y = parts - np.stack([level, np.zeros_like(level)])[:, None]
    return signs[chosen], y[:, chosen], level


def _unit(part: Float[np.ndarray, "P K"]) -> Float[np.ndarray, "P K"]:
    size = np.sqrt(np.mean(part**2, axis=0))
    return part / np.where(size > 0, size, 1.0)


def _misfit(K: Float[np.ndarray, "P P"], log_nugget: float, y: Float[np.ndarray, "P K"]) -> float:
    """−log of the marginal likelihood; inf where there is none."""
    found = factored(K, np.exp(log_nugget), y)
    return np.inf if found is None else found.value


def _solve(
    K: Float[np.ndarray, "P P"], log_nugget: float, y: Float[np.ndarray, "P K"]
) -> tuple[Float[np.ndarray, "P K"], Float[np.ndarray, "P K"], Float[np.ndarray, "P K"]]:
    """Weights, residuals, and residuals without the pair."""
    from scipy.linalg import lapack

    (factor, weights, *_), nugget = surely_factored(K, np.exp(log_nugget), y)
    for _ in range(2):  # the factor's rounding, which small nuggets blow up
        left = y - K @ weights - nugget * weights
        weights = weights + lapack.dpotrs(factor, left, lower=1)[0]
    inverse, _ = lapack.dtrtri(factor, lower=1, overwrite_c=1)  # 0 above the diagonal
    own = np.einsum("ij,ij->j", inverse, inverse)[:, None]
    return weights, nugget * weights, weights / own
