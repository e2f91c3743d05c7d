"""How often does the interval for R² cover the R² on 100 000 fresh masks?

``python -m spexjax.experiments.bench_coverage`` draws, 400 times for each case, a surrogate's
errors and a function's values at held-out masks, and prints the share of nominal 95 % intervals
that hold the R² of the population that they were drawn from.
"""

import argparse
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float

from spexjax import metrics

POPULATION = 100_000
HELD_OUT = (64, 128, 400, 1000)
Draw = Callable[[np.random.Generator, int], Float[np.ndarray, "N"]]


def gaussian(rng: np.random.Generator, count: int) -> Float[np.ndarray, "N"]:
    return rng.standard_normal(count)


def heavy(rng: np.random.Generator, count: int) -> Float[np.ndarray, "N"]:
    """Student's t with 5 degrees of freedom: finite kurtosis, large outliers."""
    return rng.standard_t(5, count) / np.sqrt(5 / 3)


def skewed(rng: np.random.Generator, count: int) -> Float[np.ndarray, "N"]:
    """A product of Gaussians' exponentials: one long tail."""
    return (np.exp(0.5 * rng.standard_normal(count)) - np.exp(0.125)) / 0.604


DRAWS: dict[str, Draw] = {"gaussian": gaussian, "heavy": heavy, "skewed": skewed}


def coverage(draw: Draw, r2: float, held_out: int, simulations: int = 400, seed: int = 0) -> float:
    """The share of intervals that cover.

    Args:
      draw: the distribution of both the surrogate and its errors, of mean 0 and variance 1.
      r2: share of the function's variance that the surrogate explains.
      held_out: masks per interval.
      simulations: intervals.
      seed: of the draws.
    """
    rng = np.random.default_rng(seed)

    def pair(count: int) -> tuple[np.ndarray, np.ndarray]:
        guess = np.sqrt(r2) * draw(rng, count)
        return (guess + np.sqrt(1 - r2) * draw(rng, count)).astype(np.float32), guess.astype("f4")

    truth, guess = pair(POPULATION)
    target = float(metrics.r2(truth, guess))
    keys = jax.random.split(jax.random.key(seed, impl="threefry2x32"), simulations)
    values, guesses = (np.stack(x) for x in zip(*(pair(held_out) for _ in keys), strict=True))
    low, high = jax.lax.map(
        lambda args: metrics.r2_interval(*args), (keys, values, guesses), batch_size=8
    )
    return float(np.mean((np.asarray(low) <= target) & (target <= np.asarray(high))))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--r2", nargs="+", type=float, default=[0.0, 0.5, 0.95])
    args = parser.parse_args(argv)
    print(f"{'values':10} {'R²':>5}" + "".join(f"{n:>8}" for n in HELD_OUT))
    for name, draw in DRAWS.items():
        for r2 in args.r2:
            found = [coverage(draw, r2, n, args.simulations) for n in HELD_OUT]
            print(f"{name:10} {r2:5.2f}" + "".join(f"{c:8.3f}" for c in found), flush=True)


if __name__ == "__main__":
    main()
