"""The stored values of one value function: asked in memory, added to in transactions."""

import json
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt32

from spexjax.codes import gf2
from spexjax.store.database import Database, StoreError, StoreWarning
from spexjax.store.locks import FileLocks


class FunctionInfo(NamedTuple):
    """What a store knows of one value function."""

    id: int
    key: str
    n: int
    outputs: int | None
    """K; 0 for a scalar function, None before the first value."""
    values: int
    """Stored masks; one that two processes paid for at once counts twice until ``vacuum``."""


class Journal:
    """The values of one function in a store, read into memory; made by :meth:`Store.journal`.

    Values are float32 as long as all of them can be without loss, else float64.
    """

    def __init__(
        self, database: Database, locks: FileLocks, function: FunctionInfo, read: bool = True
    ):
        self.function, self._database, self._locks = function, database, locks
        self.outputs = function.outputs
        self.unsaved: list[tuple[np.ndarray, np.ndarray]] = []
        """Chunks that could not be written; tried again with the next one."""
        self._warned = False
        self._octets = -(-function.n // 8)
        self._last = 0
        self._values: dict[bytes, np.ndarray] = {}
        self._dtype = np.dtype(np.float32)
        if read:
            self.refresh()

    def __len__(self) -> int:
        return len(self._values)

    def refresh(self) -> int:
        """Reads what was written since the last time, by whomever; the number of new masks.

        Raises:
          StoreError: if a chunk is damaged.
        """
        before = len(self)
        for _, found in self.read_chunks():
            if isinstance(found, StoreError):
                raise found
            self._remember(*found)
        return len(self) - before

    def read_chunks(self) -> Iterator[tuple[int, Any]]:
        """(id, (masks, values)) of the chunks not read yet; an error in place of a damaged one."""
        query = (
            "SELECT id, size, masks, answers, checksum FROM chunks WHERE function = ? AND id > ? "
            "ORDER BY id"
        )
        with self._database.clear("read"):
            for row in self._database.execute(query, (self.function.id, self._last)):
                if self.outputs is None:  # set in the transaction of the first chunk
                    told = "SELECT outputs FROM functions WHERE id = ?"
                    self.outputs = self._database.execute(told, (self.function.id,)).fetchone()[0]
                try:
                    found: Any = self._unpacked(*row)
                except StoreError as error:
                    found = error
                self._last = row[0]
                yield row[0], found

    def known(self, masks: UInt32[np.ndarray, "N W"]) -> Bool[np.ndarray, "N"]:
        """Which masks have a value."""
        return np.fromiter((m in self._values for m in self._keys(masks)), bool, len(masks))

    def lookup(self, masks: UInt32[np.ndarray, "N W"]) -> Float[np.ndarray, "N *K"]:
        """The values of masks, all of them known; float32 or float64.

        Raises:
          KeyError: if a mask has no value.
        """
        found = [self._values[m] for m in self._keys(masks)]
        return np.array(found, self._dtype).reshape(len(masks), *self.shape)

    def everything(self) -> tuple[UInt32[np.ndarray, "N W"], Float[np.ndarray, "N *K"]]:
        """All masks, in the order of their chunks, and their values, float32 or float64."""
        masks = self._masks(b"".join(self._values))
        values = np.array(list(self._values.values()), self._dtype)
        return masks, values.reshape(len(masks), *self.shape)

    def add(self, masks: UInt32[np.ndarray, "N W"], values: Float[np.ndarray, "N *K"]) -> None:
        """Commits values. What cannot be written is kept, and tried again with the next chunk.

        Masks with a value that is not finite are left out. Numbers other than float32 are stored
        as float64, unless all of a chunk fit into float32 without loss.

        Raises:
          StoreError: if the function's earlier values have another number of outputs.

        Warns:
          StoreWarning: if the file cannot be written.
        """
        values = _narrowed(values)
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        masks, values = masks[finite], values[finite]
        if not len(masks):
            return
        outputs = 0 if values.ndim == 1 else values.shape[1]
        if self.outputs is not None and self.outputs != outputs:
            raise StoreError(
                f"store_key {short(self.function.key)} is stored with {_outputs(self.outputs)}, "
                f"but the function returns {_outputs(outputs)}: give it another store_key."
            )
        self.outputs = outputs
        self._remember(masks, values)
        self.unsaved.append((masks, values))
        self.flush()

    def flush(self) -> None:
        """Tries to write what could not be written.

        Warns:
          StoreWarning: if that fails, once until it succeeds again.
        """
        if not self.unsaved:
            return
        try:
            with self._database.clear("written"), self._database.transaction():
                written = [self.write(*chunk) for chunk in self.unsaved]
        except StoreError as error:
            if not self._warned:
                text = f"{error} The values stay in memory and the run goes on."
                warnings.warn(text, StoreWarning, stacklevel=2)
            self._warned = True
            return
        self.unsaved, self._warned = [], False
        if written[0] == self._last + 1 and len(written) == 1:
            self._last += 1  # no need to read it back

    def write(self, masks: np.ndarray, values: np.ndarray) -> int | None:
        """Inserts one chunk within a transaction of the caller; its id."""
        self._database.execute(
            "UPDATE functions SET outputs = ? WHERE id = ? AND outputs IS NULL",
            (self.outputs, self.function.id),
        )
        values = _narrowed(values)
        answers = values.astype(values.dtype.newbyteorder("<")).tobytes()
        keys = b"".join(self._keys(masks))
        return self._database.execute(
            "INSERT INTO chunks (function, size, masks, answers, checksum) VALUES (?, ?, ?, ?, ?)",
            (self.function.id, len(masks), keys, answers, self._checksum(keys, answers)),
        ).lastrowid

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While held, no other process asks this function (see :class:`FileLocks`)."""
        with self._locks.exclusive(self.function.id):
            yield

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one mask's value: () or (K,)."""
        return (self.outputs,) if self.outputs else ()

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def _remember(self, masks: np.ndarray, values: np.ndarray) -> None:
        self._dtype = np.promote_types(self._dtype, values.dtype)
        for mask, value in zip(self._keys(masks), values, strict=True):
            self._values.setdefault(mask, value)

    def _keys(self, masks: np.ndarray) -> list[bytes]:
        octets = np.ascontiguousarray(masks, "<u4").view(np.uint8)[:, : self._octets]
        return np.ascontiguousarray(octets).view(f"V{self._octets}").reshape(-1).tolist()

    def _masks(self, keys: bytes) -> np.ndarray:
        octets = np.frombuffer(keys, np.uint8).reshape(-1, self._octets)
        wide = np.zeros((len(octets), 4 * gf2.num_words(self.function.n)), np.uint8)
        wide[:, : self._octets] = octets
        return wide.view("<u4").astype(np.uint32)

    def _checksum(self, keys: bytes, answers: bytes) -> int:
        f = self.function
        head = json.dumps([f.key, f.n, self.outputs, len(keys)]).encode()
        return zlib.crc32(answers, zlib.crc32(keys, zlib.crc32(head)))

    def _unpacked(
        self, chunk: int, size: Any, keys: Any, answers: Any, checksum: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        width = max(self.outputs or 0, 1)
        if not (
            type(size) is int
            and isinstance(keys, bytes)
            and isinstance(answers, bytes)
            and len(keys) == size * self._octets
            and len(answers) in (size * width * 4, size * width * 8)
            and checksum == self._checksum(keys, answers)
        ):
            raise StoreError(
                f"{self._database.path} is damaged: chunk {chunk} does not have its checksum. The "
                "file was left as it is; `spexjax store export` saves what can still be read."
            )
        wide = len(answers) == size * width * 8
        values = np.frombuffer(answers, "<f8" if wide else "<f4")
        values = values.astype(np.float64 if wide else np.float32)
        return self._masks(keys), values.reshape(size, *self.shape)


def short(key: str) -> str:
    """A key as an error message shows it."""
    return repr(key if len(key) <= 80 else key[:79] + "…")


def _outputs(outputs: int) -> str:
    return f"{outputs} outputs" if outputs else "one number per mask"


def _narrowed(values: Any) -> np.ndarray:
    """Numbers as float32 if that loses nothing, else as float64."""
    values = np.asarray(values)
    if values.dtype == np.float32:
        return values
    wide = values.astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        narrow = wide.astype(np.float32)
    return narrow if np.array_equal(narrow, wide, equal_nan=True) else wide
