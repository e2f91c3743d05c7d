"""Calling a value function: in chunks, with checks of what it returns, losing nothing it gave."""

import dataclasses
import numbers
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, UInt32

from spexjax.codes import gf2
from spexjax.store.journal import Journal
from spexjax.typing import ArrayLike, Streaming
from spexjax.values.checks import Unusable, checked, joined, not_finite
from spexjax.values.errors import Interrupted, Kept, PartialValues, ValueFunctionError
from spexjax.values.progress import progress_bar

__all__ = [
    "Interrupted",
    "OnDevice",
    "PartialValues",
    "ValueFunctionError",
    "chunk_size_of",
    "evaluate",
    "on_device",
]

_CHUNK_SIZE = 512


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


def chunk_size_of(f: Any, chunk_size: int | None = None) -> int:
    """Masks per call of f at most: ``chunk_size``, or if None f's attribute of this name, or 512.

    Raises:
      ValueError: if that is no int, or below 1.
    """
    if chunk_size is None:
        function = f.function if isinstance(f, OnDevice) else f
        chunk_size = getattr(function, "chunk_size", None)
    if chunk_size is None:
        return _CHUNK_SIZE
    whole = isinstance(chunk_size, numbers.Integral) and not isinstance(chunk_size, bool)
    if not whole or chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1 and an int, got {chunk_size!r}.")
    return int(chunk_size)


def evaluate(
    f: Callable[[Any], ArrayLike],
    packed: UInt32[np.ndarray, "N W"],
    n: int,
    chunk_size: int | None = None,
    progress: bool = False,
    journal: Journal | None = None,
) -> Float[ArrayLike, "N *K"]:
    """The values of f at packed masks, unpacked chunk by chunk on the way to f.

    Args:
      f: the value function, (rows, n) bool to (rows,) or (rows, K) real numbers. One that is
        :class:`~spexjax.typing.Streaming` gets all masks at once, and answers as it can.
      packed: uint32 (N, W), N at least 1; with a journal, distinct ones.
      n: number of features.
      chunk_size: masks per call of f at most; None for f's own ``chunk_size``, else 512. How a
        streaming function divides its masks where it is None is its own affair.
      progress: show a bar while f works; where stderr is no terminal, a line before and after the
        first chunk, which says how long the rest will take.
      journal: is asked first; only masks without a value reach f, and every chunk is committed
        before the next is asked for, or of a stream before the next is taken.

    Returns:
      (N,) or (N, K), as precise as f gave them: float32 for floats of up to 32 bits, float64 for
      all other numbers. With a journal, float32 if none of its values needs more. If f is marked
      by :func:`on_device` and there is no journal, a device array, which never was on the host;
      float64 is then JAX's default float unless ``jax_enable_x64`` is set.

    Raises:
      ValueError: if ``chunk_size`` is no int, or below 1.
      ValueFunctionError: if f raises, or returns anything but one finite real number, or the same
        number K of them, per mask. It holds the values of the chunks before.
      Interrupted: at ctrl-C; so does this.
    """
    rows = chunk_size_of(f, chunk_size)
    calls = _Calls(f, n, min(rows, len(packed)), journal)
    missing = packed if journal is None else packed[~journal.known(packed)]
    with progress_bar(len(missing), progress, rows) as advance:
        while len(missing):
            with nullcontext() if journal is None else journal.exclusive():
                if journal is not None and journal.refresh():  # another process paid for some
                    left = missing[~journal.known(missing)]
                    advance(len(missing) - len(left))
                    missing = left
                if isinstance(f, Streaming):
                    places = calls.follow(f.stream(missing, n, chunk_size), missing, advance)
                    break
                asked, missing = missing[:rows], missing[rows:]
                if len(asked):
                    calls.ask(asked)
            advance(len(asked))
    if journal is not None:
        return journal.lookup(packed)
    values = joined(calls.values)
    return values[np.argsort(places)] if isinstance(f, Streaming) else values


