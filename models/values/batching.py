"""Masks in, values out, over all local devices: what value functions of models share.

Masks are cut into batches of one fixed size and split over the devices. Lengths of rows and numbers
of features are rounded up to a ladder, so that short rows do not pay for long ones and inputs of
similar size share compiled programs. A batch that a device has no memory for is halved.
"""

import warnings
from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.codes import gf2
from spexjax.masks import unique_rows
from spexjax.models.text.masking import MaskableText, Template, bucket, row_lengths
from spexjax.typing import Array

_SHORTEST, _STEPS = 32, 4  # of the ladder of row lengths: a finer one costs more programs


class BatchedValue:
    """f(m) of one input under one model; a subclass says what a batch of masks is worth.

    Attributes:
      rows: masks per device and batch; halved when a device runs out of memory.
    """

    rows: int

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

    def batch(self, length: int, masks: Bool[np.ndarray, "devices rows n_pad"]) -> Array:
        """Values (devices, rows) or (devices, rows, K) of rows of at most ``length`` tokens."""
        raise NotImplementedError

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
        size = jax.local_device_count() * self.rows
        tokens = self.lengths(masks)
        lengths = np.array(
            [min(bucket(t, _SHORTEST, _STEPS), self.longest) for t in tokens.tolist()]
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
        devices = jax.local_device_count()
        fill = (-len(masks) % (devices * self.rows), bucket(self.n) - self.n)
        padded = np.pad(masks, ((0, fill[0]), (0, fill[1])))
        padded = padded.reshape(-1, devices, self.rows, padded.shape[1])
        parts = [self.batch(length, m) for m in padded]
        values = [np.asarray(part, np.float32).reshape(-1, *part.shape[2:]) for part in parts]
        return np.concatenate(values)[: len(masks)]


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
