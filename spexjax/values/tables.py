"""Rows of a table as value functions: a masked feature takes its value from background rows."""

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from spexjax.store.fingerprint import fingerprint
from spexjax.typing import ArrayLike

Replacement = Literal["sample", "mean"]
Groups = Mapping[str, Sequence[str | int]]
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class Tabular:
    """f(m): the mean prediction for a row whose masked features come from the background.

    Attributes:
      predict: (rows, columns) to (rows,) or (rows, K).
      x: (columns,), the row explained.
      background: (R, columns), the rows that stand in, one after the other.
      name: names ``predict``, or None.
      features: what the features are called.
      data: the row's value of each feature.
      of_column: the feature of each column, int (columns,).
    """

    predict: Callable[[np.ndarray], ArrayLike]
    x: Shaped[np.ndarray, "columns"]
    background: Shaped[np.ndarray, "R columns"]
    name: str | None
    features: tuple[str, ...]
    data: tuple[float | str, ...]
    of_column: Int[np.ndarray, "columns"]

    @property
    def n(self) -> int:
        """The number of features."""
        return len(self.features)

    @property
    def store_key(self) -> str | None:
        """The name with a digest of the row, the background and the groups; None without a name."""
        if self.name is None:
            return None
        groups = {} if self.n == len(self.x) else {"of_column": self.of_column}
        return fingerprint(self.name, tabular=1, x=self.x, background=self.background, **groups)

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N *K"]:
        """Values, float64 (N,) or (N, K), of masks; True keeps a feature of the row.

        Raises:
          ValueError: if ``predict`` returns complex numbers, or not one answer per row.
        """
        R, columns = self.background.shape
        size = max(_ROWS_AT_ONCE // R, 1)
        parts = []
        for start in range(0, len(masks), size):
            kept = masks[start : start + size, None, self.of_column]
            rows = np.where(kept, self.x, self.background).reshape(-1, columns)
            answers = np.asarray(self.predict(rows))
            if np.iscomplexobj(answers):
                raise ValueError("predict must return real numbers, got complex ones.")
            if answers.shape[:1] != rows.shape[:1]:
                raise ValueError(
                    f"predict must return one answer per row, got shape {answers.shape} for "
                    f"{len(rows)} rows."
                )
            by_mask = answers.astype(np.float64).reshape(-1, R, *answers.shape[1:])
            parts.append(by_mask.mean(axis=1))
        return np.concatenate(parts)


def tabular(
    predict: Callable[[np.ndarray], ArrayLike],
    x: Shaped[ArrayLike, "columns"],
    background: Shaped[ArrayLike, "R columns"],
    replacement: Replacement = "sample",
    samples: int = 100,
    seed: int = 0,
    name: str | None = None,
    features: Sequence[str] | None = None,
    groups: Groups | None = None,
) -> Tabular:
    """The value function of one row of a table, for scikit-learn models and the like.

    f(m) = 1/R Σ_r predict(x_i where m_i = 1, background_{r,i} elsewhere): the interventional
    value function of Štrumbelj and Kononenko 2014.

    Args:
      predict: (rows, columns) to (rows,) or (rows, K), such as ``model.predict_proba``.
      x: the row.
      background: rows to draw replacements from; one row of shape (columns,) is a fixed baseline.
      replacement: "sample" averages over rows of the background, "mean" replaces by the mean of
        each column: one prediction per mask instead of ``samples``, but for a row that may be
        like none of the data.
      samples: rows of the background to use at most; every mask gets the same ones.
      seed: chooses them if the background has more.
      name: names ``predict`` in a store; without it, give ``explain`` a ``store_key``.
      features: the columns' names; those of a data frame if None, or else x0, x1, ….
      groups: columns that are one feature together, such as the dummies of a category: the
        group's name with its columns' names or positions. Other columns are features by
        themselves. A feature stands where its first column does.

    Raises:
      ValueError: if shapes or names do not fit, or an argument is out of range.
    """
    row = np.asarray(x)
    if row.ndim != 1 or not len(row):
        raise ValueError(f"x must be (columns,), got {row.shape}.")
    rows = [row]
    return tabular_rows(
        predict, rows, background, replacement, samples, seed, name, features, groups
    )[0]


def tabular_rows(
    predict: Callable[[np.ndarray], ArrayLike],
    X: Shaped[ArrayLike, "rows columns"] | Sequence[ArrayLike],
    background: Shaped[ArrayLike, "R columns"],
    replacement: Replacement = "sample",
    samples: int = 100,
    seed: int = 0,
    name: str | None = None,
    features: Sequence[str] | None = None,
    groups: Groups | None = None,
) -> list[Tabular]:
    """The value functions of several rows of a table, for :func:`spexjax.explain_many`.

    Args:
      X: the rows.
      predict, background, replacement, samples, seed, name, features, groups: as for
        :func:`tabular`; all rows have the same background.

    Raises:
      ValueError: as :func:`tabular`.
    """
    table, rows = np.asarray(X), np.atleast_2d(np.asarray(background))
    if table.ndim != 2 or not table.size or rows.ndim != 2 or rows.shape[1] != table.shape[1]:
        raise ValueError(
            f"x must be (columns,) and background (R, columns), got {table.shape[1:]} and "
            f"{rows.shape}."
        )
    if not len(rows) or samples < 1:
        raise ValueError("background and samples must give at least one row.")
    if replacement not in get_args(Replacement):
        raise ValueError(
            f"replacement must be one of {get_args(Replacement)}, got {replacement!r}."
        )
    columns = _names(features, (X, background), table.shape[1])
    names, of_column = _grouped(groups or {}, columns)
    if replacement == "mean":
        rows = rows.mean(axis=0, keepdims=True)
    elif len(rows) > samples:
        chosen = np.random.default_rng(seed).choice(len(rows), samples, replace=False)
        rows = rows[np.sort(chosen)]
    return [
        Tabular(predict, x, rows, name, names, _values(x, names, columns, of_column), of_column)
        for x in table
    ]


def _names(given: Sequence[str] | None, tables: Sequence[Any], count: int) -> list[str]:
    """The columns' names."""
    if given is None:
        known = [list(t.columns) for t in tables if hasattr(t, "columns")]
        given = known[0] if known else [f"x{i}" for i in range(count)]
    if len(given) != count:
        raise ValueError(f"features must name {count} columns, got {len(given)} names.")
    return [str(name) for name in given]


def _grouped(groups: Groups, columns: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The features' names, in the order of their first columns, and the feature of each column."""
    of: dict[int, str] = {}
    for name, members in groups.items():
        for member in members:
            if isinstance(member, str):
                at = columns.index(member) if columns.count(member) == 1 else -1
            else:
                at = int(member)
            if not 0 <= at < len(columns):
                raise ValueError(f"group {name!r} names {member!r}, which is not one column.")
            if at in of:
                raise ValueError(f"column {columns[at]!r} is in {of[at]!r} and {name!r}.")
            of[at] = str(name)
    keys = [("group", of[i]) if i in of else ("column", i) for i in range(len(columns))]
    order = list(dict.fromkeys(keys))
    names = tuple(str(key) if kind == "group" else columns[int(key)] for kind, key in order)
    return names, np.array([order.index(key) for key in keys])


def _values(
    x: np.ndarray, names: tuple[str, ...], columns: list[str], of_column: np.ndarray
) -> tuple[float | str, ...]:
    """The row's value of each feature; of dummies the category's name, without the group's."""
    found: list[float | str] = []
    for i, name in enumerate(names):
        own = np.flatnonzero(of_column == i).tolist()
        if len(own) == 1:
            found.append(_plain(x[own[0]]))
            continue
        there = [j for j in own if x[j]]
        if len(there) == 1:
            found.append(columns[there[0]].removeprefix(name).lstrip("_=: ") or columns[there[0]])
        else:
            found.append(", ".join(f"{_plain(x[j])}" for j in own))
    return tuple(found)


def _plain(value: Any) -> float | str:
    number = isinstance(value, numbers.Real | np.bool_)
    return float(value) if number else str(value)
