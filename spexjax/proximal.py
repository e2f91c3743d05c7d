"""Solvers for ridge and L1 regression that see the design only through w ↦ G w.

``G`` is a symmetric positive semi-definite operator, one per *lane*.  Lanes are the leading axes
of every array (folds, strengths, outputs); each has its own strength, its own step and its own
stopping test inside one loop, and stands still once it has passed.  Neither the design matrix nor
``G`` need exist as an array.  A lane's Gram must not be mixed with another's by ``matvec``, and
``matvec`` should ask for full float32 products (``precision="highest"``) on a GPU.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float, Int

from spexjax.typing import Array, ArrayLike

Matvec = Callable[[Array], Array]
TINY = 1e-30
OFF_FACE = 3.0
CROSSINGS = 20.0


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

    Args:
      matvec: w ↦ G w, float32 (*lanes, S) to (*lanes, S).
      rhs: float32 (*lanes, S), usually Xᵀy; its shape says what the lanes are.
      strength: float32, broadcast against the lanes, ≥ 0.
      penalty: float32, weight of each coordinate in the penalty, ≥ 0, broadcast against ``rhs``;
        all 1 if not given.  0 leaves a coordinate unpenalised.
      mask: bool, True where w_j may differ from 0, broadcast against ``rhs``; all if not given.
      diagonal: float32, the diagonal of G, broadcast against ``rhs``, for Jacobi
        preconditioning; none if not given.  Worth having when columns differ in scale.
      w0: float32, where to start, broadcast against ``rhs``; zeros if not given.
      tol: a lane stops at max_j |rhs − G w − strength·penalty·w|_j ≤ tol · max_j |rhs_j|, the
        left side from the recurrence; ``Info.gap`` recomputes it and shows what float32 left.
      max_iter: products with G at most.

    Returns:
      w, float32 (*lanes, S), and :class:`Info` over the lanes.
    """
    rhs, strength, penalty, mask, w0, tol = _lanes(rhs, strength, penalty, mask, w0, tol)
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
        length = jnp.where(go, rz / jnp.maximum(_dot(p, Ap), TINY), 0.0)[..., None]
        w, r = w + length * p, r - length * Ap
        z = inverse * r
        rz_new = _dot(r, z)
        p = jnp.where(go[..., None], z + (rz_new / jnp.maximum(rz, TINY))[..., None] * p, p)
        return w, p, r, jnp.where(go, rz_new, rz), iterations + go.astype(jnp.int32)

    r = rhs - product(w0)
    z = inverse * r
    init = (w0, z, r, _dot(r, z), jnp.zeros(scale.shape, jnp.int32))
    w, _, r, _, iterations = jax.lax.while_loop(lambda s: jnp.any(running(s)), body, init)
    return w, Info(iterations, gap(r) <= tol, gap(rhs - product(w)))


