"""Ridge regression that sees the design only through w ↦ G w: conjugate gradients in lanes.

``G`` is a symmetric positive semi-definite operator, one per *lane*.  Lanes are the leading axes
of every array (folds, strengths, outputs); each has its own strength and its own stopping test
inside one loop, and stands still once it has passed.  Neither the design nor ``G`` need exist as
an array.  Products should be asked for in full float32 (``precision="highest"``), or a GPU
rounds them to ten bits.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.regression.scaling import divisor, unit
from spexjax.typing import Array, ArrayLike

Matvec = Callable[[Array], Array]


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
    max_iter: Int[ArrayLike, ""] | int = 1000,
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
      w, float32 (*lanes, S), and :class:`Info` over the lanes.  A lane whose G has no solution
      stops where it finds out, not converged.

    Raises:
      AssertionError: if the shapes do not fit together, or ``matvec`` changes shape or dtype.
    """
    rhs, strength, penalty, mask, start, tol = broadcast(rhs, strength, penalty, mask, w0, tol)
    # In units of rhs, since its squares might not be representable.
    size = unit(jnp.max(jnp.abs(rhs), axis=-1, initial=0.0))[..., None]
    rhs, start = rhs / size, start / size
    damping = strength[..., None] * penalty
    scale = divisor(jnp.max(jnp.abs(rhs), axis=-1, initial=0.0))
    inverse = jnp.ones_like(rhs)
    if diagonal is not None:
        chex.assert_is_broadcastable(jnp.shape(diagonal), rhs.shape)
        inverse = 1 / divisor(jnp.asarray(diagonal, jnp.float32) + damping)

    def product(w):
        return jnp.where(mask, checked(matvec, w) + damping * w, 0.0)

    def gap(r):
        return jnp.max(jnp.abs(r), axis=-1, initial=0.0) / scale

    def running(s):
        *_, r, rz, iterations = s
        return (gap(r) > tol) & (rz > 0) & (iterations < max_iter)

    def body(s):
        w, p, r, rz, iterations = s
        go = running(s)
        Ap = product(p)
        curvature = inner(p, Ap)
        solvable = curvature > 0
        length = jnp.where(go & solvable, rz / divisor(curvature), 0.0)[..., None]
        w, r = w + length * p, r - length * Ap
        z = inverse * r
        rz_new = jnp.where(solvable, inner(r, z), 0.0)
        p = jnp.where(go[..., None], z + (rz_new / divisor(rz))[..., None] * p, p)
        return w, p, r, jnp.where(go, rz_new, rz), iterations + go.astype(jnp.int32)

    r = rhs - product(start)
    z = inverse * r
    init = (start, z, r, inner(r, z), jnp.zeros(scale.shape, jnp.int32))
    w, _, r, _, iterations = jax.lax.while_loop(lambda s: jnp.any(running(s)), body, init)
    return w * size, Info(iterations, gap(r) <= tol, gap(rhs - product(w)))


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

    Raises:
      AssertionError: if ``mask`` does not fit ``like``, or ``matvec`` changes shape or dtype.
    """
    shape = jnp.shape(like)
    chex.assert_is_broadcastable(jnp.shape(True if mask is None else mask), shape)
    keep = jnp.broadcast_to(jnp.asarray(True if mask is None else mask, bool), shape)
    start = jnp.cos(1 + 2.4 * jnp.arange(shape[-1], dtype=jnp.float32) ** 1.5)

    def body(_, state):
        v, _ = state
        u = jnp.where(keep, checked(matvec, v), 0.0)
        size = unit(jnp.max(jnp.abs(u), axis=-1, initial=0.0))
        u = u / size[..., None]
        norm = jnp.sqrt(inner(u, u))
        return u / divisor(norm)[..., None], norm * size

    v = jnp.where(keep, start, 0.0)
    v = v / divisor(jnp.sqrt(inner(v, v)))[..., None]
    nought = jnp.zeros(shape[:-1], jnp.float32)
    return 1.02 * jax.lax.fori_loop(0, iterations, body, (v, nought))[1]


def inner(x: Float[Array, "*lanes S"], y: Float[Array, "*lanes S"]) -> Float[Array, "*lanes"]:
    """xᵀy per lane."""
    return jnp.sum(x * y, axis=-1)


def checked(matvec: Matvec, w: Float[Array, "*lanes S"]) -> Float[Array, "*lanes S"]:
    """matvec(w), asserted to be float32 and of the shape of w: another would be broadcast."""
    image = matvec(w)
    chex.assert_shape(image, w.shape)
    chex.assert_type(image, jnp.float32)
    return image


def broadcast(
    rhs: ArrayLike,
    strength: ArrayLike | float,
    penalty: ArrayLike | float | None,
    mask: ArrayLike | bool | None,
    w0: ArrayLike | float | None,
    tol: ArrayLike | float,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Everything float32 and of the shape of ``rhs`` or of its lanes; zeros outside the mask.

    Lanes without a right-hand side start at their solution, 0.

    Raises:
      AssertionError: if something cannot be broadcast.
    """
    rhs = jnp.asarray(rhs, jnp.float32)
    if rhs.ndim < 1:
        raise ValueError("rhs must have shape (*lanes, S), got ().")
    for x, shape in (
        (strength, rhs.shape[:-1]),
        (tol, rhs.shape[:-1]),
        (penalty, rhs.shape),
        (mask, rhs.shape),
        (w0, rhs.shape),
    ):
        chex.assert_is_broadcastable(jnp.shape(0.0 if x is None else x), shape)
    keep = jnp.broadcast_to(jnp.asarray(True if mask is None else mask, bool), rhs.shape)
    rhs = jnp.where(keep, rhs, 0.0)
    moved = keep & jnp.any(rhs != 0, axis=-1, keepdims=True)

    def full(x: ArrayLike | float | None, shape: tuple[int, ...], default: float = 0.0) -> Array:
        x = jnp.asarray(default if x is None else x, jnp.float32)
        return jnp.broadcast_to(x, shape)

    return (
        rhs,
        full(strength, rhs.shape[:-1]),
        full(penalty, rhs.shape, 1.0),
        keep,
        jnp.where(moved, full(w0, rhs.shape), 0.0),
        full(tol, rhs.shape[:-1]),
    )
