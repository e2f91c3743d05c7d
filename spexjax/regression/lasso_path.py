"""The L1 path of least squares in several training sets at once, solved on small working sets.

Most coefficients are zero along most of the path, so a solve sees only the Gram of the columns
whose correlation with the residual comes near the strength: guess, solve, check the optimality
conditions on all columns, add those that violate them (Tibshirani et al. 2012, section 7).  A
block of strengths shares the working set and the check, and is solved as one batch.

The check goes through the rows of X, not through the Gram, and each solve starts from the slope
that the last check found (iterative refinement).  So the rounding of a float32 Gram, which grows
with the square of the condition of X, costs iterations but no accuracy.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.regression.conjugate_gradients import Info, Matvec, lipschitz
from spexjax.regression.fista import lasso_solve
from spexjax.regression.least_squares import Lanes, apply
from spexjax.regression.proximal import violation
from spexjax.regression.scaling import divisor
from spexjax.typing import Array

# Speed only, measured by ``python -m spexjax.experiments regression``: strengths solved as
# one batch, and the sizes of working sets.  A block whose check still fails after ROUNDS says so
# in its Info.
BLOCK = 8
ROUNDS = 6
SIZES = (512, 1024, 2048)


class Problem(NamedTuple):
    """An L1 problem on :class:`Lanes`.

    Attributes:
      lanes: the design; the solution of the last lane is the one wanted.
      y: float32 (N,).
      penalty: float32 (S,), > 0, the weight of each coordinate in the penalty.
      mask: bool (S,), True where a coefficient may differ from 0.
      held_out: float32 (F, N): the weights, of sum 1, of the rows that lane i < F does not train
        on; all 0 if there are none.
    """

    lanes: Lanes
    y: Float[Array, "N"]
    penalty: Float[Array, "S"]
    mask: Bool[Array, "S"]
    held_out: Float[Array, "F N"]


class Path(NamedTuple):
    """What is kept of a path.

    Attributes:
      w: float32 (S,), the last lane's solution at the strength with the smallest mean error.
      strength: float32, that strength.
      fold_errors: float32 (A, F), the mean squared error of lane i on its held-out rows.
      info: scalar, about ``w``; its gap was found through the rows.
      path: (A,), the worst lane at each strength.
    """

    w: Float[Array, "S"]
    strength: Float[Array, ""]
    fold_errors: Float[Array, "A F"]
    info: Info
    path: Info


class _Block(NamedTuple):
    """Solutions w (L, B, S) of a block, where to go on from, and what the last check found."""

    w: Array
    start: Array
    slope: Array
    errors: Array
    gap: Array
    iterations: Array
    rounds: Array


def solve_block(
    problem: Problem,
    strengths: Float[Array, "B"],
    goal: Float[Array, "L B"],
    curvature: Float[Array, "L"],
    w: Float[Array, "L S"],
    slope: Float[Array, "L S"],
    start: Float[Array, "L B S"],
    max_iter: int,
) -> _Block:
    """Solves every lane at every strength until no violation exceeds ``goal``.

    Args:
      goal: the largest violation allowed, in the units of the slope.
      curvature: float32 (L,), the largest eigenvalue of each lane's Gram.
      w, slope: a point and its slope, found through the rows.
      start: where to start, nonzero only where w is.
    """
    lanes, y, penalty, mask, held_out = problem
    L, S = w.shape
    F, B = held_out.shape[0], strengths.shape[0]
    levels = strengths[:, None] * penalty
    sizes = [m for m in SIZES if 3 * m < 2 * S]

    def solve(index, state: _Block, size: int):
        if size < S:
            index = index[:, :size]
            product: Matvec = partial(apply, lanes.sub_gram(index))
        else:
            product = lanes.product

        def pick(x):
            x = jnp.broadcast_to(x, (L, *x.shape[-2:]))
            return x if size == S else jnp.take_along_axis(x, index[:, None], axis=-1)

        keep = pick(mask[None])
        rhs = jnp.where(keep, pick(state.slope) + product(pick(state.w)), 0.0)
        height = divisor(jnp.max(jnp.abs(rhs), axis=-1))
        w, info = lasso_solve(
            product,
            rhs,
            strengths,
            curvature[:, None],
            penalty=pick(penalty[None]),
            mask=keep,
            w0=pick(state.start),
            tol=0.5 * goal / height,
            max_iter=max_iter,
        )
        if size < S:
            rows = jnp.arange(L, dtype=jnp.int32)[:, None]
            w = jnp.zeros((L, S, B), jnp.float32).at[rows, index].set(jnp.moveaxis(w, 1, 2))
            w = jnp.moveaxis(w, 1, 2)
        return w, info.iterations

    def unfinished(state: _Block):
        return (state.rounds < ROUNDS) & jnp.any(state.gap > goal)

    def one_round(state: _Block) -> _Block:
        ratio = jnp.abs(state.slope) / levels
        # At first only a guess is possible: what comes near the largest strength of the block.
        first = jnp.abs(state.slope) / levels[:1] > 0.9
        near = jnp.where(state.rounds == 0, first, ratio > 0.999)
        wanted = jnp.any((state.w != 0) | near, axis=1) & mask
        # Those wanted come first: no ratio of a slope to its level that matters is near 1e6.
        score = jnp.max(ratio, axis=1) + jnp.where(wanted, 1e6, 0.0)
        index = jnp.argsort(jnp.where(mask, -score, 1.0), axis=-1).astype(jnp.int32)
        count = jnp.max(jnp.sum(wanted, axis=-1, dtype=jnp.int32))
        choice = jnp.sum(count > jnp.asarray(sizes, jnp.int32), dtype=jnp.int32)
        branches = [partial(solve, size=m) for m in (*sizes, S)]
        new, iterations = jax.lax.switch(choice, branches, index, state)
        residual = lanes.residual(y, new)
        slope = jnp.where(mask, lanes.slope(residual), 0.0)
        return _Block(
            w=new,
            start=new,
            slope=slope,
            errors=jnp.einsum("fbn,fn->bf", residual[:F] ** 2, held_out, precision="highest"),
            gap=jnp.max(violation(new, slope, levels), axis=-1),
            iterations=state.iterations + iterations,
            rounds=state.rounds + 1,
        )

    init = _Block(
        w=jnp.broadcast_to(w[:, None], (L, B, S)),
        start=start,
        slope=jnp.broadcast_to(slope[:, None], (L, B, S)),
        errors=jnp.zeros((B, F), jnp.float32),
        gap=jnp.full((L, B), jnp.inf, jnp.float32),
        iterations=jnp.zeros((L, B), jnp.int32),
        rounds=jnp.int32(0),
    )
    return jax.lax.while_loop(unfinished, one_round, init)


class _Point(NamedTuple):
    """A point of the path in all lanes."""

    strength: Array
    w: Array
    slope: Array
    error: Array


def solve_path(
    problem: Problem,
    strengths: Float[Array, "A"],
    *,
    tol: Float[Array, ""] | float,
    path_tol: Float[Array, ""] | float,
    max_iter: int,
) -> Path:
    """Solves the path in all lanes, and then the last lane again, closely, where it is best.

    Best is the strength with the smallest mean error of the lanes that hold rows out; without any
    (F = 0) it is the last strength.

    Args:
      strengths: float32 (A,), falling.
      tol: the largest violation of the optimality conditions by the solution returned, in units
        of the largest slope at w = 0.
      path_tol: the same along the path, in units of that slope times strength / (the smallest
        strength at which all coefficients are 0), but not below 1e-6, the reach of float32.
      max_iter: products with the Gram at most, per round of a block.
    """
    lanes, y, penalty, mask, held_out = problem
    L, S, F, A = lanes.share.shape[0], lanes.X.shape[1], held_out.shape[0], strengths.shape[0]
    blocks = -(-A // BLOCK)
    last_one = jnp.broadcast_to(strengths[-1], (blocks * BLOCK - A,))
    strengths = jnp.concatenate([strengths, last_one]).reshape(blocks, BLOCK)

    zero = jnp.zeros((L, S), jnp.float32)
    slope = lanes.slope(lanes.residual(y, zero[:, None]))[:, 0]
    slope = jnp.where(mask, slope, 0.0)
    scale = divisor(jnp.max(jnp.abs(slope), axis=-1))
    largest = divisor(jnp.max(jnp.abs(slope[-1]) / penalty))
    tol, path_tol = jnp.asarray(tol, jnp.float32), jnp.asarray(path_tol, jnp.float32)
    curvature = lipschitz(lambda w: lanes.product(w[:, None])[:, 0], zero, mask=mask)
    loose = jnp.maximum(path_tol * jnp.minimum(strengths / largest, 1.0), 1e-6)

    def step(carry, i):
        point, before, best = carry
        last = i == blocks
        point = _pick(last, best, point)
        at = jnp.minimum(i, blocks - 1)
        block = jnp.where(last, best.strength, strengths[at])
        close = jnp.where(jnp.arange(L, dtype=jnp.int32) == L - 1, tol, jnp.inf)[:, None]
        goal = jnp.where(last, close, loose[at]) * scale[:, None]
        line = jax.vmap(extrapolate, (None, None, 0, None, None), 1)
        start = line(point.w, before.w, block, point.strength, before.strength)
        done = solve_block(problem, block, goal, curvature, point.w, point.slope, start, max_iter)
        if F:
            error = jnp.sum(done.errors, axis=-1)
        else:
            error = -(BLOCK * i + jnp.arange(BLOCK, dtype=jnp.int32)).astype(jnp.float32)
        ends = [
            _Point(block[k], done.w[:, k], done.slope[:, k], error[k])
            for k in (-2, -1, jnp.where(last, 0, jnp.argmin(error)))
        ]
        best = _pick(last | (ends[2].error < best.error), ends[2], best)
        met = jnp.all(done.gap <= goal, axis=0)
        kept = (done.errors, done.iterations, met, done.gap / scale[:, None])
        return (ends[1], ends[0], best), kept

    point = _Point(strengths[0, 0], zero, slope, jnp.float32(jnp.inf))
    (_, _, best), kept = jax.lax.scan(
        step, (point, point, point), jnp.arange(blocks + 1, dtype=jnp.int32)
    )
    errors, iterations, met, gap = kept
    final = Info(iterations[-1, -1, 0], gap[-1, -1, 0] <= tol, gap[-1, -1, 0])

    def flat(x):
        return x[:-1].reshape(blocks * BLOCK, *x.shape[2:])[:A]

    path = Info(flat(iterations.max(1)), flat(met), flat(gap.max(1)))
    return Path(best.w[-1], best.strength, flat(errors), final, path)


def extrapolate(
    w: Float[Array, "L S"],
    before: Float[Array, "L S"],
    new: Float[Array, ""],
    strength: Float[Array, ""],
    strength_before: Float[Array, ""],
) -> Float[Array, "L S"]:
    """The line through two points of the path, at ``new``; 0 where it changes sign.

    Between two kinks the path is exactly that line (Efron et al. 2004).
    """
    gone = strength_before - strength
    ratio = jnp.where(gone > 0, (strength - new) / jnp.where(gone > 0, gone, 1.0), 0.0)
    line = w + ratio * (w - before)
    return jnp.where(line * w > 0, line, 0.0)


def _pick(condition, x, y):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), x, y)
