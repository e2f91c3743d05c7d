"""Ridge regression that sees the design only through w ↦ G w: conjugate gradients in lanes.

``G`` is a symmetric positive semi-definite operator, one per *lane*.  Lanes are the leading axes
of every array (folds, strengths, outputs); each has its own strength and its own stopping test
inside one loop, and stands still once it has passed.  Neither the design nor ``G`` need exist as
an array.  Products should be asked for in full float32 (``precision="highest"``), or a GPU
rounds them to ten bits.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.typing import Array, ArrayLike

Matvec = Callable[[Array], Array]
TINY = 1e-30


class Info(NamedTuple):
    """How an iterative solve ended, per lane.

    Attributes:
      iterations: int32 (*lanes), products with G until the lane passed its test or gave up.
      converged: bool (*lanes), whether it passed.
      gap: float32 (*lanes), the largest violation of the optimality conditions over the
        coordinates at the returned point, in units of max_j |rhs_j| of the lane.
    """

    iterations: Int[Array, "..."]
    converged: Bool[Array, "..."]
    gap: Float[Array, "..."]


def ridge_solve(
    matvec: Matvec,
    rhs: Float[ArrayLike, "*lanes S"],
    strength: Float[ArrayLike, "*#lanes"],
    *,
    penalty: Float[ArrayLike, "*#lanes #S"] | None = None,
    mask: Bool[ArrayLike, "*#lanes #S"] | None = None,
    diagonal: Float[ArrayLike, "*#lanes #S"] | None = None,
    w0: Float[ArrayLike, "*#lanes S"] | None = None,
    tol: Float[ArrayLike, "*#lanes"] | float = 1e-6,
    max_iter: int = 1000,
) -> tuple[Float[Array, "*lanes S"], Info]:
    """Minimises ½ wᵀG w − rhsᵀw + ½ strength Σ_j penalty_j w_j² by conjugate gradients.

    Hestenes, Stiefel 1952, eq. 3:1, with a diagonal preconditioner if ``diagonal`` is given.

    Args:
      matvec: w ↦ G w, float32 (*lanes, S) to (*lanes, S).
      rhs: float32 (*lanes, S), usually Xᵀy; its shape says what the lanes are.
      strength: float32, broadcast against the lanes, ≥ 0.
      penalty: float32, weight of each coordinate in the penalty, ≥ 0, broadcast against ``rhs``;
        all 1 if not given.  0 leaves a coordinate unpenalised.
      mask: bool, True where w_j may differ from 0, broadcast against ``rhs``; all if not given.
      diagonal: float32, the diagonal of G, broadcast against ``rhs``; worth having when columns
        differ in scale.
      w0: float32, where to start, broadcast against ``rhs``; zeros if not given.
      tol: a lane stops at max_j |rhs − G w − strength·penalty·w|_j ≤ tol · max_j |rhs_j|, the
        left side from the recurrence; ``Info.gap`` recomputes it and shows what float32 left.
      max_iter: products with G at most.

    Returns:
      w, float32 (*lanes, S), and :class:`Info` over the lanes.
    """
    rhs, strength, penalty, mask, start, tol = broadcast(rhs, strength, penalty, mask, w0, tol)
    damping = strength[..., None] * penalty
    scale = jnp.max(jnp.abs(rhs), axis=-1, initial=TINY)
    inverse = jnp.ones_like(rhs)
    if diagonal is not None:
        inverse = 1 / jnp.maximum(jnp.asarray(diagonal, jnp.float32) + damping, TINY)

    def product(w):
        return jnp.where(mask, matvec(w) + damping * w, 0.0)

    def gap(r):
        return jnp.max(jnp.abs(r), axis=-1, initial=0.0) / scale

    def running(s):
        *_, r, rz, iterations = s
        return (gap(r) > tol) & (rz > 0) & (iterations < max_iter)

    def body(s):
        w, p, r, rz, iterations = s
        go = running(s)
        Ap = product(p)
        length = jnp.where(go, rz / jnp.maximum(inner(p, Ap), TINY), 0.0)[..., None]
        w, r = w + length * p, r - length * Ap
        z = inverse * r
        rz_new = inner(r, z)
        p = jnp.where(go[..., None], z + (rz_new / jnp.maximum(rz, TINY))[..., None] * p, p)
        return w, p, r, jnp.where(go, rz_new, rz), iterations + go.astype(jnp.int32)

    r = rhs - product(start)
    z = inverse * r
    init = (start, z, r, inner(r, z), jnp.zeros(scale.shape, jnp.int32))
    w, _, r, _, iterations = jax.lax.while_loop(lambda s: jnp.any(running(s)), body, init)
    return w, Info(iterations, gap(r) <= tol, gap(rhs - product(w)))


def lipschitz(
    matvec: Matvec,
    like: Float[ArrayLike, "*lanes S"],
    *,
    mask: Bool[ArrayLike, "*#lanes #S"] | None = None,
    iterations: int = 12,
) -> Float[Array, "*lanes"]:
    """Estimates the largest eigenvalue of G per lane by power iteration from a fixed vector.

    Args:
      matvec, mask: as in :func:`ridge_solve`.
      like: an array of the shape (*lanes, S); its values are not used.
      iterations: products with G.

    Returns:
      float32 (*lanes): the last ratio of norms, never above the eigenvalue, plus 2 %.
    """
    shape = jnp.shape(like)
    keep = jnp.broadcast_to(jnp.asarray(True if mask is None else mask, bool), shape)
    start = jnp.cos(1 + 2.4 * jnp.arange(shape[-1], dtype=jnp.float32) ** 1.5)

    def body(_, state):
        v, _ = state
        u = jnp.where(keep, matvec(v), 0.0)
        size = jnp.sqrt(inner(u, u))
        return u / jnp.maximum(size, TINY)[..., None], size

    v = jnp.where(keep, start, 0.0)
    v = v / jnp.maximum(jnp.sqrt(inner(v, v)), TINY)[..., None]
    return 1.02 * jax.lax.fori_loop(0, iterations, body, (v, jnp.zeros(shape[:-1])))[1]


def inner(x: Float[Array, "*lanes S"], y: Float[Array, "*lanes S"]) -> Float[Array, "*lanes"]:
    """xᵀy per lane."""
    return jnp.sum(x * y, axis=-1)


def broadcast(
    rhs: ArrayLike,
    strength: ArrayLike | float,
    penalty: ArrayLike | float | None,
    mask: ArrayLike | bool | None,
    w0: ArrayLike | float | None,
    tol: ArrayLike | float,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Everything float32 and of the shape of ``rhs`` or of its lanes; zeros outside the mask."""
    rhs = jnp.asarray(rhs, jnp.float32)
    keep = jnp.broadcast_to(jnp.asarray(True if mask is None else mask, bool), rhs.shape)

    def full(x: ArrayLike | float | None, shape: tuple[int, ...], default: float = 0.0) -> Array:
        x = jnp.asarray(default if x is None else x, jnp.float32)
        return jnp.broadcast_to(x, shape)

    return (
        jnp.where(keep, rhs, 0.0),
        full(strength, rhs.shape[:-1]),
        full(penalty, rhs.shape, 1.0),
        keep,
        jnp.where(keep, full(w0, rhs.shape), 0.0),
        full(tol, rhs.shape[:-1]),
    )