@dataclasses.dataclass
class _Calls:
    """The calls of f in one :func:`evaluate`, a chunk of masks each, and what they returned."""

    f: Callable[[Any], ArrayLike]
    n: int
    padded: int
    """Masks per call of a function on the device, whose shape must not change."""
    journal: Journal | None
    masks: list[np.ndarray] = dataclasses.field(default_factory=list)
    values: list[Any] = dataclasses.field(default_factory=list)

    def ask(self, rows: UInt32[np.ndarray, "rows W"]) -> None:
        """One chunk: f, the checks of what it returns, the journal."""
        with self._blamed(rows):
            values = self._call(rows)
            bad = not_finite(values)
        self._keep(rows, values, bad)

    def follow(
        self,
        stream: Generator[tuple[np.ndarray, np.ndarray], None, None],
        packed: UInt32[np.ndarray, "N W"],
        advance: Callable[[int], Any],
    ) -> Int[np.ndarray, "N"]:
        """All of a stream, each part checked and kept as it comes; the places, as they came."""
        waiting = np.ones(len(packed), bool)
        order: list[np.ndarray] = [np.zeros(0, np.int64)]
        with closing(stream):
            while waiting.any():
                with self._blamed(packed[waiting]):
                    places, returned = next(stream)
                    values = checked(np.asarray(returned), len(places), self._outputs())
                    bad = not_finite(values)
                self._keep(packed[places], values, bad)
                waiting[places] = False
                order.append(places)
                advance(len(places))
        return np.concatenate(order)

    @contextmanager
    def _blamed(self, rows: UInt32[np.ndarray, "rows W"]) -> Iterator[None]:
        """Turns what f raises into errors that hold what was paid for."""
        chunk = len(self.values)
        try:
            yield
        except PartialValues as partial:
            came = np.asarray(partial.values)
            self._keep_finite(rows, came if came.dtype == np.float32 else came.astype(np.float64))
            if isinstance(partial.cause, KeyboardInterrupt):
                raise Interrupted(self._kept()) from partial.cause
            raise self._error(chunk, f"broke off: {partial.cause}", rows) from partial.cause
        except KeyboardInterrupt as stop:
            raise Interrupted(self._kept()) from stop
        except Unusable as error:
            raise self._error(chunk, str(error), rows) from error
        except Exception as error:
            raise self._error(chunk, f"raised {error!r}", rows) from error

    def _keep(self, rows: np.ndarray, values: Any, bad: np.ndarray) -> None:
        if len(bad):
            chunk = len(self.values)
            self._keep_finite(rows, jax.device_get(values))
            some = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
            what = f"returned NaN or infinity for {len(bad)} masks (rows {some})"
            raise self._error(chunk, what, rows)
        if self.journal is not None:
            values = jax.device_get(values)
            self.journal.add(rows, values)
        self.masks.append(rows)
        self.values.append(values)

    def _call(self, rows: np.ndarray) -> ArrayLike:
        if not isinstance(self.f, OnDevice):
            on_host = np.asarray(self.f(gf2.unpack_numpy(rows, self.n)))
            return checked(on_host, len(rows), self._outputs())
        padded = np.zeros((self.padded, rows.shape[1]), np.uint32)
        padded[: len(rows)] = rows
        # Explicit transfers, here and in the checks: they are what jax.transfer_guard lets pass.
        returned = self.f(gf2.unpack(jax.device_put(padded), self.n))
        values = checked(returned, self.padded, self._outputs())
        if isinstance(values, jax.Array):  # by [:] the bounds would be sent to the device
            return jax.lax.slice_in_dim(values, 0, len(rows))
        return values[: len(rows)]

    def _outputs(self) -> tuple[str, tuple[int, ...]] | None:
        """Where values came from before, and the shape of one."""
        if self.values:
            return "for the first chunk", self.values[0].shape[1:]
        if self.journal is not None and self.journal.outputs is not None:
            return "are stored under its store_key", self.journal.shape
        return None

    def _keep_finite(self, rows: np.ndarray, values: np.ndarray) -> None:
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
        values = np.concatenate(jax.device_get(self.values)) if self.values else None
        saved = self.journal is not None and not self.journal.unsaved
        return Kept(masks, values, str(self.journal.path) if saved and self.journal else None)

    def _error(self, chunk: int, what: str, rows: np.ndarray) -> ValueFunctionError:
        where = f"on chunk {chunk} ({len(rows)} masks)"
        message = f"The value function {what}, {where}."
        return ValueFunctionError(message, chunk, self._kept(), rows)
