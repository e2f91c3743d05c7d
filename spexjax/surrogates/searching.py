"""The sets that one output is fitted with, found anew in every lane."""

from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt32

from spexjax import workers
from spexjax.masks.design import Design
from spexjax.spectra import subsets
from spexjax.surrogates import folds, penalties, process_candidate, proposals
from spexjax.surrogates.folds import Data, Table
from spexjax.surrogates.problem import Residuals
from spexjax.surrogates.process_candidate import Means, Reading
from spexjax.surrogates.proposals import Search, Wider
from spexjax.typing import Key

Weights = dict[str, Float[np.ndarray, "lanes T"]]


class Sets(NamedTuple):
    """The sets that one output is fitted with, in every lane.

    Attributes:
      members: int32 (lanes, S, t), decoded ones first; −1 is no member, all −1 no set.
      decoded: bool (lanes, S), whether a set was decoded.
      weights: for each scheme those of the columns in the L1 penalty; none if nothing is proposed.
      smooth: what a process says of the columns, if there is one; it may not have been read yet.
      residuals: what the process leaves in each fold.
    """

    members: Int32[np.ndarray, "lanes S t"]
    decoded: Bool[np.ndarray, "lanes S"]
    weights: Weights
    smooth: Future[Reading] | None = None
    residuals: tuple[Residuals, ...] | None = None

    def supports(self, lane: int, n_pad: int) -> UInt32[np.ndarray, "T W"]:
        """The packed supports of the columns, and of the sets that only the process has."""
        columns = folds.column_supports(self.members[lane], n_pad)
        if self.smooth is None:
            return columns
        return np.concatenate([columns, subsets.pack(self.smooth.result().members[lane], n_pad)])


def decoded_alone(decoded: Int32[np.ndarray, "lanes S t"]) -> Sets:
    """The decoded sets and no others."""
    return Sets(decoded, np.any(decoded >= 0, axis=-1), {})


class Begun(NamedTuple):
    """A search for the sets of an output: its trees are growing, its process is learned."""

    design: Design
    table: Table
    wider: Wider
    search: Search
    means: Future[Means] | None


def begin(design: Design, data: Data, table: Table, output: int, wider: Wider, key: Key) -> Begun:
    """Begins to look for sets besides those that are decoded."""
    means = None
    if smoothed(design, wider):
        (means,) = workers.begin(process_candidate.means, [design], [data], [table], [output])
    search = proposals.start(
        table.masks, table.values[output], table.fold, folds.num_folds(design.coded),
        wider, design.n, min(design.max_order, design.n), key,
    )  # fmt: skip
    return Begun(design, table, wider, search, means)


def with_proposed(begun: Begun, decoded: Int32[np.ndarray, "lanes S t"]) -> Sets:
    """The decoded sets and those proposed besides, as many as there is room for."""
    design, table, wider, search, means = begun
    order = min(design.max_order, design.n)
    width = max(0, order - decoded.shape[2])
    decoded = np.pad(decoded, ((0, 0), (0, 0), (width, 0)), constant_values=-1)
    found = proposals.propose(search, table.fold, decoded, wider, order)
    sets = Sets(found.members, found.given, penalties.penalties(found))
    if means is None:
        return sets
    known, n_pad = means.result(), table.masks.shape[1]
    (reading,) = workers.begin(
        process_candidate.read, [known], [found.members], [n_pad], [design.max_order]
    )
    return sets._replace(smooth=reading, residuals=known.residuals)


def smoothed(design: Design, wider: Wider) -> bool:
    """Whether a process is among the candidates."""
    return len(design) <= wider.process and design.n <= wider.most_features
