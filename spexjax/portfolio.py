"""Weighted L1 fits of one problem: every scheme of penalties at every strength.

A scheme gives each column its own weight in the penalty (the adaptive lasso: Zou 2006). At each
strength there are two candidates: the L1 solution itself, best for functions with a long tail of
small terms, and least squares on its support, best for sparse ones (the relaxed lasso: Meinshausen
2007). Cross-validation chooses; what comes close to the best is averaged with it, since the error
of a mean of fits is at most the mean of their errors.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax import proximal, refit
from spexjax.refit import Problem
from spexjax.typing import Array, ArrayLike

# Relative to the strength at which every coefficient vanishes.
STRENGTHS = tuple(10.0 ** (-0.5 - 0.25 * i) for i in range(12))
_CLOSE = 1.05
_MOST = 3


class Mixture(NamedTuple):
    """Candidates that are averaged.

    Attributes:
      scheme: int (M,), rows of the penalties.
      strength: int (M,), places in ``STRENGTHS``.
      relaxed: bool (M,), whether refitted without the penalty.
      share: float32 (M,), of sum 1; 0 fills up.
    """

    scheme: Int[ArrayLike, "M"]
    strength: Int[ArrayLike, "M"]
    relaxed: Bool[ArrayLike, "M"]
    share: Float[ArrayLike, "M"]


def size(schemes: int) -> int:
    """The number of candidates."""
    return 2 * schemes * len(STRENGTHS)


def candidates(p: Problem, penalty: Float[Array, "P T"]) -> Float[Array, "candidates T"]:
    """Coefficients of both kinds, every scheme and strength, in this order, (2·P·A, T).

    Args:
      p: the problem.
      penalty: float32 (P, T), the weights of the columns in the penalty, > 0 but for ∅.
    """
    G, b = refit.operator(p), refit.correlations(p)
    P, T = penalty.shape
    A = len(STRENGTHS)
    lasso, _ = proximal.lasso_solve(
        G,
        jnp.broadcast_to(b, (P, A, T)),
        jnp.asarray(STRENGTHS, jnp.float32) * _vanishing(b, penalty)[:, None],
        proximal.lipschitz(G, b),
        penalty=penalty[:, None],
        mask=p.allowed,
        tol=3e-4,
        max_iter=200,
    )
    chosen = ((lasso != 0.0) | (jnp.arange(T) == 0)) & p.allowed
    relaxed, _ = proximal.ridge_solve(
        G,
        jnp.broadcast_to(b, (P, A, T)),
        refit.per_mask(p, jnp.float32(refit.DEBIASING)),
        penalty=jnp.ones(T).at[0].set(0.0),
        mask=chosen,
        w0=lasso,
        tol=1e-4,
        max_iter=50,
    )
    return jnp.concatenate([lasso.reshape(-1, T), relaxed.reshape(-1, T)])


def polish(
    p: Problem,
    penalty: Float[Array, "P T"],
    mixture: Mixture,
    level: Float[Array, "P"],
    w: Float[Array, "M T"],
) -> Float[Array, "T"]:
    """A mixture's coefficients, not its supports, fitted again, to the masks of ``p``.

    Args:
      p: the problem.
      penalty: as for :func:`candidates`.
      mixture: what to average.
      level: float32 (P,), :func:`levels` of the problem that w was fitted to.
      w: float32 (M, T), the fits.
    """
    G, b = refit.operator(p), refit.correlations(p)
    strength = (
        jnp.asarray(STRENGTHS, jnp.float32)[jnp.asarray(mixture.strength)]
        * level[jnp.asarray(mixture.scheme)]
    )
    again, _ = proximal.lasso_solve(
        G,
        jnp.broadcast_to(b, w.shape),
        jnp.where(mixture.relaxed, 0.0, strength),
        proximal.lipschitz(G, b),
        penalty=penalty[jnp.asarray(mixture.scheme)],
        mask=((w != 0.0) | (jnp.arange(w.shape[-1]) == 0)) & p.allowed,
        w0=w,
        tol=1e-5,
        max_iter=200,
    )
    return jnp.asarray(mixture.share) @ again


def levels(p: Problem, penalty: Float[Array, "P T"]) -> Float[Array, "P"]:
    """The strengths at which every coefficient vanishes."""
    return _vanishing(refit.correlations(p), penalty)


def _vanishing(b: Float[Array, "T"], penalty: Float[Array, "P T"]) -> Float[Array, "P"]:
    return jnp.max(jnp.where(penalty > 0, jnp.abs(b) / jnp.maximum(penalty, 1e-6), 0.0), axis=-1)


def choose(errors: Float[np.ndarray, "candidates"], schemes: int) -> tuple[Mixture, np.ndarray]:
    """The best candidate, averaged with the best of other schemes that come within 5 % of it.

    Returns:
      the mixture, and its candidates' places.
    """
    A = len(STRENGTHS)
    table = errors.reshape(2, schemes, A)
    kind = int(np.argmin(table)) // (schemes * A)
    # Fits of one kind only: a sparse solution would be lost in the mean with a dense one.
    best = table[kind].min(axis=1)
    order = np.argsort(best, kind="stable")[:_MOST]
    use = best[order] <= _CLOSE * best[order[0]]
    place = table[kind].argmin(axis=1)[order]
    share = use / use.sum()
    mixture = Mixture(order, place, np.full(len(order), kind == 1), share.astype(np.float32))
    return mixture, (kind * schemes + order) * A + place
