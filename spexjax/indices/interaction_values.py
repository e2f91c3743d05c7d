"""A list of interactions: sets of features with a value each, strongest first."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Float64, UInt32

from spexjax import fragments
from spexjax.codes import gf2
from spexjax.spectra import subsets
from spexjax.typing import Errors

_ROWS = 1 << 12
_SHOWN = 10
_SHOWN_IN_NOTEBOOKS = 100

Members = tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """The values of an interaction index, sorted by magnitude.

    Sets are held by positions, so two equal words stay two. A set that is not listed has value 0.
    The empty set is never among the listed ones (iteration, ``items``, ``len``, ``values``,
    ``top``, ``to_dict`` …): its value is ``baseline``, or ``ix[()]``. Equal are interactions of
    the same index, order and features with the same values on the same sets.

    Attributes:
      supports: uint32, shape (sets, W), distinct packed sets, none empty.
      values: float64, shape (sets,), by descending magnitude; magnitudes that are equal to single
        precision keep the order of their sets.
      n: the number of features.
      index: the name of the index.
      max_order: the largest size asked for, ℓ of the indices that depend on it.
      features: n labels; positions if empty.
      baseline: the value on the empty set, 0 for an index that has none.
      errors: what knows how far the values may be off; None if nothing does.
      data: the value of each feature in the row of a table, for pictures; empty if there is none.
    """

    supports: UInt32[np.ndarray, "sets W"]
    values: Float64[np.ndarray, "sets"]
    n: int
    index: str
    max_order: int
    features: tuple[str, ...] = ()
    baseline: float = 0.0
    errors: Errors | None = None
    data: tuple[float | str, ...] = ()

    def __post_init__(self) -> None:
        labels = tuple(map(str, self.features)) or tuple(map(str, range(self.n)))
        if len(labels) != self.n:
            raise ValueError(f"features must hold n = {self.n} labels, got {len(labels)}.")
        object.__setattr__(self, "features", labels)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[Members, float]]:
        """Yields (members, value), strongest first."""
        for start in range(0, len(self), _ROWS):
            bits = gf2.unpack_numpy(self.supports[start : start + _ROWS], self.n)
            rows, columns = np.nonzero(bits)
            members = np.split(columns, np.searchsorted(rows, np.arange(1, len(bits))))
            values = self.values[start : start + _ROWS].tolist()
            for positions, value in zip(members, values, strict=True):
                yield tuple(positions.tolist()), value

    @overload
    def __getitem__(self, key: slice | np.ndarray) -> "Interactions": ...
    @overload
    def __getitem__(self, key: int | str | tuple[int | str, ...]) -> float: ...
    def __getitem__(self, key: Any) -> "Interactions | float":
        """The value of a set, 0 if it is not listed; of a slice, the interactions in it.

        Args:
          key: the set's members in any order, each a position or a label: ``ix[3]``,
            ``ix[3, 17]``, ``ix["never"]``, ``ix["never", "fails"]``; ``ix[()]`` is the baseline.
            Or a slice of the list, such as ``ix[:10]``, or bool (sets,): ``ix[ix.sizes() > 1]``.

        Raises:
          KeyError: if a position is outside 0…n − 1, no feature or several have a label, or the
            set is larger than ``max_order``.
        """
        if isinstance(key, slice | np.ndarray):
            return replace(self, supports=self.supports[key], values=self.values[key])
        members = key if isinstance(key, tuple) else (key,)
        bits = np.zeros(self.n, bool)
        for member in members:
            bits[self._position(member)] = True
        if bits.sum() > self.max_order:
            raise KeyError(f"only sets of at most {self.max_order} are listed, got {key!r}.")
        if not members:
            return self.baseline
        packed = gf2.pack_numpy(bits, self.supports.shape[1])
        # The word with most members first: few sets share it.
        word = int(np.argmax(np.bitwise_count(packed)))
        rows = np.flatnonzero(self.supports[:, word] == packed[word])
        rows = rows[(self.supports[rows] == packed).all(axis=1)]
        return float(self.values[rows[0]]) if len(rows) else 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Interactions):
            return NotImplemented
        about = [
            (ix.n, ix.index, ix.max_order, ix.features, ix.baseline, len(ix))
            for ix in (self, other)
        ]
        if about[0] != about[1]:
            return False
        mine, theirs = (np.lexsort(ix.supports.T) for ix in (self, other))
        return np.array_equal(self.supports[mine], other.supports[theirs]) and np.array_equal(
            self.values[mine], other.values[theirs]
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self.table(_SHOWN)

    def _repr_html_(self) -> str:
        """The strongest sets as a table that sorts itself, with the errors that are known."""
        top = self[:_SHOWN_IN_NOTEBOOKS]
        largest = max(float(np.abs(top.values).max(initial=0.0)), 1e-300)
        columns = [
            fragments.Column(
                self.index, [f"{v:+.4g}" for v in top.values], np.abs(top.values).tolist(),
                (top.values / largest).tolist(),
            )
        ]  # fmt: skip
        if self.errors is not None:
            low, high = top.interval()
            if np.any(high > low):
                ends = [f"{a:+.4g} … {b:+.4g}" for a, b in zip(low, high, strict=True)]
                columns.append(fragments.Column("95 %", ends, low.tolist()))
            marks = top.stands()
            if marks is not None and not marks.all():
                columns.append(
                    fragments.Column("stands", ["*" if m else "" for m in marks], marks.tolist())
                )
        sizes = top.sizes()
        columns.append(fragments.Column("order", [str(size) for size in sizes], sizes.tolist()))
        columns.append(fragments.Column("set", [self._name(members) for members, _ in top]))
        left = (
            f"{len(self) - len(top):,} weaker sets are not shown." if len(self) > len(top) else ""
        )
        title = (
            f"{self.index} up to order {self.max_order}, {len(self):,} sets of {self.n:,} features"
        )
        return fragments.table(title, columns, left)

    @cached_property
    def estimates(self) -> Any:
        """The sets' :class:`~spexjax.inference.estimates.Estimates`, in the order of the list.

        ``values`` are those of the surrogate, fitted to everything; ``estimates.estimate`` are
        unbiased and noisier, and it is around them that intervals lie. (Of a target they are
        ``values``.)

        Raises:
          ValueError: if these interactions do not come from an explanation.
        """
        if self.errors is None:
            raise ValueError(
                "these interactions know nothing of their errors: take them from an explanation, "
                "by e.interactions(…)."
            )
        return self.errors(self.index, self.max_order, self.supports, self.values)

    @property
    def standard_error(self) -> Float64[np.ndarray, "sets"]:
        """Of ``estimates.estimate``; 0 where every mask was asked for.

        NaN where there is no evidence, and for Joint-SV.
        """
        return self.estimates.standard_error

    @property
    def p_value(self) -> Float64[np.ndarray, "sets"]:
        """Two-sided, of each set by itself, as if it had been named in advance."""
        return self.estimates.p_value

    @property
    def estimand(self) -> str:
        """What intervals and p-values are of: the function, or its projection on the sets found."""
        return self.estimates.estimand

    def interval(
        self, level: float = 0.95
    ) -> tuple[Float64[np.ndarray, "sets"], Float64[np.ndarray, "sets"]]:
        """Lower and upper ends, each of the stated coverage by itself.

        Raises:
          ValueError: as :attr:`estimates`, or if the level is not between 0 and 1.
        """
        return self.estimates.interval(level)

    def stands(self, fdr: float = 0.1) -> Bool[np.ndarray, "sets"] | None:
        """Which sets stand: F(S), and so their own Banzhaf interaction (−2)^|S| F(S), is not 0.

        Their members do something together, on average over what becomes of all others. The sets
        that the surrogate holds are tested, at a false discovery rate, by
        :func:`spexjax.inference.discover`; others do not stand. It is a test of the set, whatever
        index is listed: one may owe its FBII to larger sets alone.

        Args:
          fdr: the rate, between 0 and 1.

        Returns:
          bool (sets,), all True where every mask was asked for; None where nothing could be tested.
        """
        return None if self.errors is None else self.errors.stands(self.supports, fdr)

    def items(self) -> Iterator[tuple[Members, float]]:
        """(members, value) of every listed set, strongest first, as in a dict."""
        return iter(self)

    def top(self, count: int) -> "Interactions":
        """The ``count`` strongest sets."""
        return self[:count]

    def order(self, size: int) -> "Interactions":
        """The sets of exactly ``size`` features."""
        return self[self.sizes() == size]

    def sizes(self) -> np.ndarray:
        """The number of features in each set, int64 (sets,)."""
        return np.bitwise_count(self.supports).sum(axis=1, dtype=np.int64)

    @property
    def shown(self) -> tuple[str, ...]:
        """What pictures call the features: their labels, with their values where there are any."""
        if not self.data:
            return self.features
        pairs = zip(self.features, self.data, strict=True)
        return tuple(f"{name} = {_brief(value)}" for name, value in pairs)

    def to_dict(self) -> dict[Members, float]:
        """{members: value}, strongest first."""
        return dict(self.items())

    def to_array(self) -> Float64[np.ndarray, "n"]:
        """The value of each feature alone, float64 (n,), 0 where it is not listed."""
        alone = np.zeros(self.n)
        for (i,), value in self.order(1):
            alone[i] = value
        return alone

    def to_dataframe(self):
        """A pandas table, strongest first: ``members``, ``labels`` (tuples), ``order``, ``value``.

        From an explanation also ``standard_error``, ``low`` and ``high`` (95 %), ``p_value``, and
        ``stands`` (at a false discovery rate of 10 %; None where nothing could be tested).

        Raises:
          ImportError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_dataframe needs pandas: pip install pandas.") from error
        sets = [members for members, _ in self]
        columns = {
            "members": sets,
            "labels": [self.labels(members) for members in sets],
            "order": self.sizes(),
            "value": self.values,
        }
        if self.errors is not None:
            low, high = self.interval()
            columns |= {"standard_error": self.standard_error, "low": low, "high": high}
            columns |= {"p_value": self.p_value, "stands": self.stands()}
        return pandas.DataFrame(columns)

    def labels(self, members: Members) -> tuple[str, ...]:
        """The labels of the features at these positions."""
        return tuple(self.features[i] for i in members)

    def table(self, count: int) -> str:
        """The first ``count`` sets as text; equal labels are told apart by their positions."""
        head = f"{self.index} up to order {self.max_order}, {len(self)} sets of {self.n} features"
        lines = [head, f"{'value':>12}  order  set"] if len(self) else [head]
        for members, value in self[:count]:
            lines.append(f"{value:>+12.5g}  {len(members):>5}  {self._name(members)}")
        if len(self) > count:
            lines.append(f"{'…':>12}  {len(self) - count} more")
        return "\n".join(lines)

    @cached_property
    def _seen(self) -> Counter[str]:
        """How many features have each label."""
        return Counter(self.features)

    def _name(self, members: Members) -> str:
        """A set's labels; equal ones are told apart by their positions."""
        labels = (
            f"{self.features[i]}@{i}" if self._seen[self.features[i]] > 1 else self.features[i]
            for i in members
        )
        return " + ".join(labels)

    def _position(self, member: Any) -> int:
        """The position of a member that is given by position or by label."""
        if isinstance(member, int | np.integer) and 0 <= member < self.n:
            return int(member)
        if not isinstance(member, str):
            raise KeyError(
                f"members must be labels or positions from 0 to {self.n - 1}, got {member!r}."
            )
        found = [i for i, label in enumerate(self.features) if label == member]
        if len(found) == 1:
            return found[0]
        if not found:
            raise KeyError(f"no feature is labelled {member!r}.")
        raise KeyError(f"{member!r} is the label of {found}: pass one of these positions.")


