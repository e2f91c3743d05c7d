"""Ridge and L1 regression on arrays, cross-validated, for all folds and strengths at once."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.proximal import TINY, Info, ridge_solve
from spexjax.typing import Array, ArrayLike, Key
from spexjax.working_set import Lanes, Problem, matmul as _matmul, solve_path

GRAM_LIMIT = 4096


class Fit(NamedTuple):
    coefficients: Array
    intercept: Array
    info: Info


class CVFit(NamedTuple):
    coefficients: Array
    intercept: Array
    strength: Array
    strengths: Array
    errors: Array
    fold_errors: Array
    info: Info
    path: Info


@partial(jax.jit, static_argnames=("folds", "n_strengths", "max_iter"))
def lasso_cv(X, y, strengths=None, folds=5, *, n_strengths=100, eps=1e-3, weights=None, valid=None, key=None,
             tol=1e-5, path_tol=2e-2, max_iter=500):
    d = _prepare(X, weights, valid, folds, key)
    one = partial(_lasso_one, d, strengths, n_strengths, eps, tol, path_tol, max_iter)
    return one(y)


class _Data(NamedTuple):
    lanes: Lanes
    centre: Array
    scale: Array
    total: Array
    held_out: Array
    weights: Array
    mask: Array


def _lasso_one(d, strengths, n_strengths, eps, tol, path_tol, max_iter, y):
    share = d.lanes.share[-1]
    level = share @ y
    y = y - level
    spread = jnp.sqrt(jnp.maximum(share @ y**2, TINY))
    y = y / spread
    penalty = 1 / d.scale
    if strengths is None:
        c = jnp.abs(d.lanes.slope(d.lanes.residual(y, jnp.zeros((d.lanes.share.shape[0], 1, d.lanes.X.shape[1]))))[-1, 0])
        top = jnp.max(jnp.where(d.mask, c * d.scale, 0.0), initial=1e-15)
        grid = top * eps ** jnp.linspace(0.0, 1.0, n_strengths)
    else:
        grid = -jnp.sort(-strengths) / spread
    p = solve_path(Problem(d.lanes, y, penalty, d.mask, d.held_out), grid, tol=tol, path_tol=path_tol, max_iter=max_iter)
    w = p.w / d.scale
    coefficients = w * spread
    intercept = level - coefficients @ d.centre
    fe = p.fold_errors * spread**2
    filled = jnp.sum(d.held_out, -1) > .5
    e = jnp.sum(jnp.where(filled, fe, 0), -1) / jnp.sum(filled)
    return CVFit(coefficients, intercept, p.strength * spread, grid * spread, e, fe, p.info, p.path)


def _prepare(X, weights, valid, folds, key):
    N, S = X.shape
    weights = jnp.ones(N) if weights is None else weights
    total = jnp.sum(weights)
    part = weights / total
    centre = part @ X
    X = X - centre
    power = part @ X**2
    mask = power > 0
    scale = jnp.where(mask, jnp.sqrt(power), 1.0)
    X = jnp.where(mask, X / scale, 0.0)
    mask = mask if valid is None else mask & valid
    fold, rows = _assign(weights > 0, folds, key)
    member = (fold == jnp.arange(folds)[:, None]) * weights
    inside = jnp.sum(member, -1)
    train = jnp.concatenate([weights - member, weights[None]])
    share = train / jnp.maximum(jnp.sum(train, -1, keepdims=True), TINY)
    held_out = member / jnp.maximum(inside, TINY)[:, None]
    mean = _matmul(share, X)
    v = jnp.where(rows < N, weights[jnp.minimum(rows, N - 1)], 0.0)
    B = X[jnp.minimum(rows, N - 1)]
    G = jnp.einsum("fns,fnt->fst", B * v[..., None], B, precision="highest")
    join = jnp.concatenate([1 - jnp.eye(folds), jnp.ones((1, folds))])
    join = join / jnp.maximum(jnp.sum(train, -1, keepdims=True), TINY)
    gram = _matmul(join, G.reshape(folds, -1)).reshape(-1, S, S) - mean[:, :, None] * mean[:, None]
    return _Data(Lanes(X, share, mean, gram), centre, scale, total, held_out, weights, mask)


def _assign(present, folds, key):
    N = present.shape[0]
    size = -(-N // folds)
    rank = jnp.cumsum(present) - 1
    if key is not None:
        draw = jnp.where(present, jax.random.uniform(key, (N,)), 2.0)
        rank = jnp.argsort(jnp.argsort(draw))
    n = jnp.sum(present)
    q, r = n // folds, n % folds
    big = r * (q + 1)
    fold = jnp.where(rank < big, rank // (q + 1), r + (rank - big) // jnp.maximum(q, 1))
    at = jnp.where(fold <= r, fold * (q + 1), big + (fold - r) * q)
    fold = jnp.where(present, fold, folds)
    rows = jnp.full((folds, size), N).at[fold, rank - at].set(jnp.arange(N), mode="drop")
    return fold, rows
