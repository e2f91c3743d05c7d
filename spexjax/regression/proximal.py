"""The L1 proximal step as an optax transformation, and the plain solver that consists of it.

This solver is the reference: nothing in it but a gradient step and a proximal step.  The fast one,
:func:`spexjax.regression.lasso_solve`, is tested to reach the same minimum.
"""

from __future__ import annotations  # optax's types are named, but imported where they are used

from typing import TYPE_CHECKING, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.regression.conjugate_gradients import Info, Matvec, broadcast, checked
from spexjax.regression.scaling import divisor
from spexjax.typing import Array, ArrayLike

if TYPE_CHECKING:
    import optax


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


def proximal_l1(
    strength: Float[ArrayLike, "..."] | float,
    learning_rate: Float[ArrayLike, "..."] | float,
    *,
    penalty: Float[ArrayLike, "..."] | float = 1.0,
    mask: Bool[ArrayLike, "..."] | bool = True,
) -> optax.GradientTransformation:
    """The proximal step of strength Σ_j penalty_j |w_j|, to be chained after a gradient step.

    Its updates lead from w to the proximal map of w plus the updates that come in:
    w + updates = soft_threshold(w + incoming, learning_rate · strength · penalty), exactly 0
    where the map is.  So ``optax.chain(optax.sgd(rate), proximal_l1(strength, rate))`` is the
    proximal gradient method (Beck, Teboulle 2009, eq. 1.5).

    Args:
      strength: ≥ 0, broadcast against every leaf of the parameters, as all that follow.
      learning_rate: of the gradient step.  With ``momentum`` m, ``optax.sgd`` adds gradients up
        to 1 / (1 − m) times as much, and this must be rate / (1 − m).
      penalty: ≥ 0, weight of each coordinate; 0 leaves it unpenalised.
      mask: False where w_j is to be 0.

    Returns:
      An ``optax.GradientTransformation`` without state, whose update needs the parameters.
    """
    import optax  # here, because importing it takes a tenth of a second

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("proximal_l1 needs the parameters: update(updates, state, params).")

        def step(move, w):
            chex.assert_equal_shape([move, w])
            factors = (strength, learning_rate, penalty)
            for x in (*factors, mask):
                chex.assert_is_broadcastable(jnp.shape(x), w.shape)
            strong, rate, weight = (jnp.asarray(x, w.dtype) for x in factors)
            near = soft_threshold(w + move, strong * rate * weight)
            return jnp.where(jnp.asarray(mask, bool), near, jnp.zeros_like(near)) - w

        return jax.tree.map(step, updates, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)


class _State(NamedTuple):
    w: Array
    Gw: Array
    optimizer: optax.OptState
    iterations: Array


def proximal_gradient(
    matvec: Matvec,
    rhs: Float[ArrayLike, "*lanes S"],
    strength: Float[ArrayLike, "*#lanes"],
    lipschitz: Float[ArrayLike, "*#lanes"],
    *,
    penalty: Float[ArrayLike, "*#lanes #S"] | None = None,
    mask: Bool[ArrayLike, "*#lanes #S"] | None = None,
    w0: Float[ArrayLike, "*#lanes S"] | None = None,
    tol: Float[ArrayLike, "*#lanes"] | float = 1e-6,
    max_iter: int = 20_000,
) -> tuple[Float[Array, "*lanes S"], Info]:
    """Minimises ½ wᵀG w − rhsᵀw + strength Σ_j penalty_j |w_j| by gradient and proximal steps.

    ``optax.chain(optax.sgd(1 / lipschitz), proximal_l1(strength, 1 / lipschitz))``, one product
    with G a step.  It needs about the condition number of G of them; to be fast, take
    :func:`spexjax.regression.lasso_solve`.

    Args:
      matvec, rhs, strength, penalty, mask, w0, tol, max_iter: as in
        :func:`spexjax.regression.lasso_solve`.
      lipschitz: float32, broadcast against the lanes: the largest eigenvalue of G or more; below
        half of it the steps diverge.

    Returns:
      w, float32 (*lanes, S), and :class:`Info` over the lanes.

    Raises:
      AssertionError: if the shapes do not fit together, or ``matvec`` changes shape or dtype.
    """
    import optax

    rhs, strength, penalty, mask, start, tol = broadcast(rhs, strength, penalty, mask, w0, tol)
    chex.assert_is_broadcastable(jnp.shape(lipschitz), rhs.shape[:-1])
    rate = 1 / divisor(jnp.asarray(lipschitz, jnp.float32))[..., None]
    strength = strength[..., None]
    optimizer = optax.chain(
        optax.sgd(rate), proximal_l1(strength, rate, penalty=penalty, mask=mask)
    )
    scale = divisor(jnp.max(jnp.abs(rhs), axis=-1, initial=0.0))

    def gap(s: _State):
        off = violation(s.w, rhs - s.Gw, strength * penalty)
        return jnp.max(jnp.where(mask, off, 0.0), axis=-1, initial=0.0) / scale

    def running(s: _State):
        return (gap(s) > tol) & (s.iterations < max_iter)

    def body(s: _State) -> _State:
        go = running(s)
        updates, state = optimizer.update(s.Gw - rhs, s.optimizer, s.w)
        w = jnp.where(go[..., None], optax.apply_updates(s.w, updates), s.w)
        return _State(w, checked(matvec, w), state, s.iterations + go.astype(jnp.int32))

    nought = jnp.zeros(scale.shape, jnp.int32)
    init = _State(start, checked(matvec, start), optimizer.init(start), nought)
    s = jax.lax.while_loop(lambda s: jnp.any(running(s)), body, init)
    return s.w, Info(s.iterations, gap(s) <= tol, gap(s))
