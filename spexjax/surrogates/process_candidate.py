"""A Gaussian process as one more candidate of an output.

It makes the most of few masks where many sets matter a little, as in models of text
(``python -m spexjax.experiments budget``). Its coefficients are read off, not fitted
(:mod:`spexjax.processes.reading`): what lies on other sets is not put into these. Every fold has
rates of its own, learned without it: so many numbers, learned with the fold, promise what the
process does not keep elsewhere. Where half of the folds hold as many masks as rates are learned
from, those learned from one half serve the folds of the other.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32

from spexjax.codes import gf2
from spexjax.masks.design import Design
from spexjax.processes import reading, unpaired
from spexjax.processes.covariance import Mean, predict
from spexjax.processes.likelihood import LEARNED_FROM
from spexjax.processes.unpaired import Settings
from spexjax.spectra import subsets
from spexjax.surrogates.folds import Data, Table, num_folds
from spexjax.surrogates.problem import Residuals

_SETS = 256
# Of a fold's rates, from those of all: they are near.
_STEPS = 12


class Means(NamedTuple):
    """Posterior means: without each fold, of all but the held-out masks, and of all masks.

    Attributes:
      lanes: of each fold, and of all of them.
      whole: of all masks.
      residuals: what each fold's mean leaves in its fold; 0 elsewhere.
    """

    lanes: tuple[Mean, ...]
    whole: Mean
    residuals: tuple[Residuals, ...]


class Reading(NamedTuple):
    """What the means say.

    Attributes:
      members: int32 (lanes, sets, t), their strongest sets that are no columns of the other fits,
        padded with −1; all −1 is no set.
      lanes: float32 (lanes, T + sets), coefficients on the columns, then on these sets.
      whole: float32 (T + sets,), of the mean of all masks on those of the last lane.
    """

    members: Int32[np.ndarray, "lanes sets t"]
    lanes: Float[np.ndarray, "lanes T_plus"]
    whole: Float[np.ndarray, "T_plus"]


def read(
    found: Means, columns: Int32[np.ndarray, "lanes S t"], n_pad: int, max_order: int
) -> Reading:
    """What the means of an output say.

    Args:
      found: the means.
      columns: the sets that the other fits have in every lane, padded with −1.
      n_pad: how many single inputs they have.
      max_order: of the largest set.
    """
    own = strongest(found, columns, max_order)
    members = np.concatenate([columns, own], axis=1)
    lanes = [_read(*one, n_pad) for one in zip(found.lanes, members, strict=True)]
    return Reading(own, np.stack(lanes), _read(found.whole, members[-1], n_pad))


def residuals_of(data: Data, left: Float[np.ndarray, "N"]) -> Residuals:
    """Residuals in the order of a table, coded masks first, as the fits have their values."""
    coded, rows = np.split(left.astype(np.float32), [data.num_coded])
    padded = np.pad(rows, (0, len(data.real) - len(rows)))
    return Residuals(padded, None if data.coded is None else coded)


def means(design: Design, data: Data, table: Table, output: int) -> Means:
    """Learns the process of an output, in every lane.

    Args:
      design: the masks.
      data, table: the values, as they are fitted and as one table.
      output: which.
    """
    count = data.num_masks
    signs = np.where(table.masks[:count, : design.n], 1.0, -1.0)
    y, fold = np.asarray(table.values[output], float)[:count, None], table.fold[:count]
    folds = num_folds(design.coded)
    kept = [(fold >= 0) & (fold != lane) for lane in range(folds + 1)]
    settings = unpaired.learn(signs[kept[-1]], y[kept[-1]])

    def near(rows: Bool[np.ndarray, "N"]) -> Settings:
        return unpaired.learn(signs[rows], y[rows], settings, _STEPS)

    middle = folds // 2
    early, late = kept[-1] & (fold < middle), fold >= middle
    if min(early.sum(), late.sum()) >= LEARNED_FROM:
        # More is not learned from: what one half of the folds tells serves those of the other.
        own = [near(late)] * middle + [near(early)] * (folds - middle)
    else:
        own = [near(rows) for rows in kept[:-1]]
    final = near(np.ones(count, bool))
    lanes = zip(kept, [*own, settings], strict=True)
    of_lanes = tuple(unpaired.mean(signs[k], y[k], one) for k, one in lanes)
    residuals = []
    for lane, mean in enumerate(of_lanes[:-1]):
        left = np.zeros(count)
        out = np.flatnonzero(fold == lane)
        left[out] = (y[out] - predict(mean, signs[out]))[:, 0]
        residuals.append(residuals_of(data, left))
    return Means(of_lanes, unpaired.mean(signs, y, final), tuple(residuals))


def strongest(
    found: Means, columns: Int32[np.ndarray, "lanes S t"], max_order: int
) -> Int32[np.ndarray, "lanes sets t"]:
    """The strongest sets of every lane's mean that are no columns, −1 before their members."""
    L, S, t = columns.shape
    out = np.full((L, _SETS, t), -1, np.int32)
    for lane, mean in enumerate(found.lanes):
        n = mean.signs.shape[1]
        sets = reading.strongest(mean, min(max_order, t), S + _SETS)
        sets = sets[(sets >= 0).sum(axis=1) > 1]
        known = columns[lane][(columns[lane] >= 0).any(axis=1)]
        place = gf2.places_among(subsets.pack(sets, n), subsets.pack(known, n))
        fresh = sets[place < 0][:_SETS]
        out[lane, : len(fresh), t - fresh.shape[1] :] = np.sort(fresh, axis=1)
    return out


def _read(
    mean: Mean, members: Int32[np.ndarray, "sets t"], n_pad: int
) -> Float[np.ndarray, "T_plus"]:
    """Coefficients on ∅, the single inputs, padded, and the sets; 0 where there is none."""
    n = mean.signs.shape[1]
    singles = np.full((n + 1, members.shape[1]), -1, np.int32)
    singles[1:, 0] = np.arange(n)
    sets = np.flatnonzero((members >= 0).any(axis=1))
    F = reading.coefficients(mean, np.concatenate([singles, members[sets]]))[:, 0]
    out = np.zeros(1 + n_pad + len(members), np.float32)
    out[: n + 1] = F[: n + 1]
    out[1 + n_pad + sets] = F[n + 1 :]
    return out
