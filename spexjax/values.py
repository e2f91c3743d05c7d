"""Calling a value function: in chunks, with checks of what it returns, losing nothing it gave."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt32

from spexjax import gf2
from spexjax.typing import ArrayLike


class ValueFunctionError(RuntimeError):
    """The value function failed or returned something unusable; what was paid for is kept.

    Attributes:
      chunk: index of the chunk that failed.
      masks: uint32 (done, W), the packed masks whose values had come before.
      values: float32 (done,) or (done, K), those values; None if the first chunk failed.
      failed_masks: uint32 (rows, W), the masks that were asked for.
    """

    def __init__(self, message: str, chunk: int, masks, values, failed_masks):
        kept = 0 if values is None else len(values)
        super().__init__(f"{message} ({kept} values from earlier chunks are in the exception.)")
        self.chunk, self.masks, self.values = chunk, masks, values
        self.failed_masks = failed_masks


@dataclasses.dataclass(frozen=True)
class OnDevice:
    """A value function that takes and returns device arrays; made by :func:`on_device`."""

    function: Callable[[jax.Array], jax.Array]

    def __call__(self, masks: jax.Array) -> jax.Array:
        return self.function(masks)


def on_device(f: Callable[[jax.Array], jax.Array]) -> OnDevice:
    """Marks a JAX function: it gets bool device arrays of one fixed shape and leaves no device.

    The last chunk is padded to the size of the others, so ``f`` compiles once.
    """
    return OnDevice(f)


def evaluate(
    f: Callable[[Any], ArrayLike],
    masks: UInt32[np.ndarray, "N W"],
    n: int,
    chunk_size: int = 512,
    progress: bool = False,
) -> Float[ArrayLike, "N *K"]:
    """The values of f at packed masks, unpacked chunk by chunk on the way to f.

    Args:
      f: the value function, (rows, n) bool to (rows,) or (rows, K).
      masks: uint32 (N, W).
      n: number of features.
      chunk_size: masks per call of f at most.
      progress: show a bar while f works, if the output is a terminal.

    Returns:
      float32 (N,) or (N, K); a device array if f is marked by :func:`on_device`.

    Raises:
      ValueFunctionError: if f raises, or returns anything but one finite number, or the same
        number K of them, per mask. It holds the values of the chunks before.
    """
    device = f if isinstance(f, OnDevice) else None
    done: list[Any] = []
    for chunk, start in enumerate(_chunks(len(masks), chunk_size, progress)):
        rows = masks[start : start + chunk_size]
        try:
            returned = (
                _call_on_device(device, rows, n, min(chunk_size, len(masks)))
                if device
                else f(gf2.unpack_numpy(rows, n))
            )
            values = _checked(returned, len(rows), device is not None)
            if done and values.shape[1:] != done[0].shape[1:]:
                raise _Unusable(
                    f"returned shape {values.shape}, but {done[0].shape} for the first chunk"
                )
        except Exception as error:
            kept = np.concatenate([np.asarray(v) for v in done]) if done else None
            what = str(error) if isinstance(error, _Unusable) else f"raised {error!r}"
            raise ValueFunctionError(
                f"The value function {what}, on chunk {chunk} "
                f"(masks {start} to {start + len(rows) - 1}).",
                chunk,
                masks[:start],
                kept,
                rows,
            ) from error
        done.append(values)
    return jnp.concatenate(done) if device else np.concatenate(done)


class _Unusable(Exception):
    """What f returned cannot be used."""


def _chunks(total: int, size: int, progress: bool) -> Iterator[int]:
    if not progress:
        yield from range(0, total, size)
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="call", disable=None, leave=False) as bar:
        for start in range(0, total, size):
            yield start
            bar.update(min(size, total - start))


def _call_on_device(f: OnDevice, rows: np.ndarray, n: int, size: int) -> jax.Array:
    padded = np.zeros((size, rows.shape[1]), np.uint32)
    padded[: len(rows)] = rows
    return f(gf2.unpack(jnp.asarray(padded), n))[: len(rows)]


def _checked(returned: ArrayLike, rows: int, device: bool) -> Any:
    values = returned if device else np.asarray(returned)
    if values.dtype == object or not (
        np.issubdtype(values.dtype, np.number) or values.dtype == bool
    ):
        if jnp.issubdtype(values.dtype, jnp.floating):  # bfloat16 is no NumPy number
            return _checked(values.astype(np.float32), rows, device)
        raise _Unusable(f"returned {values.dtype} instead of numbers")
    if np.issubdtype(values.dtype, np.complexfloating):
        raise _Unusable("returned complex numbers")
    if values.ndim not in (1, 2) or values.shape[0] != rows or 0 in values.shape:
        raise _Unusable(f"returned shape {values.shape} for {rows} masks; ({rows},) is expected")
    values = values.astype(np.float32)
    xp = jnp if device else np
    finite = np.asarray(xp.isfinite(values).reshape(rows, -1).all(axis=1))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        some = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
        raise _Unusable(f"returned NaN or infinity for {len(bad)} masks (rows {some})")
    return values
