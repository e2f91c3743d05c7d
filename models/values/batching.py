"""Masks in, values out, over all devices of a model: what value functions of models share.

Masks are cut into batches of few fixed sizes and split evenly over the devices. Lengths of rows
and numbers of features are rounded up to a ladder, so that short rows do not pay for long ones and
inputs of similar size share compiled programs. A batch that a device has no memory for is halved.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from spexjax.codes import gf2
from spexjax.masks import unique_rows
from spexjax.models.nn.devices import Devices
from spexjax.models.text.masking import MaskableText, Template, bucket, row_lengths
from spexjax.models.values.devices import plan
from spexjax.typing import Array

_SHORTEST, _STEPS = 32, 4  # of the ladder of row lengths: a finer one costs more programs
_LONG, _FINER = 512, 16  # where rows are long and all have one length, padding costs more
_LEAST = 512


class BatchedValue:
    """f(m) of one input under one model; a subclass says what a batch of masks is worth.

    Attributes:
      model: has ``devices``.
      rows: masks per device and batch; halved when a device runs out of memory.
      program: one batch, from :meth:`~spexjax.models.nn.devices.Devices.compile`.
    """

    model: Any
    rows: int
    program: Callable[..., Array]

    @property
    def n(self) -> int:
        """The number of features."""
        raise NotImplementedError

    @property
    def longest(self) -> int:
        """Tokens of the longest row, rounded up as the program wants it."""
        raise NotImplementedError

    def lengths(self, masks: Bool[np.ndarray, "N n"]) -> Int[np.ndarray, "N"]:
        """Tokens of each masked input."""
        raise NotImplementedError

    def row_cost(self, length: int) -> float:
        """Multiplications and additions of a row of ``length`` tokens, for processors that these
        keep busy for longer than the compiler does; 0 for all others.
        """
        return 0.0

    @property
    def shared(self) -> tuple:
        """What the program needs beside masks, on the devices."""
        raise NotImplementedError

    def batch(self, length: int, masks: Array) -> Array:
        """Values (width, rows) or (width, rows, K) of masks (width, rows, n_pad) on the devices.

        The rows have at most ``length`` tokens.
        """
        return self.program(length, self.shared, masks)

    def sent(self, masks: Bool[np.ndarray, "count n"]) -> Shaped[np.ndarray, "count columns"]:
        """Masks as they travel to the devices: padded, so that inputs of similar size share
        programs.
        """
        return np.pad(masks, ((0, 0), (0, bucket(self.n) - self.n)))

    def trimmed(self, values: Float[np.ndarray, "rows *K"]) -> Float[np.ndarray, "rows *K"]:
        """Values without what stands for padding."""
        return values

    @property
    def devices(self) -> Devices:
        """Where it is evaluated."""
        return self.model.devices

    @property
    def batch_size(self) -> int:
        """Masks that the devices evaluate at once."""
        return self.devices.data_width * self.rows

    @property
    def chunk_size(self) -> int:
        """Masks that it is best asked for at once: full batches of several lengths."""
        return -(-_LEAST // self.batch_size) * self.batch_size

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N *K"]:
        """Values, float32, (N,) or (N, K), of masks, bool, (N, n); True keeps a feature.

        A mask asked for twice is evaluated once.

        Raises:
          ValueError: if the masks are not bool or not (N, n).
        """
        masks = np.asarray(masks)
        if masks.ndim != 2 or masks.shape[1] != self.n or masks.dtype != bool:
            raise ValueError(
                f"masks must be bool of shape (N, {self.n}), got {masks.dtype} {masks.shape}."
            )
        if len(masks) == 0:
            return self(np.ones((1, self.n), bool))[:0]
        packed, place = unique_rows(gf2.pack_numpy(masks, gf2.num_words(self.n)))
        masks = gf2.unpack_numpy(packed, self.n)
        found = None
        for length, chosen in self._batches(masks):
            values = self._evaluate(masks[chosen], length)
            if found is None:
                found = np.empty((len(masks), *values.shape[1:]), np.float32)
            found[chosen] = values
        assert found is not None
        return found[place]

    def _batches(self, masks: Bool[np.ndarray, "N n"]) -> Iterator[tuple[int, np.ndarray]]:
        """Lengths and the masks to evaluate at them: full batches, shortest rows first.

        What does not fill a batch at its own length joins the next longer one, so that rows
        of padding are few and no program is compiled for a handful of masks.
        """
        size = self.batch_size
        tokens = self.lengths(masks)
        whole, least = self.lengths(np.array([[True], [False]]).repeat(self.n, axis=1)).tolist()
        steps = _FINER if whole == least >= _LONG else _STEPS
        lengths = np.array(
            [min(bucket(t, _SHORTEST, steps), self.longest) for t in tokens.tolist()]
        )
        waiting = np.zeros(0, np.int64)
        present = np.unique(lengths)
        for length in present:
            waiting = np.concatenate([waiting, np.flatnonzero(lengths == length)])
            ready = len(waiting) if length == present[-1] else len(waiting) // size * size
            if ready:
                yield int(length), waiting[:ready]
            waiting = waiting[ready:]

    def _evaluate(self, masks: Bool[np.ndarray, "N n"], length: int) -> np.ndarray:
        while True:
            try:
                return self._in_batches(masks, length)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error) or self.rows == 1:
                    raise
            self.rows //= 2
            warnings.warn(
                f"A device has no memory for {2 * self.rows} rows of {length} tokens; from here "
                f"on batches have {self.rows}.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _in_batches(self, masks: Bool[np.ndarray, "N n"], length: int) -> np.ndarray:
        width = self.devices.data_width
        batches = plan(len(masks), width, self.rows, self.row_cost(length))
        parts = [self.batch(length, self._sent(masks[b.start : b.stop], b.rows)) for b in batches]
        values = []
        for batch, part in zip(batches, parts, strict=True):
            found = self.devices.fetch(part).astype(np.float32, copy=False)
            rows = found.swapaxes(0, 1).reshape(width * batch.rows, *found.shape[2:])
            values.append(rows[: batch.stop - batch.start])
        return self.trimmed(np.concatenate(values))

    def _sent(self, masks: Bool[np.ndarray, "count n"], rows: int) -> Array:
        """Masks on the devices, dealt out like cards: their numbers differ by one at most."""
        width = self.devices.data_width
        fill = (0, width * rows - len(masks)), (0, 0)
        dealt = np.pad(self.sent(masks), fill).reshape(rows, width, -1).swapaxes(0, 1)
        return self.devices.put_rows(np.ascontiguousarray(dealt))


class MaskedText(BatchedValue):
    """A value function whose features are parts of a text.

    Attributes:
      source: the text, its features and tokens.
      template: the tokens that masks act on, padded to the bucket of their length.
    """

    source: MaskableText
    template: Template

    @property
    def n(self) -> int:
        """The number of features."""
        return self.source.n

    @property
    def words(self) -> tuple[str, ...]:
        """The features as they stand in the text."""
        return self.source.words

    @property
    def longest(self) -> int:
        """Tokens of the longest row, with padding."""
        return len(np.asarray(self.template.ids))

    def lengths(self, masks: Bool[np.ndarray, "N n"]) -> Int[np.ndarray, "N"]:
        """Tokens of each row that masks act on."""
        return row_lengths(self.template, masks)
