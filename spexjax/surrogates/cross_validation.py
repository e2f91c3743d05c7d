"""A support and a fit for each output, chosen by cross-validation of search and fit together.

In every fold the sets were decoded, and proposed, without it; every candidate fit
(:mod:`spexjax.surrogates.fits`) is made without the fold and tested on it. The best mean of a few
of them (:mod:`spexjax.surrogates.stacking`) is fitted to everything but the held-out masks; its
coefficients, not its support, once more with them. Linear fits are among the candidates, so that
the search can only help.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt32

from spexjax import phases
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks.design import Design
from spexjax.processes.threads import one_thread
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.surrogates import fits, folds, searching, stacking
from spexjax.surrogates.candidates import Output, crossed
from spexjax.surrogates.fits import FitSpec
from spexjax.surrogates.fitted import Crossed, Done, Fit
from spexjax.surrogates.folds import Data
from spexjax.surrogates.proposals import Wider
from spexjax.surrogates.searching import Begun, Sets
from spexjax.surrogates.stacking import Stack
from spexjax.typing import ArrayLike, Key
from spexjax.workers import begin, finish

# Candidates that err more than so many times the best in the first fold are not tried in others:
# at 1.1 functions of sparse sets lost 0.01 of R², at 2 nothing was gained.
_HOPELESS = 1.3
# Shares of the time, about: what decoding has of all, and proposing of an output's rest.
_DECODED, _PROPOSED = 0.1, 0.6


class Chosen(NamedTuple):
    """The stack of one output: supports of the columns, and coefficients (T,).

    And, for each fold, the stack that the other folds choose, found and fitted without it.
    """

    supports: np.ndarray
    tested: Float[np.ndarray, "T"]
    final: Float[np.ndarray, "T"]
    specs: set[FitSpec]
    crossed: list[Spectrum]


@one_thread()
def fit(
    design: Design,
    values: Float[ArrayLike, "N K"],
    peel: PeelConfig,
    wider: Wider | None,
    key: Key,
) -> Fit:
    """Finds and fits a support for each output.

    Args:
      design: the masks.
      values: (N, K), standardised.
      peel: settings of the search, where masks are coded.
      wider: what to propose besides the decoded sets, in each fold without it.
      key: of the trees.
    """
    data = folds.data_of(design, values)
    table = folds.table_of(design.coded, data)
    outputs = len(data.values)

    def begun(output: int) -> Begun | None:
        if wider is None or output == outputs:
            return None
        return searching.begin(design, data, table, output, wider, key)

    following = begun(0)  # its trees grow while sets are decoded,
    phases.tell("decoding", 0.0)
    members, info = folds.decoded_sets(design.coded, data, peel, design.max_order, shared=False)
    chosen = []
    each = (1.0 - _DECODED) / outputs
    for output, decoded in enumerate(members):
        search, following = following, begun(output + 1)  # others while an output is fitted
        sets = searching.decoded_alone(decoded)
        with phases.part(_DECODED + each * output, _DECODED + each * (output + 1)):
            if search is not None:
                with phases.part(0.0, _PROPOSED):
                    sets = searching.with_proposed(search, decoded)
            with phases.part(_PROPOSED if wider is not None else 0.0, 1.0):
                chosen.append(_fit_output(design, data, output, sets))

    def assemble(weights: Sequence[Float[np.ndarray, "T"]]) -> Spectrum:
        kept = [(c.tested != 0) | (np.arange(len(c.tested)) == 0) for c in chosen]
        parts = zip(chosen, weights, kept, strict=True)
        return spectrum.stack(
            [spectrum.from_terms(c.supports[k], w[k], design.n) for c, w, k in parts]
        )

    used = set().union(*(c.specs for c in chosen))
    tested, final = ([getattr(c, name) for c in chosen] for name in ("tested", "final"))
    by_fold = zip(*(c.crossed for c in chosen), strict=True)
    crossed = Crossed(tuple(spectrum.stack(list(one)) for one in by_fold), folds.fold_of(design))
    return Fit(assemble(tested), assemble(final), _done(used, design), info, crossed)


def _fit_output(design: Design, data: Data, place: int, sets: Sets) -> Chosen:
    """Fits the stack that cross-validation finds best, and its members once more to all masks."""
    blocks = fits.fit_blocks(proposed=bool(sets.weights))
    output, last = Output(design, data, place, sets, blocks), len(sets.members) - 1
    stack, by_fold = _stacked(output)
    equations, every = finish(begin(output.equations, (last, last), (data.training, data.real)))
    of_blocks = np.isin(np.arange(len(output.block_of)), stack.places - 1)
    solved = output.solve(
        equations, last, np.isin(np.arange(len(blocks)), output.block_of[of_blocks])
    )
    parts = output.candidates(output.fitted(equations, solved), last)[stack.places]
    again = output.refit(every, parts, stack.places, equations.correlations)
    return Chosen(
        supports=sets.supports(last, data.n_pad),
        tested=stack.shares @ parts,
        final=stack.shares @ again,
        specs={output.specs[p] for p in stack.places[stack.shares > 0]},
        crossed=by_fold,
    )


def _stacked(output: Output) -> tuple[Stack, list[Spectrum]]:
    """The best stack by the residuals that the folds' fits leave in their folds.

    And the surrogate of each fold: the stack that is best in the other folds, fitted without it.
    """
    data, specs, block_of = output.data, output.specs, output.block_of
    num_folds = len(output.sets.members) - 1
    phases.tell("fitting", 0.0)
    found = [crossed(output, np.ones(len(output.blocks), bool), 0)]
    errors = np.diagonal(found[0].products)[1:]
    near = errors[: len(block_of)] <= _HOPELESS * errors.min()
    wanted = np.bincount(block_of, near) > 0
    others = range(1, num_folds)
    phases.tell("fitting", 1 / (1 + num_folds))
    found += finish(begin(partial(crossed, output, wanted), others))
    phases.tell("fitting", num_folds / (1 + num_folds))
    tried = np.flatnonzero(
        np.concatenate([[True], wanted[block_of], [True] * (output.sets.smooth is not None)])
    )
    count = float(data.training.sum()) + data.num_coded
    total = np.sum([one.products for one in found], axis=0)

    def best(of: np.ndarray, count: float) -> Stack:
        stack = stacking.stack(of[np.ix_(tried, tried)], count, [specs[i] for i in tried])
        return stack._replace(places=tried[stack.places])

    # A fold that chose its own stack would not be independent of it.
    without = count * (1 - 1 / num_folds)
    by_fold = []
    for lane, one in enumerate(found):
        stack = best(total - one.products, without)
        weights = stack.shares @ output.candidates(one.fitted, lane)[stack.places]
        by_fold.append(_kept(output.sets.supports(lane, data.n_pad), weights, output.design.n))
    return best(total, count), by_fold


def _kept(supports: UInt32[np.ndarray, "T W"], w: Float[np.ndarray, "T"], n: int) -> Spectrum:
    """The spectrum of the columns that have a coefficient, and of ∅."""
    kept = (w != 0) | (np.arange(len(w)) == 0)
    return spectrum.from_terms(supports[kept], w[kept], n)


def _done(used: set[FitSpec], design: Design) -> Done:
    if any(spec.columns == "all" for spec in used):
        return Done.AS_ASKED
    found = any(spec.columns == "decoded" for spec in used)
    return Done.SPEX if found and design.coded is not None else Done.LINEAR
