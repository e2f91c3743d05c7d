"""L1 regression on arrays, with the strength given or cross-validated.

The loss is scaled as in scikit-learn and the intercept is not penalised:

    ‖y − Xw − c‖² / (2 Σ weights) + strength · Σ_j |w_j|

with a weighted norm.  Folds and strengths are solved together.  Strengths are data: new ones
compile nothing.  What depends on values is reported in ``info``; only shapes raise.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.regression.lasso_path import BLOCK, Path, Problem, solve_path
from spexjax.regression.least_squares import Design, prepare
from spexjax.regression.linear_fit import CVFit, Fit, check_arguments, each_output, per_output
from spexjax.regression.scaling import divisor
from spexjax.typing import Array, ArrayLike, Key

# The violation allowed on the way to the one strength of ``lasso``, which is then solved closely.
WAY_TOL = 1e-2


@partial(jax.jit, static_argnames="use_gram")
def lasso(
    X: Float[ArrayLike, "N S"],
    y: Float[ArrayLike, "N"] | Float[ArrayLike, "N K"],
    strength: Float[ArrayLike, ""] | Float[ArrayLike, "K"],
    *,
    weights: Float[ArrayLike, "N"] | None = None,
    valid: Bool[ArrayLike, "S"] | None = None,
    tol: Float[ArrayLike, ""] | float = 1e-5,
    max_iter: int = 1000,
    use_gram: bool | None = None,
) -> Fit:
    """L1 regression at one strength: ‖y − Xw − c‖² / (2 Σ weights) + strength Σ_j |w_j|.

    Args:
      X: (N, S), anything that converts to float32.
      y: (N,), or (N, K) for K outputs, each fitted by itself.
      strength: > 0, one or one per output.
      weights: ≥ 0, one per row; 0 leaves a row out, whatever it holds.  1 if not given.
      valid: False where a column's coefficient is to be 0 (columns that fill up a bucket); all
        True if not given.  Constant columns get 0 too.
      tol: the largest violation of the optimality conditions allowed, in units of the largest
        product of a column (of unit deviation) with y.
      max_iter: products with the Gram at most, per round of a block of strengths.
      use_gram: whether to form the S × S Gram or to go through X each time (static); decided by
        the shapes if not given.

    Returns:
      :class:`Fit`.

    Raises:
      ValueError: if the shapes do not fit together.
    """
    A, b, row_weights, keep, use_gram = check_arguments(X, y, weights, valid, use_gram)
    design = prepare(A, row_weights, keep, 0, None, use_gram)
    strength = per_output(strength, b, "strength", 0)

    def one(y, strength):
        y, level, spread = design.standardise(y)
        grid = strength / spread * _zero_from(design, y, strength / spread)
        path = _solve(design, y, grid, tol, WAY_TOL, max_iter)
        coefficients, offset = design.restore(path.w * spread, level)
        return Fit(coefficients, offset, path.info)

    return each_output(one, b, strength)


@partial(jax.jit, static_argnames=("folds", "n_strengths", "use_gram"))
def lasso_cv(
    X: Float[ArrayLike, "N S"],
    y: Float[ArrayLike, "N"] | Float[ArrayLike, "N K"],
    strengths: Float[ArrayLike, "A"] | Float[ArrayLike, "A K"] | None = None,
    *,
    folds: int = 5,
    key: Key | None = None,
    n_strengths: int = 100,
    eps: Float[ArrayLike, ""] | float = 1e-3,
    weights: Float[ArrayLike, "N"] | None = None,
    valid: Bool[ArrayLike, "S"] | None = None,
    tol: Float[ArrayLike, ""] | float = 1e-5,
    path_tol: Float[ArrayLike, ""] | float = 1e-2,
    max_iter: int = 1000,
    use_gram: bool | None = None,
) -> CVFit:
    """L1 regression at the strength with the smallest mean squared error on held-out folds.

    Args:
      X, y, weights, valid, tol, max_iter, use_gram: as in :func:`lasso`.
      strengths: the strengths to try, > 0, in any order; if not given ``n_strengths`` of them,
        geometric from the one at which all coefficients vanish down to ``eps`` times it.
      folds: the number of folds (static); sizes differ by at most one row.
      key: shuffles the rows into folds; contiguous folds if not given.
      path_tol: violation allowed along the path, as a share of the strength.

    Returns:
      :class:`CVFit`.

    Raises:
      ValueError: if the shapes do not fit together, or folds < 2 or > N.
    """
    A, b, row_weights, keep, use_gram = check_arguments(X, y, weights, valid, use_gram, folds)
    design = prepare(A, row_weights, keep, folds, key, use_gram)
    eps = jnp.asarray(eps, jnp.float32)
    fractions = eps ** jnp.linspace(0.0, 1.0, n_strengths, dtype=jnp.float32)
    given = () if strengths is None else (per_output(strengths, b, "strengths", 1),)

    def one(y, strengths=None):
        y, level, spread = design.standardise(y)
        if strengths is None:
            grid = design.vanishing(y) * fractions
        else:
            grid = jnp.sort(strengths, descending=True) / spread
        path = _solve(design, y, grid, tol, path_tol, max_iter)
        coefficients, offset = design.restore(path.w * spread, level)
        return CVFit(
            coefficients=coefficients,
            intercept=offset,
            strength=path.strength * spread,
            strengths=grid * spread,
            errors=design.mean_error(path.fold_errors) * spread**2,
            fold_errors=path.fold_errors * spread**2,
            info=path.info,
            path=path.path,
        )

    return each_output(one, b, *given)


def _solve(design: Design, y: Array, grid: Array, tol, path_tol, max_iter: int) -> Path:
    """The path in the standardised coordinates, in which column j is penalised by 1 / scale_j."""
    problem = Problem(design.lanes, y, 1 / design.scale, design.mask, design.held_out)
    return solve_path(problem, grid, tol=tol, path_tol=path_tol, max_iter=max_iter)


def _zero_from(design: Design, y: Array, strength: Array) -> Array:
    """A block of factors that falls to 1 from where every coefficient is 0."""
    ratio = jnp.maximum(design.vanishing(y) / divisor(strength), 1.0)
    return ratio ** jnp.linspace(1.0, 0.0, BLOCK, dtype=jnp.float32)
