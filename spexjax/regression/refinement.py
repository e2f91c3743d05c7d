"""Ridge regression on :class:`Lanes`: every fold and strength at once, then one of them closely.

Conjugate gradients run on the float32 Gram, whose rounding perturbs w by about
eps · cond(X)².  The fit that is returned is therefore refined: residuals are taken through the
rows, where rounding enters as eps · cond(X), and the Gram only has to turn them into corrections.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from spexjax.regression.conjugate_gradients import TINY, Info, ridge_solve
from spexjax.regression.least_squares import Design, Lanes, matmul
from spexjax.typing import Array

ROUNDS = 5
ROUND_TOL = 1e-3


def solve_strengths(
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
    rhs = lanes.slope(lanes.residual(y, jnp.zeros((L, 1, S))))
    return ridge_solve(
        lanes.product,
        jnp.broadcast_to(rhs, (L, A, S)),
        strengths / jnp.maximum(design.total, TINY)[:, None],
        penalty=design.scale**-2,
        mask=design.mask,
        diagonal=diagonal(lanes),
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


def solve_refined(
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
    strength = strength / jnp.maximum(design.total[-1], TINY)

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
            diagonal=diagonal(lanes),
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

    zero = jnp.zeros((1, 1, X.shape[1]))
    rest = left(zero)
    scale = jnp.max(jnp.abs(rest), initial=TINY)
    init = _State(zero, rest, scale, jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(0))
    s = jax.lax.while_loop(unfinished, refine, init)
    gap = s.size / scale
    return s.w[0, 0], Info(s.iterations, gap <= tol, gap)


def diagonal(lanes: Lanes) -> Float[Array, "L 1 S"]:
    """The diagonal of each lane's Gram."""
    return jnp.maximum(matmul(lanes.share, lanes.X**2) - lanes.mean**2, 0.0)[:, None]
