"""Means, standard errors and paired differences of cells."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from spexjax.experiments.harness.results import Cell, Result

Read = Callable[[Cell], float | None]
"""The number of interest in a cell; None if it has none."""


class Mean(NamedTuple):
    """A mean over items."""

    mean: float
    error: float
    """Standard error; NaN for one item."""
    items: int

    def __str__(self) -> str:
        if not self.items:
            return "–"
        return (
            f"{self.mean:.3f}" if math.isnan(self.error) else f"{self.mean:.3f} ± {self.error:.3f}"
        )


def mean(values: Iterable[float]) -> Mean:
    """Mean and standard error s/√n of values."""
    x = np.array(list(values), float)
    if not len(x):
        return Mean(math.nan, math.nan, 0)
    error = float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else math.nan
    return Mean(float(x.mean()), error, len(x))


def number(name: str) -> Read:
    """Reads ``cell.values[name]``."""

    def read(cell: Cell) -> float | None:
        return cell.values.get(name)

    return read


def by_item(cells: Iterable[Cell], read: Read) -> dict[str, float]:
    """An item's number, averaged over seeds; items without one are left out."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        value = None if cell.skipped else read(cell)
        if value is not None:
            found.setdefault(cell.item, []).append(value)
    return {item: float(np.mean(values)) for item, values in found.items()}


def select(result: Result, **wanted) -> list[Cell]:
    """The cells with these fields, such as ``group="8-15", b=3``."""
    return [
        cell
        for cell in result.cells
        if all(getattr(cell, name) == value for name, value in wanted.items())
    ]


def over_items(result: Result, read: Read, **wanted) -> Mean:
    """Mean and standard error over the items of the cells with these fields."""
    return mean(by_item(select(result, **wanted), read).values())


def paired(result: Result, read: Read, first: str, second: str, **wanted) -> Mean:
    """first − second, method by method, over the items that both have."""
    a = by_item(select(result, method=first, **wanted), read)
    b = by_item(select(result, method=second, **wanted), read)
    return mean(a[item] - b[item] for item in a if item in b)


def distinct(result: Result, name: str) -> list:
    """The values of a field of the cells, in order of appearance."""
    return list(dict.fromkeys(getattr(cell, name) for cell in result.cells))


def skipped(result: Result) -> list[str]:
    """Which methods were not run where, and why: a line for each."""
    found: dict[tuple[str, str], set[str]] = {}
    for cell in result.cells:
        if cell.skipped:
            reason = "fewer than two masks for each set" if "two masks" in cell.skipped else (
                "its matrix would be too large" if "matrix" in cell.skipped else cell.skipped
            )  # fmt: skip
            found.setdefault((cell.method, reason), set()).add(f"{cell.group} (b = {cell.b})")
    return [
        f"{method} is left out where there are {reason}: {', '.join(sorted(where))}."
        if reason.startswith("fewer")
        else f"{method} is left out where {reason}: {', '.join(sorted(where))}."
        for (method, reason), where in found.items()
    ]


def spent(result: Result) -> str:
    """The calls of each budget, from the smallest item's to the largest's."""
    parts = []
    for b in sorted(distinct(result, "b")):
        calls = [cell.calls for cell in select(result, b=b) if not cell.skipped]
        if calls:
            ends = sorted({min(calls), max(calls)})
            parts.append(f"b = {b}: {'–'.join(map(str, ends))}")
    return "Calls of each explanation, from the shortest item to the longest: " + "; ".join(parts)
