"""What ridge and L1 regression on arrays share: the results and the checks of arguments.

Outputs are fitted one after the other in one program, so that output i gets what a scalar run on
it would get.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.regression.conjugate_gradients import Info
from spexjax.regression.least_squares import matmul
from spexjax.typing import Array, ArrayLike

# Grams up to 64 MiB for each training set; above, products go through the rows of X.
GRAM_LIMIT = 4096


class Fit(NamedTuple):
    """A linear function.

    Attributes:
      coefficients: float32 (S,) or (S, K).
      intercept: float32 () or (K,).
      info: () or (K,); its gap was measured on X itself, not on a Gram.
    """

    coefficients: Array
    intercept: Array
    info: Info

    def predict(self, X: Float[ArrayLike, "N S"]) -> Array:
        """X w + c, float32 (N,) or (N, K)."""
        return matmul(jnp.asarray(X, jnp.float32), self.coefficients) + self.intercept


class CVFit(NamedTuple):
    """A linear function whose strength was chosen by cross-validation; K last, if there is one.

    Attributes:
      coefficients, intercept, info: as in :class:`Fit`, fitted to all rows.
      strength: float32 (): the one with the smallest error, the largest of them in a tie.
      strengths: float32 (A,), falling.
      errors: float32 (A,), ``fold_errors`` averaged over the folds.
      fold_errors: float32 (A, F), the mean squared error on each fold of the fit to the others.
        For y below 1e-19 or above 1e19 these squares are 0 or infinite in float32; the strength
        is chosen before, in units of y's own deviation.
      path: (A,), :class:`Info` of the worst fold at each strength.
    """

    coefficients: Array
    intercept: Array
    strength: Array
    strengths: Array
    errors: Array
    fold_errors: Array
    info: Info
    path: Info

    def predict(self, X: Float[ArrayLike, "N S"]) -> Array:
        """X w + c, float32 (N,) or (N, K)."""
        return matmul(jnp.asarray(X, jnp.float32), self.coefficients) + self.intercept


def check_arguments(
    X: Float[ArrayLike, "N S"],
    y: Float[ArrayLike, "N"] | Float[ArrayLike, "N K"],
    weights: Float[ArrayLike, "N"] | None,
    valid: Bool[ArrayLike, "S"] | None,
    use_gram: bool | None,
    folds: int | None = None,
) -> tuple[Array, Array, Array, Array, bool]:
    """X, y, weights and valid in full and ``use_gram`` decided, if their shapes fit together.

    Raises:
      ValueError: if they do not, or if ``folds`` is given and not between 2 and N.
    """
    if jnp.ndim(X) != 2:
        raise ValueError(f"X must have shape (N, S), got {jnp.shape(X)}.")
    N, S = jnp.shape(X)
    if N < 1 or S < 1:
        raise ValueError(f"X must have at least one row and one column, got {(N, S)}.")
    if jnp.ndim(y) not in (1, 2) or jnp.shape(y)[0] != N:
        raise ValueError(f"y must have shape ({N},) or ({N}, K) as X has, got {jnp.shape(y)}.")
    for name, x, size in (("weights", weights, N), ("valid", valid, S)):
        if x is not None and jnp.shape(x) != (size,):
            raise ValueError(f"{name} must have shape ({size},) as X has, got {jnp.shape(x)}.")
    if folds is not None and not 2 <= folds <= N:
        raise ValueError(f"folds must be between 2 and the {N} rows of X, got {folds}.")
    if use_gram is None:
        use_gram = S <= GRAM_LIMIT and S <= 2 * N
    return (
        jnp.asarray(X, jnp.float32),
        jnp.asarray(y, jnp.float32),
        jnp.broadcast_to(jnp.asarray(1.0 if weights is None else weights, jnp.float32), N),
        jnp.broadcast_to(jnp.asarray(True if valid is None else valid, bool), S),
        use_gram,
    )


def per_output(strengths: ArrayLike | float, y: Array, name: str, ndim: int) -> Array:
    """Strengths as float32 with the outputs, if any, last.

    Args:
      strengths: one (``ndim`` 0) or A of them (``ndim`` 1), for all outputs or for each.
      y: (N,) or (N, K).
      name: what errors call them.

    Raises:
      ValueError: if their shape is another.
    """
    x = jnp.asarray(strengths, jnp.float32)
    outputs = y.shape[1:]
    if x.ndim not in (ndim, ndim + len(outputs)) or (x.ndim > ndim and x.shape[-1:] != outputs):
        shapes = ("()", "(A,)")[ndim], ("(K,)", "(A, K)")[ndim]
        wanted = f"{shapes[0]} or {shapes[1]} with K = {outputs[0]}" if outputs else shapes[0]
        raise ValueError(f"{name} must have shape {wanted}, got {x.shape}.")
    if ndim and x.shape[0] < 1:
        raise ValueError(f"{name} must hold at least one strength, got shape {x.shape}.")
    return jnp.broadcast_to(x[..., None], (*x.shape, *outputs)) if x.ndim == ndim and outputs else x


def each_output(fit: Callable[..., Any], y: Array, *arguments: Array) -> Any:
    """``fit`` on each output in turn (all lanes of a vmap would run as long as the slowest)."""
    if y.ndim == 1:
        return fit(y, *arguments)
    columns = [jnp.moveaxis(x, -1, 0) for x in (y, *arguments)]
    fits = jax.lax.map(lambda x: fit(*x), tuple(columns))
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), fits)
