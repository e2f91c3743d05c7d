"""What fitting sets will run, known from the design alone, so that it can be compiled early.

The shapes here are those of one output; with more of them nothing but the numbers of calls changes.
"""

from collections.abc import Iterator

import jax
import numpy as np

from spexjax.compiling import Program
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks.design import Design
from spexjax.surrogates import (
    fits,
    folds,
    normal,
    process_candidate,
    proposals,
    screening,
    searching,
)
from spexjax.surrogates.normal import LANES, Lanes
from spexjax.surrogates.problem import Rows
from spexjax.surrogates.proposals import Wider
from spexjax.trees import ensemble


def programs(
    design: Design, peel: PeelConfig, wider: Wider | None, key: jax.Array
) -> Iterator[Program]:
    """The programs of :func:`spexjax.surrogates.cross_validation.fit`, in order of use."""
    coded, n_pad = design.coded, folds.padded(design.n)
    data = folds.data_of(design, np.zeros((len(design), 1), np.float32))
    order = min(design.max_order, design.n)
    lanes = folds.num_folds(coded) + 1
    width, sets, smooth = 1, 8, None
    if wider is not None:
        table = folds.table_of(coded, data)
        width, sets = order, proposals.room(table.fold, wider)
        masks, y = table.masks, table.values[0]
        pairs = proposals.screened(table.fold, wider, order)
        yield Program(
            screening.linear, (masks, y, table.fold, np.int32(design.n), lanes - 1, pairs)
        )
        if wider.boosts and design.n <= wider.most_features:
            yield ensemble.program(masks, y, table.fold, lanes - 1, wider.boosts, order, key)
        if searching.smoothed(design, wider):
            smooth = process_candidate.residuals_of(data, np.zeros(data.num_masks))
    if coded is not None and data.coded is not None:
        searched = folds.searchable(coded), data.coded.T, folds.actives(coded), peel
        yield Program(folds.search_each, searched)
        width = max(width, coded.code.t)
        sets = folds.least_sets(coded) if wider is None else sets
    T = 1 + n_pad + sets
    equations = (
        coded,
        None if data.coded is None else data.coded[0],
        None if data.inside is None else data.inside[0],
        Rows(data.bits, data.values[0], data.real),
        np.zeros((sets, width), np.int32),
        np.zeros(T, bool),
    )
    yield Program(normal.normal, equations)
    shape = jax.eval_shape(normal.normal, *equations)
    some = np.zeros((LANES, T), np.float32)
    block = Lanes.of((), some[0] > 0, 0.0, 0)
    place = np.zeros(LANES, np.int32)
    yield Program(normal.ridge, (shape.alone(), block, some, np.asarray(False)))
    yield Program(normal.lasso, (shape.alone(), block, some, some, place, some[0]))
    blocks = (some,) * len(fits.fit_blocks(proposed=wider is not None))
    rest = None if data.inside is None else data.inside[0]
    yield Program(normal.held_out, (shape, data.real, rest, blocks, smooth))
