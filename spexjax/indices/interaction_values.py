"""A list of interactions: sets of features with a value each, strongest first."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32, UInt32

from spexjax.codes import gf2

_ROWS = 1 << 12
_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """The values of an interaction index, sorted by magnitude.

    Sets are named by positions, never by labels, so two equal words stay two. The empty set is a
    set like any other: ``ix[()]``. A set that is not listed has value 0.

    Attributes:
      supports: uint32, shape (sets, W), distinct packed sets.
      values: float32, shape (sets,), |values| descending.
      n: the number of features.
      index: the name of the index.
      max_order: the largest size asked for, ℓ of the indices that depend on it.
      features: n labels.
    """

    supports: UInt32[np.ndarray, "sets W"]
    values: Float32[np.ndarray, "sets"]
    n: int
    index: str
    max_order: int
    features: tuple[str, ...] = field(default=())

    def __post_init__(self):
        labels = tuple(map(str, self.features)) or tuple(map(str, range(self.n)))
        if len(labels) != self.n:
            raise ValueError(f"features must hold n = {self.n} labels, got {len(labels)}.")
        object.__setattr__(self, "features", labels)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], float]]:
        """Yields (members, value), strongest first."""
        for start in range(0, len(self), _ROWS):
            bits = gf2.unpack_numpy(self.supports[start : start + _ROWS], self.n)
            rows, columns = np.nonzero(bits)
            members = np.split(columns, np.searchsorted(rows, np.arange(1, len(bits))))
            values = self.values[start : start + _ROWS].tolist()
            for positions, value in zip(members, values, strict=True):
                yield tuple(positions.tolist()), value

    def __getitem__(self, members: int | tuple[int, ...]) -> float:
        """The value of a set of positions, in any order; 0 if the set is not listed.

        Raises:
          KeyError: if a position is outside 0…n − 1 or the set is larger than ``max_order``.
        """
        positions = (members,) if isinstance(members, int | np.integer) else tuple(members)
        if not all(isinstance(i, int | np.integer) and 0 <= i < self.n for i in positions):
            raise KeyError(f"positions must be integers from 0 to {self.n - 1}, got {members!r}.")
        bits = np.zeros(self.n, bool)
        bits[list(positions)] = True
        if bits.sum() > self.max_order:
            raise KeyError(f"only sets of at most {self.max_order} are listed, got {members!r}.")
        key = gf2.pack_numpy(bits, self.supports.shape[1])
        # The word with most members first: few sets share it.
        word = int(np.argmax(np.bitwise_count(key)))
        rows = np.flatnonzero(self.supports[:, word] == key[word])
        rows = rows[(self.supports[rows] == key).all(axis=1)]
        return float(self.values[rows[0]]) if len(rows) else 0.0

    def __repr__(self) -> str:
        return self.table(_SHOWN)

    def top(self, count: int) -> "Interactions":
        """The ``count`` strongest sets, the empty one left out."""
        return self._take(np.flatnonzero(self.sizes() > 0)[:count])

    def order(self, size: int) -> "Interactions":
        """The sets of exactly ``size`` features."""
        return self._take(np.flatnonzero(self.sizes() == size))

    def sizes(self) -> np.ndarray:
        """The number of features in each set, int64 (sets,)."""
        return np.bitwise_count(self.supports).sum(axis=1, dtype=np.int64)

    def to_dict(self) -> dict[tuple[int, ...], float]:
        """{members: value}, strongest first."""
        return dict(self)

    def to_dataframe(self):
        """A pandas table, strongest first: ``members``, ``labels`` (tuples), ``order``, ``value``.

        Raises:
          ImportError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_dataframe needs pandas: pip install pandas.") from error
        sets = [members for members, _ in self]
        return pandas.DataFrame(
            {
                "members": sets,
                "labels": [self.labels(members) for members in sets],
                "order": self.sizes(),
                "value": self.values,
            }
        )

    def labels(self, members: tuple[int, ...]) -> tuple[str, ...]:
        """The labels of the features at these positions."""
        return tuple(self.features[i] for i in members)

    def table(self, count: int) -> str:
        """The first ``count`` sets as text; equal labels are told apart by their positions."""
        seen = Counter(self.features)
        head = f"{self.index} up to order {self.max_order}, {len(self)} sets of {self.n} features"
        lines = [head, f"{'value':>12}  order  set"] if len(self) else [head]
        for members, value in self._take(np.arange(min(count, len(self)))):
            labels = (
                f"{self.features[i]}@{i}" if seen[self.features[i]] > 1 else self.features[i]
                for i in members
            )
            name = " + ".join(labels) or "(empty set)"
            lines.append(f"{value:>+12.5g}  {len(members):>5}  {name}")
        if len(self) > count:
            lines.append(f"{'…':>12}  {len(self) - count} more")
        return "\n".join(lines)

    def _take(self, rows: np.ndarray) -> "Interactions":
        return replace(self, supports=self.supports[rows], values=self.values[rows])


def from_members(
    groups: list[tuple[np.ndarray, np.ndarray]],
    n: int,
    index: str,
    max_order: int,
    features: tuple[str, ...] = (),
) -> Interactions:
    """Interactions from sets by size, sorted by |value|; ties keep the order given.

    Args:
      groups: pairs of members, int (sets, size), and values, float (sets,). No set occurs twice.
      n: the number of features.
      index: the name of the index.
      max_order: the largest size asked for.
      features: labels; positions if empty.
    """
    values = np.concatenate([np.zeros(0), *(v for _, v in groups)]).astype(np.float32)
    order = np.argsort(-np.abs(values), kind="stable")
    supports = np.zeros((len(values), gf2.num_words(n)), np.uint32)
    start = 0
    for members, group_values in groups:
        stop = start + len(group_values)
        own = np.flatnonzero((order >= start) & (order < stop))
        # A few rows at a time, in the order of memory: millions of sets do not fit a cache.
        for rows in np.split(own, range(_ROWS, len(own), _ROWS)):
            for column in members[order[rows] - start].T:
                word, bit = np.divmod(column, gf2.WORD)
                supports[rows, word] |= np.uint32(1) << bit.astype(np.uint32)
        start = stop
    return Interactions(supports, values[order], n, index, max_order, features)
