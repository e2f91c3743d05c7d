"""A Gaussian process on pairs of masks, apart for the even and the odd part of a function.

Rates maximise the marginal likelihood of some pairs, both parts together, under the prior of
:mod:`spexjax.processes.likelihood` (:func:`learn`); nuggets that of more (:func:`adapt`).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from spexjax.processes.covariance import Mean, covariance, gradient, some
from spexjax.processes.likelihood import (
    ENOUGH,
    LEARNED_FROM,
    LOG_NUGGETS,
    LOG_RATES,
    STEPS,
    factored,
    likelihood,
    log_prior,
    surely_factored,
)
from spexjax.processes.pairs import EVEN
from spexjax.workers import begin, finish

_ADAPTED_TO = 1024
# Pairs that a process is conditioned on: its matrix then has 134 MB.
_MOST = 4096
_NUGGETS = ((-6.0, 3.0),) * 2
_STEP = 3.0  # of the logarithm of a nugget
_GAIN = 0.5  # of that of a likelihood: less is not worth another step


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
    start = np.concatenate([np.full(n + 1, np.log(0.7 / n)), np.full(2, -4.0)])
    found = minimize(
        loss,
        start,
        args=(signs[chosen], np.stack([_unit(part)[chosen] for part in parts])),
        jac=True,
        method="L-BFGS-B",
        bounds=[LOG_RATES] * (n + 1) + [LOG_NUGGETS] * 2,
        options={"maxiter": STEPS, "ftol": ENOUGH},
    )
    return Settings(np.exp(found.x[:n]), found.x[n + 1 :])


def loss(
    theta: Float[np.ndarray, "n+3"], signs: Float[np.ndarray, "P n"], y: Float[np.ndarray, "2 P K"]
) -> tuple[float, Float[np.ndarray, "n+3"]]:
    """−log of the posterior density at the best scale of each part and output, and its gradient.

    Args:
      theta: logarithms of the rates, their mean, and the logarithms of both nuggets.
      signs, y: of the pairs, and both parts there.
    """
    n = signs.shape[1]
    rates, nuggets = np.exp(theta[:n]), np.exp(theta[n + 1 :])
    total, slope, both, by_both = 0.0, np.zeros_like(theta), covariance(signs, signs, rates), []
    for part, K in enumerate(both):
        found = likelihood(K, nuggets[part], y[part])
        if found is None:
            return 1e10, np.zeros_like(theta)
        value, W = found
        by_both.append(W)
        slope[n + 1 + part] = nuggets[part] * np.trace(W)
        total += value
    slope[:n] = rates * gradient(signs, rates, *both, *by_both)
    return total + log_prior(theta, n, _NUGGETS, slope), slope


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
    """The best logarithm of a nugget: steps while they gain, then the vertex of a parabola."""
    found = {0: _misfit(K, nugget, y)}
    best = 0
    for side in (-1, 1):
        while LOG_NUGGETS[0] <= nugget + (best + side) * _STEP <= LOG_NUGGETS[1]:
            if best + side not in found:
                found[best + side] = _misfit(K, nugget + (best + side) * _STEP, y)
            if not found[best + side] < found[best] - _GAIN:
                break
            best += side
    low, high = (found.get(best + side, np.inf) for side in (-1, 1))
    bent = low - 2 * found[best] + high
    vertex = np.clip((low - high) / (2 * bent), -0.5, 0.5) if 0 < bent < np.inf else 0.0
    return nugget + (best + vertex) * _STEP


def condition(
    signs: Float[np.ndarray, "pairs n"],
    parts: Float[np.ndarray, "2 pairs K"],
    settings: Settings,
    first: int,
) -> tuple[Process, Process]:
    """The posterior given the first pairs, and that given all; or 4 096 of all.

    The covariance of the first is the first of that of all, and so is its factor.
    """
    K = parts.shape[2]
    chosen = some(len(signs), _MOST)
    rest = np.setdiff1d(np.arange(len(signs)), chosen)
    given = int(np.searchsorted(chosen, first))
    levels = np.stack([parts[EVEN, :count].mean(axis=0) for count in (first, len(signs))])
    y = np.concatenate([parts, parts], axis=2)
    y[EVEN] -= levels.ravel()
    at, weights, inside = signs[chosen], np.zeros((2, len(chosen), 2 * K)), y.copy()
    left_out = y.copy()
    both = covariance(at, at, settings.rates)
    solved = begin(_solve, both, settings.nuggets, y[:, chosen], [given] * 2)
    for part, (w, left, without) in enumerate(finish(solved)):
        weights[part], inside[part, chosen], left_out[part, chosen] = w, left, without
    for rows in np.array_split(rest, max(1, len(rest) // _MOST)):
        for part, other in enumerate(covariance(signs[rows], at, settings.rates)):
            inside[part, rows] -= other @ weights[part]
    left_out[:, rest] = inside[:, rest]
    one, all_of = (
        Process(
            Mean(settings.rates, at[:kept], weights[:, :kept, outputs], level),
            inside[:, :count, outputs],
            left_out[:, :count, outputs],
        )
        for kept, count, outputs, level in (
            (given, first, slice(K), levels[0]),
            (len(at), len(signs), slice(K, None), levels[1]),
        )
    )
    return one, all_of


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
    K: Float[np.ndarray, "P P"], log_nugget: float, y: Float[np.ndarray, "P 2K"], first: int
) -> tuple[Float[np.ndarray, "P 2K"], Float[np.ndarray, "P 2K"], Float[np.ndarray, "P 2K"]]:
    """Weights, residuals, and residuals without the pair: of the first pairs, then of all."""
    from scipy.linalg import lapack

    (factor, *_), nugget = surely_factored(K, np.exp(log_nugget), y)
    inverse, _ = lapack.dtrtri(factor, lower=1, overwrite_c=1)  # 0 above the diagonal
    half = y.shape[1] // 2
    weights, left = np.zeros_like(y), y
    for _ in range(3):  # twice more for the factor's rounding, which small nuggets blow up
        solved = inverse @ left
        solved[first:, :half] = 0.0
        weights += inverse.T @ solved
        left = y - K @ weights - nugget * weights
    own = np.einsum("ij,ij->j", inverse[:first], inverse[:first])
    own = np.stack([own, own + np.einsum("ij,ij->j", inverse[first:], inverse[first:])], axis=1)
    return weights, nugget * weights, weights / np.repeat(np.maximum(own, 1e-300), half, axis=1)
