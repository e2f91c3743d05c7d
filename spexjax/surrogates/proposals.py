"""Which sets a refit should weigh, found anew in every lane (without each fold, and with all).

Boosted trees propose the supports of their Fourier transform, whatever their size; screening
proposes the pairs that correlate most with what a linear fit leaves (sure independence screening:
Fan and Lv 2008).

The constants were chosen by ``python -m spexjax.experiments budget --budgets 250 1000``.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from spexjax.spectra import subsets
from spexjax.spectra.subsets import Sets
from spexjax.surrogates import screening
from spexjax.trees import ensemble
from spexjax.trees.boosting import BoostConfig
from spexjax.trees.ensemble import Growing
from spexjax.typing import ArrayLike, Key

_FROM_TREES = 4096
# Screened pairs are many and few of them matter: as many as the trees' sets cost 0.02 of R².
_SETS_PER_PAIR = 3
_SETS_PER_ROW = 1.5
_SETS_BUCKET = 128
BOOSTS = (
    BoostConfig(depth=3, trees=400, min_child=10.0),
    BoostConfig(depth=4, trees=400, min_child=10.0),
    BoostConfig(depth=5, trees=400, min_child=10.0),
    BoostConfig(depth=4, trees=400, min_child=10.0, rows=0.8, columns=0.7),
)
"""Trees of three depths, and some grown on samples."""
TREES = 8  # the sub-stream of the user's key that trees draw from


@dataclasses.dataclass(frozen=True)
class Wider:
    """What is proposed besides the sets that were decoded.

    Attributes:
      sets: most sets proposed in each lane; with few masks it is three sets to two masks.
      pairs: whether pairs are screened.
      boosts: settings of the boosted trees, the mean of which proposes; none if empty.
      most_features: with more inputs than this trees grow on those of largest linear coefficient,
        and pairs are screened among 2 048 of these.
      process: with at most so many masks, and ``most_features`` inputs, a Gaussian process is among
        the fits, with sets of its own besides.
    """

    sets: int = 896
    pairs: bool = True
    boosts: tuple[BoostConfig, ...] = BOOSTS
    most_features: int = 2048
    process: int = 0


class Proposal(NamedTuple):
    """Sets for every lane and how much speaks for them.

    Attributes:
      members: int32 (lanes, Q, t), padded with −1; all −1 is no set.
      given: bool (lanes, Q), those that were given.
      strength: float32 (lanes, Q), |coefficient| in the trees.
      single: float32 (lanes, n_pad), the same of each input, or that of the linear fit if larger.
    """

    members: Int32[np.ndarray, "L Q t"]
    given: Bool[np.ndarray, "L Q"]
    strength: Float[np.ndarray, "L Q"]
    single: Float[np.ndarray, "L n_pad"]


class Search(NamedTuple):
    """What sets are proposed from; a device may not have finished it yet.

    Attributes:
      weights: float32 (lanes, n_pad), of a linear fit.
      pairs: int32 (lanes, count, 2), those screened, the best first; −1 where there are no more.
      growing: boosted trees, if there are any.
    """

    weights: Float[ArrayLike, "L n_pad"]
    pairs: Int32[ArrayLike, "L count 2"]
    growing: Growing | None


def start(
    masks: Bool[ArrayLike, "N n_pad"],
    values: Float[ArrayLike, "N"],
    fold: Int[np.ndarray, "N"],
    folds: int,
    config: Wider,
    n: int,
    max_order: int,
    key: Key,
) -> Search:
    """Starts to look for sets in each of the folds + 1 lanes; the host may go on meanwhile.

    Args:
      masks: bool (N, n_pad), padded features False.
      values: float32 (N,).
      fold: int32 (N,): a row is used in all lanes but that one; −1 for rows that do not count.
      folds: F; lane F uses all rows.
      config: settings.
      n: number of features.
      max_order: largest set.
      key: of the trees.
    """
    count = screened(fold, config, max_order)
    weights, pairs = screening.linear(masks, values, fold, np.int32(n), folds, count)
    growing = None
    if config.boosts:
        growing = grow(masks, values, fold, folds, config, n, max_order, key, weights)
    return Search(weights, pairs, growing)


def propose(
    search: Search,
    fold: Int[np.ndarray, "N"],
    given: Int32[np.ndarray, "lanes S t"],
    config: Wider,
    max_order: int,
) -> Proposal:
    """Sets of 2 to ``max_order`` inputs for every lane, those given first.

    How many follows from the masks alone, unless more are given.

    Args:
      search: see :func:`start`, whose arguments the others are.
      fold: as there.
      given: int32 (F + 1, S, t), sets that are fitted anyway, padded with −1.
      config, max_order: as there.
    """
    L, _, t = given.shape
    most = room(fold, config, int(np.any(given >= 0, axis=-1).sum(axis=-1).max()))
    weights, found = np.asarray(search.weights), np.asarray(search.pairs)
    of_trees = [{}] * L if search.growing is None else search.growing.terms()
    members = np.full((L, most, t), -1, np.int32)
    strength, single = np.zeros((L, most), np.float32), np.abs(weights)
    fixed = np.zeros((L, most), bool)
    for lane in range(L):
        if 1 in of_trees[lane]:
            (alone,), sizes = of_trees[lane][1].members.T, of_trees[lane][1].values
            single[lane, alone] = np.maximum(single[lane, alone], np.abs(sizes))
        sets, sizes = _from_trees(of_trees[lane], t, max_order)
        pairs = found[lane][found[lane, :, 0] >= 0]
        known = given[lane][np.any(given[lane] >= 0, axis=-1)]
        fixed[lane, : len(known)] = True
        left = most - len(known)
        fresh, strength[lane] = rank(known, sets, sizes, pairs, left)
        members[lane] = np.concatenate([known, fresh])
    return Proposal(members, fixed, strength, single)


def room(fold: Int[np.ndarray, "N"], config: Wider, given: int = 0) -> int:
    """How many sets a lane has room for: it follows from the masks, unless more are given."""
    asked = min(config.sets, _SETS_PER_ROW * np.count_nonzero(fold >= 0))
    return _SETS_BUCKET * math.ceil(max(asked, given) / _SETS_BUCKET)


def screened(fold: Int[np.ndarray, "N"], config: Wider, max_order: int) -> int:
    """How many pairs are screened: as many as a lane has room for, or none."""
    return room(fold, config) if config.pairs and max_order >= 2 else 0


def grow(
    masks: Bool[ArrayLike, "N n_pad"],
    values: Float[ArrayLike, "N"],
    fold: Int[np.ndarray, "N"],
    folds: int,
    config: Wider,
    n: int,
    max_order: int,
    key: Key,
    weights: Float[ArrayLike, "L n_pad"] | None = None,
) -> Growing:
    """The boosted trees of every lane (:func:`spexjax.trees.ensemble.start`).

    With more than ``config.most_features`` inputs, on those of largest linear coefficient:
    ``weights``, fitted here if None.
    """
    if n <= config.most_features:
        return ensemble.start(masks, values, fold, folds, config.boosts, max_order, key)
    if weights is None:
        weights, _ = screening.linear(masks, values, fold, np.int32(n), folds, 0)
    rank = np.abs(np.asarray(weights))[:, :n].max(axis=0)
    chosen = np.sort(np.argsort(-rank, kind="stable")[: config.most_features])
    growing = ensemble.start(
        np.asarray(masks)[:, chosen], values, fold, folds, config.boosts, max_order, key
    )
    return growing._replace(features=chosen)


def _from_trees(
    found: dict[int, Sets], t: int, max_order: int
) -> tuple[Int32[np.ndarray, "sets t"], Float[np.ndarray, "sets"]]:
    """Supports of at least two inputs and |coefficients|, the largest first; −1 before members."""
    kept = {d: s for d, s in found.items() if 2 <= d <= min(max_order, t)}
    pads = [np.pad(s.members, ((0, 0), (t - d, 0)), constant_values=-1) for d, s in kept.items()]
    members = np.concatenate([np.zeros((0, t), np.int64), *pads]).astype(np.int32)
    sizes = np.abs(np.concatenate([np.zeros(0), *(s.values for s in kept.values())]))
    first = subsets.largest(sizes, _FROM_TREES)
    return members[first], sizes[first].astype(np.float32)


def rank(
    given: Int32[np.ndarray, "S t"],
    sets: Int32[np.ndarray, "A t"],
    sizes: Float[np.ndarray, "A"],
    pairs: Int32[np.ndarray, "B 2"],
    count: int,
) -> tuple[Int32[np.ndarray, "Q t"], Float[np.ndarray, "S_plus_Q"]]:
    """The first ``count`` sets, three of the trees' to a pair, that are not given; |F| of all."""
    t = given.shape[1]
    padded = np.pad(pairs, ((0, 0), (t - 2, 0)), constant_values=-1) if t >= 2 else pairs[:0, :t]
    rows = np.concatenate([np.sort(given, axis=1), sets, np.sort(padded, axis=1)])
    ranks = [np.full(len(given), -1), np.arange(len(sets)), _SETS_PER_PAIR * np.arange(len(padded))]
    rank = np.concatenate(ranks)
    known = np.concatenate([np.zeros(len(given)), sizes, np.zeros(len(padded))])
    # As strings of bytes they are sorted far faster than by np.unique(…, axis=0).
    whole = np.ascontiguousarray(rows, np.int32).view(np.dtype((np.void, 4 * t)))[:, 0]
    _, at, place = np.unique(whole, return_index=True, return_inverse=True)
    distinct = rows[at]
    first = np.full(len(distinct), len(rows))
    np.minimum.at(first, place, rank)
    strength = np.zeros(len(distinct))
    np.maximum.at(strength, place, known)
    fresh = np.flatnonzero((first >= 0) & (distinct >= 0).any(axis=1))
    chosen = fresh[np.argsort(first[fresh], kind="stable")][:count]
    members = np.full((count, t), -1, np.int32)
    members[: len(chosen)] = distinct[chosen]
    out = np.zeros(len(given) + count, np.float32)
    out[: len(given)] = np.where((given >= 0).any(axis=1), strength[place[: len(given)]], 0.0)
    out[len(given) : len(given) + len(chosen)] = strength[chosen]
    return members, out
