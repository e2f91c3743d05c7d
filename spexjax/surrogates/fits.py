"""Weighted L1 fits of one problem: every scheme of penalties at every strength.

A scheme gives each column its own weight in the penalty (the adaptive lasso: Zou 2006). At each
strength there are two candidates: the L1 solution itself, best for functions with a long tail of
small terms, and least squares on its support, best for sparse ones (the relaxed lasso: Meinshausen
2007). :mod:`spexjax.surrogates.stacking` chooses.
"""

import jax.numpy as jnp
from jaxtyping import Float

from spexjax.regression import fista
from spexjax.surrogates import problem
from spexjax.surrogates.problem import Problem
from spexjax.typing import Array

# Relative to the strength at which every coefficient vanishes.
STRENGTHS = tuple(10.0 ** (-0.5 - 0.3 * i) for i in range(12))
# Few: fits of nearly as many columns as masks rely on being stopped early.
_POLISHING = 50


def candidates(p: Problem, penalty: Float[Array, "P T"]) -> Float[Array, "candidates T"]:
    """Coefficients of both kinds, every scheme and strength, in this order, (2·P·A, T).

    Args:
      p: the problem.
      penalty: float32 (P, T), the weights of the columns in the penalty, > 0 but for ∅.
    """
    G, b = problem.operator(p), problem.correlations(p)
    P, T = penalty.shape
    A = len(STRENGTHS)
    lasso, _ = fista.lasso_solve(
        G,
        jnp.broadcast_to(b, (P, A, T)),
        jnp.asarray(STRENGTHS, jnp.float32) * vanishing(b, penalty)[:, None],
        fista.lipschitz(G, b),
        penalty=penalty[:, None],
        mask=p.allowed,
        tol=3e-4,
        max_iter=200,
    )
    chosen = ((lasso != 0.0) | (jnp.arange(T) == 0)) & p.allowed
    relaxed, _ = fista.ridge_solve(
        G,
        jnp.broadcast_to(b, (P, A, T)),
        problem.per_mask(p, jnp.float32(problem.DEBIASING)),
        penalty=jnp.ones(T).at[0].set(0.0),
        mask=chosen,
        w0=lasso,
        tol=1e-4,
        max_iter=_POLISHING,
    )
    return jnp.concatenate([lasso.reshape(-1, T), relaxed.reshape(-1, T)])


def polish(
    p: Problem,
    w: Float[Array, "M T"],
    ridge: Float[Array, "M"],
    lasso: Float[Array, "M"] | None,
    penalty: Float[Array, "M T"] | None,
) -> Float[Array, "M T"]:
    """Fits, their supports kept, fitted again to the masks of ``p``.

    Args:
      p: the problem.
      w: float32 (M, T), the fits.
      ridge: float32 (M,), their ridge strengths, where ``lasso`` is 0.
      lasso: float32 (M,), their L1 strengths; None if all are 0.
      penalty: float32 (M, T), the weights of the columns in the L1 penalty.
    """
    G, b = problem.operator(p), problem.correlations(p)
    support = ((w != 0.0) | (jnp.arange(w.shape[-1]) == 0)) & p.allowed
    b = jnp.broadcast_to(b, w.shape)
    again, _ = fista.ridge_solve(
        G,
        b,
        problem.per_mask(p, ridge),
        penalty=jnp.ones(w.shape[-1]).at[0].set(0.0),
        mask=support,
        w0=w,
        max_iter=_POLISHING,
    )
    if lasso is None or penalty is None:
        return again
    sparse, _ = fista.lasso_solve(
        G,
        b,
        lasso,
        fista.lipschitz(G, b[0]),
        penalty=penalty,
        mask=support,
        w0=w,
        tol=1e-5,
        max_iter=200,
    )
    return jnp.where(lasso[:, None] > 0, sparse, again)


def vanishing(b: Float[Array, "T"], penalty: Float[Array, "P T"]) -> Float[Array, "P"]:
    """The strengths at which every coefficient is 0, given Xᵀy."""
    return jnp.max(jnp.where(penalty > 0, jnp.abs(b) / jnp.maximum(penalty, 1e-6), 0.0), axis=-1)
