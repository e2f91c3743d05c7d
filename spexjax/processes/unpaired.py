"""A Gaussian process on masks of any kind.

The covariance is that of :mod:`spexjax.processes.covariance`; the odd part has a share of it that
is learned, as rates and nugget are, by maximising the posterior density given some of the masks.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spexjax.processes.covariance import Mean, covariance, gradient, mixture, some
from spexjax.processes.likelihood import (
    ENOUGH,
    LEARNED_FROM,
    LOG_NUGGETS,
    LOG_RATES,
    STEPS,
    likelihood,
    log_prior,
    surely_factored,
)

# Means and spreads of the logit of the odd share, and of the logarithm of the nugget.
_LOGIT, _LOG_NUGGET = (0.0, 2.0), (-4.0, 3.0)
_LOGITS = (-8.0, 8.0)


class Settings(NamedTuple):
    """What is learned of a function.

    Attributes:
      theta: float64 (n + 3,): logarithms of the rates and their mean, the logit of the odd share,
        the logarithm of the nugget, which is in units of the variance.
    """

    theta: Float[np.ndarray, "n+3"]

    @property
    def rates(self) -> Float[np.ndarray, "n"]:
        """b."""
        return np.exp(self.theta[:-3])

    @property
    def odd(self) -> float:
        """The share of the odd part in the variance."""
        return float(1 / (1 + np.exp(-self.theta[-2])))

    @property
    def nugget(self) -> float:
        """On the diagonal of the covariance."""
        return float(np.exp(self.theta[-1]))


def learn(
    signs: Float[np.ndarray, "N n"],
    values: Float[np.ndarray, "N K"],
    near: Settings | None = None,
    steps: int = STEPS,
) -> Settings:
    """Settings that maximise the posterior density.

    Args:
      signs: of the masks: 1 keeps an input, −1 does not.
      values: there, with mean 0.
      near: where to start.
      steps: at most so many.
    """
    from scipy.optimize import minimize  # here, because importing it takes a fifth of a second

    n = signs.shape[1]
    chosen = some(len(signs), LEARNED_FROM)
    fresh = np.concatenate([np.full(n + 1, np.log(0.7 / n)), [_LOGIT[0], _LOG_NUGGET[0]]])
    found = minimize(
        loss,
        fresh if near is None else near.theta,
        args=(signs[chosen], values[chosen]),
        jac=True,
        method="L-BFGS-B",
        bounds=[LOG_RATES] * (n + 1) + [_LOGITS, LOG_NUGGETS],
        options={"maxiter": steps, "ftol": ENOUGH},
    )
    return Settings(found.x)


def loss(
    theta: Float[np.ndarray, "n+3"],
    signs: Float[np.ndarray, "N n"],
    values: Float[np.ndarray, "N K"],
) -> tuple[float, Float[np.ndarray, "n+3"]]:
    """−log of the posterior density at the best scale of each output, and its gradient."""
    now, slope, n = Settings(theta), np.zeros_like(theta), signs.shape[1]
    even, odd = covariance(signs, signs, now.rates)
    of_even, of_odd = 1 - now.odd, now.odd
    found = likelihood(of_even * even + of_odd * odd, now.nugget, values)
    if found is None:
        return 1e10, slope
    value, W = found
    slope[:n] = now.rates * gradient(signs, now.rates, even, odd, of_even * W, of_odd * W)
    slope[n + 1] = of_even * of_odd * (np.vdot(W, odd) - np.vdot(W, even))
    slope[n + 2] = now.nugget * np.trace(W)
    return value + log_prior(theta, n, (_LOGIT, _LOG_NUGGET), slope), slope


def mean(
    signs: Float[np.ndarray, "N n"], values: Float[np.ndarray, "N K"], settings: Settings
) -> Mean:
    """The posterior mean, with as much of a nugget as makes the covariance positive definite."""
    K = mixture(signs, signs, settings.rates, settings.odd)
    found, _ = surely_factored(K, settings.nugget, values)
    shares, level = np.array([1 - settings.odd, settings.odd]), np.zeros(values.shape[1])
    return Mean(settings.rates, signs, shares[:, None, None] * found.weights, level)
