"""The L1 path of least squares for all folds at once, solved on small working sets.

Most coefficients are zero along most of the path, so each solve sees only the Gram of the columns
whose correlation with the residual comes near the strength (Tibshirani et al. 2012, section 7:
guess, solve, check the optimality conditions on all columns, add what violates them).  Blocks of
strengths share a working set and a check.  The check goes through the rows, not the Gram: its
gradients carry the rounding of X rather than that of XᵀX, and what they find is fed back into
the solve, so a float32 Gram costs iterations but no accuracy.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from spexjax.proximal import TINY, Info, extrapolate, lasso_solve, lipschitz, violation
from spexjax.typing import Array

BLOCK = 5
ROUNDS = 6
SIZES = (512,)


class Lanes(NamedTuple):
    """One design, seen by L training sets (``lanes``) at once.

    Attributes:
      X: float32 (N, S), columns of mean 0 and mean square 1 over all rows (0 where constant).
      share: float32 (L, N), the weight of each row in each lane, of sum 1.
      mean: float32 (L, S), the weighted mean of X in each lane.
      gram: float32 (L, S, S), (X − mean)ᵀ diag(share) (X − mean); None if S is too large for it.
    """

    X: Float[Array, "N S"]
    share: Float[Array, "L N"]
    mean: Float[Array, "L S"]
    gram: Float[Array, "L S S"] | None

    def residual(self, y: Float[Array, "N"], w: Float[Array, "L B S"]) -> Float[Array, "L B N"]:
        """y − Xw on every row, both centred by the lane's training rows."""
        level = self.share @ y
        fit = _matmul(w, self.X.T) - jnp.sum(w * self.mean[:, None], axis=-1, keepdims=True)
        return y - level[:, None, None] - fit

    def slope(self, residual: Float[Array, "L B N"]) -> Float[Array, "L B S"]:
        """The correlation of the lane's centred columns with a residual."""
        r = self.share[:, None] * residual
        return _matmul(r, self.X) - jnp.sum(r, axis=-1, keepdims=True) * self.mean[:, None]

    def product(self, w: Float[Array, "L B S"]) -> Float[Array, "L B S"]:
        """G w for the Gram of each lane, through the rows where there is no ``gram``."""
        if self.gram is not None:
            return _matmul(w, self.gram)
        return self.slope(-self.residual(jnp.zeros(self.X.shape[0]), w))

    def sub_gram(self, index) -> Float[Array, "L M M"]:
        """The Gram of the columns ``index``, int32 (L, M), of each lane."""
        if self.gram is not None:
            return jax.vmap(lambda G, i: G[i][:, i])(self.gram, index)

        def one(share, mean, i):
            columns = self.X[:, i] - mean[i]
            return _matmul((share[:, None] * columns).T, columns)

        return jax.lax.map(lambda a: one(*a), (self.share, self.mean, index))


class Path(NamedTuple):
    """What is kept of a path; see :func:`lasso_path_lanes`."""

    w: Float[Array, "S"]
    strength: Float[Array, ""]
    fold_errors: Float[Array, "A F"]
    info: Info
    path: Info


class _Block(NamedTuple):
    """Solutions of one block of strengths, their slopes, held-out errors and optimality."""

    w: Array
    slope: Array
    errors: Array
    gap: Array
    iterations: Array
    round: Array


class _Carry(NamedTuple):
    """The last two points of the path and the best so far."""

    w: Array
    w_old: Array
    slope: Array
    last: Array
    last_but_one: Array
    best: tuple[Array, Array, Array, Array]


