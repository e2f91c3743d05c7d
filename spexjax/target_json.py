"""Targets as JSON."""

from typing import Any

import numpy as np

from spexjax.codes import gf2
from spexjax.indices import index_weights
from spexjax.indices.target import Target
from spexjax.json_fields import array_from, count_from, list_from, numbers_of
from spexjax.spectra.subsets import packed_sets

_NUMBERS = ("values", "standard_error")


def to_json(target: Target) -> dict[str, Any]:
    """All of it, the sets by their members."""
    n = target.supports.shape[1] * gf2.WORD
    bits = gf2.unpack_numpy(target.supports, n)
    numbers = {name: np.asarray(getattr(target, name)) for name in _NUMBERS}
    return {
        "index": target.index,
        "order": target.order,
        "sets": [np.flatnonzero(row).tolist() for row in bits],
        **{
            name: numbers_of(x) if x.ndim == 1 else [numbers_of(row) for row in x]
            for name, x in numbers.items()
        },
        "baseline": numbers_of(target.baseline),
        "units": target.units,
    }


def from_json(raw: Any, n: int, K: int | None) -> Target | None:
    """The inverse; None of None.

    Args:
      raw: what :func:`to_json` gave.
      n: number of features.
      K: number of outputs, None for a scalar function.

    Raises:
      ValueError: if a field has a value that it cannot have, or two do not fit together.
      KeyError, TypeError: if fields are missing or of another kind.
    """
    if raw is None:
        return None
    order = count_from("order", raw["order"], 1)
    sets = [[count_from("member", i) for i in list_from(row)] for row in list_from(raw["sets"])]
    if not all(1 <= len(row) <= order for row in sets):
        raise ValueError(f"a target's sets must have 1 to {order} members.")
    supports = packed_sets(sets, n)
    if len(np.unique(supports, axis=0)) != len(sets):
        raise ValueError("a target's set occurs twice.")

    def numbers(name: str) -> np.ndarray:
        rows = [raw[name]] if K is None else list_from(raw[name])
        if len(rows) != (1 if K is None else K):
            raise ValueError(f"{name} must have a row for each output.")
        table = np.stack([array_from(row, len(sets)) for row in rows])
        return table[0] if K is None else table

    values, standard_error = map(numbers, _NUMBERS)
    if np.any(standard_error < 0):
        raise ValueError("standard_error must not be negative.")
    return Target(
        index_weights.find(raw["index"]).name, order, supports, values, standard_error,
        array_from(raw["baseline"], K), count_from("units", raw["units"]),
    )  # fmt: skip
