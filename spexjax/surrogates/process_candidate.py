"""A Gaussian process as one more candidate of an output, with its strongest sets as its columns.

It makes the most of few masks where many sets matter a little, as in models of text
(``python -m spexjax.experiments budget``). Its coefficients are read off, not fitted
(:mod:`spexjax.processes.reading`): what lies on other sets is not put into these. Every fold has
rates of its own, learned without it: so many numbers, learned with the fold, promise what the
process does not keep elsewhere.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from spexjax.codes import gf2
from spexjax.masks.design import Design
from spexjax.processes import reading, unpaired
from spexjax.processes.process import Mean
from spexjax.spectra import subsets
from spexjax.surrogates.folds import Table, num_folds

SETS = 256
"""Columns that only the process has, in each lane."""
# Of a fold's rates, from those of all: they are near.
_STEPS = 12


class Means(NamedTuple):
    """Posterior means: without each fold, of all but the held-out masks, and of all masks."""

    lanes: tuple[Mean, ...]
    whole: Mean


class Smooth(NamedTuple):
    """What the means say of the columns of an output.

    Attributes:
      lanes: float32 (lanes, T).
      whole: float32 (T,), of the mean of all masks on the columns of the last lane.
    """

    lanes: Float[np.ndarray, "lanes T"]
    whole: Float[np.ndarray, "T"]


def means(design: Design, table: Table, output: int) -> Means:
    """Learns the process of an output in every lane."""
    count = len(design)
    signs = np.where(table.masks[:count, : design.n], 1.0, -1.0)
    y, fold = np.asarray(table.values[output], float)[:count, None], table.fold[:count]
    kept = [(fold >= 0) & (fold != lane) for lane in range(num_folds(design.coded) + 1)]
    settings = unpaired.learn(signs[kept[-1]], y[kept[-1]])
    own = [unpaired.learn(signs[k], y[k], settings, _STEPS) for k in kept[:-1]]
    lanes = zip(kept, [*own, settings], strict=True)
    final = unpaired.learn(signs, y, settings, _STEPS)
    return Means(
        tuple(unpaired.mean(signs[k], y[k], one) for k, one in lanes),
        unpaired.mean(signs, y, final),
    )


def strongest(
    found: Means, members: Int32[np.ndarray, "lanes S t"], max_order: int
) -> Int32[np.ndarray, "lanes SETS t"]:
    """The strongest sets of every lane's mean that are not among its members, −1 before them."""
    L, S, t = members.shape
    out = np.full((L, SETS, t), -1, np.int32)
    for lane, mean in enumerate(found.lanes):
        n = mean.signs.shape[1]
        sets = reading.strongest(mean, min(max_order, t), S + SETS)[n + 1 :]
        known = members[lane][(members[lane] >= 0).any(axis=1)]
        place = gf2.places_among(subsets.pack(sets, n), subsets.pack(known, n))
        fresh = sets[place < 0][:SETS]
        out[lane, : len(fresh), t - fresh.shape[1] :] = np.sort(fresh, axis=1)
    return out


def coefficients(found: Means, members: Int32[np.ndarray, "lanes S t"], n_pad: int) -> Smooth:
    """Those on ∅, the single inputs and the sets of every lane; 0 where there is none."""
    lanes = [_read(*one, n_pad) for one in zip(found.lanes, members, strict=True)]
    return Smooth(np.stack(lanes), _read(found.whole, members[-1], n_pad))


def _read(mean: Mean, members: Int32[np.ndarray, "S t"], n_pad: int) -> Float[np.ndarray, "T"]:
    n = mean.signs.shape[1]
    singles = np.full((n + 1, members.shape[1]), -1, np.int32)
    singles[1:, 0] = np.arange(n)
    sets = np.flatnonzero((members >= 0).any(axis=1))
    F = reading.coefficients(mean, np.concatenate([singles, members[sets]]))[:, 0]
    out = np.zeros(1 + n_pad + len(members), np.float32)
    out[: n + 1] = F[: n + 1]
    out[1 + n_pad + sets] = F[n + 1 :]
    return out