class _State(NamedTuple):
    """One lane of :func:`lasso_solve`; ``on_face`` says what the pair (v, Gv) holds.

    Off the face: the point before w and its image; on it: the direction of conjugate gradients.
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
    max_iter: int = 2000,
) -> tuple[Float[Array, "*lanes S"], Info]:
    """Minimises ½ wᵀG w − rhsᵀw + strength Σ_j penalty_j |w_j| by accelerated proximal gradient.

    FISTA (Beck, Teboulle 2009, eq. 4.1–4.3) with the gradient test for restarts (O'Donoghue,
    Candès 2015, eq. 12), its gradient step an ``optax.sgd`` with a step size per lane.  Once an
    iteration changes no sign, conjugate gradients take over on the face of constant signs, as far
    as its edge; proximal steps resume when the coordinates off the face violate the optimality
    conditions ``OFF_FACE`` times as much as those on it, or when the signs turn out to be wrong
    (the proportioning of Dostál 1997, for |·| in place of bounds).  Correlated columns then cost
    the square root of the condition of the face, with one product per iteration throughout.

    Args:
      matvec, rhs, strength, penalty, mask, w0, max_iter: as in :func:`ridge_solve`.
      lipschitz: float32, broadcast against the lanes: the largest eigenvalue of G, or an estimate
        such as that of :func:`lipschitz`; too small a value is found out and raised.
      tol: a lane stops when no coordinate violates the optimality conditions (rhs − G w)_j =
        strength·penalty_j·sign(w_j), or |rhs − G w|_j ≤ strength·penalty_j where w_j = 0, by more
        than tol · max_j |rhs_j|; broadcast against the lanes.

    Returns:
      w, float32 (*lanes, S), exactly 0 where the penalty says so, and :class:`Info`.
    """
    rhs, strength, penalty, mask, w0, tol = _lanes(rhs, strength, penalty, mask, w0, tol)
    threshold = strength[..., None] * penalty
    scale = jnp.max(jnp.abs(rhs), axis=-1, initial=TINY)
    rounding = 1e-6 * jnp.sqrt(_dot(rhs, rhs))

    def conditions(w, Gw):
        """The gradient on the face, its square, and the worst violation on and off the face."""
        off = violation(w, rhs - Gw, threshold)
        free = w != 0
        slope = jnp.where(free, Gw - rhs + threshold * jnp.sign(w), 0.0)
        off = jnp.where(mask & ~free, off, 0.0)
        return slope, *_reduce(sums=(slope * slope,), maxima=(jnp.abs(slope), off))

    def running(s: _State):
        return (s.gap > tol) & (s.iterations < max_iter)

    def body(s: _State) -> _State:
        face = s.on_face[..., None]
        faster = 0.5 * (1 + jnp.sqrt(1 + 4 * s.momentum**2))
        beta = ((s.momentum - 1) / faster)[..., None]
        z, Gz = s.w + beta * (s.w - s.v), s.Gw + beta * (s.Gw - s.Gv)
        rate = 1 / s.L[..., None]
        step = optax.sgd(rate)
        moves, _ = step.update(Gz - rhs, step.init(z), z)
        near = soft_threshold(optax.apply_updates(z, moves), threshold * rate)
        near = jnp.where(mask, near, 0.0)

        x = jnp.where(face, s.v, near)
        Gx = matvec(x)
        d = jnp.where(face, s.v, near - z)
        Gd = jnp.where(face, Gx, Gx - Gz)
        slope = jnp.where(s.w != 0, s.Gw - rhs + threshold * jnp.sign(s.w), 0.0)
        toward = jnp.where(face, slope, near - s.w)
        # How much of w one unit of v takes away, largest first: its inverse reaches the edge.
        fall = jnp.where(s.w != 0, -s.v / jnp.where(s.w != 0, s.w, 1.0), 0.0)
        flips = (jnp.sign(near) != jnp.sign(s.w)).astype(jnp.float32)
        length, bend, turn, fall, flips = _reduce(
            sums=(d * d, d * Gd, d * toward), maxima=(fall, flips)
        )

        # Without the rounding of Gx − Gz, L would double at the float32 floor.
        fits = s.on_face | (bend <= 1.01 * s.L * length + rounding * jnp.sqrt(length))
        full = -turn / jnp.maximum(bend, 1e-7 * s.L * length + TINY)
        crosses = s.on_face & (full * fall >= 1)
        size = jnp.where(crosses, 1 / jnp.maximum(fall, TINY), full)[..., None]
        along = s.w + size * s.v
        along = jnp.where(along * s.w > 0, along, 0.0)
        go = running(s)
        take = (go & fits)[..., None]
        w = jnp.where(take, jnp.where(face, along, near), s.w)
        Gw = jnp.where(take, jnp.where(face, s.Gw + size * Gx, Gx), s.Gw)

        slope, power, on, off = conditions(w, Gw)
        crossings = jnp.where(s.on_face, s.crossings + crosses, 0.0)
        stay = jnp.where(s.on_face, crossings < CROSSINGS, fits & (flips == 0))
        on_face = stay & (off <= OFF_FACE * on)
        turned = s.on_face | ~fits | (turn < 0)
        keep = jnp.where(s.on_face & ~crosses, power / jnp.maximum(s.power, TINY), 0.0)
        direction = keep[..., None] * jnp.where(face, s.v, 0.0) - slope
        before = (turned & (s.on_face | ~fits))[..., None]
        new = _State(
            w=w,
            Gw=Gw,
            v=jnp.where(on_face[..., None], direction, jnp.where(before, w, s.w)),
            Gv=jnp.where(before, Gw, s.Gw),
            L=jnp.where(fits, s.L, jnp.maximum(1.5 * s.L, bend / jnp.maximum(length, TINY))),
            momentum=jnp.where(turned, 1.0, faster),
            power=power,
            gap=jnp.maximum(on, off) / scale,
            crossings=crossings,
            on_face=on_face,
            iterations=s.iterations + 1,
        )
        return jax.tree.map(lambda a, b: jnp.where(_like(go, a), a, b), new, s)

    Gw = matvec(w0)
    _, power, on, off = conditions(w0, Gw)
    L = jnp.broadcast_to(jnp.asarray(lipschitz, jnp.float32), scale.shape)
    nought = jnp.zeros_like(scale)
    init = _State(
        w=w0,
        Gw=Gw,
        v=w0,
        Gv=Gw,
        L=jnp.maximum(L, TINY),
        momentum=nought + 1,
        power=power,
        gap=jnp.maximum(on, off) / scale,
        crossings=nought,
        on_face=nought > 0,
        iterations=jnp.zeros(scale.shape, jnp.int32),
    )
    s = jax.lax.while_loop(lambda s: jnp.any(running(s)), body, init)
    return s.w, Info(s.iterations, s.gap <= tol, s.gap)


def _reduce(sums, maxima):
    """Sums and maxima (from 0) over the last axis, in one pass: one kernel to compile, not many."""
    n = len(sums)

    def join(x, y):
        return tuple(
            a + b if i < n else jnp.maximum(a, b) for i, (a, b) in enumerate(zip(x, y, strict=True))
        )

    operands = (*sums, *maxima)
    return jax.lax.reduce(
        operands, tuple(jnp.float32(0) for _ in operands), join, (operands[0].ndim - 1,)
    )


def _like(lane, x):
    return lane.reshape(lane.shape + (1,) * (x.ndim - lane.ndim))


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
        size = jnp.sqrt(_dot(u, u))
        return u / jnp.maximum(size, TINY)[..., None], size

    v = jnp.where(keep, start, 0.0)
    v = v / jnp.maximum(jnp.sqrt(_dot(v, v)), TINY)[..., None]
    return 1.02 * jax.lax.fori_loop(0, iterations, body, (v, jnp.zeros(shape[:-1])))[1]


def lasso_path(
    matvec: Matvec,
    rhs: Float[ArrayLike, "*lanes S"],
    strengths: Float[ArrayLike, "A *#lanes"],
    lipschitz: Float[ArrayLike, "*#lanes"],
    *,
    read: Callable[[Array], Any] = lambda w: w,
    penalty: Float[ArrayLike, "*#lanes #S"] | None = None,
    mask: Bool[ArrayLike, "*#lanes #S"] | None = None,
    tol: float = 2e-2,
    max_iter: int = 500,
) -> tuple[Any, Info]:
    """:func:`lasso_solve` at A falling strengths, one after the other in one ``lax.scan``.

    Between two kinks the path is a straight line in the strength, so each solve starts from the
    line through the last two solutions.

    Args:
      matvec, rhs, lipschitz, penalty, mask, max_iter: as in :func:`lasso_solve`.
      strengths: float32, A strengths, each broadcast against the lanes.
      read: what to keep of each solution w (*lanes, S), a pytree; w itself if not given.  A
        ``read`` that turns w into a held-out error keeps an (A, *lanes, S) array from existing.
      tol: here relative to the strength: a lane stops when it violates the optimality conditions
        by at most tol · strength (but not below 1e-6 · max_j |rhs_j|, the reach of float32).

    Returns:
      ``read(w)`` stacked over the strengths, and :class:`Info` with a leading axis A.
    """
    rhs = jnp.asarray(rhs, jnp.float32)
    strengths = jax.vmap(lambda s: jnp.broadcast_to(s, rhs.shape[:-1]))(
        jnp.asarray(strengths, jnp.float32)
    )
    scale = jnp.max(jnp.abs(rhs), axis=-1, initial=TINY)

    def step(state, strength):
        w, w_old, last, last_but_one = state
        w0 = extrapolate(w, w_old, strength, last, last_but_one)
        new, info = lasso_solve(
            matvec, rhs, strength, lipschitz, penalty=penalty, mask=mask, w0=w0,
            tol=jnp.maximum(tol * strength / scale, 1e-6), max_iter=max_iter,
        )
        return (new, w, strength, last), (read(new), info)

    zero = jnp.zeros_like(rhs)
    init = (zero, zero, strengths[0], strengths[0])
    return jax.lax.scan(step, init, strengths)[1]


def soft_threshold(x: Array, threshold: Array) -> Array:
    """The proximal map of threshold·|·|: sign(x) max(|x| − threshold, 0)."""
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - threshold, 0.0)


def violation(w: Array, slope: Array, threshold: Array) -> Array:
    """The distance of slope_j from the subdifferential of threshold_j |·| at w_j."""
    return jnp.where(
        w == 0,
        jnp.maximum(jnp.abs(slope) - threshold, 0.0),
        jnp.abs(slope - threshold * jnp.sign(w)),
    )


def extrapolate(w: Array, w_old: Array, new: Array, last: Array, last_but_one: Array) -> Array:
    """The line through the last two points of a path, at ``new``; 0 where it changes sign."""
    gone = last_but_one - last
    ratio = jnp.where(gone > 0, (last - new) / jnp.where(gone > 0, gone, 1.0), 0.0)
    line = w + ratio[..., None] * (w - w_old)
    return jnp.where(line * w > 0, line, 0.0)


def _dot(x, y):
    return jnp.sum(x * y, axis=-1)


def _where(lane, x, y):
    return jnp.where(lane[..., None], x, y)


def _lanes(rhs, strength, penalty, mask, w0, tol):
    """Everything float32 and of the shape of ``rhs`` or of its lanes."""
    rhs = jnp.asarray(rhs, jnp.float32)
    mask = jnp.broadcast_to(jnp.asarray(True if mask is None else mask, bool), rhs.shape)

    def full(x, shape, default=0.0):
        x = jnp.asarray(default if x is None else x, jnp.float32)
        return jnp.broadcast_to(x, shape)

    return (
        jnp.where(mask, rhs, 0.0),
        full(strength, rhs.shape[:-1]),
        full(penalty, rhs.shape, 1.0),
        mask,
        jnp.where(mask, full(w0, rhs.shape), 0.0),
        full(tol, rhs.shape[:-1]),
    )
