"""Rows of a table as value functions: a masked feature takes its value from background rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Shaped

from spexjax.store.fingerprint import fingerprint
from spexjax.typing import ArrayLike

Replacement = Literal["sample", "mean"]
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class Tabular:
    """f(m): the mean prediction for a row whose masked features come from the background.

    Attributes:
      predict: (rows, n) to (rows,) or (rows, K).
      x: (n,), the row explained.
      background: (R, n), the rows that stand in, one after the other.
      name: names ``predict``, or None.
    """

    predict: Callable[[np.ndarray], ArrayLike]
    x: Shaped[np.ndarray, "n"]
    background: Shaped[np.ndarray, "R n"]
    name: str | None = None

    @property
    def n(self) -> int:
        """The number of features."""
        return len(self.x)

    @property
    def store_key(self) -> str | None:
        """The name with a digest of the row and the background; None without a name."""
        if self.name is None:
            return None
        return fingerprint(self.name, tabular=1, x=self.x, background=self.background)

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N *K"]:
        """Values, float64 (N,) or (N, K), of masks; True keeps a feature of the row.

        Raises:
          ValueError: if ``predict`` returns complex numbers, or not one answer per row.
        """
        R = len(self.background)
        size = max(_ROWS_AT_ONCE // R, 1)
        parts = []
        for start in range(0, len(masks), size):
            kept = masks[start : start + size, None]
            rows = np.where(kept, self.x, self.background).reshape(-1, self.n)
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
    x: Shaped[ArrayLike, "n"],
    background: Shaped[ArrayLike, "R n"],
    replacement: Replacement = "sample",
    samples: int = 100,
    seed: int = 0,
    name: str | None = None,
) -> Tabular:
    """The value function of one row of a table, for scikit-learn models and the like.

    f(m) = 1/R Σ_r predict(x_i where m_i = 1, background_{r,i} elsewhere): the interventional
    value function of Štrumbelj and Kononenko 2014.

    Args:
      predict: (rows, n) to (rows,) or (rows, K), such as ``model.predict_proba``.
      x: the row.
      background: rows to draw replacements from; one row of shape (n,) is a fixed baseline.
      replacement: "sample" averages over rows of the background, "mean" replaces by the mean of
        each column: one prediction per mask instead of ``samples``, but for a row that may be
        like none of the data.
      samples: rows of the background to use at most; every mask gets the same ones.
      seed: chooses them if the background has more.
      name: names ``predict`` in a store; without it, give ``explain`` a ``store_key``.

    Raises:
      ValueError: if shapes do not fit, or an argument is out of range.
    """
    row, rows = np.asarray(x), np.atleast_2d(np.asarray(background))
    if row.ndim != 1 or not len(row) or rows.ndim != 2 or rows.shape[1] != len(row):
        raise ValueError(f"x must be (n,) and background (R, n), got {row.shape} and {rows.shape}.")
    if not len(rows) or samples < 1:
        raise ValueError("background and samples must give at least one row.")
    if replacement not in get_args(Replacement):
        raise ValueError(
            f"replacement must be one of {get_args(Replacement)}, got {replacement!r}."
        )
    if replacement == "mean":
        rows = rows.mean(axis=0, keepdims=True)
    elif len(rows) > samples:
        chosen = np.random.default_rng(seed).choice(len(rows), samples, replace=False)
        rows = rows[np.sort(chosen)]
    return Tabular(predict, row, rows, name)
