"""The sets that one output is fitted with, found anew in every lane."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32

from spexjax.masks.design import Design
from spexjax.surrogates import folds, penalties, process_candidate, proposals
from spexjax.surrogates.folds import Table
from spexjax.surrogates.process_candidate import Smooth
from spexjax.surrogates.proposals import Wider
from spexjax.typing import Key

Weights = dict[str, Float[np.ndarray, "lanes T"]]


class Sets(NamedTuple):
    """The sets that one output is fitted with, in every lane.

    Attributes:
      members: int32 (lanes, S, t), decoded ones first; −1 is no member, all −1 no set.
      decoded: bool (lanes, S), whether a set was decoded.
      fitted: bool (lanes, S), whether more than the process has a coefficient for a set.
      weights: for each scheme those of the columns in the L1 penalty; none if nothing is proposed.
      smooth: what a process says of the columns, if there is one.
    """

    members: Int32[np.ndarray, "lanes S t"]
    decoded: Bool[np.ndarray, "lanes S"]
    fitted: Bool[np.ndarray, "lanes S"]
    weights: Weights
    smooth: Smooth | None = None


def decoded_alone(decoded: Int32[np.ndarray, "lanes S t"]) -> Sets:
    """The decoded sets and no others."""
    present = np.any(decoded >= 0, axis=-1)
    return Sets(decoded, present, np.ones_like(present), {})


def with_proposed(
    design: Design,
    table: Table,
    output: int,
    decoded: Int32[np.ndarray, "lanes S t"],
    wider: Wider,
    key: Key,
) -> Sets:
    """The decoded sets and those proposed besides, as many as there is room for."""
    order = min(design.max_order, design.n)
    width = max(0, order - decoded.shape[2])
    decoded = np.pad(decoded, ((0, 0), (0, 0), (width, 0)), constant_values=-1)
    found = proposals.propose(
        table.masks, table.values[output], table.fold, folds.num_folds(design.coded), decoded,
        wider, design.n, order, key,
    )  # fmt: skip
    weights = penalties.penalties(found)
    every = Sets(found.members, found.given, np.ones_like(found.given), weights)
    return _with_process(every, design, table, output) if smoothed(design, wider) else every


def smoothed(design: Design, wider: Wider) -> bool:
    """Whether a process is among the candidates."""
    return len(design) <= wider.process and design.n <= wider.most_features


def _with_process(sets: Sets, design: Design, table: Table, output: int) -> Sets:
    """The same with a process, and columns for it."""
    means = process_candidate.means(design, table, output)
    own = process_candidate.strongest(means, sets.members, design.max_order)
    members = np.concatenate([sets.members, own], axis=1)
    room = ((0, 0), (0, own.shape[1]))
    return Sets(
        members,
        np.pad(sets.decoded, room),
        np.pad(sets.fitted, room),
        {s: np.pad(w, room, constant_values=1.0) for s, w in sets.weights.items()},
        process_candidate.coefficients(means, members, table.masks.shape[1]),
    )
