"""Value functions that are known between masks, and what is asked of them: derivatives."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax.typing import Array, Differentiable
from spexjax.values.progress import progress_bar

_AT_ONCE = 32  # points on a path between two moves of the bar


class Path(NamedTuple):
    """What a function is like on the diagonal from nothing to everything.

    Attributes:
      attributions: (n, K) float64, the integral of each derivative.
      start, end: (K,) float64, the values where nothing, and where everything, is there.
    """

    attributions: Float[np.ndarray, "n K"]
    start: Float[np.ndarray, "K"]
    end: Float[np.ndarray, "K"]


@dataclasses.dataclass(frozen=True)
class OfShares:
    """A JAX function of shares as a value function; made by :func:`differentiable`."""

    function: Callable[[Float[Array, "N n"]], Float[Array, "N *K"]]

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N *K"]:
        """The values at masks, whose shares are 0 and 1."""
        return np.asarray(_values(self.function, jnp.asarray(masks, jnp.float32)))

    def value_and_gradient(
        self, shares: Float[np.ndarray, "N n"], /
    ) -> tuple[Float[np.ndarray, "N *K"], Float[np.ndarray, "N n *K"]]:
        """See :class:`~spexjax.typing.Differentiable`."""
        found = _both(self.function, jnp.asarray(shares, jnp.float32))
        return np.asarray(found[0]), np.asarray(found[1])


def differentiable(
    f: Callable[[Float[Array, "N n"]], Float[Array, "N *K"]],
) -> OfShares:
    """Marks a JAX function of shares, for ``method="integrated-gradients"`` and all others.

    Args:
      f: float32 (N, n), how much of each feature is there, 1 all of it and 0 nothing, to (N,) or
        (N, K); row by row, so that no value depends on another's row. It is compiled.

    Example:
      >>> import numpy as np
      >>> x, baseline = np.array([1.0, 2.0]), np.zeros(2)
      >>> f = differentiable(lambda s: ((baseline + s * (x - baseline)) ** 2).sum(axis=-1))
      >>> f(np.array([[True, False]]))
      array([1.], dtype=float32)
    """
    return OfShares(f)


def value_and_gradient(
    f: Callable[[Float[Array, "N n"]], Float[Array, "N *K"]], shares: Float[Array, "N n"]
) -> tuple[Float[Array, "N *K"], Float[Array, "N n *K"]]:
    """f at each row, and its derivatives there by each share; f works row by row. Traceable."""
    values, back = jax.vjp(f, shares)
    if values.ndim == 1:
        return values, back(jnp.ones_like(values))[0]
    one_by_one = jnp.eye(values.shape[-1], dtype=values.dtype)
    found = jax.vmap(lambda one: back(jnp.broadcast_to(one, values.shape))[0])(one_by_one)
    return values, jnp.moveaxis(found, 0, -1)


_both = partial(jax.jit, static_argnums=0)(value_and_gradient)


@partial(jax.jit, static_argnums=0)
def _values(f: Callable[[Array], Array], shares: Float[Array, "N n"]) -> Float[Array, "N *K"]:
    return f(shares)


def known_between_masks(f: Any) -> Differentiable:
    """f, if it has derivatives.

    Raises:
      ValueError: if not; it says what has.
    """
    if isinstance(f, Differentiable):
        return f
    raise ValueError(
        f"integrated gradients need a value function with value_and_gradient(shares), which "
        f"{type(f).__name__} has not; those of local text classifiers and language models have it "
        "(spexjax.models.values.value_function, language_value), and JAX functions marked by "
        "sx.values.differentiable."
    )


def along(
    f: Differentiable,
    n: int,
    points: Float[np.ndarray, "T"],
    weights: Float[np.ndarray, "T"],
    progress: bool = False,
) -> Path:
    """Integrates f's derivatives on the diagonal.

    Args:
      f: the function.
      n: number of features.
      points, weights: of a rule on [0, 1].
      progress: show a bar, as :func:`~spexjax.values.calling.evaluate` does.

    Raises:
      ValueError: if f returns other shapes than it must, or NaN or infinity.
    """
    ends = _asked(f, n, np.array([0.0, 1.0]))[0]
    total = np.zeros((n, ends.shape[1]))
    with progress_bar(len(points), progress, _AT_ONCE) as advance:
        for start in range(0, len(points), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            _, gradients = _asked(f, n, points[part])
            total += np.einsum("t,tnk->nk", weights[part], gradients)
            advance(len(gradients))
    return Path(total, *ends)


def _asked(
    f: Differentiable, n: int, points: Float[np.ndarray, "T"]
) -> tuple[Float[np.ndarray, "T K"], Float[np.ndarray, "T n K"]]:
    shares = np.broadcast_to(points[:, None], (len(points), n)).astype(np.float32)
    values, gradients = (np.asarray(x, np.float64) for x in f.value_and_gradient(shares))
    rows = len(points)
    if values.shape[:1] != (rows,) or values.ndim not in (1, 2):
        raise ValueError(f"value_and_gradient returned values of shape {values.shape}.")
    if gradients.shape != (rows, n, *values.shape[1:]):
        raise ValueError(
            f"value_and_gradient returned derivatives of shape {gradients.shape}; "
            f"{(rows, n, *values.shape[1:])} is expected."
        )
    if not (np.isfinite(values).all() and np.isfinite(gradients).all()):
        raise ValueError("value_and_gradient returned NaN or infinity.")
    return values.reshape(rows, -1), gradients.reshape(rows, n, -1)
