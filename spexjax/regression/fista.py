"""L1 regression that sees the design only through w ↦ G w: proximal gradient in lanes.

The conventions, the lanes, ``Info`` and ridge regression are those of
:mod:`spexjax.regression.conjugate_gradients`.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.regression.conjugate_gradients import (
    Info,
    Matvec,
    broadcast,
    checked,
    inner,
    lipschitz,
    ridge_solve,
)
from spexjax.regression.proximal import soft_threshold, violation
from spexjax.regression.scaling import divisor, unit
from spexjax.typing import Array, ArrayLike

__all__ = ["Info", "Matvec", "lasso_solve", "lipschitz", "ridge_solve", "soft_threshold"]

# Speed only: wrong signs on a face after which proximal steps sort them out.
CROSSINGS = 20


class _State(NamedTuple):
    """One lane of :func:`lasso_solve`; ``on_face`` says what the pair (v, Gv) holds.

    Off the face: the point before w and its image.  On it: v is the direction of conjugate
    gradients, and Gv is not used.
    """

    w: Array
    Gw: Array
    v: Array
    Gv: Array
    L: Array
    momentum: Array
    power: Array
    gap: Array
    crossings: Array
    on_face: Array
    iterations: Array


def lasso_solve(
    matvec: Matvec,
    rhs: Float[ArrayLike, "*lanes S"],
    strength: Float[ArrayLike, "*#lanes"],
    lipschitz: Float[ArrayLike, "*#lanes"],
    *,
    penalty: Float[ArrayLike, "*#lanes #S"] | None = None,
    mask: Bool[ArrayLike, "*#lanes #S"] | None = None,
    w0: Float[ArrayLike, "*#lanes S"] | None = None,
    tol: Float[ArrayLike, "*#lanes"] | float = 1e-6,
    max_iter: Int[ArrayLike, ""] | int = 2000,
) -> tuple[Float[Array, "*lanes S"], Info]:
    """Minimises ½ wᵀG w − rhsᵀw + strength Σ_j penalty_j |w_j| by accelerated proximal gradient.

    FISTA (Beck, Teboulle 2009, eq. 4.1–4.3) with the gradient test for restarts (O'Donoghue,
    Candès 2015, eq. 12).  Once an iteration changes no sign, conjugate gradients take over on the
    face of constant signs, as far as its edge.  Proximal steps resume when the coordinates off the
    face violate the optimality conditions more than those on it, or when ``CROSSINGS`` signs
    proved wrong (the proportioning of Dostál 1997, for |·| in place of bounds).  So correlated
    columns cost what conjugate gradients cost on the columns chosen.  Every iteration takes one
    product.  :func:`spexjax.regression.proximal_gradient` reaches the same minimum in plain steps.

    Args:
      matvec, rhs, strength, penalty, mask, w0, max_iter: as in :func:`ridge_solve`.
      lipschitz: float32, broadcast against the lanes: the largest eigenvalue of G, or an estimate
        such as that of :func:`lipschitz`; too small a value is found out and raised.
      tol: a lane stops when no coordinate violates the optimality conditions (rhs − G w)_j =
        strength·penalty_j·sign(w_j), or |rhs − G w|_j ≤ strength·penalty_j where w_j = 0, by more
        than tol · max_j |rhs_j|; broadcast against the lanes.

    Returns:
      w, float32 (*lanes, S), exactly 0 where the penalty says so, and :class:`Info`.

    Raises:
      AssertionError: if the shapes do not fit together, or ``matvec`` changes shape or dtype.
    """
    rhs, strength, penalty, mask, start, tol = broadcast(rhs, strength, penalty, mask, w0, tol)
    lanes = rhs.shape[:-1]
    chex.assert_is_broadcastable(jnp.shape(lipschitz), lanes)
    # In units of rhs and of G, since their squares might not be representable.
    steepness = divisor(jnp.broadcast_to(jnp.asarray(lipschitz, jnp.float32), lanes))
    height, curve = unit(jnp.max(jnp.abs(rhs), axis=-1, initial=0.0)), unit(steepness)
    threshold = (strength / height)[..., None] * penalty
    height, curve = height[..., None], curve[..., None]
    rhs, start = rhs / height, start / height * curve
    bounded = threshold > 0
    scale = divisor(jnp.max(jnp.abs(rhs), axis=-1, initial=0.0))
    rounding = 1e-6 * jnp.sqrt(inner(rhs, rhs))

    def product(w):
        return checked(matvec, w) / curve

    def face_slope(w, Gw):
        """Where the signs of w fix a face (unpenalised coordinates have none), its gradient."""
        free = mask & ((w != 0) | ~bounded)
        return free, jnp.where(free, Gw - rhs + threshold * jnp.sign(w), 0.0)

    def conditions(w, Gw):
        """The gradient on the face, its square, and the worst violation on and off the face."""
        free, slope = face_slope(w, Gw)
        off = jnp.where(mask & ~free, violation(w, rhs - Gw, threshold), 0.0)
        return slope, *_reduce(sums=(slope * slope,), maxima=(jnp.abs(slope), off))

    def running(s: _State):
        return (s.gap > tol) & (s.iterations < max_iter)

    def body(s: _State) -> _State:
        face = s.on_face[..., None]
        faster = 0.5 * (1 + jnp.sqrt(1 + 4 * s.momentum**2))
        beta = ((s.momentum - 1) / faster)[..., None]
        z, Gz = s.w + beta * (s.w - s.v), s.Gw + beta * (s.Gw - s.Gv)
        rate = 1 / s.L[..., None]
        near = soft_threshold(z - rate * (Gz - rhs), threshold * rate)
        near = jnp.where(mask, near, 0.0)

        Gx = product(jnp.where(face, s.v, near))
        d = jnp.where(face, s.v, near - z)
        Gd = jnp.where(face, Gx, Gx - Gz)
        toward = jnp.where(face, face_slope(s.w, s.Gw)[1], near - s.w)
        # The part of w_j that one unit of v takes away; the largest says how near the edge is.
        signed = bounded & (s.w != 0)
        fall = jnp.where(signed, -s.v / jnp.where(signed, s.w, 1.0), 0.0)
        flips = bounded & (jnp.sign(near) != jnp.sign(s.w))
        length, bend, turn, fall, flips = _reduce(
            sums=(d * d, d * Gd, d * toward), maxima=(fall, flips.astype(jnp.float32))
        )

        # Without the rounding of Gx − Gz, L would grow for ever at the float32 floor.
        fits = s.on_face | (bend <= 1.01 * s.L * length + rounding * jnp.sqrt(length))
        full = -turn / divisor(jnp.maximum(bend, 1e-7 * s.L * length))
        crosses = s.on_face & (full * fall >= 1)
        size = jnp.where(crosses, 1 / divisor(fall), full)[..., None]
        along = s.w + size * s.v
        along = jnp.where(bounded & (along * s.w <= 0), 0.0, along)
        take = fits[..., None]
        w = jnp.where(take, jnp.where(face, along, near), s.w)
        Gw = jnp.where(take, jnp.where(face, s.Gw + size * Gx, Gx), s.Gw)

        slope, power, on, off = conditions(w, Gw)
        crossings = jnp.where(s.on_face, s.crossings + crosses.astype(jnp.int32), 0)
        stay = jnp.where(s.on_face, crossings < CROSSINGS, fits & (flips == 0))
        on_face = stay & (off <= on)
        conjugate = jnp.where(s.on_face & ~crosses, power / divisor(s.power), 0.0)
        direction = conjugate[..., None] * jnp.where(face, s.v, 0.0) - slope
        afresh = s.on_face | ~fits
        new = _State(
            w=w,
            Gw=Gw,
            v=jnp.where(on_face[..., None], direction, jnp.where(afresh[..., None], w, s.w)),
            Gv=jnp.where(afresh[..., None], Gw, s.Gw),
            L=jnp.where(fits, s.L, jnp.maximum(1.5 * s.L, bend / divisor(length))),
            momentum=jnp.where(afresh | (turn < 0), 1.0, faster),
            power=power,
            gap=jnp.maximum(on, off) / scale,
            crossings=crossings,
            on_face=on_face,
            iterations=s.iterations + 1,
        )
        go = running(s)
        return jax.tree.map(lambda a, b: jnp.where(_to_rank(go, a), a, b), new, s)

    Gw = product(start)
    _, power, on, off = conditions(start, Gw)
    nought = jnp.zeros_like(scale)
    init = _State(
        w=start,
        Gw=Gw,
        v=start,
        Gv=Gw,
        L=steepness / curve[..., 0],
        momentum=nought + 1,
        power=power,
        gap=jnp.maximum(on, off) / scale,
        crossings=jnp.zeros(scale.shape, jnp.int32),
        on_face=nought > 0,
        iterations=jnp.zeros(scale.shape, jnp.int32),
    )
    s = jax.lax.while_loop(lambda s: jnp.any(running(s)), body, init)
    return s.w / curve * height, Info(s.iterations, s.gap <= tol, s.gap)


def _reduce(sums, maxima):
    """Sums and maxima (from 0) over the last axis, in one pass: one kernel to compile, not many."""

    def join(x, y):
        added = [a + b for a, b in zip(x[: len(sums)], y, strict=False)]
        larger = [jnp.maximum(a, b) for a, b in zip(x[len(sums) :], y[len(sums) :], strict=True)]
        return (*added, *larger)

    operands = (*sums, *maxima)
    zeros = tuple(jnp.float32(0) for _ in operands)
    return jax.lax.reduce(operands, zeros, join, (operands[0].ndim - 1,))


def _to_rank(lane, x):
    return lane.reshape(lane.shape + (1,) * (x.ndim - lane.ndim))
