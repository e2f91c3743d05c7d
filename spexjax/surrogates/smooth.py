"""A Gaussian process fitted to pairs of masks, and its strongest sets as a surrogate.

Without its held-out pairs the process has their faithfulness measured; then it is conditioned on
all. Rates and nuggets are those that it had without them, and so are the sets. Of so few masks that
none is held out, a cross-validation does it: in every fold all is learned anew.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from spexjax import phases
from spexjax.masks.design import Design
from spexjax.processes import pairs, process, reading, sparse
from spexjax.processes.pairs import EVEN, ODD, Pairs
from spexjax.processes.process import Process
from spexjax.processes.sparse import LeastSquares
from spexjax.processes.threads import one_thread
from spexjax.spectra import spectrum, subsets
from spexjax.spectra.spectrum import Spectrum
from spexjax.surrogates.fitted import Crossed, Fit, Standardised
from spexjax.workers import begin, finish

_TERMS = 768  # of the surrogate's spectrum, besides single inputs
# With more outputs than this all are learned with the same rates.
_OWN_RATES = 64
# Folds of one output, of several, and of how many outputs and folds a process is learned.
_FOLDS, _FEWEST_FOLDS, _LEARNED = 10, 4, 40


class Smooth(NamedTuple):
    """The process of some outputs, and its surrogates, one an output."""

    tested: list[Spectrum]
    surrogate: list[Spectrum]
    process: Process


@one_thread()
def fit(design: Design, values: Standardised) -> Fit:
    """The surrogates of all outputs. Masks without their complements are not fitted to."""
    found = pairs.pairs_of(design)
    folds = 0 if found.held_out.any() else min(_folds(len(values.spread)), len(found.signs) - 1)
    with phases.part(0, 1 / (folds + 1)):
        whole = joined(design, list(each(design, found, values)))
    if not folds:
        return whole
    fold = np.append(-1, np.arange(len(found.signs) - 1) % folds)  # the ends are in none
    surrogates = []
    for j in range(folds):
        with phases.part((j + 1) / (folds + 1), (j + 2) / (folds + 1)):
            others = Pairs(*(x[fold != j] for x in found))
            surrogates.append(joined(design, list(each(design, others, values))).surrogate)
    of_masks = np.zeros(len(design), int)  # a mask without its complement no fold knows
    of_masks[found.places] = fold[:, None]
    return whole._replace(crossed=Crossed(tuple(surrogates), of_masks))


def _folds(outputs: int) -> int:
    each = 1 if outputs > _OWN_RATES else outputs
    return min(_FOLDS, max(_FEWEST_FOLDS, _LEARNED // each))


def joined(design: Design, found: list[Smooth]) -> Fit:
    """The surrogates of several processes as one fit."""
    tested = spectrum.stack([one for part in found for one in part.tested])
    surrogate = spectrum.stack([one for part in found for one in part.surrogate])
    # There is no fold but what is held out.
    return Fit(tested, surrogate, crossed=Crossed((tested,), np.full(len(design), -1)))


def each(design: Design, found: Pairs, values: Standardised) -> Iterator[Smooth]:
    """A process for each output, or one for all of many."""
    table = np.asarray(values.values, float)
    K = table.shape[1]
    outputs = [[k] for k in range(K)] if K <= _OWN_RATES else [list(range(K))]
    for place, chosen in enumerate(outputs):
        with phases.part(place / len(outputs), (place + 1) / len(outputs)):
            yield _fit(design, found, pairs.parts(table[:, chosen], found))


def _fit(design: Design, found: Pairs, y: Float[np.ndarray, "2 P K"]) -> Smooth:
    first = max(int(np.sum(~found.held_out)), 1)  # the ends, at least
    signs, known = found.signs[:first], y[:, :first]
    phases.tell("learning rates", 0.0)
    level = known[EVEN].mean(axis=0)
    settings = process.learn(signs, known - np.stack([level, 0 * level])[:, None])
    phases.tell("conditioning", 0.4)
    settings = process.adapt(signs, known, settings)
    without, final = process.condition(found.signs, y, settings, first)
    phases.tell("reading coefficients", 0.8)
    sets = sparse.by_part(reading.strongest(without.mean, design.max_order, _TERMS))
    few = begin(_few, [without] * 2, (EVEN, ODD), [found.signs] * 2, y, [first] * 2, sets)
    sets, best, again = zip(*finish(few), strict=True)
    without, final = sparse.sharpened(without, best, sets), sparse.sharpened(final, again, sets)
    members = np.concatenate(sets)
    packed = subsets.pack(members, design.n)
    tested, surrogate = (
        [
            spectrum.from_terms(packed, F.astype(np.float32), design.n)
            for F in (reading.coefficients(one.mean, members) + one.fixed).T
        ]
        for one in (without, final)
    )
    return Smooth(tested, surrogate, final)


def _few(
    without: Process,
    part: int,
    signs: Float[np.ndarray, "P n"],
    y: Float[np.ndarray, "P K"],
    first: int,
    sets: Int32[np.ndarray, "T t"],
) -> tuple[Int32[np.ndarray, "T_new t"], LeastSquares | None, LeastSquares | None]:
    """Sets of a part, and least squares on them where these are better than the process: of the
    first pairs, as it is, and of all.
    """
    sets, best = sparse.widened(without, part, signs[:first], y[:first], sets)
    if best is None or not sparse.better(without, part, best):
        return sets, None, None
    return sets, best, sparse.fit(signs, y, sets)