def lasso_path_lanes(
    lanes: Lanes,
    y: Float[Array, "N"],
    strengths: Float[Array, "A"],
    penalty: Float[Array, "S"],
    mask: Array,
    held_out: Float[Array, "F N"],
    *,
    tol: float,
    path_tol: float,
    max_iter: int,
) -> Path:
    """Solves the path in every lane, then once more, to ``tol``, at the best strength.

    The last lane is the one whose solution is wanted; lanes 0 … F − 1 train without fold i, whose
    rows ``held_out`` weighs (rows of sum 1, or 0 for an empty fold).  The best strength has the
    smallest mean held-out error; without folds (F = 0) it is the last strength.

    Args:
      strengths: float32 (A,), falling; A a multiple of ``BLOCK``.
      penalty: float32 (S,), > 0.
      mask: bool (S,), True where a coefficient may differ from 0.
      tol, path_tol: largest violation of the optimality conditions, in units of the largest
        correlation; along the path also in proportion to strength / strengths[0].
    """
    L, S = lanes.share.shape[0], lanes.X.shape[1]
    F, blocks = held_out.shape[0], strengths.shape[0] // BLOCK
    filled = jnp.sum(held_out, axis=-1) > 0.5
    start = jnp.zeros((L, S))
    slope = lanes.slope(lanes.residual(y, start[:, None]))[:, 0] * mask
    scale = jnp.max(jnp.abs(slope), axis=-1, initial=TINY)
    largest = jnp.max(jnp.abs(slope[-1]) / penalty, initial=TINY)
    L_full = lipschitz(lambda w: lanes.product(w[:, None])[:, 0], start, mask=mask)
    sizes = [m for m in SIZES if m < 0.7 * S]

    def solve(state: _Block, carry: _Carry, alphas, goal, index, size):
        """One pass of the inner solver over the block, on ``size`` columns or on all."""
        if size < S:
            index = index[:, :size]
            pick = partial(jnp.take_along_axis, indices=index, axis=-1)
            gram = lanes.sub_gram(index)
            product = partial(_matmul, b=gram)
        else:
            pick, product = (lambda x: x), lanes.product
        pick_all = jax.vmap(pick, in_axes=1, out_axes=0)
        pen, keep = pick(jnp.broadcast_to(penalty, (L, S))), pick(jnp.broadcast_to(mask, (L, S)))
        own = pick_all(state.w)
        rhs = pick_all(state.slope) + jnp.moveaxis(product(jnp.moveaxis(own, 0, 1)), 1, 0)

        def step(inner, item):
            w, w_old, last, last_but_one = inner
            alpha, rhs, own = item
            line = extrapolate(w, w_old, alpha, last, last_but_one)
            w0 = jnp.where((state.round == 0) | (alpha == last), line, own)
            height = jnp.max(jnp.abs(jnp.where(keep, rhs, 0.0)), axis=-1, initial=TINY)
            new, info = lasso_solve(
                lambda w: product(w[:, None])[:, 0], rhs, alpha, L_full, penalty=pen, mask=keep,
                w0=w0, tol=0.5 * goal(alpha) / height, max_iter=max_iter,
            )
            return (new, w, alpha, last), (new, info.iterations)

        inner = (pick(carry.w), pick(carry.w_old), carry.last, carry.last_but_one)
        _, (w, iterations) = jax.lax.scan(step, inner, (alphas, rhs, own))
        w = jnp.moveaxis(w, 0, 1)
        if size < S:
            rows = jnp.arange(L)[:, None]
            w = jnp.zeros((L, BLOCK, S)).at[rows, :, index].set(jnp.moveaxis(w, 1, 2))
        return w, iterations.T

    def block(carry: _Carry, alphas, goal):
        levels = alphas[:, None] * penalty

        def check(w):
            residual = lanes.residual(y, w)
            slope = lanes.slope(residual) * mask
            errors = jnp.einsum("fbn,fn->bf", residual[:F] ** 2, held_out)
            return slope, errors, jnp.max(violation(w, slope, levels), axis=-1)

        def unfinished(state: _Block):
            late = state.gap > jnp.stack([goal(a) for a in alphas], axis=1)
            return (state.round < ROUNDS) & ((state.round == 0) | jnp.any(late))

        def body(state: _Block):
            ratio = jnp.abs(state.slope) / levels
            near = jnp.where(state.round == 0, 0.8, 0.999)
            score = jnp.max(jnp.where(state.w != 0, 2 + ratio, ratio), axis=1)
            wanted = jnp.any((state.w != 0) | (ratio > near), axis=1) & mask
            score = jnp.where(mask, jnp.where(wanted, 1 + score, jnp.minimum(score, 1.0)), -1.0)
            count = jnp.max(jnp.sum(wanted, axis=-1))
            index = jnp.argsort(-score, axis=-1)
            branches = [partial(solve, size=m) for m in (*sizes, S)]
            choice = jnp.searchsorted(jnp.asarray(sizes, jnp.int32), count)
            w, iterations = jax.lax.switch(
                choice, [lambda s, i, b=b: b(s, carry, alphas, goal, i) for b in branches],
                state, index,
            )
            slope, errors, gap = check(w)
            return _Block(w, slope, errors, gap, state.iterations + iterations, state.round + 1)

        wide = lambda x: jnp.broadcast_to(x[:, None], (L, BLOCK, S))
        init = _Block(
            wide(carry.w), wide(carry.slope), jnp.zeros((BLOCK, F)), jnp.full((L, BLOCK), jnp.inf),
            jnp.zeros((L, BLOCK), jnp.int32), jnp.int32(0),
        )
        return jax.lax.while_loop(unfinished, body, init)

    def path_goal(alpha):
        return scale * jnp.maximum(path_tol * jnp.minimum(alpha / largest, 1.0), 1e-6)

    def final_goal(alpha):
        return jnp.where(jnp.arange(L) == L - 1, scale * tol, jnp.inf)

    def along(i, state):
        carry, errors, gaps, iterations = state
        last = i == blocks
        alphas = jax.lax.dynamic_slice(strengths, (jnp.minimum(i, blocks - 1) * BLOCK,), (BLOCK,))
        alphas = jnp.where(last, carry.best[1], alphas)
        goal = lambda a: jnp.where(last, final_goal(a), path_goal(a))
        carry = carry._replace(
            w=jnp.where(last, carry.best[2], carry.w),
            w_old=jnp.where(last, carry.best[2], carry.w_old),
            slope=jnp.where(last, carry.best[3], carry.slope),
            last=jnp.where(last, carry.best[1], carry.last),
        )
        done = block(carry, alphas, goal)
        if F:
            mean = jnp.sum(jnp.where(filled, done.errors, 0.0), axis=-1) / jnp.sum(filled)
        else:
            mean = -jnp.arange(BLOCK, dtype=jnp.float32) - i
        k = jnp.argmin(mean)
        better = (mean[k] < carry.best[0]) & ~last
        found = (mean[k], alphas[k], done.w[:, k], done.slope[:, k])
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), found, carry.best)
        final = jnp.where(last, done.w[:, -1], best[2])
        best = (best[0], best[1], final, best[3])
        carry = _Carry(
            done.w[:, -1], done.w[:, -2], done.slope[:, -1], alphas[-1], alphas[-2], best
        )
        return (
            carry, errors.at[i].set(done.errors), gaps.at[i].set(done.gap),
            iterations.at[i].set(done.iterations),
        )

    inf, zero = jnp.float32(jnp.inf), jnp.float32(0)
    carry = _Carry(start, start, slope, strengths[0], strengths[0], (inf, zero, start, slope))
    carry, errors, gaps, iterations = jax.lax.fori_loop(
        0, blocks + 1, along,
        (
            carry, jnp.zeros((blocks + 1, BLOCK, F)), jnp.zeros((blocks + 1, L, BLOCK)),
            jnp.zeros((blocks + 1, L, BLOCK), jnp.int32),
        ),
    )
    gap = gaps[-1, -1, -1] / scale[-1]
    info = Info(jnp.sum(iterations[-1, -1]), gap <= tol, gap)
    flat = lambda x: jnp.moveaxis(x[:-1], 1, -1).reshape(-1, L)
    gaps, iterations = flat(gaps), flat(iterations)
    reached = jnp.all(gaps <= jax.vmap(path_goal)(strengths), axis=-1)
    path = Info(jnp.max(iterations, axis=-1), reached, jnp.max(gaps / scale, axis=-1))
    return Path(carry.best[2][-1], carry.best[1], errors[:-1].reshape(-1, F), info, path)


def _matmul(a, b):
    return jnp.matmul(a, b, precision="highest")
