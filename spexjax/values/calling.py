"""Calling a value function: in chunks, with checks of what it returns, losing nothing it gave."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt32

from spexjax.codes import gf2
from spexjax.typing import ArrayLike
from spexjax.values.images import image_cells, image_grid
from spexjax.values.tables import tabular

if TYPE_CHECKING:
    from spexjax.store.journal import Journal

__all__ = [
    "Interrupted",
    "OnDevice",
    "PartialValues",
    "ValueFunctionError",
    "evaluate",
    "image_cells",
    "image_grid",
    "on_device",
    "tabular",
]


class Kept(NamedTuple):
    """What had been paid for when a run broke off."""

    masks: UInt32[np.ndarray, "done W"]
    values: Float[np.ndarray, "done *K"] | None
    """None if nothing had come."""
    stored: str | None
    """The journal's file that has it, or None."""

    def __str__(self) -> str:
        count = 0 if self.values is None else len(self.values)
        return f"{count} values from before are in {self.stored or 'the exception'}."


class ValueFunctionError(RuntimeError):
    """The value function failed or returned something unusable; what was paid for is kept.

    Attributes:
      chunk: index of the chunk that failed.
      masks: uint32 (done, W), the packed masks whose values had come before.
      values: float32 (done,) or (done, K), those values; None if there are none.
      failed_masks: uint32 (rows, W), the masks that were asked for.
    """

    def __init__(self, message: str, chunk: int, kept: Kept, failed_masks: np.ndarray):
        super().__init__(f"{message} ({kept})")
        self.chunk, self.masks, self.values = chunk, kept.masks, kept.values
        self.failed_masks = failed_masks


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; ``masks`` and ``values`` hold what was paid for, as in the above."""

    def __init__(self, kept: Kept):
        super().__init__(f"Interrupted; {kept}")
        self.masks, self.values = kept.masks, kept.values


class PartialValues(Exception):
    """Raised by a value function that breaks off with some values in hand, so that they are kept.

    Args:
      values: (rows,) or (rows, K), NaN at the masks without a value.
      cause: why it broke off; a KeyboardInterrupt stops the run as ctrl-C does.
    """

    def __init__(self, values: ArrayLike, cause: BaseException):
        super().__init__(str(cause))
        self.values, self.cause = values, cause


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
    journal: "Journal | None" = None,
) -> Float[ArrayLike, "N *K"]:
    """The values of f at packed masks, unpacked chunk by chunk on the way to f.

    Args:
      f: the value function, (rows, n) bool to (rows,) or (rows, K).
      masks: uint32 (N, W); with a journal, distinct ones.
      n: number of features.
      chunk_size: masks per call of f at most.
      progress: show a bar while f works; where stderr is no terminal, one line after the first
        chunk that says how long the rest will take.
      journal: is asked first; only masks without a value reach f, and every chunk is committed
        before the next is asked for.

    Returns:
      float32 (N,) or (N, K); a device array if f is marked by :func:`on_device` and there is no
      journal.

    Raises:
      ValueFunctionError: if f raises, or returns anything but one finite number, or the same
        number K of them, per mask. It holds the values of the chunks before.
      Interrupted: at ctrl-C; so does this.
    """
    purchase = _Purchase(f, n, chunk_size, len(masks), journal)
    missing = masks if journal is None else masks[~journal.known(masks)]
    with _bar(len(missing), progress) as advance:
        while len(missing):
            with nullcontext() if journal is None else journal.turn():
                if journal is not None and journal.refresh():  # another process paid for some
                    left = missing[~journal.known(missing)]
                    advance(len(missing) - len(left))
                    missing = left
                rows = missing[:chunk_size]
                if len(rows):
                    purchase.ask(rows)
            missing = missing[len(rows) :]
            advance(len(rows))
    if journal is not None:
        return journal.lookup(masks)
    return (jnp if isinstance(f, OnDevice) else np).concatenate(purchase.values)


@dataclasses.dataclass
class _Purchase:
    """The chunks paid for in one call of :func:`evaluate`."""

    f: Callable[[Any], ArrayLike]
    n: int
    chunk_size: int
    total: int
    journal: "Journal | None"
    chunk: int = 0
    masks: list[np.ndarray] = dataclasses.field(default_factory=list)
    values: list[Any] = dataclasses.field(default_factory=list)

    def ask(self, rows: np.ndarray) -> None:
        """One chunk: f, the checks of what it returns, the journal."""
        device = isinstance(self.f, OnDevice)
        try:
            values = self._call(rows)
            values, bad = _checked(values, len(rows), self._outputs())
        except PartialValues as partial:
            self._keep_finite(rows, np.asarray(partial.values, np.float32))
            if isinstance(partial.cause, KeyboardInterrupt):
                raise Interrupted(self._kept()) from partial.cause
            raise self._error(f"broke off: {partial.cause}", rows) from partial.cause
        except KeyboardInterrupt as stop:
            raise Interrupted(self._kept()) from stop
        except _Unusable as error:
            raise self._error(str(error), rows) from error
        except Exception as error:
            raise self._error(f"raised {error!r}", rows) from error
        if len(bad):
            self._keep_finite(rows, values)
            some = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
            what = f"returned NaN or infinity for {len(bad)} masks (rows {some})"
            raise self._error(what, rows)
        if self.journal is not None:
            values = np.asarray(values)
            self.journal.add(rows, values)
        elif not device:
            values = np.asarray(values)
        self.masks.append(rows)
        self.values.append(values)
        self.chunk += 1

    def _call(self, rows: np.ndarray) -> ArrayLike:
        if not isinstance(self.f, OnDevice):
            return self.f(gf2.unpack_numpy(rows, self.n))
        padded = np.zeros((min(self.chunk_size, self.total), rows.shape[1]), np.uint32)
        padded[: len(rows)] = rows
        return self.f(gf2.unpack(jnp.asarray(padded), self.n))[: len(rows)]

    def _outputs(self) -> tuple[str, tuple[int, ...]] | None:
        """Where values came from before, and the shape of one."""
        if self.values:
            return "for the first chunk", self.values[0].shape[1:]
        if self.journal is not None and self.journal.outputs is not None:
            return "are stored under its store_key", self.journal.shape
        return None

    def _keep_finite(self, rows: np.ndarray, values: ArrayLike) -> None:
        values = np.asarray(values)
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if not finite.any():
            return
        if self.journal is not None:
            self.journal.add(rows[finite], values[finite])
        self.masks.append(rows[finite])
        self.values.append(values[finite])

    def _kept(self) -> Kept:
        W = gf2.num_words(self.n)
        masks = np.concatenate([np.zeros((0, W), np.uint32), *self.masks])
        values = np.concatenate([np.asarray(v) for v in self.values]) if self.values else None
        saved = self.journal is not None and not self.journal.unsaved
        return Kept(masks, values, str(self.journal.path) if saved and self.journal else None)

    def _error(self, what: str, rows: np.ndarray) -> ValueFunctionError:
        where = f"on chunk {self.chunk} ({len(rows)} masks)"
        message = f"The value function {what}, {where}."
        return ValueFunctionError(message, self.chunk, self._kept(), rows)


class _Unusable(Exception):
    """What f returned cannot be used."""


@contextmanager
def _bar(total: int, progress: bool) -> Iterator[Callable[[int], Any]]:
    """What to call with the number of masks done: a bar on a terminal, else one line."""
    if not progress or not total:
        yield lambda count: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, unit="call", leave=False) as bar:
            yield bar.update
    else:
        yield partial(_tell_once, total, time.perf_counter(), [])


def _tell_once(total: int, start: float, told: list[int], count: int) -> None:
    """After the first chunk: how long it took, and how long the rest may take."""
    if not told and 0 < count < total:
        took = time.perf_counter() - start
        rest = took * (total - count) / count
        line = f"{count:,} of {total:,} calls in {took:.1f} s; about {rest:.0f} s to go"
        print(line, file=sys.stderr, flush=True)
    told.append(count)


def _checked(
    returned: ArrayLike, rows: int, before: tuple[str, tuple[int, ...]] | None
) -> tuple[Any, np.ndarray]:
    """The values as float32, and the rows that are not finite."""
    values = returned if isinstance(returned, jax.Array) else np.asarray(returned)
    if values.dtype == object or not (
        np.issubdtype(values.dtype, np.number) or values.dtype == bool
    ):
        if jnp.issubdtype(values.dtype, jnp.floating):  # bfloat16 is no NumPy number
            return _checked(values.astype(np.float32), rows, before)
        raise _Unusable(f"returned {values.dtype} instead of numbers")
    if np.issubdtype(values.dtype, np.complexfloating):
        raise _Unusable("returned complex numbers")
    if values.ndim not in (1, 2) or values.shape[0] != rows or 0 in values.shape:
        raise _Unusable(f"returned shape {values.shape} for {rows} masks; ({rows},) is expected")
    if before is not None and values.shape[1:] != before[1]:
        raise _Unusable(f"returned shape {values.shape}, but {(rows, *before[1])} {before[0]}")
    values = values.astype(np.float32)
    xp = jnp if isinstance(values, jax.Array) else np
    finite = np.asarray(xp.isfinite(values).reshape(rows, -1).all(axis=1))
    return values, np.flatnonzero(~finite)
