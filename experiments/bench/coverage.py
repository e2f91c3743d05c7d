"""How often does the interval for R² cover the R² on 100 000 fresh masks?

``python -m spexjax.experiments coverage`` draws, 400 times for each case, a surrogate's
errors and a function's values at held-out masks, and prints the share of nominal 95 % intervals
that hold the R² of the population that they were drawn from. The surrogate's level is the mean
of nine times as many other masks, as if fitted; with R² = 0 it is that constant and no more.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from spexjax import metrics
from spexjax.experiments.reporting.rows import Rows

POPULATION = 100_000
Draw = Callable[[np.random.Generator, int], Float[np.ndarray, "N"]]


def gaussian(rng: np.random.Generator, count: int) -> Float[np.ndarray, "N"]:
    return rng.standard_normal(count)


def heavy(rng: np.random.Generator, count: int) -> Float[np.ndarray, "N"]:
    """Student's t with 5 degrees of freedom: finite kurtosis, large outliers."""
    return rng.standard_t(5, count) / np.sqrt(5 / 3)


def heavier(rng: np.random.Generator, count: int) -> Float[np.ndarray, "N"]:
    """Student's t with 3 degrees of freedom: infinite kurtosis."""
    return rng.standard_t(3, count) / np.sqrt(3)


def skewed(rng: np.random.Generator, count: int) -> Float[np.ndarray, "N"]:
    """Exponentials of Gaussians: one long tail."""
    return (np.exp(0.5 * rng.standard_normal(count)) - np.exp(0.125)) / 0.604


DRAWS: dict[str, Draw] = {
    "gaussian": gaussian, "heavy": heavy, "heavier": heavier, "skewed": skewed
}  # fmt: skip
FITTED = 9  # masks that the level is fitted to, for each one held out


def coverage(draw: Draw, r2: float, held_out: int, simulations: int = 400, seed: int = 0) -> float:
    """The share of intervals that cover.

    Args:
      draw: the distribution of both the surrogate and its errors, of mean 0 and variance 1.
      r2: share of the function's variance that the surrogate explains; if negative, the surrogate
        is noise, of that share of the variance.
      held_out: masks per interval.
      simulations: intervals.
      seed: of the draws.
    """
    rng = np.random.default_rng(seed)

    def pair(count: int) -> tuple[np.ndarray, np.ndarray]:
        guess = np.sqrt(abs(r2)) * draw(rng, count)
        rest = np.sqrt(1 - max(r2, 0.0)) * draw(rng, count)
        return (guess if r2 > 0 else 0.0) + rest, guess

    truth, guess = pair(POPULATION)
    error = truth - guess
    fitted = [np.subtract(*pair(FITTED * held_out)).mean() for _ in range(simulations)]
    targets = 1 - (error.var() + (error.mean() - np.array(fitted)) ** 2) / truth.var()
    keys = jax.random.split(jax.random.key(seed, impl="threefry2x32"), simulations)
    values, guesses = (np.stack(x) for x in zip(*(pair(held_out) for _ in keys), strict=True))
    guesses += np.array(fitted)[:, None]
    low, high = jax.lax.map(
        lambda args: metrics.r2_interval(*args),
        (keys, values.astype(np.float32), guesses.astype(np.float32)),
    )
    return float(np.mean((np.asarray(low) <= targets) & (targets <= np.asarray(high))))


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    simulations: int = 400
    """Intervals of each case."""
    held_out: tuple[int, ...] = (64, 128, 400, 1000)
    """Masks per interval."""
    r2: tuple[float, ...] = (-0.2, 0.0, 0.1, 0.5, 0.95, 0.99)
    """Of the surrogate."""


def run(config: Config) -> Rows:
    """A row for every distribution and R², a column for every number of held-out masks."""
    return Rows(
        f"Share of nominal 95 % intervals that cover, {config.simulations} simulations",
        {"values": "<10", "R²": ">5.2f"} | {str(n): ">6.3f" for n in config.held_out},
        (
            (name, r2, *(coverage(draw, r2, n, config.simulations) for n in config.held_out))
            for name, draw in DRAWS.items()
            for r2 in config.r2
        ),
    )
