"""Whether what a value function returned are finite numbers, wherever they lie."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.typing import Array, ArrayLike


class Unusable(Exception):
    """What f returned cannot be used; the message continues "The value function …"."""


def checked(
    returned: ArrayLike, rows: int, before: tuple[str, tuple[int, ...]] | None
) -> ArrayLike:
    """The values as float32 or float64, if they are real numbers of the right shape.

    Args:
      returned: what f returned, a NumPy or JAX array of any dtype.
      rows: the number of masks asked for.
      before: where values came from before, and the shape of one of them; None if there are none.

    Raises:
      Unusable: if they are not.
    """
    values = _floats(returned if isinstance(returned, jax.Array) else np.asarray(returned))
    if values.ndim not in (1, 2) or values.shape[0] != rows or 0 in values.shape:
        raise Unusable(f"returned shape {values.shape} for {rows} masks; ({rows},) is expected")
    if before is not None and values.shape[1:] != before[1]:
        raise Unusable(f"returned shape {values.shape}, but {(rows, *before[1])} {before[0]}")
    return values


def _floats(values: ArrayLike) -> ArrayLike:
    """A copy, since f may use its memory again, as float32 or float64, whichever loses nothing."""
    dtype = values.dtype
    if jnp.issubdtype(dtype, np.complexfloating):
        raise Unusable("returned complex numbers")
    if jnp.issubdtype(dtype, np.floating):  # bfloat16 and float8, too
        wide = np.float32 if dtype.itemsize <= 4 else np.float64
    elif dtype.kind in "biu":
        wide = np.float64
    else:
        raise Unusable(f"returned {dtype} instead of numbers")
    on_device = isinstance(values, jax.Array)
    return values.astype(jax.dtypes.canonicalize_dtype(wide) if on_device else wide)


def not_finite(values: ArrayLike) -> Int[np.ndarray, "bad"]:
    """The rows with NaN or infinity; of values on the device nothing but flags is read."""
    if isinstance(values, np.ndarray):
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    else:
        everywhere, flags = _finite(values)
        if jax.device_get(everywhere):
            return np.zeros(0, np.int64)
        finite = jax.device_get(flags)
    return np.flatnonzero(~finite)


@jax.jit
def _finite(values: Float[Array, "rows *K"]) -> tuple[Bool[Array, ""], Bool[Array, "rows"]]:
    """Whether all values are finite, and which rows are."""
    rows = jnp.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    return rows.all(), rows


def joined(chunks: list[Any]) -> ArrayLike:
    """The chunks as one array of their common dtype, on the device if all of them are."""
    xp = jnp if all(isinstance(chunk, jax.Array) for chunk in chunks) else np
    return xp.concatenate(chunks, dtype=np.result_type(*(chunk.dtype for chunk in chunks)))