def _brief(value: float | str) -> str:
    """A value of a table in few letters."""
    return value if isinstance(value, str) else f"{value:.4g}"


def ranking(values: Float64[np.ndarray, "sets"]) -> np.ndarray:
    """The order that puts the largest magnitude first, int (sets,).

    Magnitudes that are equal to single precision count as equal and keep their order, so that the
    last bits of a sum do not shuffle sets that a function treats alike.
    """
    relative = np.abs(values)
    largest = relative.max(initial=0.0)
    if largest > 0:
        relative /= -largest
    return np.argsort(relative.astype(np.float32), kind="stable")


def from_members(
    groups: Iterable[tuple[np.ndarray, np.ndarray]],
    n: int,
    index: str,
    max_order: int,
    features: tuple[str, ...] = (),
    baseline: float = 0.0,
) -> Interactions:
    """Interactions from sets by size, sorted as in :func:`ranking`.

    Args:
      groups: pairs of members, int (sets, size), and values, float (sets,). No set occurs twice,
        and none is empty.
      n: the number of features.
      index: the name of the index.
      max_order: the largest size asked for.
      features: labels; positions if empty.
      baseline: the value on the empty set.
    """
    groups = list(groups)
    values = np.concatenate([np.zeros(0), *(v for _, v in groups)])
    order = ranking(values)
    counts = np.array([len(v) for _, v in groups], np.int64)
    group_of = np.repeat(np.arange(len(groups), dtype=np.int8), counts)
    by_group = np.argsort(group_of[order], kind="stable")
    supports = np.zeros((len(values), gf2.num_words(n)), np.uint32)
    start = 0
    for members, group_values in groups:
        own = by_group[start : start + len(group_values)]
        # A few rows at a time, in the order of memory: millions of sets do not fit a cache.
        for rows in np.split(own, range(_ROWS, len(own), _ROWS)):
            supports[rows] = subsets.pack(members[order[rows] - start], n)
        start += len(own)
    return Interactions(supports, values[order], n, index, max_order, features, baseline)
