"""Ridge regression on arrays, with the strength given or cross-validated.

The loss is scaled as in scikit-learn and the intercept is not penalised:

    ‖y − Xw − c‖² + strength · Σ_j w_j²

with a weighted norm.  Every fold and strength is solved at once by conjugate gradients, then the
strength chosen once more, closely: the float32 Gram perturbs w by about eps · cond(X)², so the
fit that is returned is refined with residuals taken through the rows, where rounding enters as
eps · cond(X), and the Gram only has to turn them into corrections.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.regression.conjugate_gradients import Info, ridge_solve
from spexjax.regression.least_squares import Design, Lanes, matmul, prepare
from spexjax.regression.linear_fit import CVFit, Fit, check_arguments, each_output, per_output
from spexjax.regression.scaling import divisor
from spexjax.typing import Array, ArrayLike, Key

# Decades of the strength per unit of the mean squared length of a centred column, and how many:
# from a fit that is as good as least squares to one that is as good as the mean.
GRID = (-3.75, 4.0, 32)
# Refinement gains three decades a round, so five reach float32 from any start that can.
ROUNDS = 5
ROUND_TOL = 1e-3


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

    Arguments, result and errors as in :func:`spexjax.regression.lasso`; ``max_iter`` bounds each
    round of conjugate gradients.  The deviations of the columns, whose squares weigh the penalty,
    must lie between 1e-18 and 1e18.
    """
    A, b, row_weights, keep, use_gram = check_arguments(X, y, weights, valid, use_gram)
    design = prepare(A, row_weights, keep, 0, None, use_gram)
    strength = per_output(strength, b, "strength", 0)

    def one(y, strength):
        y, level, spread = design.standardise(y)
        w, info = _refined(design, y, strength, tol=tol, max_iter=max_iter)
        return Fit(*design.restore(w * spread, level), info)

    return each_output(one, b, strength)


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
      folds, key: as in :func:`spexjax.regression.lasso_cv`.
      path_tol: as ``tol``, for the fits to the folds.

    Returns:
      :class:`CVFit`.

    Raises:
      ValueError: if the shapes do not fit together, or folds < 2 or > N.
    """
    A, b, row_weights, keep, use_gram = check_arguments(X, y, weights, valid, use_gram, folds)
    design = prepare(A, row_weights, keep, folds, key, use_gram)
    if strengths is None:
        count = jnp.maximum(jnp.sum(design.mask, dtype=jnp.float32), 1.0)
        power = jnp.sum(jnp.where(design.mask, design.scale**2, 0.0)) / count
        low, high, steps = GRID
        strengths = (
            design.total[-1] * power * 10.0 ** jnp.linspace(low, high, steps, dtype=jnp.float32)
        )
    strengths = per_output(strengths, b, "strengths", 1)

    def one(y, strengths):
        y, level, spread = design.standardise(y)
        strengths = jnp.sort(strengths, descending=True)
        w, info = _strengths(design, y, strengths, tol=path_tol, max_iter=max_iter)
        residual = design.lanes.residual(y, w)[:-1]
        fold_errors = jnp.einsum("fan,fn->af", residual**2, design.held_out, precision="highest")
        errors = design.mean_error(fold_errors)
        strength = strengths[jnp.argmin(errors)]
        w, final = _refined(design, y, strength, tol=tol, max_iter=max_iter)
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

    return each_output(one, b, strengths)


def _strengths(
    design: Design,
    y: Float[Array, "N"],
    strengths: Float[Array, "A"],
    *,
    tol: Float[Array, ""] | float,
    max_iter: int,
) -> tuple[Float[Array, "L A S"], Info]:
    """Coefficients of every lane at every strength, in the standardised coordinates."""
    lanes = design.lanes
    L, S, A = lanes.share.shape[0], lanes.X.shape[1], strengths.shape[0]
    rhs = lanes.slope(lanes.residual(y, jnp.zeros((L, 1, S), jnp.float32)))
    return ridge_solve(
        lanes.product,
        jnp.broadcast_to(rhs, (L, A, S)),
        strengths / divisor(design.total)[:, None],
        penalty=design.scale**-2,
        mask=design.mask,
        diagonal=_diagonal(lanes),
        tol=tol,
        max_iter=max_iter,
    )


class _State(NamedTuple):
    """A point, what it leaves of the gradient, and how large that is and was."""

    w: Array
    rest: Array
    size: Array
    before: Array
    rounds: Array
    iterations: Array


def _refined(
    design: Design,
    y: Float[Array, "N"],
    strength: Float[Array, ""],
    *,
    tol: Float[Array, ""] | float,
    max_iter: int,
) -> tuple[Float[Array, "S"], Info]:
    """Ridge on all rows, by iterative refinement (Higham 2002, chapter 12).

    Each round solves for a correction and keeps it if less of the gradient is left; rounds end
    when that no longer halves.
    """
    X, share, mean, gram = design.lanes
    lanes = Lanes(X, share[-1:], mean[-1:], None if gram is None else gram[-1:])
    penalty = design.scale**-2
    strength = strength / divisor(design.total[-1])

    def left(w):
        slope = lanes.slope(lanes.residual(y, w))
        return jnp.where(design.mask, slope - strength * penalty * w, 0.0)

    def unfinished(s: _State):
        return (s.rounds < ROUNDS) & (s.size > 0) & (s.size <= 0.5 * s.before)

    def refine(s: _State) -> _State:
        move, info = ridge_solve(
            lanes.product,
            s.rest,
            strength,
            penalty=penalty,
            mask=design.mask,
            diagonal=_diagonal(lanes),
            tol=ROUND_TOL,
            max_iter=max_iter,
        )
        rest = left(s.w + move)
        better = jnp.max(jnp.abs(rest)) < s.size
        rest = jnp.where(better, rest, s.rest)
        return _State(
            w=jnp.where(better, s.w + move, s.w),
            rest=rest,
            size=jnp.max(jnp.abs(rest)),
            before=s.size,
            rounds=s.rounds + 1,
            iterations=s.iterations + info.iterations[0, 0],
        )

    zero = jnp.zeros((1, 1, X.shape[1]), jnp.float32)
    rest = left(zero)
    size = jnp.max(jnp.abs(rest))
    init = _State(zero, rest, size, jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(0))
    s = jax.lax.while_loop(unfinished, refine, init)
    gap = s.size / divisor(size)
    return s.w[0, 0], Info(s.iterations, gap <= tol, gap)


def _diagonal(lanes: Lanes) -> Float[Array, "L 1 S"]:
    """The diagonal of each lane's Gram."""
    return jnp.maximum(matmul(lanes.share, lanes.X**2) - lanes.mean**2, 0.0)[:, None]
