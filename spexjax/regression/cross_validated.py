"""Ridge and L1 regression on arrays, with the strength given or cross-validated.

The losses are scaled as in scikit-learn and the intercept is not penalised:

    lasso:  ‖y − Xw − c‖² / (2 Σ weights) + strength · Σ_j |w_j|
    ridge:  ‖y − Xw − c‖² + strength · Σ_j w_j²

with weighted norms.  Folds and strengths are solved together, outputs one after the other in one
program, so that output i gets what a scalar run on it would get.  Strengths are data: new ones
compile nothing.  What depends on values is reported in ``info``; only shapes raise.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.regression.conjugate_gradients import TINY, Info
from spexjax.regression.lasso_path import BLOCK, Path, Problem, solve_path
from spexjax.regression.least_squares import Design, matmul, prepare
from spexjax.regression.refinement import solve_refined, solve_strengths
from spexjax.typing import Array, ArrayLike, Key

GRAM_LIMIT = 4096
# Ridge strengths per unit of the mean squared length of a centred column.
RIDGE_GRID = (-3.75, 4.0, 32)


class Fit(NamedTuple):
    """A linear function.

    Attributes:
      coefficients: float32 (S,) or (S, K).
      intercept: float32 () or (K,).
      info: () or (K,); its gap was measured on X itself, not on a Gram.
    """

    coefficients: Array
    intercept: Array
    info: Info

    def predict(self, X: Float[ArrayLike, "N S"]) -> Array:
        """X w + c, float32 (N,) or (N, K)."""
        return matmul(jnp.asarray(X, jnp.float32), self.coefficients) + self.intercept


class CVFit(NamedTuple):
    """A linear function whose strength was chosen by cross-validation; K last, if there is one.

    Attributes:
      coefficients, intercept, info: as in :class:`Fit`, fitted to all rows.
      strength: float32 (): the one with the smallest error, the largest of them in a tie.
      strengths: float32 (A,), falling.
      errors: float32 (A,), ``fold_errors`` averaged over the folds.
      fold_errors: float32 (A, F), the mean squared error on each fold of the fit to the others.
      path: (A,), :class:`Info` of the worst fold at each strength.
    """

    coefficients: Array
    intercept: Array
    strength: Array
    strengths: Array
    errors: Array
    fold_errors: Array
    info: Info
    path: Info

    def predict(self, X: Float[ArrayLike, "N S"]) -> Array:
        """X w + c, float32 (N,) or (N, K)."""
        return matmul(jnp.asarray(X, jnp.float32), self.coefficients) + self.intercept


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
    A, b, row_weights, keep, use_gram = _checked(X, y, weights, valid, use_gram)
    design = prepare(A, row_weights, keep, 0, None, use_gram)
    per_output = _per_output(strength, b, "strength", 0)

    def one(y, strength):
        y, level, spread = design.standardise(y)
        grid = strength / spread * _zero_from(design, y, strength / spread)
        path = _lasso(design, y, grid, tol, 1e-2, max_iter)
        coefficients, offset = design.restore(path.w * spread, level)
        return Fit(coefficients, offset, path.info)

    return _each_output(one, b, per_output)


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
    A, b, row_weights, keep, use_gram = _checked(X, y, weights, valid, use_gram, folds)
    design = prepare(A, row_weights, keep, folds, key, use_gram)
    given = () if strengths is None else (_per_output(strengths, b, "strengths", 1),)

    def one(y, strengths=None):
        y, level, spread = design.standardise(y)
        if strengths is None:
            grid = design.vanishing(y) * eps ** jnp.linspace(0.0, 1.0, n_strengths)
        else:
            grid = jnp.sort(strengths, descending=True) / spread
        path = _lasso(design, y, grid, tol, path_tol, max_iter)
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

    return _each_output(one, b, *given)


@partial(jax.jit, static_argnames="use_gram")
def ridge(
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
    """Ridge regression at one strength: ‖y − Xw − c‖² + strength Σ_j w_j².

    Arguments, result and errors as in :func:`lasso`; ``max_iter`` bounds each round
    of conjugate gradients.
    """
    A, b, row_weights, keep, use_gram = _checked(X, y, weights, valid, use_gram)
    design = prepare(A, row_weights, keep, 0, None, use_gram)
    per_output = _per_output(strength, b, "strength", 0)

    def one(y, strength):
        y, level, spread = design.standardise(y)
        w, info = solve_refined(design, y, strength, tol=tol, max_iter=max_iter)
        return Fit(*design.restore(w * spread, level), info)

    return _each_output(one, b, per_output)


@partial(jax.jit, static_argnames=("folds", "use_gram"))
def ridge_cv(
    X: Float[ArrayLike, "N S"],
    y: Float[ArrayLike, "N"] | Float[ArrayLike, "N K"],
    strengths: Float[ArrayLike, "A"] | Float[ArrayLike, "A K"] | None = None,
    *,
    folds: int = 5,
    key: Key | None = None,
    weights: Float[ArrayLike, "N"] | None = None,
    valid: Bool[ArrayLike, "S"] | None = None,
    tol: Float[ArrayLike, ""] | float = 1e-5,
    path_tol: Float[ArrayLike, ""] | float = 1e-6,
    max_iter: int = 1000,
    use_gram: bool | None = None,
) -> CVFit:
    """Ridge regression at the strength with the smallest mean squared error on held-out folds.

    Args:
      X, y, weights, valid, tol, max_iter, use_gram: as in :func:`ridge`.
      strengths: the strengths to try, > 0, in any order; if not given 32 of them, four per
        decade from 10⁴ down, times the mean squared length of a centred column.
      folds, key: as in :func:`lasso_cv`.
      path_tol: as ``tol``, for the fits to the folds.

    Returns:
      :class:`CVFit`.

    Raises:
      ValueError: if the shapes do not fit together, or folds < 2 or > N.
    """
    A, b, row_weights, keep, use_gram = _checked(X, y, weights, valid, use_gram, folds)
    design = prepare(A, row_weights, keep, folds, key, use_gram)
    if strengths is None:
        count = jnp.maximum(jnp.sum(design.mask, dtype=jnp.float32), 1.0)
        power = jnp.sum(jnp.where(design.mask, design.scale**2, 0.0)) / count
        low, high, steps = RIDGE_GRID
        strengths = design.total[-1] * power * 10.0 ** jnp.linspace(low, high, steps)
    per_output = _per_output(strengths, b, "strengths", 1)

    def one(y, strengths):
        y, level, spread = design.standardise(y)
        strengths = jnp.sort(strengths, descending=True)
        w, info = solve_strengths(design, y, strengths, tol=path_tol, max_iter=max_iter)
        residual = design.lanes.residual(y, w)[:-1]
        fold_errors = jnp.einsum("fan,fn->af", residual**2, design.held_out)
        errors = design.mean_error(fold_errors)
        strength = strengths[jnp.argmin(errors)]
        w, final = solve_refined(design, y, strength, tol=tol, max_iter=max_iter)
        coefficients, offset = design.restore(w * spread, level)
        return CVFit(
            coefficients=coefficients,
            intercept=offset,
            strength=strength,
            strengths=strengths,
            errors=errors * spread**2,
            fold_errors=fold_errors * spread**2,
            info=final,
            path=Info(info.iterations.max(0), info.converged.all(0), info.gap.max(0)),
        )

    return _each_output(one, b, per_output)


def _lasso(design: Design, y: Array, grid: Array, tol, path_tol, max_iter: int) -> Path:
    """The path in the standardised coordinates, in which column j is penalised by 1 / scale_j."""
    problem = Problem(design.lanes, y, 1 / design.scale, design.mask, design.held_out)
    return solve_path(problem, grid, tol=tol, path_tol=path_tol, max_iter=max_iter)


def _zero_from(design: Design, y: Array, strength: Array) -> Array:
    """A block of factors that falls to 1 from where every coefficient is 0."""
    ratio = jnp.maximum(design.vanishing(y) / jnp.maximum(strength, TINY), 1.0)
    return ratio ** jnp.linspace(1.0, 0.0, BLOCK)


def _checked(
    X: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None,
    valid: ArrayLike | None,
    use_gram: bool | None,
    folds: int | None = None,
) -> tuple[Array, Array, Array, Array, bool]:
    """The arrays in float32, after their shapes have been found to fit together."""
    if jnp.ndim(X) != 2:
        raise ValueError(f"X must have shape (N, S), got {jnp.shape(X)}.")
    N, S = jnp.shape(X)
    if N < 1 or S < 1:
        raise ValueError(f"X must have at least one row and one column, got {(N, S)}.")
    if jnp.ndim(y) not in (1, 2) or jnp.shape(y)[0] != N:
        raise ValueError(f"y must have shape ({N},) or ({N}, K) as X has, got {jnp.shape(y)}.")
    for name, x, size in (("weights", weights, N), ("valid", valid, S)):
        if x is not None and jnp.shape(x) != (size,):
            raise ValueError(f"{name} must have shape ({size},) as X has, got {jnp.shape(x)}.")
    if folds is not None and not 2 <= folds <= N:
        raise ValueError(f"folds must be between 2 and the {N} rows of X, got {folds}.")
    if use_gram is None:
        use_gram = S <= GRAM_LIMIT and S <= 2 * N
    return (
        jnp.asarray(X, jnp.float32),
        jnp.asarray(y, jnp.float32),
        jnp.asarray(1.0 if weights is None else weights, jnp.float32) * jnp.ones(N),
        jnp.asarray(True if valid is None else valid, bool) & jnp.ones(S, bool),
        use_gram,
    )


def _per_output(strengths: ArrayLike | float, y: Array, name: str, ndim: int) -> Array:
    """Strengths as float32 with the outputs, if any, last."""
    x = jnp.asarray(strengths, jnp.float32)
    outputs = y.shape[1:]
    if x.ndim not in (ndim, ndim + len(outputs)) or (x.ndim > ndim and x.shape[-1:] != outputs):
        shapes = ("()", "(A,)")[ndim], ("(K,)", "(A, K)")[ndim]
        wanted = f"{shapes[0]} or {shapes[1]} with K = {outputs[0]}" if outputs else shapes[0]
        raise ValueError(f"{name} must have shape {wanted}, got {x.shape}.")
    if ndim and x.shape[0] < 1:
        raise ValueError(f"{name} must hold at least one strength, got shape {x.shape}.")
    return jnp.broadcast_to(x[..., None], (*x.shape, *outputs)) if x.ndim == ndim and outputs else x


def _each_output(fit: Callable[..., Any], y: Array, *arguments: Array) -> Any:
    """``fit`` on each output in turn (all lanes of a vmap would run as long as the slowest)."""
    if y.ndim == 1:
        return fit(y, *arguments)
    columns = [jnp.moveaxis(x, -1, 0) for x in (y, *arguments)]
    fits = jax.lax.map(lambda x: fit(*x), tuple(columns))
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), fits)
